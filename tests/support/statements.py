# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server's log tells of the statements that reached it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.support.servers import ThrowawayServer

__all__ = ["statements_during"]


def statements_during(server: ThrowawayServer, databases: Iterable[str], work: Callable[[], Any]) -> list[str]:
    """Run ``work`` and return the statements that its new sessions with these databases sent, as far as one line goes.

    Args:
        server: whose log is read.
        databases: names; others are not listened to.
        work: opens its own sessions.
    """
    names = list(databases)
    for name in names:
        server.execute(server.maintenance_db, f"ALTER DATABASE \"{name}\" SET log_statement = 'all'")
    begin = server.logfile.stat().st_size
    work()
    with server.logfile.open(encoding="utf-8", errors="replace") as log:
        log.seek(begin)
        seen = [line for line in log if "LOG:  statement: " in line or "LOG:  execute " in line]
    for name in names:
        server.execute(server.maintenance_db, f'ALTER DATABASE "{name}" RESET log_statement')
    return seen
