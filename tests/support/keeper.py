# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps one throwaway server: starts and stops it on command, and removes it when its owner is gone.

Runs as a process of its own, in a session of its own. Each line of standard input is one command (a JSON object),
answered by one line of standard output:

- ``{"do": "run", "argv": [...]}`` runs a program to its end;
- ``{"do": "start", "argv": [...]}`` starts the server;
- ``{"do": "look"}`` tells whether it runs (``rc`` 0);
- ``{"do": "stop", "mode": "fast"}`` stops it (or ``smart``, ``immediate``).

The end of the input means that the owner ended, in whatever way, SIGKILL included: then the server is stopped and its
folder removed. So there is one way of cleaning up, and no handler in the owner that could be skipped.

    python keeper.py BASE_FOLDER [USER]
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
from typing import Any

SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
PATIENCE = 60  # seconds until a server that does not stop is killed


class Keeper:
    """The server's parent process."""

    def __init__(self, base: str, user: str) -> None:
        self.base = base
        self.server: subprocess.Popen[bytes] | None = None
        self.identity: dict[str, Any] = {"cwd": base}
        if user:
            self.identity.update(user=user, group=pwd.getpwnam(user).pw_gid, extra_groups=[])

    def run(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run a program to its end."""
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run(command["argv"], text=True, check=False, **streams, **self.identity)
        return {"rc": done.returncode, "output": done.stdout}

    def start(self, command: dict[str, Any]) -> dict[str, Any]:
        """Start the server; its owner finds out by connecting when it is ready."""
        with open(os.path.join(self.base, "server.log"), "ab") as log:
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            self.server = subprocess.Popen(command["argv"], start_new_session=True, **streams, **self.identity)
        return {"rc": 0, "pid": self.server.pid}

    def look(self, _command: dict[str, Any]) -> dict[str, Any]:
        """Whether the server runs."""
        return {"rc": 0 if self.server is not None and self.server.poll() is None else 1}

    def stop(self, command: dict[str, Any]) -> dict[str, Any]:
        """Stop the server and wait until it is gone."""
        for number in (SIGNALS[command["mode"]], signal.SIGQUIT, signal.SIGKILL):
            if self.server is None or self.server.poll() is not None:
                break
            self.server.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.server.wait(PATIENCE)
        return {"rc": 0}

    def serve(self) -> None:
        """Obey until the input ends, then clean up."""
        actions = {"run": self.run, "start": self.start, "look": self.look, "stop": self.stop}
        try:
            for line in sys.stdin:
                command = json.loads(line)
                try:
                    answer = actions[command["do"]](command)
                except OSError as err:
                    answer = {"rc": 1, "output": str(err)}
                with contextlib.suppress(BrokenPipeError):
                    print(json.dumps(answer), flush=True)
        finally:
            self.stop({"mode": "immediate"})
            shutil.rmtree(self.base, ignore_errors=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for ignored in (signal.SIGHUP, signal.SIGINT):
        signal.signal(ignored, lambda *_: None)  # not SIG_IGN: the server would inherit that
    Keeper(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "").serve()
