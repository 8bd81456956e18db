# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""A pooler between us and the server: one that keeps a server session for a client session does, no other.

All rests on sessions that last: settings, advisory locks, read-only transactions. With transaction pooling they would
not hold, and our settings would stay behind in sessions of the application. So this is asked before any is made.
"""

from __future__ import annotations

import contextlib
import typing as t

from ._driver import psycopg2
from ._errors import BadInput

__all__ = ["require_lasting_session", "server_process"]

_PID = "SELECT pg_catalog.pg_backend_pid()"
_ROUNDS = 3  # another client of the pool may take a session away in between; not three times


def server_process(connection: t.Any) -> int:
    """The process of the server that works for a session. Raises psycopg2.Error."""
    with connection.cursor() as cursor:
        cursor.execute(_PID)
        return int(cursor.fetchone()[0])


def require_lasting_session(side: str, connection: t.Any, another: t.Callable[[], t.Any]) -> None:
    """Refuse a pooler that gives a session's next transaction to another process.

    A pooler shows itself: the process that it told at login (for cancelling) is not the one that works. Then a second
    session begins a transaction. If it got our process, or if we get another one meanwhile, none is ours alone.

    :param side: ``source`` or ``target``, for messages.
    :param connection: in autocommit mode, without a setting made.
    :param another: opens a second one with the same server.
    :raises BadInput: transactions or statements are pooled, or there is no second session to be had.
    :raises psycopg2.Error: the connection was lost.
    """
    pid = server_process(connection)
    if pid == int(connection.info.backend_pid):
        return
    for _round in range(_ROUNDS):
        with contextlib.closing(another()) as other:
            other.autocommit = True
            try:
                with other.cursor() as cursor:
                    cursor.execute("BEGIN")
                lasting = server_process(other) != pid and server_process(connection) == pid
            except psycopg2.Error as error:
                told = str(error).strip().splitlines()[0]
                raise BadInput(
                    f"The pooler before the {side} gives no second session with transactions: {told}.",
                    hint=_HINT,
                ) from error
        if not lasting:
            raise BadInput(
                f"The pooler before the {side} pools transactions: settings and locks of a session would not hold.",
                hint=_HINT,
            )


_HINT = (
    "Name the server itself, or a pool in session mode with room for two sessions more than jobs"
    " (PgBouncer: pool_mode = session, pool_size)."
)
