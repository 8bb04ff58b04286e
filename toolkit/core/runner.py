"""The Runner protocol, which eager, graph, TFLite, ONNX and a remote endpoint share, and the plainest Runner."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

from toolkit.core.tensors import Feed, Outputs, Signature, check_feed


class Runner(Protocol):
    """Something that takes a feed and gives outputs: eager, a graph, a file in its runtime, or a remote endpoint."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""

    def run(self, feed: Feed) -> Outputs:
        """The outputs, by name, for a feed that fits the signature."""

    def __enter__(self) -> Self:
        """Ready to run."""

    def __exit__(self, *_: object) -> None:
        """Releases what it held."""


@dataclass(frozen=True)
class FunctionRunner:
    """A Runner over a function, and what to do when it is no longer needed."""

    name: str
    signature: Signature
    function: Callable[[Feed], Outputs]
    close: Callable[[], object] = lambda: None

    def run(self, feed: Feed) -> Outputs:
        """The function's outputs."""
        return self.function(feed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class CheckedRunner:
    """A Runner that holds every feed against the signature first, for people who type feeds by hand."""

    inner: Runner

    @property
    def name(self) -> str:
        """The inner runner's name."""
        return self.inner.name

    @property
    def signature(self) -> Signature:
        """The inner runner's signature."""
        return self.inner.signature

    def run(self, feed: Feed) -> Outputs:
        """The inner runner's outputs; FeedError where the feed does not fit."""
        return self.inner.run(check_feed(self.signature, feed))

    def __enter__(self) -> Self:
        self.inner.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.inner.__exit__(*error)
