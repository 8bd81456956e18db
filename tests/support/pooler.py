# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PgBouncer of our own on a free port, in front of one server."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .servers import Server, free_port, other_user

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/bin")


@contextlib.contextmanager
def pgbouncer(server: Server, mode: str, **settings: str) -> Iterator[int]:
    """Start it and give its port; it takes the server's own roles and passwords.

    Args:
        server: all of its databases can be reached.
        mode: session, transaction or statement.
        settings: more lines for its configuration.
    """
    port = free_port()
    user = other_user()
    with tempfile.TemporaryDirectory(prefix="pooler-") as folder:
        users = Path(folder, "users")
        quoted = ((name.replace('"', '""'), secret.replace('"', '""')) for name, secret in server.passwords.items())
        users.write_text("".join(f'"{name}" "{secret}"\n' for name, secret in quoted), encoding="utf-8")
        wanted = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": str(users),
            "pool_mode": mode,
            "logfile": f"{folder}/log",
            **settings,
        }
        lines = [f"[databases]\n* = host={server.host} port={server.port}\n[pgbouncer]\n"]
        lines += [f"{name} = {value}\n" for name, value in wanted.items()]
        config = Path(folder, "pgbouncer.ini")
        config.write_text("".join(lines), encoding="utf-8")
        for path in (Path(folder), users, config):
            if user:
                os.chown(path, pwd.getpwnam(user).pw_uid, -1)
        argv = [str(PGBOUNCER), "--quiet", *(["--user", user] if user else []), str(config)]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        try:
            _await(port, process)
            yield port
        finally:
            process.terminate()
            process.wait(timeout=10)


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise RuntimeError("pgbouncer did not start")
