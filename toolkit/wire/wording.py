"""What TensorFlow Serving answers to a request that it cannot serve: each fault in its words.

Clients match these texts, so they are the server's to the letter; the hint is ours.
"""

from collections.abc import Collection

from toolkit.errors import Fault, ServingError, WireError
from toolkit.wire.messages import Target


class SilentError(WireError):
    """An error for which the real server sends its code and not a word; our message is for the log."""


class RefusedEarlyError(ServingError):
    """A request that was refused before it cost work.

    Args:
        reason: why, in the words of the metric that counts them.
    """

    def __init__(self, message: str, *, hint: str = "", fault: Fault | None = None, reason: str = "") -> None:
        super().__init__(message, hint=hint, fault=fault)
        self.reason = reason


def _invalid(message: str, hint: str) -> ServingError:
    return ServingError(message, hint=hint, fault=Fault.INVALID)


def _names(names: Collection[str]) -> str:
    return ",".join(sorted(names))


# Which model


def missing_spec() -> WireError:
    """A gRPC request without a ModelSpec."""
    return WireError("Missing ModelSpec", hint="set model_spec.name")


def missing_name() -> ServingError:
    """A request whose ModelSpec names no model."""
    return _invalid("ModelSpec has no name specified.", "set model_spec.name")


def servable_not_found(target: Target) -> ServingError:
    """No version of the model can answer: for a label, give the target with the version that it stands for."""
    asked = f"Latest({target.model})" if target.version is None else f"Specific({target.model}, {target.version})"
    return ServingError(
        f"Servable not found for request: {asked}", hint="ask for the model's status", fault=Fault.NOT_FOUND
    )


def unknown_label(label: str) -> ServingError:
    """A label that the model does not have, or a label of a model that is not there."""
    return _invalid(f"Unrecognized servable version label: {label}", "the model's config lists its labels")


def status_not_found(target: Target) -> ServingError:
    """A status request for a model, or a version of one, that was never loaded."""
    what = "any versions" if target.version is None else f"version {target.version}"
    return ServingError(f"Could not find {what} of model {target.model}", hint="check the name", fault=Fault.NOT_FOUND)


# Which signature


def predict_signature_missing(name: str) -> ServingError:
    """Predict for a signature that the model does not have."""
    return ServingError(
        f'Serving signature key "{name}" not found.', hint="ask for the model's metadata", fault=Fault.PRECONDITION
    )


def rest_signature_missing(name: str) -> ServingError:
    """The same over REST, where the signature is looked up before the body is read."""
    return _invalid(f'Serving signature name: "{name}" not found in signature def', "ask for the model's metadata")


def examples_signature_missing(name: str) -> ServingError:
    """Classify or Regress for a signature that the model does not have."""
    return _invalid(f"No signature was found with the name: {name}", "ask for the model's metadata")


def task_signature_missing(name: str) -> ServingError:
    """A task of MultiInference for a signature that the model does not have."""
    return _invalid(f"Requested signature not found in model graph: {name}", "ask for the model's metadata")


# What is fed and fetched


def inputs_do_not_match(sent: Collection[str], wanted: Collection[str]) -> ServingError:
    """More or fewer inputs than the signature has."""
    extra, missing = set(sent) - set(wanted), set(wanted) - set(sent)
    return _invalid(
        f"input size does not match signature: {len(sent)}!={len(wanted)} len({{{_names(sent)}}}) != "
        f"len({{{_names(wanted)}}}). Sent extra: {{{_names(extra)}}}. Missing but required: {{{_names(missing)}}}.",
        "send exactly the signature's inputs",
    )


def input_not_sent(alias: str, tensor: str, sent: Collection[str], defaults: Collection[str]) -> ServingError:
    """As many inputs as the signature has, or fewer with defaults, but this one is neither sent nor has a default."""
    return _invalid(
        f"Signature input alias: {alias}(feed name: {tensor}) not found in request and no default value provided. "
        f"Inputs expected to be in the request {{{_names(sent)}}}, or default input alias set: {_names(defaults)}",
        f"send '{alias}'",
    )


def input_unknown(used: Collection[str], sent: Collection[str]) -> ServingError:
    """Every input found its value, but the request holds others besides."""
    return _invalid(
        f"Inputs contains invalid name. Used request inputs: {_names(used)}, request input: {_names(sent)}",
        "send only the signature's inputs",
    )


def tensor_unreadable(alias: str, reason: str) -> ServingError:
    """An input's TensorProto is no tensor."""
    return _invalid(f"tensor parsing error: {alias}", reason)


def wrong_dtype(index: int, wanted: str, given: str) -> ServingError:
    """A tensor of another dtype; inputs are counted in the order of their names in the graph."""
    return _invalid(f"Expects arg[{index}] to be {wanted} but {given} is provided", f"send {wanted}")


def output_unknown(alias: str, outputs: Collection[str]) -> ServingError:
    """The output filter names what the signature does not have."""
    return _invalid(
        f"output tensor alias not found in signature: {alias} Outputs expected to be in the set {{{_names(outputs)}}}.",
        "filter by the signature's outputs",
    )


def output_twice(alias: str) -> ServingError:
    """The output filter names an output twice."""
    return _invalid(f"duplicate output tensor alias: {alias}", "name each output once")


def node_without_output(node: str, kind: str) -> ServingError:
    """A signature's output is an operation that gives nothing, such as the init op of a SavedModel."""
    return ServingError(
        f"Node '{node}' (type: '{kind}', num of outputs: 0) does not have output 0",
        hint="use another signature",
        fault=Fault.OUT_OF_RANGE,
    )


def batch_without_input() -> ServingError:
    """A signature without inputs, and batching is on."""
    return _invalid("Batching Run() must have at least one input tensor", "serve this model without batching")


def batch_too_large(size: int, maximum: int) -> ServingError:
    """More rows than a batch takes, and large batches are not split."""
    return _invalid(
        f"Task size {size} is larger than maximum input batch size {maximum}",
        "send fewer rows, or raise max_batch_size",
    )


def batch_without_dimension() -> ServingError:
    """A scalar input, and batching is on."""
    return _invalid("Batching Run() input tensors must have at least one dimension", "send rows")


def batch_sizes_differ() -> ServingError:
    """Inputs with different numbers of rows, and batching is on."""
    return _invalid("Batching Run() input tensors must have equal 0th-dimension size", "send equally many rows")


def threads_exhausted() -> ServingError:
    """More requests in flight than the server takes."""
    return ServingError("Server Threadpool Exhausted", hint="try again", fault=Fault.EXHAUSTED)


_MORE_TIME = "give the call more time"


def deadline_cannot_be_met(left_ms: float, needed_ms: float) -> RefusedEarlyError:
    """A request that would be answered too late; ours, since the real server works on it all the same."""
    passed = left_ms <= 0
    problem = "passed" if passed else f"is {left_ms:.1f} ms away and the model needs {needed_ms:.1f} ms"
    reason = "deadline passed" if passed else "deadline too near"
    return RefusedEarlyError(f"The deadline {problem}", hint=_MORE_TIME, fault=Fault.DEADLINE, reason=reason)


def run_timed_out() -> ServingError:
    """A request whose time was over before the model was done with it."""
    return ServingError("Timed out waiting for notification", hint=_MORE_TIME, fault=Fault.DEADLINE)


def metadata_field_missing() -> ServingError:
    """GetModelMetadata that asks for nothing."""
    return _invalid("GetModelMetadataRequest must specify at least one metadata_field", "ask for signature_def")


def metadata_field_unknown(field: str) -> ServingError:
    """GetModelMetadata that asks for something other than the signatures."""
    return _invalid(f"Metadata field {field} is not supported", "ask for signature_def")


def wrong_method(wanted: str, api: str, actual: str) -> ServingError:
    """The signature's method is not the one asked, and the server was told to check."""
    return _invalid(
        f"Expected {api} signature method_name to be {wanted}. Was: {actual}",
        "use a signature of that method, or leave out --enable_signature_method_name_check",
    )


def wrong_predict_method(allowed: Collection[str], actual: str) -> ServingError:
    """Predict for a signature with a method that is none of TensorFlow Serving's, and the server was told to check."""
    return ServingError(
        f"Expected prediction signature method_name to be one of {{{', '.join(allowed)}}}. Was: {actual}",
        hint="use another signature, or leave out --enable_signature_method_name_check",
        fault=Fault.INTERNAL,
    )


def input_empty() -> ServingError:
    """A request for examples that holds none."""
    return _invalid("Input is empty.", "send at least one tf.Example")


def unsupported_method(method: str) -> ServingError:
    """A task of MultiInference that is neither classify nor regress."""
    return ServingError(
        f"Unsupported signature method_name: {method}",
        hint="use tensorflow/serving/classify or tensorflow/serving/regress",
        fault=Fault.UNIMPLEMENTED,
    )


def task_without_name() -> ServingError:
    """A later task of MultiInference that names no model."""
    return _invalid("Found ModelSpec with an empty model name.", "name the same model in every task")


def tasks_of_two_models() -> ServingError:
    """Tasks of MultiInference for different models."""
    return _invalid(
        "All ModelSpecs in a MultiInferenceRequest must access the same model name.", "send a request for each model"
    )


def task_twice(signature: str) -> ServingError:
    """Two tasks of MultiInference for one signature."""
    return _invalid(f"Duplicate evaluation of signature: {signature}", "ask for each signature once")


def unusable_signature(problem: str, *, debug_text: str = "") -> ServingError:
    """A signature that cannot classify or regress; the problem is in the server's words."""
    return _invalid(f"{problem}{debug_text}", "use a signature with that method's inputs and outputs")


def unusable_output(problem: str) -> ServingError:
    """An output that is no classification or regression; the problem is in the server's words."""
    return _invalid(problem, "the model's output has to have that dtype and shape")
