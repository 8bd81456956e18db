# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Buckets of the target that would be lost with an aggregate: no rows to recompute them from, and not on the source."""

from __future__ import annotations

import bisect
import dataclasses
import typing as t

from .._connection import Database
from .._sql import identifier, raw, statement
from .extents import ask_all
from .history import internal, merged, uncovered
from .refresh import widest
from .target import Existing, Key
from .times import time_text

__all__ = ["NO_BUCKETS", "LostBuckets", "Stored", "find_lost", "remaining"]

Entry = t.Mapping[str, t.Any]
Span = tuple[int, int]

# Runs of buckets without a hole: one that begins more than one and a half widths after the last one opens a new run.
_RUNS = """(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(r.low, r.high) ORDER BY r.low) FROM (
  SELECT pg_catalog.min(n.b) AS low, pg_catalog.max(n.b) AS high FROM (
    SELECT s.b, pg_catalog.sum(s.begins) OVER (ORDER BY s.b) AS run FROM (
      SELECT d.b, CASE WHEN d.b - pg_catalog.lag(d.b) OVER (ORDER BY d.b) > {step} THEN 1 ELSE 0 END AS begins
      FROM (SELECT DISTINCT {bucket} AS b FROM {table} WHERE {where}) AS d) AS s) AS n
  GROUP BY n.run) AS r)"""


class Stored(t.NamedTuple):
    """An aggregate of the target, and whether its buckets begin where the wanted one's do."""

    entry: Entry
    same_bucket: bool


@dataclasses.dataclass(frozen=True)
class LostBuckets:
    """What would be lost.

    :param spans: ranges of bucket begins, the end outside, in order of time.
    :param begin: the first one, for people; ``end``: where the last one begins.
    :param unseen: some lie behind all rows of the target, where a real-time aggregate does not show them.
    """

    spans: tuple[Span, ...] = ()
    rows: int = 0
    buckets: int = 0
    begin: str = ""
    end: str = ""
    unseen: bool = False


NO_BUCKETS = LostBuckets()


def find_lost(
    source: Database | None,
    target: Database,
    wanted: t.Mapping[str, t.Any],
    existing: Existing,
    olds: t.Mapping[Key, Stored],
    chosen: t.Callable[[Entry], bool],
) -> dict[Key, LostBuckets]:
    """Find them: three statements, none where all can be recomputed.

    :param source: None when it cannot be read: then nothing counts as being there.
    :param olds: the target's aggregates that are going to be replaced, by name.
    """
    entries = {(entry["schema"], entry["name"], ""): entry for entry in wanted["aggregates"]}
    gaps = uncovered(wanted, existing, {key: old.entry for key, old in olds.items()}, chosen)
    places = [(key, low, high) for key, found in gaps.items() for low, high in found]
    runs = ask_all(target, [_runs(olds[key].entry, low, high) for key, low, high in places])
    stored = [(key, list(map(tuple, one))) for (key, _low, _high), one in zip(places, runs) if one]
    unseen = {key for (key, _low, high), one in zip(places, runs) if one and high is None}
    theirs = _on_source(source, entries, stored)
    spans: dict[Key, list[Span]] = {}
    for (key, ours), covered in zip(stored, theirs):
        spans.setdefault(key, []).extend(remaining(ours, covered, olds[key], entries[key]))
    counted = _counted(target, olds, {key: found for key, found in spans.items() if found})
    return {key: dataclasses.replace(one, unseen=key in unseen) for key, one in counted.items()}


def _runs(entry: Entry, low: int | None, high: int | None) -> str:
    column, kind = identifier(entry["time_column"]), entry["time_type"]
    where = [statement("{} IS NOT NULL", column)]
    if low is not None:  # the bucket that reaches into the gap has lost its last rows, and belongs to it
        where.append(statement("{} >= {}", column, raw(time_text(low - widest(entry) + 1, kind))))
    where += [statement("{} < {}", column, raw(time_text(high, kind)))] if high is not None else []
    return statement(
        _RUNS,
        step=raw(str(int(entry["bucket_width"]) * 3 // 2)),
        bucket=raw(internal(entry)),
        table=identifier(*entry["materialization"]),
        where=raw(" AND ".join(where)),
    )


def _on_source(
    source: Database | None, entries: t.Mapping[Key, Entry], stored: t.Sequence[tuple[Key, t.Sequence[Span]]]
) -> list[list[Span]]:
    """What the source has near those runs, as far as history would be copied from it."""
    asked = []
    for key, runs in stored:
        entry = entries[key]
        readable = entry["readable"] and entry["finalized"] and entry["extent"]
        low, high = runs[0][0] - widest(entry), runs[-1][1] + widest(entry)
        asked.append(_runs(entry, low, high) if readable else "NULL")
    answers = ask_all(source, asked) if source is not None else [None] * len(asked)
    return [list(map(tuple, answer or ())) for answer in answers]


def remaining(ours: t.Sequence[Span], theirs: t.Sequence[Span], old: Stored, entry: Entry) -> list[Span]:
    """Bucket begins of the old aggregate whose time no bucket of the source touches, as ranges with the end outside."""
    before = 0 if old.same_bucket else int(old.entry["bucket_width"]) - 1
    behind = 1 if old.same_bucket else int(entry["bucket_width"])
    cuts = merged((low - before, high + behind) for low, high in theirs)
    ends = [until for _cut, until in cuts]
    left: list[Span] = []
    for low, high in ours:
        begin, end = low, high + 1
        at = bisect.bisect_right(ends, begin)
        while at < len(cuts) and cuts[at][0] < end:
            if begin < cuts[at][0]:
                left.append((begin, cuts[at][0]))
            begin, at = ends[at], at + 1
        if begin < end:
            left.append((begin, end))
    return _joined(left, cuts)


def _joined(spans: t.Sequence[Span], cuts: t.Sequence[Span]) -> list[Span]:
    """Fewer ranges: two with nothing of the source's between them are one."""
    joined: list[Span] = []
    ends = [until for _cut, until in cuts]
    for low, high in spans:
        between = bisect.bisect_right(ends, joined[-1][1]) if joined else 0
        if joined and not (between < len(cuts) and cuts[between][0] < low):
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return joined


def _counted(
    target: Database, olds: t.Mapping[Key, Stored], spans: t.Mapping[Key, t.Sequence[Span]]
) -> dict[Key, LostBuckets]:
    asked = []
    for key, found in spans.items():
        entry = olds[key].entry
        column, kind = identifier(entry["time_column"]), entry["time_type"]
        ranges = [
            statement("({c} >= {} AND {c} < {})", raw(time_text(low, kind)), raw(time_text(high, kind)), c=column)
            for low, high in found
        ]
        asked.append(
            statement(
                "(SELECT pg_catalog.json_build_array(pg_catalog.count(*), pg_catalog.count(DISTINCT {c}),"
                " pg_catalog.min({c})::pg_catalog.text, pg_catalog.max({c})::pg_catalog.text)"
                " FROM {table} WHERE {where})",
                c=column,
                table=identifier(*entry["materialization"]),
                where=raw(" OR ".join(ranges)),
            )
        )
    answers = ask_all(target, asked)
    return {
        key: LostBuckets(tuple(found), rows, buckets, begin, end)
        for (key, found), (rows, buckets, begin, end) in zip(spans.items(), answers)
        if buckets
    }
