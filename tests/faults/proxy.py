# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy on loopback between a client and a PostgreSQL server: it sees each statement, and can cut or stall the line.

It reads the messages of the frontend (PostgreSQL manual, 55.7): a statement is a ``Q`` message. What the server answers
passes unread. TLS is not looked into: the servers of the tests that use this have none.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable

_STARTUP_AGAIN = (80877103, 80877104)  # SSLRequest, GSSENCRequest: a startup message follows
_CANCEL = 80877102


class Proxy:
    """Listens on a free port and passes everything on.

    Args:
        host: the server's address.
        port: the server's port.
        on_statement: called with each statement's text before it is passed on; gives what to call after that, or None.
    """

    def __init__(self, host: str, port: int, on_statement: Callable[[str], Callable[[], None] | None]) -> None:
        self._server = (host, port)
        self._on_statement = on_statement
        self._open: set[socket.socket] = set()
        self._flows = threading.Event()
        self._flows.set()
        self._refuses_until = 0.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, seconds: float) -> None:
        """Reset every connection, and each new one for some seconds."""
        self._refuses_until = time.monotonic() + seconds
        for one in list(self._open):
            _reset(one)

    def stall(self, seconds: float) -> None:
        """Let nothing through for some seconds; connections stay open."""
        self._flows.clear()
        timer = threading.Timer(seconds, self._flows.set)
        timer.daemon = True
        timer.start()

    def heal(self) -> None:
        """End what cut and stall began."""
        self._refuses_until = 0.0
        self._flows.set()

    def close(self) -> None:
        """Stop listening and reset what is open."""
        self.heal()
        self._listener.close()
        self.cut(0)

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            if time.monotonic() < self._refuses_until:
                _reset(client)
                continue
            try:
                server = socket.create_connection(self._server)
            except OSError:
                _reset(client)
                continue
            self._open.update((client, server))
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
            threading.Thread(target=self._backward, args=(server, client), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                head = _exactly(client, 8)
                length, code = struct.unpack("!ii", head)
                self._send(server, head + _exactly(client, length - 8))
                if code not in _STARTUP_AGAIN:
                    break
            while code != _CANCEL:
                head = _exactly(client, 5)
                body = _exactly(client, struct.unpack("!i", head[1:])[0] - 4)
                after = self._on_statement(body[:-1].decode(errors="replace")) if head[:1] == b"Q" else None
                self._send(server, head + body)
                if after is not None:
                    after()
        self._end(client, server)

    def _backward(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                self._send(client, data)
        self._end(client, server)

    def _send(self, to: socket.socket, data: bytes) -> None:
        self._flows.wait()
        to.sendall(data)

    def _end(self, *both: socket.socket) -> None:
        for one in both:
            self._open.discard(one)
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _reset(one: socket.socket) -> None:
    """Close so that the other end gets a reset, as from a broken line. Wakes who waits for data here."""
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RDWR)
