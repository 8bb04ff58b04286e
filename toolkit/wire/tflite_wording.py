"""What TensorFlow Serving says when a model.tflite cannot be loaded or run."""

from toolkit.errors import Fault, RunError, ServingError


def signatures_invalid(reason: str) -> ServingError:
    """A file whose metadata holds SignatureDefs that are none."""
    return ServingError(
        f"Invalid SignatureDefs found in TfLite model: {reason}",
        hint="write them again with SetSignatureDefMap",
        fault=Fault.INVALID,
    )


def tensor_unknown(side: str, alias: str, tensor: str) -> ServingError:
    """A SignatureDef in the metadata that names a tensor which the file does not have."""
    return ServingError(
        f"Unknown tensor '{tensor}'.\n\tSignature {side} {alias} references an unknown tensor",
        hint="write the SignatureDefs that belong to this file",
        fault=Fault.INTERNAL,
    )


def name_twice(side: str, tensor: str) -> ServingError:
    """Two inputs, or two outputs, of one name."""
    return ServingError(
        f"{side.capitalize()} tensor name: {tensor} has multiple indices",
        hint="give each tensor its own name",
        fault=Fault.ALREADY_EXISTS,
    )


def cannot_resize(tensor: str, size_bytes: int, reason: str) -> RunError:
    """An input that does not take the shape of the feed.

    The real server also says the bytes it had before, which are those of whatever request came last.
    """
    message = f"Failed to resize input tensor: {tensor} to {size_bytes} bytes."
    return RunError(message, hint=reason, fault=Fault.INTERNAL)


def cannot_allocate(reason: str) -> RunError:
    """An op that is not known, or that does not take the shapes of the feed; why is in the hint."""
    return RunError("Failed to allocate tensors", hint=reason, fault=Fault.INTERNAL)


def cannot_invoke(reason: str) -> RunError:
    """An op that fails on the values of the feed; why is in the hint."""
    return RunError("Failed to invoke TfLite interpreter", hint=reason, fault=Fault.INTERNAL)
