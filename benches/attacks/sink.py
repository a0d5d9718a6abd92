# SPDX-License-Identifier: Apache-2.0
"""An origin server of WebSockets that takes whatever comes and says nothing.

Prints `ADDRESS:PORT` and ends with its standard input. It knows the key of RFC 6455 §1.3 only.
"""

from __future__ import annotations

import socket
import sys
import threading

SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def take(connection: socket.socket) -> None:
    """Switches and reads to the end."""
    with connection:
        head = b""
        try:
            while b"\r\n\r\n" not in head:
                piece = connection.recv(4096)
                if not piece:
                    return
                head += piece
            connection.sendall(SWITCHED)
            buffer = bytearray(1 << 16)
            while connection.recv_into(buffer):
                pass
        except OSError:
            return


def accept(listener: socket.socket) -> None:
    """Takes connections, each in a thread of its own."""
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=take, args=[connection], daemon=True).start()


def main() -> None:
    """Serves until the end of standard input."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print(f"127.0.0.1:{listener.getsockname()[1]}", flush=True)
        threading.Thread(target=accept, args=[listener], daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
