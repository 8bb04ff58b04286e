"""What is looked up once for a form of requests is looked up again where another version answers."""

import numpy as np
import pytest

from tests.serving.fakes import BY_HAND, Disk, FakeLoader, serving, wait_for
from tests.serving.running import SIGNATURES
from toolkit.core.tensors import Feed
from toolkit.errors import ServingError
from toolkit.serving.engine import DirectRuns, Engine
from toolkit.serving.library import Library
from toolkit.serving.timing import Timing
from toolkit.wire import rpc
from toolkit.wire.fast_predict import Form, PredictReader
from toolkit.wire.messages import PredictRequest, Target


def body_of(value: float, target: Target | None = None, filtered: tuple[str, ...] = ()) -> bytes:
    feed: Feed = {"x": np.full((1, 2), value, np.float32)}
    return rpc.encode_predict_request(PredictRequest(target or Target("m"), feed, filtered))


def form_of(body: bytes) -> Form:
    form = PredictReader().read(body)
    assert form is not None
    return form


def ask(engine: Engine, form: Form, body: bytes) -> tuple[int | None, str]:
    """The version that answered, and where it was loaded from."""
    timing = Timing()
    response = engine.run(engine.prepare_form(form, body, timing), timing)
    assert timing.artifact == "fake"
    assert timing.parse_ns > 0
    return response.target.version, str(response.outputs["y"])


@pytest.fixture
def load() -> FakeLoader:
    """Versions that have a signature."""
    return FakeLoader(signatures=SIGNATURES, output="y")


def swap(library: Library, disk: Disk) -> None:
    disk.publish("m", 2)
    disk.remove("m", 1)
    library.poll()
    wait_for(library, "m", {2: "AVAILABLE", 1: "END"})


def test_a_form_that_is_known_is_answered_by_the_version_of_the_moment(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 1)
    body = body_of(1)
    form = form_of(body)
    with serving(load, BY_HAND, disk.config("m")) as library:
        wait_for(library, "m", {1: "AVAILABLE"})
        engine = Engine(library, DirectRuns())
        assert [ask(engine, form, body)[0] for _ in range(3)] == [1, 1, 1]
        first = library._models["m"].versions[1]
        assert list(first.known) == [form]
        swap(library, disk)
        assert ask(engine, form, body) == (2, str(disk.base("m") / "2"))
        assert not first.known, "what was known of a version that ended takes no memory"
    assert load.loaded[0].run_after_close == 0


def test_a_request_that_does_not_fit_is_known_for_nothing(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 1)
    body = body_of(1, filtered=("z",))
    with serving(load, BY_HAND, disk.config("m")) as library:
        wait_for(library, "m", {1: "AVAILABLE"})
        engine = Engine(library, DirectRuns())
        for _ in range(2):
            with pytest.raises(ServingError, match="output tensor alias not found"):
                engine.prepare_form(form_of(body), body, Timing())
        version = library._models["m"].versions[1]
        assert not version.known
        assert not version.leases


def test_forms_that_clients_make_up_are_forgotten(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 1)
    body = body_of(1)
    with serving(load, BY_HAND, disk.config("m")) as library:
        wait_for(library, "m", {1: "AVAILABLE"})
        engine = Engine(library, DirectRuns())
        for _ in range(3000):
            ask(engine, form_of(body), body)
        assert 0 < len(library._models["m"].versions[1].known) <= 1024
