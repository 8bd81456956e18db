# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Compares estimated numbers of rows: quick on any size, and only as good as the statistics."""

from __future__ import annotations

import typing as t
from concurrent.futures import Future

from .._connection import Database
from .._errors import Interrupted, TimescaleError
from .._plan import Finding
from .._sql import identifier, literal, quote_identifier, statement
from .readers import Readers, Rows, not_compared
from .slices import Check

__all__ = ["compare_estimates"]

TOLERANCE = 0.1  # of the larger number


def compare_estimates(
    checks: t.Sequence[Check], readers: Readers, databases: t.Mapping[str, Database]
) -> list[Finding]:
    """A finding for each check: the estimates may be a tenth apart."""
    asked = [
        (check, [_ask(check, readers, side, databases[side]) for side in ("source", "target")]) for check in checks
    ]
    return [_finding(check, futures, readers) for check, futures in asked]


def _ask(check: Check, readers: Readers, side: str, database: Database) -> Future[Rows]:
    name = literal(".".join(quote_identifier(part) for part in check.relations[side]))
    if check.only[side]:
        return readers.ask(
            side, statement("SELECT reltuples FROM pg_catalog.pg_class WHERE oid = {}::pg_catalog.regclass", name)
        )
    function = identifier(database.extension_schema, "approximate_row_count")
    return readers.ask(side, statement("SELECT {}({}::pg_catalog.regclass)", function, name))


def _finding(check: Check, futures: t.Sequence[Future[Rows]], readers: Readers) -> Finding:
    try:
        source, target = (int(readers.answer(future)[0][0]) for future in futures)
    except Interrupted:
        raise
    except TimescaleError as error:
        return not_compared(check.identity, error)
    details = {"rows": {"source": source, "target": target}, "estimated": True}
    if min(source, target) < 0:
        side = "source" if source < 0 else "target"
        reason = f"It was not compared: the {side} has no statistics of it."
        return Finding(check.identity, "skipped", reason, "Analyze it there, or count the rows.", details=details)
    if abs(source - target) <= TOLERANCE * max(source, target):
        return Finding(check.identity, "present", details=details)
    reason = f"About {source} rows on the source, {target} on the target."
    return Finding(check.identity, "drifted", reason, "Count the rows; analyze both sides first.", details=details)
