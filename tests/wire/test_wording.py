"""What only the engine can find out, in the server's words."""

import pytest

from toolkit.errors import Fault, ServingError
from toolkit.wire import lifecycle_wording, wording
from toolkit.wire.messages import Target


@pytest.mark.parametrize(
    ("error", "fault", "message"),
    [
        (wording.servable_not_found(Target("m")), Fault.NOT_FOUND, "Servable not found for request: Latest(m)"),
        (wording.servable_not_found(Target("m", 0)), Fault.NOT_FOUND, "Servable not found for request: Specific(m, 0)"),
        (wording.status_not_found(Target("m")), Fault.NOT_FOUND, "Could not find any versions of model m"),
        (wording.status_not_found(Target("m", 9)), Fault.NOT_FOUND, "Could not find version 9 of model m"),
        (wording.unknown_label("x"), Fault.INVALID, "Unrecognized servable version label: x"),
        (wording.missing_name(), Fault.INVALID, "ModelSpec has no name specified."),
        (
            wording.node_without_output("NoOp", "NoOp"),
            Fault.OUT_OF_RANGE,
            "Node 'NoOp' (type: 'NoOp', num of outputs: 0) does not have output 0",
        ),
        (
            wording.batch_without_dimension(),
            Fault.INVALID,
            "Batching Run() input tensors must have at least one dimension",
        ),
        (
            wording.batch_sizes_differ(),
            Fault.INVALID,
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
        (
            lifecycle_wording.label_to_unavailable(3, "m"),
            Fault.PRECONDITION,
            "Request to assign label to version 3 of model m, which is not currently available for inference",
        ),
        (
            lifecycle_wording.not_available({("m", 1): lifecycle_wording.not_a_saved_model("/d")}, start=True),
            Fault.UNKNOWN,
            "1 servable(s) did not become available: {{{name: m version: 1} due to error: NOT_FOUND: Specified file "
            "path does not appear to contain a SavedModel bundle (should have a file called `saved_model.pb`)\n"
            "Specified file path: /d}, }",
        ),
        (
            lifecycle_wording.version_is_a_file("m", 9, "/b/9"),
            Fault.PRECONDITION,
            "Error while attempting to reserve resources to load servable {name: m version: 9}: /b/9; Not a directory",
        ),
        (
            lifecycle_wording.too_many_warmup_records("/f"),
            Fault.INVALID,
            "Number of warmup records exceeds the maximum (1000) at /f",
        ),
        (
            lifecycle_wording.last_batch_size_wrong(2, 4),
            Fault.INVALID,
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 2; expected 4",
        ),
    ],
)
def test_what_only_the_engine_can_find_has_the_servers_words(error: ServingError, fault: Fault, message: str) -> None:
    assert (error.fault, error.message) == (fault, message)
