# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This plugin_utils is PRIVATE: it can change in any release.
"""What the action plugins share: run the module as always, and follow its status file beside it."""

from __future__ import annotations

import contextlib
import copy
import json
import shlex
import sys
import threading
import typing as t

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action.normal import ActionModule as Normal
from ansible.utils.display import Display

from ansible_collections.dbops.timescale.plugins.module_utils._progress import line_of
from ansible_collections.dbops.timescale.plugins.module_utils._progress_report import ALIVE, FOLDER_VARIABLE, STATUS

__all__ = ["FollowedAction"]

_EVERY = 3.0  # seconds between two touches, which must come within ten
# Ansible's workers have no terminal; the strategy imports this file before it makes them.
_TERMINAL = sys.stdout.isatty()
display = Display()


class FollowedAction(Normal):
    """The module's result is what the module gives: it runs in the foreground, a thread follows on a second connection.

    Nothing is followed with async, with no_log, with ``progress: false``, or when stdout is no terminal.
    """

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> t.Any:
        """Run the module."""
        folder = self._folder() if self._wanted() else ""
        if not folder:
            return t.cast(t.Any, super()).run(task_vars=task_vars)
        over = threading.Event()
        host = str((task_vars or {}).get("inventory_hostname", ""))
        thread = threading.Thread(target=_follow, args=(self._twin(), folder, host, over), daemon=True)
        self._task.environment.append({FOLDER_VARIABLE: folder})
        try:
            thread.start()
            return t.cast(t.Any, super()).run(task_vars=task_vars)
        finally:
            self._task.environment.pop()
            over.set()
            thread.join(timeout=_EVERY)
            with contextlib.suppress(Exception):
                _shell(self._twin(), f"rm -rf {shlex.quote(folder)}")

    def _wanted(self) -> bool:
        try:
            progress = boolean(self._task.args.get("progress", True))
        except TypeError:  # the module will refuse it
            return False
        return _TERMINAL and progress and not self._task.async_val and not self._task.no_log

    def _folder(self) -> str:
        """A private folder in the temporary folder of the user that the module runs as, or nothing.

        Ansible's own temporary folder belongs to the user that logs in, whom become leaves behind.
        """
        place = str(self._connection._shell.get_option("remote_tmp"))
        home = f'"$HOME"{shlex.quote(place[1:])}' if place.startswith("~/") else shlex.quote(place)
        make = f"umask 077; mkdir -p {home}; mktemp -d {home}/dbops-XXXXXXXX || mktemp -d"
        with contextlib.suppress(Exception):
            answer = _shell(self._twin(), f"({make}) 2>/dev/null")
            lines = answer["stdout"].strip().splitlines()
            if answer["rc"] == 0 and lines and lines[-1].startswith("/"):
                return str(lines[-1])
        return ""

    def _twin(self) -> FollowedAction:
        """The same on connection objects of its own, so that two threads do not share their state."""
        twin = copy.copy(self)
        twin._connection = copy.copy(self._connection)
        twin._connection._shell = copy.copy(self._connection._shell)
        if self._connection.become:
            twin._connection.set_become_plugin(copy.copy(self._connection.become))
        return twin


def _shell(action: FollowedAction, command: str) -> dict[str, t.Any]:
    """Run a command as the user that the module runs as."""
    untyped: t.Any = action
    answer: dict[str, t.Any] = untyped._low_level_execute_command(command)
    return answer


def _follow(action: FollowedAction, folder: str, host: str, over: threading.Event) -> None:
    """Touch and read until the task is over. What fails is tried again: the module decides when it is alone."""
    alive, status = (shlex.quote(f"{folder}/{name}") for name in (ALIVE, STATUS))
    told = ""
    wait = 0.2
    while not over.wait(wait):
        wait = _EVERY
        with contextlib.suppress(Exception):
            answer = _shell(action, f"touch {alive}; cat {status} 2>/dev/null")
            figures = json.loads(answer["stdout"].strip().splitlines()[-1])
            line = line_of(figures)
            if line and line != told and not over.is_set():
                told = line
                display.display(f"[{host}] {line}", screen_only=True)
