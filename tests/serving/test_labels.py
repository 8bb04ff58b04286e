"""Labels stand for versions that answer; the numbers are those of the recorded behaviour."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.serving.fakes import (
    ALL,
    BY_HAND,
    PATIENCE_S,
    Disk,
    FakeLoader,
    answered,
    serving,
    specific,
    states,
    wait_for,
    wait_until_done,
)
from toolkit.errors import Fault, ServingError
from toolkit.serving.library import Library
from toolkit.wire.messages import Target


@pytest.fixture
def library(disk: Disk, load: FakeLoader) -> Iterator[Library]:
    """A server of model m, versions 1 and 2."""
    disk.publish("m", 1, 2)
    with serving(load, BY_HAND, disk.config("m", ALL)) as served:
        wait_until_done(served, "m")
        yield served


def test_26_a_label_works_at_once_and_can_be_moved(library: Library, disk: Disk) -> None:
    library.reconfigure([disk.config("m", ALL, {"stable": 1, "canary": 2})])
    assert answered(library, "m", label="stable") == 1
    assert answered(library, "m", label="canary") == 2
    library.reconfigure([disk.config("m", ALL, {"stable": 2, "canary": 2})])
    assert answered(library, "m", label="stable") == 2


@pytest.mark.parametrize("labels", [{"stable": 3}, {"stable": 1, "next": 3}, {"stable": 2, "next": 3}])
def test_26_a_label_to_an_unavailable_version_is_refused_and_all_labels_stay(
    library: Library, disk: Disk, labels: dict[str, int]
) -> None:
    library.reconfigure([disk.config("m", ALL, {"stable": 1})])
    with pytest.raises(ServingError) as found:
        library.reconfigure([disk.config("m", ALL, labels)])
    assert found.value.fault is Fault.PRECONDITION
    assert found.value.message == (
        "Request to assign label to version 3 of model m, which is not currently available for inference"
    )
    assert answered(library, "m", label="stable") == 1
    with pytest.raises(ServingError, match=r"^Unrecognized servable version label: next$"):
        answered(library, "m", label="next")


def test_27_versions_and_a_label_to_one_of_them_in_one_list_change_nothing(library: Library, disk: Disk) -> None:
    disk.publish("m", 3)
    with pytest.raises(ServingError, match=r"^Request to assign label to version 3 of model m"):
        library.reconfigure([disk.config("m", specific(2, 3), {"next": 3})])
    library.poll()
    wait_for(library, "m", {3: "AVAILABLE", 2: "AVAILABLE", 1: "AVAILABLE"})


def test_27_a_label_of_a_model_that_the_same_list_adds_is_refused_and_the_model_is_not_added(
    library: Library, disk: Disk
) -> None:
    disk.publish("n", 1)
    with pytest.raises(ServingError, match=r"^Request to assign label to version 1 of model n"):
        library.reconfigure([disk.config("m", ALL), disk.config("n", labels={"stable": 1})])
    library.poll()
    assert states(library, "n") == {}


def test_28_where_it_is_allowed_a_new_label_may_be_ahead_of_its_version_but_none_may_be_moved_there(
    disk: Disk, load: FakeLoader
) -> None:
    disk.publish("m", 1)
    allowing = replace(BY_HAND, allow_labels_for_unavailable=True)
    with serving(load, allowing, disk.config("m", ALL)) as library:
        library.reconfigure([disk.config("m", ALL, {"stable": 1, "next": 3})])
        with pytest.raises(ServingError, match=r"^Servable not found for request: Specific\(m, 3\)$"):
            answered(library, "m", label="next")
        with pytest.raises(ServingError, match=r"^Request to assign label to version 3 of model m"):
            library.reconfigure([disk.config("m", ALL, {"stable": 3, "next": 3})])
        disk.publish("m", 3)
        library.poll()
        wait_until_done(library, "m")
        assert answered(library, "m", label="next") == 3
        assert answered(library, "m", label="stable") == 1


def test_29_a_removed_label_is_unknown(library: Library, disk: Disk) -> None:
    library.reconfigure([disk.config("m", ALL, {"canary": 2})])
    library.reconfigure([disk.config("m", ALL)])
    with pytest.raises(ServingError, match=r"^Unrecognized servable version label: canary$") as found:
        answered(library, "m", label="canary")
    assert found.value.fault is Fault.INVALID


@pytest.mark.parametrize("allowed", [False, True])
def test_29_a_label_whose_version_was_unloaded_stays_and_can_be_listed_again_where_that_is_allowed(
    disk: Disk, load: FakeLoader, allowed: bool
) -> None:
    disk.publish("m", 1, 2)
    config = disk.config("m", ALL, {"canary": 2})
    with serving(load, replace(BY_HAND, allow_labels_for_unavailable=allowed), disk.config("m", ALL)) as library:
        wait_until_done(library, "m")
        library.reconfigure([config])
        disk.remove("m", 2)
        library.poll()
        wait_for(library, "m", {2: "END", 1: "AVAILABLE"})
        for _ in range(2):
            with pytest.raises(ServingError, match=r"^Servable not found for request: Specific\(m, 2\)$"):
                answered(library, "m", label="canary")
            if allowed:
                library.reconfigure([config])
            else:
                with pytest.raises(ServingError, match=r"^Request to assign label to version 2 of model m, which is"):
                    library.reconfigure([config])


def test_30_a_label_of_a_model_that_does_not_exist_is_an_unknown_label(library: Library) -> None:
    with pytest.raises(ServingError, match=r"^Unrecognized servable version label: stable$"):
        answered(library, "nosuch", label="stable")


def test_31_status_ignores_the_label(library: Library) -> None:
    assert [one.version for one in library.status(Target("m", label="whatever")).versions] == [2, 1]


def test_15_labels_in_the_first_list_work_once_their_version_does(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 1)
    go = load.hold("m", 1)
    library = Library(load, BY_HAND)
    library.start([disk.config("m", labels={"stable": 1})])
    with pytest.raises(ServingError, match=r"^Servable not found for request: Specific\(m, 1\)$"):
        answered(library, "m", label="stable")
    go.set()
    wait_until_done(library, "m")
    assert answered(library, "m", label="stable") == 1
    library.stop(PATIENCE_S)


@pytest.mark.parametrize("allowed", [False, True])
def test_15_a_strict_start_refuses_labels_unless_they_are_allowed(disk: Disk, load: FakeLoader, allowed: bool) -> None:
    disk.publish("m", 1)
    library = Library(load, replace(BY_HAND, allow_labels_for_unavailable=allowed))
    models = [disk.config("m", labels={"stable": 1})]
    if allowed:
        library.start(models, strict=True)
        wait_until_done(library, "m")
        assert answered(library, "m", label="stable") == 1
    else:
        with pytest.raises(ServingError, match=r"^Request to assign label to version 1 of model m, which is not") as no:
            library.start(models, strict=True)
        assert (no.value.fault, load.began) == (Fault.PRECONDITION, [])
    library.stop(PATIENCE_S)


def test_an_answer_names_the_version_and_not_the_label(library: Library, disk: Disk) -> None:
    library.reconfigure([disk.config("m", ALL, {"stable": 1})])
    with library.lease(Target("m", label="stable")) as lease:
        assert lease.target == Target("m", version=1, signature="serving_default")
