"""Waiting awake: only where the next event always comes soon, and never for long."""

from dataclasses import dataclass

from toolkit.serving.eager_polling import AWAKE_NS, EagerPolling

NOTHING = "nothing"
POLL_NS = 2_000


@dataclass(frozen=True)
class Event:
    completion_type: str


@dataclass
class Queue:
    """A queue whose next event comes so many nanoseconds after it is first asked."""

    now_ns: int = 0
    due_ns: int = 0
    asleep: int = 0
    polls: int = 0

    def clock(self) -> int:
        return self.now_ns

    def poll(self, timeout_s: float | None = None) -> Event:
        self.polls += 1
        if timeout_s is None:
            self.asleep += 1
            self.now_ns = max(self.now_ns, self.due_ns)
            return Event("some")
        self.now_ns += POLL_NS
        return Event("some" if self.now_ns >= self.due_ns else NOTHING)

    def wait(self, polling: EagerPolling, after_ns: int) -> Event:
        self.due_ns, self.asleep, self.polls = self.now_ns + after_ns, 0, 0
        event: Event = polling.wait()
        assert self.now_ns >= self.due_ns
        return event


def polling_of(queue: Queue) -> EagerPolling:
    return EagerPolling(queue.poll, NOTHING, queue.clock)


def test_what_comes_soon_is_awaited_awake() -> None:
    queue = Queue()
    polling = polling_of(queue)
    for _ in range(3):
        assert queue.wait(polling, AWAKE_NS // 2) == Event("some")
    assert (queue.asleep, queue.polls) == (0, AWAKE_NS // 2 // POLL_NS + (AWAKE_NS // 2 % POLL_NS > 0))


def test_an_idle_queue_costs_one_moment_and_no_more() -> None:
    queue = Queue()
    polling = polling_of(queue)
    queue.wait(polling, AWAKE_NS // 2)
    queue.wait(polling, AWAKE_NS * 1000)
    assert queue.asleep == 1
    assert queue.polls <= AWAKE_NS // POLL_NS + 2
    for _ in range(10):
        queue.wait(polling, AWAKE_NS * 1000)
        assert (queue.asleep, queue.polls) == (1, 1)


def test_one_that_comes_soon_again_wakes_it() -> None:
    queue = Queue()
    polling = polling_of(queue)
    queue.wait(polling, AWAKE_NS * 1000)
    queue.wait(polling, AWAKE_NS // 2)
    assert queue.asleep == 1
    queue.wait(polling, AWAKE_NS // 2)
    assert queue.asleep == 0
