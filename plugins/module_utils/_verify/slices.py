# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What is compared with what: pairs of relations, cut into slices along their time axis. Pure, no database."""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t

from .._plan import Identity, Step
from .._sql import identifier, literal, raw, statement

__all__ = ["SIDES", "Check", "Slice", "aggregate_checks", "shown", "stale_ranges", "step_of", "table_checks"]

SIDES = ("source", "target")

_EPOCH = datetime.datetime(1970, 1, 1)
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
_MICROSECONDS = {"day": 86_400_000_000, "mon": 31 * 86_400_000_000, "year": 366 * 86_400_000_000}
_HOUR = 3_600_000_000


@dataclasses.dataclass(frozen=True)
class Slice:
    """Part of an axis: from ``low`` up to, but not with, ``high``; None is without end. TimescaleDB's numbers."""

    low: int | None = None
    high: int | None = None


@dataclasses.dataclass
class Check:
    """Two relations whose rows must be the same.

    :param relations: the relation of each side, as names.
    :param only: whether a relation's children are left out (plain tables), for each side.
    :param columns: what both have, as (name, whether it is a float).
    :param axis: the time column and its type, None for a table without.
    :param slices: what is compared one by one.
    :param tolerant: floats need to be equal within a relative 1e-9 only (values that were computed anew).
    :param below: buckets from here on are left out (TimescaleDB's number).
    :param stale: ranges of buckets that are left out: the source itself has not refreshed them.
    :param bytes: of the source's relation, 0 when unknown; only for telling how long it may take.
    """

    identity: Identity
    relations: dict[str, tuple[str, str]]
    only: dict[str, bool]
    columns: tuple[tuple[str, bool], ...]
    axis: tuple[str, str] | None = None
    slices: tuple[Slice, ...] = (Slice(),)
    tolerant: bool = False
    below: int | None = None
    stale: tuple[tuple[int, int], ...] = ()
    bytes: int = 0

    @property
    def floats(self) -> tuple[str, ...]:
        return tuple(name for name, is_float in self.columns if is_float)

    def where(self, part: Slice, *, stale: bool = False) -> str:
        """The condition of a slice, with the stale buckets left out, or (stale) only those."""
        if self.axis is None:
            return "true"
        column, type_name = identifier("t", self.axis[0]), self.axis[1]
        texts = [_bound(column, ">=", part.low, type_name), _bound(column, "<", part.high, type_name)]
        texts.append(_bound(column, "<", self.below, type_name))
        inside = [
            " AND ".join(x for x in (_bound(column, ">=", low, type_name), _bound(column, "<", high, type_name)) if x)
            for low, high in self.stale
        ]
        if inside:
            either = " OR ".join(f"({text or 'true'})" for text in inside)
            texts.append(f"({either})" if stale else f"NOT ({either})")
        return " AND ".join(text for text in texts if text) or "true"


def step_of(check: Check, part: Slice, side: str, parts: int = 1) -> Step:
    """One query as the progress counts it. No plan has it: nothing is changed.

    :param parts: as how many of these make one of the check's own slices.
    """
    key = f"{check.identity.label} {part.low}..{part.high} {side}"
    return Step(check.identity, "analyze", (), key=key, size=check.bytes // len(check.slices) // parts, lane=side)


def _bound(column: t.Any, operator: str, value: int | None, type_name: str) -> str:
    text = None if value is None else _literal(value, type_name)
    if text is None:
        return ""
    return statement("{} {} {}", column, raw(operator), raw(text))


def _literal(value: int, type_name: str) -> str | None:
    """A position as the column's type writes it; None when it lies beyond every date."""
    if type_name in ("smallint", "integer", "bigint"):
        return str(value) if value not in (_LOWEST, _HIGHEST) else None
    try:
        moment = _EPOCH + datetime.timedelta(microseconds=value)
    except OverflowError:
        return None
    zone = "+00" if type_name == "timestamp with time zone" else ""
    text = moment.date().isoformat() if type_name == "date" else moment.isoformat(" ") + zone
    return statement("{}::pg_catalog.{}", literal(text), raw(_TYPE[type_name]))


_TYPE = {
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "date": "date",
}


def shown(value: int | None, type_name: str) -> str | None:
    """A position for people."""
    if value is None or type_name not in _TYPE:
        return None if value is None else str(value)
    try:
        moment = _EPOCH + datetime.timedelta(microseconds=value)
    except OverflowError:
        return None
    if type_name == "date":
        return moment.date().isoformat()
    return moment.isoformat(" ") + ("Z" if type_name == "timestamp with time zone" else "")


def table_checks(wanted: dict[str, t.Any], existing: dict[str, t.Any]) -> list[Check]:
    """A check for each table that both sides have; partitions one by one, views and aggregates not at all."""
    there = {(one["schema"], one["name"]): one for one in existing["relations"]}
    checks = []
    for one in wanted["relations"]:
        name = (one["schema"], one["name"])
        other = there.get(name)
        if one["kind"] == "r" and other is not None and other["kind"] == "r":
            checks.append(_table_check(name, one, other))
    return checks


def _table_check(name: tuple[str, str], one: dict[str, t.Any], other: dict[str, t.Any]) -> Check:
    axis = one["axis"]
    same_axis = axis and any(c["name"] == axis["column"] for c in other["columns"])
    return Check(
        Identity("rows", *name),
        {"source": name, "target": name},
        {"source": not one["hypertable"], "target": not other["hypertable"]},
        _common_columns(one["columns"] or [], other["columns"] or []),
        (axis["column"], axis["type"]) if same_axis else None,
        _slices([axis]) if same_axis else (Slice(),),
    )


def _common_columns(wanted: list[dict[str, t.Any]], existing: list[dict[str, t.Any]]) -> tuple[tuple[str, bool], ...]:
    there = {column["name"] for column in existing}
    return tuple((column["name"], column["float"]) for column in wanted if column["name"] in there)


def _slices(axes: t.Sequence[dict[str, t.Any]]) -> tuple[Slice, ...]:
    """The whole axis without a gap, cut where chunks begin and end: what lies outside the chunks is looked at too."""
    edges = {edge for axis in axes for bounds in axis["ranges"] or () for edge in bounds if edge is not None}
    cuts: list[int | None] = [None, *sorted(edges), None]
    return tuple(Slice(low, high) for low, high in zip(cuts, cuts[1:]))


def aggregate_checks(wanted: list[dict[str, t.Any]], existing: list[dict[str, t.Any]]) -> list[Check]:
    """A check for each aggregate that both sides have and have materialised."""
    there = {(one["schema"], one["name"]): one for one in existing}
    stale = stale_ranges(wanted)
    checks = []
    for one in wanted:
        other = there.get((one["schema"], one["name"]))
        if other is not None and one["axis"] and other["axis"]:
            checks.append(_aggregate_check(one, other, stale[tuple(one["table"])]))
    return checks


def _aggregate_check(one: dict[str, t.Any], other: dict[str, t.Any], stale: tuple[tuple[int, int], ...]) -> Check:
    return Check(
        Identity("contents", one["schema"], one["name"]),
        {"source": _contents(one), "target": _contents(other)},
        {"source": False, "target": False},
        _common_columns(one["columns"] or [], other["columns"] or []),
        (one["axis"]["column"], one["axis"]["type"]),
        _slices([one["axis"]]),
        tolerant=True,
        below=min(one["watermark"], other["watermark"]),
        stale=tuple((low if low == _LOWEST else low - _width(one) + 1, min(high + 1, _HIGHEST)) for low, high in stale),
    )


def _contents(one: dict[str, t.Any]) -> tuple[str, str]:
    """Where finished values are stored; the view itself where partial ones are."""
    names = {column["name"] for column in one["columns"] or ()}
    stored = one["finalized"] and names <= set(one["stored"] or ())
    return (one["table"][0], one["table"][1]) if stored else (one["schema"], one["name"])


def stale_ranges(aggregates: list[dict[str, t.Any]]) -> dict[tuple[t.Any, ...], tuple[tuple[int, int], ...]]:
    """Ranges of raw values that the source has changed since it last computed buckets from them, by aggregate.

    Where raw chunks are gone (retention), nothing can be computed anew: those buckets are history, and compared.
    What is stale in an aggregate is stale in the aggregates that read it.
    """
    by_table = {tuple(one["table"]): one for one in aggregates}
    found: dict[tuple[t.Any, ...], tuple[tuple[int, int], ...]] = {}

    def settle(table: tuple[t.Any, ...]) -> tuple[tuple[int, int], ...]:
        if table not in found:
            one = by_table[table]
            parent = tuple(one["raw"])
            inherited = settle(parent) if parent in by_table else ()
            found[table] = (*_overlaps(one["stale"] or (), one["raw_ranges"] or ()), *inherited)
        return found[table]

    for table in by_table:
        settle(table)
    return found


def _overlaps(
    stale: t.Iterable[t.Sequence[int]], chunks: t.Iterable[t.Sequence[int | None]]
) -> tuple[tuple[int, int], ...]:
    """The parts of stale ranges (both ends belong to them) that chunks cover."""
    return _merged(
        (max(low, _LOWEST if begin is None else begin), min(high, _HIGHEST if end is None else end - 1))
        for low, high in stale
        for begin, end in chunks
    )


def _merged(ranges: t.Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(one for one in ranges if one[0] <= one[1]):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def _width(one: dict[str, t.Any]) -> int:
    """The longest that a bucket can be: a month is 31 days here, a day in a time zone 25 hours."""
    text = str(one["width"] or "0")
    if re.fullmatch(r"-?\d+", text):
        return max(1, int(text))
    width = sum(int(number) * _MICROSECONDS[unit] for number, unit in re.findall(r"(\d+) (year|mon|day)s?", text))
    clock = re.search(r"(\d+):(\d+):(\d+)(?:\.(\d+))?", text)
    if clock:
        hours, minutes, seconds = (int(clock.group(place)) for place in (1, 2, 3))
        width += ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + int((clock.group(4) or "0").ljust(6, "0")[:6])
    return max(1, width + (_HOUR if one["zone"] else 0))
