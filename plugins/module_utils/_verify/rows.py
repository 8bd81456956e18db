# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Compares rows: counts and checksums slice by slice, floats within a tolerance where they were computed anew.

The checksum of a slice is the sum of hashtextextended over the rows' text (PostgreSQL 11 and later): it does not depend
on the order of rows, and counts equal rows as often as they are there.
"""

from __future__ import annotations

import dataclasses
import math
import struct
import typing as t
from concurrent.futures import Future

from .._errors import Interrupted, TimescaleError
from .._plan import Finding
from .._sql import identifier, raw, statement
from .readers import Readers, Rows, not_compared
from .slices import SIDES, Check, Slice, shown, step_of

__all__ = ["Difference", "compare_rows"]

RELATIVE = 1e-9
TOLD = 10  # differing slices that a result lists
_TEN_DIGITS = -5  # extra_float_digits: ten significant digits of a float8
_FETCHED = 20_000  # rows of a slice that are compared one by one
_MOST_PARTS = 100  # of a slice that is looked at more closely
_HASH = 'pg_catalog.hashtextextended({} COLLATE pg_catalog."C", 0)'


@dataclasses.dataclass
class Difference:
    """A slice whose rows are not the same."""

    part: Slice
    rows: tuple[int, int]


@dataclasses.dataclass
class Comparison:
    """What became of one check."""

    rows: dict[str, int] = dataclasses.field(default_factory=lambda: {"source": 0, "target": 0})
    buckets: dict[str, int] = dataclasses.field(default_factory=lambda: {"source": 0, "target": 0})
    edges: list[int] = dataclasses.field(default_factory=list)
    differences: list[Difference] = dataclasses.field(default_factory=list)
    stale: int = 0


def compare_rows(
    checks: t.Sequence[Check], readers: Readers, depth: str, encodings: t.Collection[str]
) -> list[Finding]:
    """Compare every check, all slices at the same time on as many sessions as there are.

    One slice of each check is asked for before all others: then it is soon known how fast each of them is.

    :param depth: count or checksum, for tables; what aggregates hold is always compared by checksum.
    :param encodings: of both servers; where they differ, text is hashed as UTF-8.
    :raises Interrupted: the run was told to stop.
    """
    query = _Query(depth == "checksum", len(set(encodings)) > 1)
    places = [(number, place) for number, check in enumerate(checks) for place in range(len(check.slices))]
    places.sort(key=lambda one: one[1] != len(checks[one[0]].slices) // 2)
    futures = {one: query.ask(readers, checks[one[0]], checks[one[0]].slices[one[1]]) for one in places}
    asked = [
        [(part, futures[number, place]) for place, part in enumerate(check.slices)]
        for number, check in enumerate(checks)
    ]
    stale = [query.ask_stale(readers, check) for check in checks]
    return [_settled(*one, readers, query) for one in zip(checks, asked, stale)]


class _Query:
    """How slices are summed up."""

    def __init__(self, hashed: bool, recoded: bool) -> None:
        self.hashed = hashed
        self.recoded = recoded

    def ask(self, readers: Readers, check: Check, part: Slice, parts: int = 1) -> list[Future[Rows]]:
        """Ask both sides.

        :param parts: as how many of these make one of the check's own slices.
        """
        digits = _TEN_DIGITS if check.tolerant else 3
        steps = {side: step_of(check, part, side, parts) for side in SIDES}
        return [readers.ask(side, self.text(check, part, side), digits, steps[side]) for side in SIDES]

    def ask_stale(self, readers: Readers, check: Check) -> Future[Rows] | None:
        if not check.stale:
            return None
        where = check.where(Slice(), stale=True)
        return readers.ask(
            "source",
            statement("SELECT pg_catalog.count(*) FROM {} WHERE {}", raw(_relation(check, "source")), raw(where)),
        )

    def text(self, check: Check, part: Slice, side: str) -> str:
        outputs = ["pg_catalog.count(*)", self._checksum(check)]
        if check.tolerant and check.axis:
            column = identifier("t", check.axis[0])
            outputs.append(statement("pg_catalog.count(DISTINCT {})", column))
            outputs += [statement("pg_catalog.{}({})", raw(name), raw(_position(check))) for name in ("min", "max")]
        return f"SELECT {', '.join(outputs)} FROM {_relation(check, side)} WHERE {check.where(part)}"

    def _checksum(self, check: Check) -> str:
        if not (self.hashed or check.tolerant):
            return "NULL"
        text = f"ROW({', '.join(_column(name, check, is_float) for name, is_float in check.columns)})::pg_catalog.text"
        if self.recoded:
            text = f"pg_catalog.md5(pg_catalog.convert_to({text}, 'UTF8'))"
        return f"pg_catalog.sum({_HASH.format(text)})"


def _column(name: str, check: Check, is_float: bool) -> str:
    # float4 prints at most nine digits, and hardly any with extra_float_digits = -5
    return statement("{}::pg_catalog.float8" if is_float and check.tolerant else "{}", identifier("t", name))


def _relation(check: Check, side: str) -> str:
    return statement("{} {} AS t", raw("ONLY" if check.only[side] else ""), identifier(*check.relations[side]))


def _position(check: Check) -> str:
    """A bucket's place on the axis as TimescaleDB counts it."""
    column, type_name = check.axis or ("", "")
    if type_name in ("smallint", "integer", "bigint"):
        return statement("{}::pg_catalog.int8", identifier("t", column))
    return statement("(extract(epoch FROM {}) * 1000000)::pg_catalog.int8", identifier("t", column))


def _settled(
    check: Check,
    asked: t.Sequence[tuple[Slice, list[Future[Rows]]]],
    stale: Future[Rows] | None,
    readers: Readers,
    query: _Query,
) -> Finding:
    """Wait for a check's answers and make its finding. What could not be compared is a failure, never equal."""
    found = Comparison()
    try:
        for part, futures in asked:
            answers = [readers.answer(future)[0] for future in futures]
            _note(found, answers)
            found.differences += _differences(check, part, answers, readers, query)
        found.stale = int(readers.answer(stale)[0][0]) if stale is not None else 0
    except Interrupted:
        raise
    except TimescaleError as error:
        return not_compared(check.identity, error)
    return _finding(check, found)


def _note(found: Comparison, answers: t.Sequence[tuple[t.Any, ...]]) -> None:
    for side, answer in zip(("source", "target"), answers):
        found.rows[side] += int(answer[0])
        if len(answer) > 2:
            found.buckets[side] += int(answer[2])
            found.edges += [int(edge) for edge in answer[3:] if edge is not None]


def _differences(
    check: Check, part: Slice, answers: t.Sequence[tuple[t.Any, ...]], readers: Readers, query: _Query
) -> list[Difference]:
    """Nothing, the slice, or (floats within tolerance) the smaller slices in which more than rounding differs."""
    source, target = answers
    if source == target:
        return []
    whole = Difference(part, (int(source[0]), int(target[0])))
    if source[0] != target[0] or not (check.tolerant and check.floats):
        return [whole]
    if source[0] <= _FETCHED:
        return [] if _close(check, part, readers) else [whole]
    parts = _finer(part, source, target)
    if len(parts) == 1:
        return [whole]
    readers.expect([step_of(check, one, side, len(parts)) for one in parts for side in SIDES])
    asked = [(one, query.ask(readers, check, one, len(parts))) for one in parts]
    found = []
    for one, futures in asked:
        found += _differences(check, one, [readers.answer(future)[0] for future in futures], readers, query)
    return found


def _finer(part: Slice, *answers: tuple[t.Any, ...]) -> list[Slice]:
    """A slice in parts small enough to be compared row by row, if rows lie evenly; a single bucket stays one."""
    edges = [int(edge) for answer in answers for edge in answer[3:] if edge is not None]
    low, span = min(edges), max(edges) - min(edges) + 1
    number = min(span, _MOST_PARTS, int(answers[0][0]) // _FETCHED + 2)
    cuts = [part.low, *(low + place * span // number for place in range(1, number)), part.high]
    return [Slice(one, other) for one, other in zip(cuts, cuts[1:])]


def _close(check: Check, part: Slice, readers: Readers) -> bool:
    """Whether the rows are the same but for the last digits of their floats."""
    futures = [readers.ask(side, _fetching(check, part, side)) for side in ("source", "target")]
    source, target = (sorted(_decoded(row) for row in readers.answer(future)) for future in futures)
    return len(source) == len(target) and all(_same(one, other) for one, other in zip(source, target))


def _fetching(check: Check, part: Slice, side: str) -> str:
    exact = ", ".join(statement("{}", identifier("t", name)) for name, is_float in check.columns if not is_float)
    floats = ", ".join(
        statement("pg_catalog.encode(pg_catalog.float8send({}::pg_catalog.float8), 'hex')", identifier("t", name))
        for name in check.floats
    )
    return f"SELECT ROW({exact})::pg_catalog.text, {floats} FROM {_relation(check, side)} WHERE {check.where(part)}"


def _decoded(row: tuple[t.Any, ...]) -> tuple[str, tuple[tuple[bool, float], ...]]:
    """A row as (text of what must be equal, floats); NULL sorts last."""
    values = [None if value is None else struct.unpack("!d", bytes.fromhex(value))[0] for value in row[1:]]
    return str(row[0]), tuple((value is None, 0.0 if value is None else value) for value in values)


def _same(one: tuple[str, t.Any], other: tuple[str, t.Any]) -> bool:
    if one[0] != other[0]:
        return False
    return all(a[0] == b[0] and _near(a[1], b[1]) for a, b in zip(one[1], other[1]))


def _near(one: float, other: float) -> bool:
    if one == other or (math.isnan(one) and math.isnan(other)):
        return True
    return abs(one - other) <= RELATIVE * max(abs(one), abs(other)) < float("inf")


def _finding(check: Check, found: Comparison) -> Finding:
    details: dict[str, t.Any] = {"rows": dict(found.rows)}
    if check.tolerant and check.axis:
        details["buckets"] = dict(found.buckets)
        details["source_stale"] = found.stale
        low, high = (min(found.edges), max(found.edges)) if found.edges else (None, None)
        details.update(first=shown(low, check.axis[1]), last=shown(high, check.axis[1]))
    if not found.differences:
        return Finding(check.identity, "present", details=details)
    details["slices"] = [_told(check, one) for one in found.differences[:TOLD]]
    details["slices_differing"] = len(found.differences)
    reason = _reason(check, found, details["slices"][0])
    return Finding(check.identity, "drifted", reason, "Copy the rows of these slices again.", details=details)


def _told(check: Check, one: Difference) -> dict[str, t.Any]:
    type_name = check.axis[1] if check.axis else ""
    return {
        "from": shown(one.part.low, type_name),
        "to": shown(one.part.high, type_name),
        "source_rows": one.rows[0],
        "target_rows": one.rows[1],
    }


def _reason(check: Check, found: Comparison, first: dict[str, t.Any]) -> str:
    source, target = found.rows["source"], found.rows["target"]
    text = f"{source} rows on the source, {target} on the target"
    if source == target:
        text = f"{source} rows on both sides, with other content"
    if check.axis is None:
        return f"{text}."
    where = f"{first['from'] or 'the beginning'} to {first['to'] or 'the end'}"
    return f"{text}; {len(found.differences)} slices differ, the first from {where}."
