# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""A hypertable over several connections: its chunks one by one, and the root without doing the chunks again."""

from __future__ import annotations

import typing as t

from .._connection import Database
from .._errors import ConnectionFailed, StatementFailed, TimescaleError

__all__ = ["analyze_root"]

# Any role may set it (TimescaleDB 2.0 and later). It works only before the first other statement of a session, which
# loads the extension's library; then ANALYZE is PostgreSQL's own and does the root alone, its parts sampled together.
# A pooler may give a session in which the library is loaded already: then the chunks are done a second time.
_WITHOUT_LIBRARY = "SET LOCAL timescaledb.disable_load = on"
# Lock not available, deadlock, cancelled: the plain statement would meet the same.
_SAME_AGAIN = ("55P03", "40P01", "57014")


def analyze_root(text: str) -> t.Callable[[Database], None]:
    """Make the work of a root whose chunks have steps of their own.

    Where the server refuses that (a session too many, say, or an expression that needs the library), the statement runs
    as usual, and does the chunks a second time.

    :param text: the ANALYZE of the hypertable.
    """

    def work(database: Database) -> None:
        try:
            database.execute_apart(_WITHOUT_LIBRARY, text)
        except (ConnectionFailed, StatementFailed) as error:
            if _same_again(error):
                raise
            database.execute(text)

    return work


def _same_again(error: TimescaleError) -> bool:
    """Whether the plain statement would meet the same; it needs no session of its own, which can be one too many."""
    state = str(error.details.get("sqlstate", ""))
    return isinstance(error, StatementFailed) and (state in _SAME_AGAIN or state.startswith(("08", "57P")))
