"""A request held against the signature it is for: the feed to run, the outputs to fetch, and what they mean.

The order of the checks is TensorFlow Serving's, since a request with two faults is answered for the first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from toolkit.core.tensors import Array, Feed
from toolkit.errors import WireError
from toolkit.wire import wording
from toolkit.wire.dtypes import dtype_of
from toolkit.wire.messages import MetadataRequest, PredictRequest
from toolkit.wire.signatures import CLASSIFY_METHOD, PREDICT_METHOD, REGRESS_METHOD, ServedSignature
from toolkit.wire.tensor_proto import decode_tensor


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: a feed that fits the signature's names and dtypes, and the outputs to fetch.

    Shapes are left to the model, as the server leaves them: it answers a shape that is not the signature's if it can.
    """

    signature: ServedSignature
    feed: Feed
    outputs: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether it fetches all that its signature gives, which is what the server's batching looks for."""
        given = self.signature.outputs
        return {given[name].name for name in self.outputs} == {info.name for info in given.values()}


# What refuses a plan before the session looks at it.
Check = Callable[[Plan], object]


def no_check(_: Plan) -> None:
    """Lets every plan through to the session."""


def plan_predict(
    signatures: Mapping[str, ServedSignature],
    request: PredictRequest,
    *,
    check_method: bool = False,
    check: Check = no_check,
) -> Plan:
    """What Predict has to run.

    Raises:
        ServingError: the request does not fit; in the server's words.
    """
    name = request.target.signature_name
    if name not in signatures:
        raise wording.predict_signature_missing(name)
    signature = signatures[name]
    allowed = (PREDICT_METHOD, CLASSIFY_METHOD, REGRESS_METHOD)
    if check_method and signature.method not in allowed:
        raise wording.wrong_predict_method(allowed, signature.method)
    feed = _predict_feed(signature, request.feed)
    plan = Plan(signature, feed, _filtered(signature, request.output_filter))
    check(plan)
    check_dtypes(plan)
    _check_nodes(plan)
    return plan


def _predict_feed(signature: ServedSignature, sent: Feed) -> dict[str, Array]:
    wanted = signature.inputs
    if len(sent) > len(wanted) or (len(sent) < len(wanted) and not signature.defaults):
        raise wording.inputs_do_not_match(tuple(sent), tuple(wanted))
    feed: dict[str, Array] = {}
    used = []
    for alias, info in wanted.items():
        try:
            if alias in sent:
                feed[alias] = sent[alias]
                used.append(alias)
            elif alias in signature.defaults:
                feed[alias] = decode_tensor(signature.defaults[alias])
            else:
                raise wording.input_not_sent(alias, info.name, tuple(sent), tuple(signature.defaults))
        except WireError as error:
            raise wording.tensor_unreadable(alias, error.message) from error
    if len(used) != len(sent):
        raise wording.input_unknown(used, tuple(sent))
    return feed


def _filtered(signature: ServedSignature, output_filter: tuple[str, ...]) -> tuple[str, ...]:
    seen: set[str] = set()
    for alias in output_filter:
        if alias not in signature.outputs:
            raise wording.output_unknown(alias, tuple(signature.outputs))
        if alias in seen:
            raise wording.output_twice(alias)
        seen.add(alias)
    return output_filter or tuple(signature.outputs)


def check_dtypes(*plans: Plan) -> None:
    """Refuses a tensor of another dtype than the graph wants, in plans that are one call of the session.

    Raises:
        ServingError: in the server's words.
    """
    fed = [(plan.signature.inputs[alias], array) for plan in plans for alias, array in plan.feed.items()]
    if all([dtype_of(array).number == info.number for info, array in fed]):  # noqa: C419
        return
    # TensorFlow sorts what is fed by the tensors' names in the graph, and counts its arguments so.
    arguments = {info.name: (info, dtype_of(array)) for info, array in fed}
    for index, name in enumerate(sorted(arguments)):
        info, given = arguments[name]
        if given.number != info.number:
            raise wording.wrong_dtype(index, info.word, given.word)


def _check_nodes(plan: Plan) -> None:
    # TensorFlow keeps a model's initialisation op among its signatures; it can be run, but it gives no tensor.
    for alias in plan.outputs:
        info = plan.signature.outputs[alias]
        if not info.number:
            raise wording.node_without_output(info.name.partition(":")[0], "NoOp")


def check_metadata(request: MetadataRequest) -> None:
    """Refuses a metadata request for anything but the signatures; the server does so before it looks for the model.

    Raises:
        ServingError: in the server's words.
    """
    if not request.fields:
        raise wording.metadata_field_missing()
    for name in request.fields:
        if name != "signature_def":
            raise wording.metadata_field_unknown(name)
