"""Versions come and go as TensorFlow Serving's do; the numbers in the tests are those of the recorded behaviour."""

import shutil
from dataclasses import replace

import pytest

from tests.serving.fakes import (
    ALL,
    BY_HAND,
    Disk,
    FakeLoader,
    answered,
    latest,
    serving,
    states,
    wait_for,
    watch,
)
from toolkit.errors import Fault, ServingError
from toolkit.serving.loads import Lifecycle
from toolkit.wire.codes import Code
from toolkit.wire.messages import Target, VersionPolicy


def test_1_only_the_latest_version_is_loaded_and_listed(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 1, 2, 10)
    with serving(load, BY_HAND, disk.config("m")) as library:
        assert states(library, "m") == {10: "AVAILABLE"}
        with pytest.raises(ServingError, match=r"^Servable not found for request: Specific\(m, 2\)$"):
            answered(library, "m", version=2)


def test_2_a_new_version_takes_over_without_a_gap(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 10)
    with serving(load, BY_HAND, disk.config("m")) as library:
        go = load.hold("m", 11)
        disk.publish("m", 11)
        library.poll()
        load.wait_for_begun("m", 11)
        assert list(states(library, "m").items()) == [(11, "LOADING"), (10, "AVAILABLE")]
        assert answered(library, "m") == 10
        go.set()
        wait_for(library, "m", {11: "AVAILABLE", 10: "END"})
        assert answered(library, "m") == 11


def test_3_a_deleted_version_makes_room_for_the_one_before(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 10, 11)
    with serving(load, BY_HAND, disk.config("m")) as library:
        go = load.hold("m", 10)
        disk.remove("m", 11)
        library.poll()
        load.wait_for_begun("m", 10)
        assert list(states(library, "m").items()) == [(11, "AVAILABLE"), (10, "LOADING")]
        assert answered(library, "m") == 11
        go.set()
        wait_for(library, "m", {11: "END", 10: "AVAILABLE"})
        assert answered(library, "m") == 10


def test_4_and_5_an_emptied_base_path_unloads_and_a_new_version_loads(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 11)
    with serving(load, BY_HAND, disk.config("m")) as library:
        disk.remove("m", 11)
        library.poll()
        wait_for(library, "m", {11: "END"})
        with pytest.raises(ServingError, match=r"^Servable not found for request: Latest\(m\)$"):
            answered(library, "m")
        disk.publish("m", 12)
        library.poll()
        wait_for(library, "m", {12: "AVAILABLE", 11: "END"})


def test_4_a_deleted_base_path_keeps_the_old_version(disk: Disk, load: FakeLoader) -> None:
    base = disk.publish("m", 11)
    with serving(load, BY_HAND, disk.config("m")) as library:
        shutil.rmtree(base)
        library.poll()
        assert states(library, "m") == {11: "AVAILABLE"}
        assert answered(library, "m") == 11


def test_a_version_that_comes_back_is_loaded_again(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 1)
    with serving(load, BY_HAND, disk.config("m")) as library:
        disk.remove("m", 1)
        library.poll()
        wait_for(library, "m", {1: "END"})
        disk.publish("m", 1)
        library.poll()
        wait_for(library, "m", {1: "AVAILABLE"})
        assert [servable.closed for servable in load.loaded] == [1, 0]


def test_6_a_zero_padded_name_is_its_number(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", "00000005", "foo", "1e3")
    with serving(load, BY_HAND, disk.config("m")) as library:
        assert answered(library, "m", version=5) == 5
        assert load.loaded[0].path.name == "00000005"


def test_6_a_loaded_version_stays_when_another_directory_has_its_number(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", "007")
    with serving(load, BY_HAND, disk.config("m")) as library:
        disk.publish("m", "7")
        library.poll()
        assert states(library, "m") == {7: "AVAILABLE"}
        assert [servable.path.name for servable in load.loaded] == ["007"]


def test_7_a_version_that_cannot_load_ends_with_its_error_and_the_old_one_serves_on(
    disk: Disk, load: FakeLoader
) -> None:
    disk.publish("m", 1)
    with serving(load, BY_HAND, disk.config("m")) as library:
        disk.publish_broken("m", 2, "no saved_model.pb")
        library.poll()
        wait_for(library, "m", {2: "END", 1: "AVAILABLE"})
        broken, good = library.status(Target("m")).versions
        assert (broken.error_code, broken.error_message) == (Code.NOT_FOUND, "no saved_model.pb")
        assert (good.error_code, good.error_message) == (Code.OK, "")
        assert answered(library, "m") == 1


def test_7_a_failed_version_is_not_tried_again_though_it_is_mended(disk: Disk, load: FakeLoader) -> None:
    disk.publish_broken("m", 2)
    with serving(load, BY_HAND, disk.config("m")) as library:
        wait_for(library, "m", {2: "END"})
        (disk.base("m") / "2" / "error").unlink()
        library.poll()
        library.poll()
        assert load.began == [("m", 2)]
        disk.publish("m", 3)
        library.poll()
        wait_for(library, "m", {3: "AVAILABLE", 2: "END"})
        assert library.status(Target("m", 2)).versions[0].error_code == Code.NOT_FOUND


def test_a_failed_version_that_was_taken_away_and_published_again_is_tried_again(disk: Disk, load: FakeLoader) -> None:
    disk.publish_broken("m", 2)
    with serving(load, BY_HAND, disk.config("m")) as library:
        wait_for(library, "m", {2: "END"})
        disk.remove("m", 2)
        library.poll()
        disk.publish("m", 2)
        library.poll()
        wait_for(library, "m", {2: "AVAILABLE"})


def test_a_load_that_breaks_in_its_runtime_is_a_status_and_not_a_crash(disk: Disk, load: FakeLoader) -> None:
    (disk.publish("m", 1) / "1" / "crash").touch()
    with serving(load, BY_HAND, disk.config("m")) as library:
        wait_for(library, "m", {1: "END"})
        status = library.status(Target("m")).versions[0]
        assert (status.error_code, status.error_message) == (Code.UNKNOWN, "RuntimeError: the runtime broke")


def test_8_several_versions_load_from_the_highest_down(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 1, 2, 3)
    with serving(load, BY_HAND, disk.config("m", ALL)) as library:
        wait_for(library, "m", {3: "AVAILABLE", 2: "AVAILABLE", 1: "AVAILABLE"})
        assert load.began == [("m", 3), ("m", 2), ("m", 1)]
        assert answered(library, "m") == 3
        assert answered(library, "m", version=1) == 1


def test_9_poll_0_looks_only_once(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 3)
    with serving(load, replace(BY_HAND, poll_wait_s=0.0), disk.config("m")) as library:
        disk.publish("m", 4)
        library.reconfigure([disk.config("m")])
        assert states(library, "m") == {3: "AVAILABLE"}
        assert not library._poller.is_alive()


def test_a_poller_finds_what_appears(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 1)
    with serving(load, Lifecycle(poll_wait_s=0.001), disk.config("m")) as library:
        disk.publish("m", 2)
        wait_for(library, "m", {2: "AVAILABLE", 1: "END"})


def test_10_a_missing_base_path_does_not_keep_others_from_serving(disk: Disk, load: FakeLoader) -> None:
    disk.publish("good", 1)
    with serving(load, BY_HAND, disk.config("late"), disk.config("good")) as library:
        assert answered(library, "good") == 1
        disk.publish("late", 1)
        library.poll()
        wait_for(library, "late", {1: "AVAILABLE"})


@pytest.mark.parametrize("base_path_exists", [True, False])
def test_where_nobody_looks_again_a_model_without_versions_is_an_error_and_not_awaited(
    disk: Disk, load: FakeLoader, base_path_exists: bool
) -> None:
    if base_path_exists:
        disk.base("m")
    with (
        serving(load, replace(BY_HAND, poll_wait_s=0.0), disk.config("m")) as library,
        pytest.raises(ServingError, match="No versions of servable m found under base path") as found,
    ):
        library.wait_until_settled(["m"])
    assert found.value.fault is Fault.NOT_FOUND


def test_nothing_is_known_of_a_model_that_never_was(disk: Disk, load: FakeLoader) -> None:
    with serving(load, BY_HAND) as library:
        with pytest.raises(ServingError, match=r"^Could not find any versions of model m$") as found:
            library.status(Target("m"))
        assert found.value.fault is Fault.NOT_FOUND
        with pytest.raises(ServingError, match=r"^ModelSpec has no name specified"):
            answered(library, "")


def test_one_version_can_be_asked_for_alone(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 1, 2)
    with serving(load, BY_HAND, disk.config("m", ALL)) as library:
        watch(library, lambda: len(load.loaded) == 2, "both loaded")
        assert [one.version for one in library.status(Target("m", 1)).versions] == [1]
        with pytest.raises(ServingError, match=r"^Could not find version 3 of model m$"):
            library.status(Target("m", 3))


@pytest.mark.parametrize(("policy", "left"), [(VersionPolicy(), [3]), (latest(2), [3, 2]), (ALL, [3, 2, 1])])
def test_a_policy_decides_what_is_loaded(disk: Disk, load: FakeLoader, policy: VersionPolicy, left: list[int]) -> None:
    disk.publish("m", 1, 2, 3)
    with serving(load, BY_HAND, disk.config("m", policy)) as library:
        wait_for(library, "m", dict.fromkeys(left, "AVAILABLE"))
