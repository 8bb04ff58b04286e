"""A version is swapped under load: no request fails, none meets a closed model, each model is closed once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.serving.fakes import BY_HAND, PATIENCE_S, Disk, FakeLoader, answered, serving, states, wait_for
from toolkit.wire.messages import Target


def test_a_hundred_swaps_under_load_fail_no_request(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 1)
    over = threading.Event()

    def hammer() -> int:
        newest, count = 0, 0
        while not over.is_set():
            version = answered(library, "m")
            assert version >= newest, "an answer went back to an older version"
            newest, count = version, count + 1
            time.sleep(0)  # four loops that never let go of the interpreter would only test its scheduler
        return count

    with serving(load, BY_HAND, disk.config("m")) as library, ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(hammer) for _ in range(4)]
        try:
            for version in range(2, 102):
                disk.publish("m", version)
                disk.remove("m", version - 1)
                library.poll()
                ended = dict.fromkeys(range(version - 1, 0, -1), "END")
                wait_for(library, "m", {version: "AVAILABLE"} | ended)
        finally:
            over.set()
        assert all(client.result(PATIENCE_S) for client in clients)
    assert len(load.loaded) == 101
    assert {servable.closed for servable in load.loaded} == {1}
    assert not any(servable.run_after_close for servable in load.loaded)


@pytest.mark.parametrize("holders", [1, 3])
def test_a_version_is_unloaded_only_when_the_last_request_gave_it_back(
    disk: Disk, load: FakeLoader, holders: int
) -> None:
    disk.publish("m", 1)
    with serving(load, BY_HAND, disk.config("m")) as library:
        held = [library.lease(Target("m")) for _ in range(holders)]
        for one in held:
            one.__enter__()
        disk.publish("m", 2)
        library.poll()
        wait_for(library, "m", {2: "AVAILABLE", 1: "UNLOADING"})
        for one in held:
            assert states(library, "m")[1] == "UNLOADING"
            assert load.loaded[0].closed == 0
            one.__exit__(None, None, None)
        wait_for(library, "m", {2: "AVAILABLE", 1: "END"})
        assert load.loaded[0].closed == 1
        assert library._models["m"].versions[1].servable is None, "a version that ended takes no memory"


def test_a_request_that_fails_gives_its_version_back(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 1)
    with serving(load, BY_HAND, disk.config("m")) as library:
        with pytest.raises(ZeroDivisionError), library.lease(Target("m")):
            raise ZeroDivisionError
        library.reconfigure([])
        wait_for(library, "m", {1: "END"})


def test_stop_waits_for_requests_but_not_for_ever(disk: Disk, load: FakeLoader) -> None:
    disk.publish("m", 1)
    with serving(load, BY_HAND, disk.config("m")) as library, library.lease(Target("m")):
        library.stop(timeout_s=0.001)
        assert load.loaded[0].closed == 0
    assert load.loaded[0].closed == 1
