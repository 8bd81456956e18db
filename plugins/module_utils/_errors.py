# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""The errors of the collection. Helpers raise them; only _module.py turns them into fail_json."""

from __future__ import annotations

import typing as t

__all__ = ["BadInput", "ConnectionFailed", "Interrupted", "StatementFailed", "TimescaleError"]


class TimescaleError(Exception):
    """Something the operator must know: what, on which object, what to do.

    :param message: one sentence that names the side and the object.
    :param hint: what to do about it.
    :param details: further keys for fail_json (sqlstate, statement, object).
    """

    def __init__(self, message: str, *, hint: str = "", **details: t.Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = {key: value for key, value in details.items() if value not in (None, "")}

    def __str__(self) -> str:
        if not self.hint:
            return self.message
        stop = "" if self.message.endswith((".", ":", "!", "?")) else "."
        return f"{self.message}{stop} {self.hint}"


class BadInput(TimescaleError):
    """An option, a file or a database is not what the task needs; nothing has been changed."""


class ConnectionFailed(TimescaleError):
    """A database could not be reached."""


class Interrupted(TimescaleError):
    """The run was told to stop (SIGINT, SIGTERM); running statements have been cancelled."""


class StatementFailed(TimescaleError):
    """The server refused a statement. ``sqlstate`` tells why; message texts are localised and never matched."""

    @property
    def sqlstate(self) -> str:
        return str(self.details.get("sqlstate", ""))
