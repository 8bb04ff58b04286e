"""Which version comes and goes first, and for which one a model's arrival is awaited, as in TensorFlow Serving."""

from dataclasses import replace

import pytest

from tests.serving.fakes import (
    ALL,
    BY_HAND,
    PATIENCE_S,
    Disk,
    FakeLoader,
    serving,
    specific,
    states,
    wait_for,
    wait_until_done,
)
from toolkit.errors import ServingError
from toolkit.serving.engine import DirectRuns, Engine
from toolkit.serving.library import Library
from toolkit.wire.messages import ReloadRequest


def test_of_versions_that_make_room_for_one_to_come_only_the_highest_waits_for_it(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 1, 2, 3)
    with serving(load, BY_HAND, disk.config("m", ALL)) as library:
        wait_until_done(library, "m")
        go = load.hold("m", 4)
        disk.publish("m", 4)
        library.reconfigure([disk.config("m", specific(4))])
        wait_for(library, "m", {4: "LOADING", 3: "AVAILABLE", 2: "END", 1: "END"})
        go.set()
        wait_for(library, "m", {4: "AVAILABLE", 3: "END", 2: "END", 1: "END"})


@pytest.mark.parametrize(
    ("threads", "expected"),
    [(1, {3: "LOADING", 2: "START", 1: "START"}), (2, {3: "LOADING", 2: "LOADING", 1: "START"})],
)
def test_so_many_versions_of_a_model_load_at_a_time_as_there_are_load_threads(
    disk: Disk, load: FakeLoader, threads: int, expected: dict[int, str]
) -> None:
    disk.publish("m", 1, 2, 3)
    held = [load.hold("m", version) for version in (1, 2, 3)]
    library = Library(load, replace(BY_HAND, load_threads=threads))
    library.start([disk.config("m", ALL)])
    for version in range(3, 3 - threads, -1):
        load.wait_for_begun("m", version)
    assert states(library, "m") == expected
    for event in held:
        event.set()
    wait_until_done(library, "m")
    assert states(library, "m") == dict.fromkeys((3, 2, 1), "AVAILABLE")
    library.stop(PATIENCE_S)


def test_a_reload_waits_for_one_version_of_a_new_model_and_not_for_all(disk: Disk, load: FakeLoader) -> None:
    disk.publish("n", 1, 2)
    with serving(load, BY_HAND) as library:
        go = load.hold("n", 1)
        Engine(library, DirectRuns()).reload(ReloadRequest((disk.config("n", ALL),)), PATIENCE_S)
        assert states(library, "n")[2] == "AVAILABLE"
        go.set()
        wait_for(library, "n", {2: "AVAILABLE", 1: "AVAILABLE"})


def test_a_reload_fails_with_the_highest_version_though_a_lower_one_loads(disk: Disk, load: FakeLoader) -> None:
    disk.publish("n", 1)
    disk.publish_broken("n", 2, "broken")
    with serving(load, BY_HAND) as library:
        with pytest.raises(ServingError) as found:
            Engine(library, DirectRuns()).reload(ReloadRequest((disk.config("n", ALL),)), PATIENCE_S)
        assert found.value.message == (
            "1 model(s) did not become available: {{{name: n version: 2} due to error: NOT_FOUND: broken}, }"
        )
        wait_for(library, "n", {2: "END", 1: "AVAILABLE"})


def test_a_reload_is_well_though_a_lower_version_does_not_load(disk: Disk, load: FakeLoader) -> None:
    disk.publish("n", 2)
    disk.publish_broken("n", 1)
    with serving(load, BY_HAND) as library:
        Engine(library, DirectRuns()).reload(ReloadRequest((disk.config("n", ALL),)), PATIENCE_S)
        wait_for(library, "n", {2: "AVAILABLE", 1: "END"})
