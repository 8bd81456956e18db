# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Buckets that the target cannot recompute, because the rows they were made of are gone there.

An aggregate's input is its hypertable, or its parent's materialization, which holds history of its own. Where the input
has no chunks, or no rows before its first and behind its last, the source's buckets are the only copy.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connection import INSUFFICIENT_PRIVILEGE, Database
from .._errors import BadInput
from .._sql import identifier, literal, raw, statement
from .extents import ask_all, read_extents
from .refresh import never_refreshed, widest
from .target import Existing, Key, key_of
from .times import time_text

__all__ = [
    "Piece",
    "find_history",
    "internal",
    "merged",
    "perhaps_left",
    "reaching_policies",
    "refuse_history",
    "uncovered",
    "untold_history",
]

Span = tuple[int, int]
_INTEGERS = ("bigint", "integer", "smallint")


@dataclasses.dataclass(frozen=True)
class Piece:
    """Buckets of one chunk of the source's materialization: copied in one transaction.

    :param low: begin of the first bucket; ``high`` lies behind the begin of the last one.
    :param same: the target's rows there are the source's, to the letter.
    :param unseen: the last bucket lies behind what the target can materialize.
    :param shared: the target has buckets there that the source does not have; they stay.
    """

    low: int
    high: int
    rows: int
    buckets: int
    same: bool
    unseen: bool
    shared: bool = False


@dataclasses.dataclass(frozen=True)
class _Input:
    """Where an aggregate's input has rows on the target.

    :param covered: ranges, in order; the end is outside.
    :param begin: where the first chunk begins; rows in front of it have been dropped, if there were any.
    :param cut: the target lacks first rows that the source has.
    """

    covered: tuple[Span, ...]
    begin: int | None
    cut: bool


def find_history(
    source: Database,
    target: Database,
    wanted: t.Mapping[str, t.Any],
    existing: Existing,
    chosen: t.Callable[[t.Mapping[str, t.Any]], bool] = lambda _entry: True,
) -> dict[Key, list[Piece]]:
    """Find what has to come from the source's materializations: up to three statements, none without such gaps.

    :param chosen: which aggregates this run fills; what others hold now is all that stands on them can read.
    :returns: per aggregate its pieces in order of time; aggregates without any are left out.
    :raises BadInput: the source's role may read none of the aggregates that hold something.
    """
    _require_readable([entry for entry in wanted["aggregates"] if chosen(entry)])
    there = {key_of(entry): entry for entry in existing.document["aggregates"]}
    others = [key_of(entry) for entry in wanted["aggregates"] if not chosen(entry)]
    read_extents(target, [there[key] for key in others if key in there])
    entries = _filled(wanted, there, chosen)
    inputs: dict[Key, _Input] = {}
    gaps: list[tuple[Key, int | None, int | None]] = []
    for key, entry in entries.items():
        if chosen(entry) and entry["extent"] and entry["finalized"]:
            found = _input(entry, entries, wanted, existing, inputs)
            gaps += [(key, low, high) for low, high in _gaps(entry, found)]
    if not gaps:
        return {}
    spans = _cut_by_chunks(entries, gaps, _first_buckets(source, entries, gaps))
    there = {key: found for key, found in there.items() if key in entries and _has_columns(found, entries[key])}
    ours = _measure(
        source, [(entries[key], low, high) for key, low, high in spans], [span[0] in there for span in spans]
    )
    known = [(key, low, high) for key, low, high in spans if key in there]
    stored = [(_as_on_target(entries[key], there[key]), low, high) for key, low, high in known]
    answers = _measure(target, stored, [True] * len(stored))
    theirs = dict(zip(known, answers))
    differ = [
        span for span, one in zip(spans, ours) if one[0] and theirs.get(span, [0])[0] and theirs[span][:3] != one[:3]
    ]
    shared = _shared(source, target, entries, there, differ)
    pieces: dict[Key, list[Piece]] = {}
    for span, (rows, buckets, checksum, last) in zip(spans, ours):
        if rows:
            key, low, high = span
            same, besides = shared.get(span, (theirs.get(span, [])[:3] == [rows, buckets, checksum], False))
            unseen = _unseen(last, inputs[key].covered, there.get(key))
            pieces.setdefault(key, []).append(Piece(low, high, rows, buckets, same, unseen, besides))
    return pieces


def uncovered(
    wanted: t.Mapping[str, t.Any],
    existing: Existing,
    stored: t.Mapping[Key, t.Mapping[str, t.Any]],
    chosen: t.Callable[[t.Mapping[str, t.Any]], bool],
) -> dict[Key, list[tuple[int | None, int | None]]]:
    """Where aggregates of the target hold buckets, or may, without input that they could be recomputed from.

    :param stored: the target's aggregates, by the names of the wanted ones whose input theirs is.
    """
    there = {key_of(entry): entry for entry in existing.document["aggregates"]}
    entries = _filled(wanted, there, chosen)
    inputs: dict[Key, _Input] = {}
    return {key: _gaps(entry, _input(entries[key], entries, wanted, existing, inputs)) for key, entry in stored.items()}


def _filled(
    wanted: t.Mapping[str, t.Any],
    there: t.Mapping[Key, t.Mapping[str, t.Any]],
    chosen: t.Callable[[t.Mapping[str, t.Any]], bool],
) -> dict[Key, t.Mapping[str, t.Any]]:
    """What each aggregate is going to hold: as on the source, or for one that is not chosen, as it is now."""
    return {
        key_of(entry): entry if chosen(entry) else there.get(key_of(entry), {**entry, "extent": None})
        for entry in wanted["aggregates"]
    }


def _shared(
    source: Database,
    target: Database,
    entries: t.Mapping[Key, t.Mapping[str, t.Any]],
    there: t.Mapping[Key, t.Mapping[str, t.Any]],
    spans: t.Sequence[tuple[Key, int, int]],
) -> dict[tuple[Key, int, int], tuple[bool, bool]]:
    """Bucket by bucket, where both sides have some and they differ: whether the target has all of the source's, to the
    letter, and whether it has others besides."""
    ours = ask_all(source, [_each_bucket(entries[key], low, high) for key, low, high in spans])
    theirs = ask_all(
        target, [_each_bucket(_as_on_target(entries[key], there[key]), low, high) for key, low, high in spans]
    )
    found = {}
    for span, one, other in zip(spans, ours, theirs):
        wanted, has = {row[0]: row[1:] for row in one or ()}, {row[0]: row[1:] for row in other or ()}
        same = all(has.get(bucket) == row for bucket, row in wanted.items())
        found[span] = (same, bool(has.keys() - wanted.keys()))
    return found


def _each_bucket(entry: t.Mapping[str, t.Any], low: int, high: int) -> str:
    return statement(
        "(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(b.bucket, b.rows, b.checksum)) FROM (SELECT"
        " {bucket} AS bucket, pg_catalog.count(*) AS rows, {checksum} AS checksum FROM {table}"
        " WHERE {column} >= {low} AND {column} < {high} GROUP BY {column}) AS b)",
        bucket=raw(internal(entry)),
        checksum=raw(_checksum(entry)),
        table=identifier(*entry["materialization"]),
        column=identifier(entry["time_column"]),
        low=raw(time_text(low, entry["time_type"])),
        high=raw(time_text(high, entry["time_type"])),
    )


def _unseen(last: int, covered: t.Sequence[Span], found: t.Mapping[str, t.Any] | None) -> bool:
    """Whether a bucket lies at or above the target's watermark, where a real-time aggregate does not show it."""
    unseen = not covered or last >= covered[-1][1]
    if unseen and found is not None and not never_refreshed(found):
        return bool(last >= found["watermark"])
    return unseen


def _require_readable(entries: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    """A role that may read none of them is the wrong one. Single ones are warned about, see untold_history."""
    filled = [entry for entry in entries if entry["slices"]]
    if filled and not any(entry["readable"] for entry in filled):
        named = ", ".join(".".join(key_of(entry)[:2]) for entry in filled)
        raise BadInput(
            f"The role that connects to the source may not read any continuous aggregate ({named}), so nobody can tell"
            " which buckets are older than the raw data.",
            hint="Grant it SELECT there (pg_read_all_data on PostgreSQL 14 and later), or set history: ignore.",
            sqlstate=INSUFFICIENT_PRIVILEGE,
        )


def untold_history(wanted: t.Mapping[str, t.Any], existing: Existing, *, reachable: bool) -> list[str]:
    """What may be lost without being found or copied, as warnings.

    :param reachable: whether the source can be read; with a file nothing can be copied.
    """
    entries = {key_of(entry): entry for entry in wanted["aggregates"]}
    inputs: dict[Key, _Input] = {}
    told = []
    for key, entry in entries.items():
        label = f"{key[0]}.{key[1]}"
        if not entry["slices"]:
            continue
        if not entry["readable"]:
            told.append(
                f"The buckets of {label} may not be read on the source: whether old ones get lost is not known."
            )
            continue
        copied = reachable or not entry["extent"] or not entry["finalized"]
        if not copied and _gaps(entry, _input(entry, entries, wanted, existing, inputs)):
            told.append(f"{label} has buckets without rows on the target; from a file they cannot be copied.")
    return told


def perhaps_left(target: Database, wanted: t.Mapping[str, t.Any], existing: Existing) -> set[Key]:
    """Aggregates of which the source may have buckets that the target lacks, when the source is a file.

    A file knows where the source's materializations have chunks, not where these have buckets. So a range that has no
    rows on the target, and in which its aggregate holds nothing, counts as left. One statement.
    """
    entries = {key_of(entry): entry for entry in wanted["aggregates"]}
    there = {key_of(entry): entry for entry in existing.document["aggregates"]}
    inputs: dict[Key, _Input] = {}
    left: set[Key] = set()
    asked: list[tuple[Key, int, int]] = []
    for key, entry in entries.items():
        if not entry["slices"]:
            continue
        if not entry["extent"]:
            left.add(key)
            continue
        gaps = [(key, low, high) for low, high in _gaps(entry, _input(entry, entries, wanted, existing, inputs))]
        begins = [entry["extent"][0] if low is None else low for _key, low, _high in gaps]
        asked += _cut_by_chunks(entries, gaps, begins)
    there = {key: found for key, found in there.items() if key in entries and _has_columns(found, entries[key])}
    left |= {span[0] for span in asked if span[0] not in there}
    known = [span for span in asked if span[0] in there]
    spans = [(_as_on_target(entries[key], there[key]), low, high) for key, low, high in known]
    counted = _measure(target, spans, [False] * len(spans))
    return left | {key for (key, _low, _high), (rows, *_rest) in zip(known, counted) if not rows}


def refuse_history(history: t.Mapping[Key, t.Sequence[Piece]]) -> None:
    """Stop before anything is changed when buckets would have to be copied.

    :raises BadInput: there are such buckets.
    """
    lost = {key: [piece for piece in pieces if not piece.same] for key, pieces in history.items()}
    told = [
        f"- {key[0]}.{key[1]}: {sum(p.buckets for p in pieces)} buckets, {sum(p.rows for p in pieces)} rows"
        for key, pieces in lost.items()
        if pieces
    ]
    if told:
        raise BadInput(
            "Nothing was changed. These buckets cannot be recomputed on the target:\n" + "\n".join(told),
            hint="Copy the rows they were made of, or set history: preserve to copy the buckets.",
        )


def _input(
    entry: t.Mapping[str, t.Any],
    entries: t.Mapping[Key, t.Mapping[str, t.Any]],
    wanted: t.Mapping[str, t.Any],
    existing: Existing,
    known: dict[Key, _Input],
) -> _Input:
    key = key_of(entry)
    if key not in known:
        parent = entries.get((*entry["parent"], "")) if entry["parent"] else None
        if parent is not None:
            known[key] = _input_from_parent(parent, _input(parent, entries, wanted, existing, known))
        else:
            known[key] = _input_from_rows(tuple(entry["hypertable"] or entry["parent"] or ()), wanted, existing)
    return known[key]


def _input_from_rows(name: tuple[str, ...], wanted: t.Mapping[str, t.Any], existing: Existing) -> _Input:
    ours = next((h for h in wanted["hypertables"] if (h["schema"], h["name"]) == name), None)
    theirs = next((h for h in existing.document["hypertables"] if (h["schema"], h["name"]) == name), None)
    if theirs is None or not theirs["extent"]:
        return _Input((), None, True)
    first, last = theirs["extent"]
    covered = merged([(max(low, first), min(high, last + 1)) for low, high in theirs["slices"]])
    cut = ours is not None and bool(ours["extent"]) and ours["extent"][0] < first
    return _Input(covered, min(low for low, _high in theirs["slices"]), cut)


def _input_from_parent(parent: t.Mapping[str, t.Any], below: _Input) -> _Input:
    """The parent's materialization will hold what it can recompute and what it gets from the source.

    A refresh reads the parent as a query does: of a real-time parent it sees nothing stored behind the watermark, which
    stands where the rows end.
    """
    if not parent["extent"] or not parent["finalized"]:
        return below
    first, last = parent["extent"]
    end = last + widest(parent)
    if not parent["materialized_only"]:
        if not below.covered:
            return below
        end = min(end, below.covered[-1][1])
    own = [(max(low, first), min(high, end)) for low, high in parent["slices"]]
    begins = [low for low, _high in parent["slices"]] + ([below.begin] if below.begin is not None else [])
    early = not below.covered or first <= below.covered[0][0]
    return _Input(merged([*own, *below.covered]), min(begins), below.cut and not early)


def merged(spans: t.Iterable[Span]) -> tuple[Span, ...]:
    """The same ranges in order, those that overlap or touch as one."""
    found: list[Span] = []
    for low, high in sorted(span for span in spans if span[0] < span[1]):
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def _gaps(entry: t.Mapping[str, t.Any], found: _Input) -> list[tuple[int | None, int | None]]:
    """Ranges without input in which the source may have buckets; None stands for no bound.

    An ordinary first bucket begins before the first row. It is left to the refresh unless rows in front were dropped.
    """
    first, last = entry["extent"]
    if not found.covered:
        return [(None, None)]
    gaps: list[tuple[int | None, int | None]] = []
    begin = found.covered[0][0]
    whole = found.cut or first + widest(entry) <= begin or (found.begin is not None and first < found.begin)
    if first < begin and whole:
        gaps.append((None, begin))
    for (_low, end), (start, _high) in zip(found.covered, found.covered[1:]):
        if first < start and last + widest(entry) > end:
            gaps.append((end, start))
    if last >= found.covered[-1][1]:
        gaps.append((found.covered[-1][1], None))
    return gaps


def _first_buckets(
    source: Database,
    entries: t.Mapping[Key, t.Mapping[str, t.Any]],
    gaps: t.Sequence[tuple[Key, int | None, int | None]],
) -> list[int]:
    """Where the bucket that reaches into each gap begins: it comes from the source whole."""
    asked: list[str] = []
    for key, low, _high in gaps:
        entry = entries[key]
        asked.append(
            "NULL"
            if low is None
            else statement(
                "(SELECT pg_catalog.to_json({internal}) FROM {table} WHERE {column} < {low})",
                internal=raw(internal(entry, "pg_catalog.max")),
                table=identifier(*entry["materialization"]),
                column=identifier(entry["time_column"]),
                low=raw(time_text(low, entry["time_type"])),
            )
        )
    found = ask_all(source, asked)
    begins = []
    for (key, low, _high), begin in zip(gaps, found):
        entry = entries[key]
        if low is None:
            begins.append(int(entry["extent"][0]))
        elif begin is None or begin + widest(entry) <= low:
            begins.append(low)
        else:
            begins.append(int(begin))
    return begins


def internal(entry: t.Mapping[str, t.Any], function: str = "") -> str:
    """A time column, or an aggregate function of it, in TimescaleDB's internal time."""
    column = statement("{}", identifier(entry["time_column"]))
    if entry["time_type"] in _INTEGERS:
        return f"{function}({column})::pg_catalog.int8"
    return f"(EXTRACT(epoch FROM {function}({column})) * 1000000)::pg_catalog.int8"


def _cut_by_chunks(
    entries: t.Mapping[Key, t.Mapping[str, t.Any]],
    gaps: t.Sequence[tuple[Key, int | None, int | None]],
    begins: t.Sequence[int],
) -> list[tuple[Key, int, int]]:
    """One span per gap and chunk of the source's materialization, without overlaps."""
    spans: list[tuple[Key, int, int]] = []
    done: dict[Key, int] = {}
    for (key, _low, high), begin in zip(gaps, begins):
        end = entries[key]["extent"][1] + 1 if high is None else high
        begin = max(begin, done.get(key, begin))
        done[key] = end
        for low_chunk, high_chunk in sorted(entries[key]["slices"]):
            low, top = max(begin, low_chunk), min(end, high_chunk)
            if low < top:
                spans.append((key, low, top))
    return spans


def _has_columns(found: t.Mapping[str, t.Any], entry: t.Mapping[str, t.Any]) -> bool:
    """Whether the target's aggregate can be asked what the source's is: one of that name may be another one."""
    return {entry["time_column"], *entry["materialized"]} <= set(found["materialized"])


def _as_on_target(entry: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {**entry, "materialization": found["materialization"]}


def _measure(
    database: Database,
    spans: t.Sequence[tuple[t.Mapping[str, t.Any], int, int]],
    compared: t.Sequence[bool],
) -> list[list[t.Any]]:
    """For each span rows, buckets, a checksum over all columns where it will be compared, and the last bucket."""
    if not spans:
        return []
    asked = [
        statement(
            "(SELECT pg_catalog.json_build_array(pg_catalog.count(*), pg_catalog.count(DISTINCT {column}),"
            " {checksum}, {last})"
            " FROM {table} WHERE {column} >= {low} AND {column} < {high})",
            column=identifier(entry["time_column"]),
            checksum=raw(_checksum(entry) if wanted else "NULL"),
            last=raw(internal(entry, "pg_catalog.max")),
            table=identifier(*entry["materialization"]),
            low=raw(time_text(low, entry["time_type"])),
            high=raw(time_text(high, entry["time_type"])),
        )
        for (entry, low, high), wanted in zip(spans, compared)
    ]
    return ask_all(database, asked)


def _checksum(entry: t.Mapping[str, t.Any]) -> str:
    return statement(
        "pg_catalog.sum(('x' || pg_catalog.substr(pg_catalog.md5(ROW({columns})::pg_catalog.text), 1, 12))"
        "::pg_catalog.bit(48)::pg_catalog.int8)::pg_catalog.text",
        columns=raw(", ".join(statement("{}", identifier(name)) for name in entry["materialized"])),
    )


def reaching_policies(
    source: Database, wanted: t.Mapping[str, t.Any], history: t.Mapping[Key, t.Sequence[Piece]]
) -> list[str]:
    """Refresh policies of the source whose window reaches into what is copied, as warnings.

    Where integers count the time, the window is counted back from the watermark: the policy's own now is behind it.
    """
    entries = {key_of(entry): entry for entry in wanted["aggregates"]}
    found = [(entries[key], start) for key in history for start in entries[key].get("refreshed_from") or ()]
    times = [entry for entry in found if entry[1] is not None and entry[0]["time_type"] not in _INTEGERS]
    asked = [
        statement(
            "(SELECT pg_catalog.to_json((EXTRACT(epoch FROM pg_catalog.now() - {}::pg_catalog.interval) * 1000000)"
            "::pg_catalog.int8))",
            literal(start),
        )
        for _entry, start in times
    ]
    begins = {(key_of(entry), start): begin for (entry, start), begin in zip(times, ask_all(source, asked))}
    told = []
    for entry, start in found:
        begin = begins.get((key_of(entry), start))
        if begin is None and start is not None and not never_refreshed(entry):
            begin = int(entry["watermark"]) - int(start)
        if begin is None or begin < history[key_of(entry)][-1].high:
            told.append(
                f"{entry['schema']}.{entry['name']}: its refresh policy reaches into buckets that are copied from the"
                f" source (start_offset {start or 'NULL'}). Once rows of their time are written on the target, it"
                " recomputes them from those rows alone."
            )
    return told
