"""A server that gives back every byte, for the self-test: run as a module, it says its port on stdout."""

import socket
import sys


def main() -> None:
    """Answers one client until it goes away."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(4096):
                connection.sendall(data)


if __name__ == "__main__":
    main()
