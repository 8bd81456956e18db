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
        other = there.get((one["schema"], one["name"]))
        firsts = {"target": _first(readers, "target", one), "source": _first(readers, "source", other)}
        asked.append((one, other, firsts, [(column, _furthest(readers, one, *column)) for column in columns]))
    return [_finding(*found, readers) for found in asked]


def _first(readers: Readers, side: str, one: dict[str, t.Any] | None) -> Future[Rows] | None:
    """Where a sequence begins that has given no value yet: its start, or what setval(…, false) said."""
    if one is None or not one["readable"] or one["last"] is not None:
        return None
    return readers.ask(side, statement("SELECT last_value FROM {}", identifier(one["schema"], one["name"])))


def _furthest(readers: Readers, one: dict[str, t.Any], schema: str, table: str, column: str) -> Future[Rows]:
    """The value of a column that lies furthest in the sequence's direction."""
    template = "SELECT pg_catalog.max({0}) FROM {1}" if one["increment"] > 0 else "SELECT pg_catalog.min({0}) FROM {1}"
    return readers.ask("target", statement(template, identifier(column), identifier(schema, table)))


def _finding(
    one: dict[str, t.Any],
    source: dict[str, t.Any] | None,
    firsts: t.Mapping[str, Future[Rows] | None],
    furthest: t.Sequence[tuple[tuple[str, ...], Future[Rows]]],
    readers: Readers,
) -> Finding:
    identity = Identity("sequence position", one["schema"], one["name"])
    if not one["readable"] or not (source is None or source["readable"]):
        side = "target" if not one["readable"] else "source"
        reason = f"It was not compared: the role may not read it on the {side}."
        return Finding(identity, "failed", reason, "Grant SELECT on it, or log in as its owner.")
    try:
        follows = _next(one, firsts["target"], readers)
        wanted = _next(source, firsts["source"], readers) if source is not None else None
        values = [(column, readers.answer(future)[0][0]) for column, future in furthest]
    except Interrupted:
        raise
    except TimescaleError as error:
        return not_compared(identity, error)
    sign = 1 if one["increment"] > 0 else -1
    told = [
        f"{'.'.join(column)} already holds {value}"
        for column, value in values
        if value is not None and sign * (value - follows) >= 0
    ]
    if wanted is not None and sign * (wanted - follows) > 0:
        told.append(f"on the source it is {wanted}")
    if not told:
        return Finding(identity, "present")
    reason = f"Its next value is {follows}, and {' and '.join(told)}."
    return Finding(identity, "drifted", reason, "Move it on with setval.")


def _next(one: dict[str, t.Any], first: Future[Rows] | None, readers: Readers) -> int:
    """The value that a sequence gives next."""
    return int(readers.answer(first)[0][0]) if first is not None else int(one["last"] + one["increment"])
