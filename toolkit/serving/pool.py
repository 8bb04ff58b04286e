"""Threads for requests, with a bounded number that wait for one."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class BoundedPool(ThreadPoolExecutor):
    """A pool that knows how much work it holds; the caller asks whether it is full before it hands in more.

    Args:
        threads: requests worked on at a time.
        max_queue: requests that may wait besides.
        name: what the threads are called.
    """

    def __init__(self, threads: int, max_queue: int, name: str) -> None:
        super().__init__(threads, thread_name_prefix=name)
        self._limit = threads + max_queue
        self._held = 0
        self._counting = threading.Lock()

    @property
    def held(self) -> int:
        """Requests being worked on or waiting."""
        return self._held

    @property
    def full(self) -> bool:
        """Whether one more request would wait beyond the bound."""
        return self._held >= self._limit

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Runs the function on a thread as soon as one is free."""
        self.hold(1)
        try:
            future = super().submit(function, *args, **options)
        except RuntimeError:
            self.hold(-1)
            raise
        future.add_done_callback(self._done)
        return future

    def submit_unheld(self, function: Callable[[], Any]) -> None:
        """The same for a function whose requests are counted by themselves, one `hold` each."""
        super().submit(function)

    def _done(self, _: Future[Any]) -> None:
        self.hold(-1)

    def hold(self, change: int) -> None:
        """So many more requests, or fewer, are worked on or wait."""
        with self._counting:
            self._held += change
