# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Sequences that would give values again: behind the source's, or behind what their columns hold already."""

from __future__ import annotations

import typing as t
from concurrent.futures import Future

from .._errors import Interrupted, TimescaleError
from .._plan import Finding, Identity
from .._sql import identifier, statement
from .readers import Readers, Rows, not_compared

__all__ = ["compare_sequences"]

_NUMBERS = ("smallint", "integer", "bigint", "numeric")


def compare_sequences(wanted: dict[str, t.Any], existing: dict[str, t.Any], readers: Readers) -> list[Finding]:
    """A finding for each sequence of the target. One that is on one side only is told among the tables."""
    there = {(one["schema"], one["name"]): one for one in wanted["sequences"]}
    types = {
        (one["schema"], one["name"], column["name"]): column["type"].split("(")[0]
        for one in existing["relations"]
        for column in one["columns"] or ()
    }
    asked = []
    for one in existing["sequences"]:
        columns = [tuple(column) for column in one["feeds"] or () if types.get(tuple(column)) in _NUMBERS]
        asked.append((one, [(column, _furthest(readers, one, *column)) for column in columns]))
    return [_finding(one, there.get((one["schema"], one["name"])), found, readers) for one, found in asked]


def _furthest(readers: Readers, one: dict[str, t.Any], schema: str, table: str, column: str) -> Future[Rows]:
    """The value of a column that lies furthest in the sequence's direction."""
    template = "SELECT pg_catalog.max({0}) FROM {1}" if one["increment"] > 0 else "SELECT pg_catalog.min({0}) FROM {1}"
    return readers.ask("target", statement(template, identifier(column), identifier(schema, table)))


def _finding(
    one: dict[str, t.Any],
    source: dict[str, t.Any] | None,
    furthest: t.Sequence[tuple[tuple[str, ...], Future[Rows]]],
    readers: Readers,
) -> Finding:
    identity = Identity("sequence position", one["schema"], one["name"])
    if not one["readable"] or not (source is None or source["readable"]):
        side = "target" if not one["readable"] else "source"
        reason = f"It was not compared: the role may not read it on the {side}."
        return Finding(identity, "failed", reason, "Grant SELECT on it, or log in as its owner.")
    try:
        values = [(column, readers.answer(future)[0][0]) for column, future in furthest]
    except Interrupted:
        raise
    except TimescaleError as error:
        return not_compared(identity, error)
    told = [
        f"it stands at {_shown(one)}, and {'.'.join(column)} already holds {value}"
        for column, value in values
        if value is not None and _behind(one, value)
    ]
    if source is not None and source["last"] is not None and _behind(one, source["last"]):
        told.append(f"it stands at {_shown(one)}, and at {source['last']} on the source")
    if not told:
        return Finding(identity, "present")
    reason = "; ".join(told)
    return Finding(identity, "drifted", f"{reason[0].upper()}{reason[1:]}.", "Move it on with setval.")


def _behind(one: dict[str, t.Any], value: t.Any) -> bool:
    if one["last"] is None:  # never used: its next value is its first
        return bool(value >= one["start"] if one["increment"] > 0 else value <= one["start"])
    return bool(value > one["last"] if one["increment"] > 0 else value < one["last"])


def _shown(one: dict[str, t.Any]) -> str:
    return "its start" if one["last"] is None else str(one["last"])
