"""A job may die, hang or shout: it becomes one clean error, nothing of it stays behind, and the next job is served."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.building import misbehaving
from toolkit.building import isolate
from toolkit.building.isolate import ChildDied, Isolated
from toolkit.errors import ExitCode, ExportError, ToolkitError, UnsupportedError

LONG_S = 120.0


@pytest.fixture
def light() -> Iterator[Isolated]:
    """A child that has loaded nothing."""
    with Isolated() as child:
        child.prepare(os.getpid)
        yield child


@pytest.fixture
def watch() -> Iterator[Callable[[int], Callable[[], bool]]]:
    """Watches a process from now on, and gives a question that waits for its end."""
    with ExitStack() as held:

        def watching(pid: int) -> Callable[[], bool]:
            descriptor = os.pidfd_open(pid)
            held.callback(os.close, descriptor)
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            return lambda: bool(poll.poll(LONG_S * 1000))

        yield watching


@pytest.mark.parametrize(
    ("job", "args", "message"),
    [
        (misbehaving.segfault, (), "its process was killed by SIGSEGV: about to read nothing"),
        (misbehaving.abort, (), "its process was killed by SIGABRT"),
        (misbehaving.leave, (3,), "its process ended with exit code 3"),
        (misbehaving.leave, (0,), "its process ended with exit code 0"),
        (misbehaving.leave_politely, (3,), "its process ended with exit code 3"),
        (misbehaving.talk_and_die, (), "its process ended with exit code 3: a line of a wall of text"),
    ],
)
def test_a_death_is_one_line_and_the_next_job_is_served(
    light: Isolated, job: Callable[..., object], args: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ChildDied) as found:
        light.run(job, *args, timeout_s=LONG_S)
    assert (found.value.message, found.value.exit_code) == (message, ExitCode.CONVERTER)
    assert light.run(misbehaving.talk, timeout_s=LONG_S) == "done"


def test_what_cannot_be_sent_back_is_a_death_that_says_so(light: Isolated) -> None:
    with pytest.raises(ChildDied, match=r"its process ended with exit code 1: .*pickle"):
        light.run(misbehaving.give_what_cannot_be_sent, timeout_s=LONG_S)


def test_an_earlier_jobs_words_do_not_explain_a_death(light: Isolated) -> None:
    light.run(misbehaving.talk, timeout_s=LONG_S)
    with pytest.raises(ChildDied, match=r"^its process ended with exit code 3$"):
        light.run(misbehaving.leave, 3, timeout_s=LONG_S)


def test_a_job_that_never_ends_runs_out_of_time_and_the_next_one_is_served(light: Isolated) -> None:
    with pytest.raises(ChildDied, match=r"^it ran out of time after 0\.1 s$") as found:
        light.run(misbehaving.sleep_for_ever, timeout_s=0.1)
    assert "--timeout" in found.value.hint
    assert light.run(os.getpid, timeout_s=LONG_S) != os.getpid()


def test_the_start_of_a_child_is_not_counted_as_the_jobs_time(light: Isolated) -> None:
    light.prepare(misbehaving.wait_a_second)
    assert light.run(misbehaving.talk, timeout_s=0.9) == "done"


def test_every_child_gets_ready_as_the_first_one_did(light: Isolated) -> None:
    light.prepare(misbehaving.get_ready)
    for _ in range(2):
        assert light.run(misbehaving.is_ready, timeout_s=LONG_S)
        light.stop()


def test_a_child_that_never_gets_ready_runs_out_of_its_own_time(
    light: Isolated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolate, "START_LIMIT_S", 0.1)
    light.prepare(misbehaving.sleep_for_ever)
    with pytest.raises(ChildDied, match=r"^it ran out of time after 0\.1 s$"):
        light.run(misbehaving.talk, timeout_s=LONG_S)


def test_a_child_that_hangs_up_and_stays_is_ended(light: Isolated, monkeypatch: pytest.MonkeyPatch, watch: Any) -> None:
    monkeypatch.setattr(isolate, "_ENDING_S", 0.1)
    ended = watch(light.run(os.getpid, timeout_s=LONG_S))
    with pytest.raises(ChildDied, match="its process was killed by SIGKILL"):
        light.run(misbehaving.hide, timeout_s=LONG_S)
    assert ended()


@pytest.mark.parametrize(
    ("job", "kind", "message"),
    [
        (misbehaving.refuse, UnsupportedError, "there is no such op"),
        (misbehaving.fail, ExportError, "ZeroDivisionError: a line"),
    ],
)
def test_what_a_job_raises_is_raised_here_and_its_child_lives_on(
    light: Isolated, job: Callable[[], None], kind: type[ToolkitError], message: str
) -> None:
    child = light.run(os.getpid, timeout_s=LONG_S)
    with pytest.raises(kind) as found:
        light.run(job, timeout_s=LONG_S)
    assert found.value.message == message
    assert light.run(os.getpid, timeout_s=LONG_S) == child


@pytest.mark.parametrize("new_session", [False, True], ids=["in the group", "in a session of its own"])
@pytest.mark.parametrize("job", [misbehaving.segfault, misbehaving.sleep_for_ever, None], ids=["dies", "hangs", "ends"])
def test_nothing_that_a_job_started_stays_behind(
    light: Isolated, job: Callable[[], None] | None, new_session: bool, watch: Any
) -> None:
    watched = [watch(light.run(os.getpid, timeout_s=LONG_S))]
    watched.append(watch(light.run(misbehaving.start_grandchild, new_session, timeout_s=LONG_S)))
    if job is None:
        light.stop()
    else:
        with pytest.raises(ChildDied):
            light.run(job, timeout_s=0.2 if job is misbehaving.sleep_for_ever else LONG_S)
    assert all(ended() for ended in watched)


def test_an_interrupted_wait_ends_the_child(light: Isolated, watch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = watch(light.run(os.getpid, timeout_s=LONG_S))

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(light, "_receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        light.run(misbehaving.sleep_for_ever, timeout_s=LONG_S)
    assert ended()


PARENT = """
import sys
from tests.building import misbehaving
from toolkit.building.isolate import Isolated

with Isolated() as child:
    child.run(misbehaving.report_and_sleep, sys.argv[1], timeout_s=600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_child_of_a_killed_parent_dies_too(tmp_path: Path, root: Path, how: signal.Signals, watch: Any) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = [sys.executable, "-c", PARENT, str(fifo)]
    with subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL) as parent:
        ended = watch(int(fifo.read_text()))  # waits until the job is under way
        parent.send_signal(how)
        parent.wait(LONG_S)
    assert ended()
