"""What our own checks refuse ends at once with its error; what a runtime or a disk met is tried again."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.golden.replaying import DATA
from tests.serving.fakes import PATIENCE_S, Disk, FakeServable
from toolkit.errors import Fault, ParityError, RunError, ServingError, StoreError, ToolkitError
from toolkit.serving.library import Library
from toolkit.serving.loading import Loader
from toolkit.serving.loads import Lifecycle
from toolkit.serving.servables import Loading
from toolkit.wire import protos
from toolkit.wire.codes import CODE_OF_FAULT
from toolkit.wire.messages import State, Target, VersionStatus

HP2 = DATA / "models" / "saved_model_half_plus_two_cpu" / "00000123" / "saved_model.pb"
# Who paused would be waited for in vain.
PATIENT = Lifecycle(poll_wait_s=3600.0, max_load_retries=5, retry_interval_s=3600.0)
AT_ONCE = Lifecycle(poll_wait_s=3600.0, max_load_retries=5, retry_interval_s=0.0)


@dataclass
class Failing:
    """A loader that always fails."""

    error: ToolkitError
    attempts: int = field(default=0)

    def __call__(self, name: str, version: int, directory: Path) -> FakeServable:
        self.attempts += 1
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        ServingError("its artifacts did not agree with the eager model", fault=Fault.PRECONDITION),
        ServingError("no artifact for --runtime onnx", fault=Fault.PRECONDITION),
        ServingError("not safe to serve", fault=Fault.PERMISSION),
        ParityError("model.onnx is not as it was built"),
    ],
)
def test_a_refusal_ends_at_once_with_its_error(error: ToolkitError, disk: Disk) -> None:
    disk.publish("m", 1)
    load = Failing(error)
    library = Library(load, PATIENT)
    library.start([disk.config("m")])
    assert library.wait_until_settled(["m"], PATIENCE_S) == {("m", 1): error}
    status = VersionStatus(1, State.END, CODE_OF_FAULT[error.fault], error.message)
    assert library.status(Target("m")).versions == (status,)
    library.poll()
    library.stop(PATIENCE_S)
    assert load.attempts == 1


@pytest.mark.parametrize(
    "error",
    [
        RunError("Table not initialized", fault=Fault.PRECONDITION),
        RunError("Unable to open table file", fault=Fault.DATA_LOSS),
        ServingError("Could not find SavedModel", fault=Fault.NOT_FOUND),
        StoreError("the disk does not answer"),
    ],
)
def test_what_may_pass_is_tried_again(error: ToolkitError, disk: Disk) -> None:
    disk.publish("m", 1)
    load = Failing(error)
    library = Library(load, AT_ONCE)
    library.start([disk.config("m")])
    assert library.wait_until_settled(["m"], PATIENCE_S) == {("m", 1): error}
    library.stop(PATIENCE_S)
    assert load.attempts == 6


@pytest.mark.parametrize(
    ("loader", "fault"),
    [(Loader(Loading(runtime="onnx")), Fault.PRECONDITION), (Loader(), Fault.PERMISSION)],
)
def test_the_loaders_own_refusals_are_final(loader: Loader, fault: Fault, disk: Disk) -> None:
    disk.publish("m", 1)
    shutil.copy(HP2, disk.base("m") / "1")
    if fault is Fault.PERMISSION:
        saved = protos.parse(protos.SavedModel, HP2.read_bytes())
        saved.meta_graphs[0].graph_def.node.add(name="spy", op="ReadFile")
        (disk.base("m") / "1" / HP2.name).write_bytes(protos.serialize(saved))
    library = Library(loader, PATIENT)
    library.start([disk.config("m")])
    assert library.wait_until_settled(["m"], PATIENCE_S)["m", 1].fault is fault
    library.stop(PATIENCE_S)
