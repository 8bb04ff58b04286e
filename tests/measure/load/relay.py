"""Stands between a client and a server, and cuts or deafens the connections that go through it when it is told to."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.serving.running import HeldModel
from toolkit.core.tensors import Feed, Outputs

_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets the connection
_PART = 1 << 16


@dataclass(eq=False)
class Relay:
    """A port that leads to another one."""

    server: int
    port: int = 0
    _pairs: list[tuple[socket.socket, socket.socket]] = field(default_factory=list)
    _deaf: set[socket.socket] = field(default_factory=set)

    def cut(self) -> None:
        """Resets every connection there is; new ones are taken."""
        for end in self._ends():
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def deafen(self) -> None:
        """Lets the connections there are stand, and carries nothing more over them; new ones are as they should be."""
        self._deaf.update(self._ends())

    def take(self, listener: socket.socket) -> None:
        """Takes connections until the listener is closed."""
        with suppress(OSError):
            while True:
                ours = listener.accept()[0]
                theirs = socket.create_connection(("127.0.0.1", self.server))
                self._pairs.append((ours, theirs))
                for source, sink in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _ends(self) -> list[socket.socket]:
        return [end for pair in self._pairs for end in pair]

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while part := source.recv(_PART):
                if source not in self._deaf:
                    sink.sendall(part)
        if source not in self._deaf:
            with suppress(OSError):
                sink.shutdown(socket.SHUT_RDWR)


@contextmanager
def relayed(server: int) -> Iterator[Relay]:
    """A relay to a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay = Relay(server, listener.getsockname()[1])
        threading.Thread(target=relay.take, args=(listener,), daemon=True).start()
        yield relay
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        relay.cut()


def at_run(model: HeldModel, number: int, happens: Callable[[], object]) -> None:
    """Has something happen in the midst of a model's run, as it has run so often."""
    run, left = model.run, [number]

    def counting(signature: str, feed: Feed) -> Outputs:
        left[0] -= 1
        if left[0] == 0:
            happens()
        return run(signature, feed)

    model.run = counting  # type: ignore[method-assign]
