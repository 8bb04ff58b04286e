"""Our server behind a proxy on the wire: one float of every answer comes out another, with the length kept."""

import socket
import struct
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

from tests.deploying.server import TimesLoader, serving
from toolkit.deploying.servers import free_ports

# 3.25 times 2, the answer to the first golden feed: one bit of the mantissa as bytes, one digit as JSON.
FLIPS = {
    "grpc": (struct.pack("<f", 6.5), struct.pack("<f", 6.5 + 2**-10)),
    "rest": (b"6.5", b"6.4"),
}


def relay(listener: socket.socket, port: int, flip: tuple[bytes, bytes] | None) -> None:
    """Passes every connection on to a port; the answers are flipped on the way back."""
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", port))
        for source, sink, change in ((client, server, None), (server, client, flip)):
            threading.Thread(target=pump, args=(source, sink, change), daemon=True).start()


def pump(source: socket.socket, sink: socket.socket, flip: tuple[bytes, bytes] | None) -> None:
    with suppress(OSError):
        while chunk := source.recv(1 << 16):
            sink.sendall(chunk.replace(*flip) if flip else chunk)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def main(arguments: Sequence[str]) -> None:
    flags = dict(argument.removeprefix("--").split("=") for argument in arguments)
    flipped = flags.pop("flip")
    behind = free_ports()
    wanted = {"grpc": int(flags.pop("port")), "rest": int(flags.pop("rest_api_port"))}
    model = {"model_name": flags["model_name"], "model_base_path": flags["model_base_path"]}
    with serving(TimesLoader(), port=behind.grpc, rest_api_port=behind.rest, **model):
        relays = []
        for protocol, port in (("grpc", behind.grpc), ("rest", behind.rest)):
            listener = socket.create_server(("127.0.0.1", wanted[protocol]))
            flip = FLIPS[protocol] if protocol == flipped else None
            relays.append(threading.Thread(target=relay, args=(listener, port, flip)))
        for thread in relays:
            thread.start()
        for thread in relays:
            thread.join()


if __name__ == "__main__":
    main(sys.argv[1:])
