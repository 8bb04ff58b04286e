"""Loads that fail, hang or are not wanted any more keep nobody else waiting, and stop ends them all."""

import pytest

from tests.serving.fakes import ALL, BY_HAND, PATIENCE_S, Disk, FakeLoader, answered, latest, serving, states, wait_for
from toolkit.errors import Fault, ServingError
from toolkit.serving.library import Library
from toolkit.serving.loads import Lifecycle
from toolkit.wire.messages import State, Target, VersionStatus


def test_retries_are_as_many_as_asked_for_and_the_state_stays_loading(disk: Disk, load: FakeLoader) -> None:
    disk.publish_broken("m", 1)
    lifecycle = Lifecycle(poll_wait_s=3600.0, max_load_retries=2, retry_interval_s=0.0)
    with serving(load, lifecycle, disk.config("m")) as library:
        assert set(library.wait_until_settled(["m"], PATIENCE_S)) == {("m", 1)}
        assert load.began == [("m", 1)] * 3


def test_a_version_that_loads_at_the_second_attempt_shows_no_error(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 1)
    load.fails["m", 1] = 1
    lifecycle = Lifecycle(poll_wait_s=3600.0, max_load_retries=1, retry_interval_s=0.0)
    with serving(load, lifecycle, disk.config("m")) as library:
        assert library.wait_until_settled(["m"], PATIENCE_S) == {}
        assert library.status(Target("m")).versions == (VersionStatus(1, State.AVAILABLE),)


def test_a_retrying_version_blocks_neither_other_models_nor_its_own_successor(disk: Disk, load: FakeLoader) -> None:
    disk.publish_broken("bad", 1)
    disk.publish("good", 1)
    lifecycle = Lifecycle(poll_wait_s=3600.0, load_threads=1, max_load_retries=5, retry_interval_s=3600.0)
    with serving(load, lifecycle, disk.config("bad"), disk.config("good")) as library:
        wait_for(library, "good", {1: "AVAILABLE"})
        assert states(library, "bad") == {1: "LOADING"}
        disk.publish("bad", 2)
        library.poll()
        wait_for(library, "bad", {2: "AVAILABLE", 1: "END"})
        assert load.began.count(("bad", 1)) == 1


def test_while_a_version_pauses_the_others_of_its_model_load_and_its_error_is_not_shown(
    disk: Disk, load: FakeLoader
) -> None:
    disk.publish("m", 1)
    disk.publish_broken("m", 2)
    lifecycle = Lifecycle(poll_wait_s=3600.0, load_threads=1, max_load_retries=1, retry_interval_s=3600.0)
    with serving(load, lifecycle, disk.config("m", ALL)) as library:
        wait_for(library, "m", {2: "LOADING", 1: "AVAILABLE"})
        assert library.status(Target("m", 2)).versions == (VersionStatus(2, State.LOADING),)


def test_what_was_not_begun_ends_without_being_loaded_when_nobody_wants_it(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 1, 2, 3)
    go = load.hold("m", 3)
    library = Library(load, BY_HAND)
    library.start([disk.config("m", ALL)])
    load.wait_for_begun("m", 3)
    assert states(library, "m") == {3: "LOADING", 2: "START", 1: "START"}
    library.reconfigure([disk.config("m", latest(1))])
    assert states(library, "m") == {3: "LOADING", 2: "END", 1: "END"}
    go.set()
    wait_for(library, "m", {3: "AVAILABLE", 2: "END", 1: "END"})
    assert load.began == [("m", 3)]
    library.stop(PATIENCE_S)


def test_a_hanging_load_leaves_other_load_threads_free(disk: Disk, load: FakeLoader) -> None:
    disk.publish("slow", 1)
    disk.publish("good", 1)
    load.hold("slow", 1)
    library = Library(load, Lifecycle(poll_wait_s=3600.0, load_threads=2))
    library.start([disk.config("slow"), disk.config("good")])
    wait_for(library, "good", {1: "AVAILABLE"})
    assert states(library, "slow") == {1: "LOADING"}
    load.held["slow", 1].set()
    library.stop(PATIENCE_S)


def test_a_version_that_loads_while_nobody_wants_it_any_more_is_closed(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 1)
    go = load.hold("m", 1)
    library = Library(load, BY_HAND)
    library.start([disk.config("m")])
    load.wait_for_begun("m", 1)
    library.reconfigure([])
    go.set()
    wait_for(library, "m", {1: "END"})
    assert load.loaded[0].closed == 1
    library.stop(PATIENCE_S)


def test_stop_closes_everything_and_ends_retries(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 1, 2)
    disk.publish_broken("bad", 1)
    library = Library(load, Lifecycle(poll_wait_s=0.001, retry_interval_s=3600.0))
    library.start([disk.config("m", latest(2)), disk.config("bad")])
    library.wait_until_attempted(["m", "bad"], PATIENCE_S)
    library.stop(PATIENCE_S)
    assert [servable.closed for servable in load.loaded] == [1, 1]
    assert {state for model in ("m", "bad") for state in states(library, model).values()} == {"END"}
    assert not library._poller.is_alive()


def test_stop_wakes_whoever_waits_for_a_model(disk: Disk, load: FakeLoader) -> None:
    library = Library(load, BY_HAND)
    library.start([disk.config("missing")])
    library.stop(PATIENCE_S)
    with pytest.raises(ServingError) as found:
        library.wait_until_settled(["missing"])
    assert found.value.fault is Fault.UNAVAILABLE


def test_who_waits_is_told_that_the_server_ends_while_requests_are_still_answered(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 1)
    with serving(load, BY_HAND, disk.config("m"), disk.config("missing")) as library:
        library.wake()
        with pytest.raises(ServingError) as found:
            library.wait_until_settled(["missing"])
        assert found.value.fault is Fault.UNAVAILABLE
        assert answered(library, "m") == 1


def test_a_wait_has_an_end(disk: Disk, load: FakeLoader) -> None:
    with serving(load, BY_HAND, disk.config("missing")) as library:
        with pytest.raises(ServingError) as found:
            library.wait_until_settled(["missing"], timeout_s=0.001)
        assert found.value.fault is Fault.DEADLINE


def test_a_servable_that_cannot_close_is_gone_all_the_same(
    disk: Disk, load: FakeLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.publish("m", 1)
    with serving(load, BY_HAND, disk.config("m")) as library:
        monkeypatch.setattr(load.loaded[0], "close", lambda: 1 / 0)
        library.reconfigure([])
        wait_for(library, "m", {1: "END"})
