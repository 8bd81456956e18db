# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Which part of an aggregate is not current, and the calls that recompute it."""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t

from .._connection import Facts
from .._errors import BadInput
from .._sql import identifier, literal, quote_identifier, raw, statement
from .._versions import TS_REFRESH_OPTIONS
from .times import EPOCH, LOWEST, time_text

__all__ = ["Window", "call", "length_of", "never_refreshed", "stale", "time_of", "widest", "window_of"]

_DAY = 86_400_000_000
_NEVER = -210866803200000000  # the lowest timestamp in TimescaleDB's internal time: the watermark before any refresh
_MOST_BATCHES = 100
# Bytes of rows for one call. Of two calls at a time one waits while the other, in its transaction, makes a chunk:
# shorter ones wait less (3 million rows: 30 s by the chunk, 18 s so). Below this, calls cost more than they save.
_PIECE = 16 * 2**20
_MOST_PIECES = 10  # of a chunk, which covers ten chunks of the hypertable
_UNITS = {
    "microsecond": 1,
    "second": 1_000_000,
    "minute": 60_000_000,
    "hour": 3_600_000_000,
    "day": _DAY,
    "week": 7 * _DAY,
}


@dataclasses.dataclass(frozen=True)
class Window:
    """What shall be current, in TimescaleDB's internal time (microseconds since 1970, or the integer itself).

    :param start: begin of the calls; a whole bucket below ``first`` where no bucket begin is known.
    :param first: the first value with data: what lies below does not count as stale.
    :param end: the first value behind.
    """

    start: int
    first: int
    end: int


def never_refreshed(entry: t.Mapping[str, t.Any]) -> bool:
    """Whether an aggregate's watermark stands at the beginning of time."""
    watermark = entry["watermark"]
    return watermark is None or watermark <= LOWEST.get(entry["time_type"], _NEVER)


def widest(entry: t.Mapping[str, t.Any]) -> int:
    """No bucket of this aggregate is longer; months and time zones vary, their stored width is a mean."""
    width = int(entry["bucket_width"])
    return width if entry["bucket_fixed"] else width + width // 10 + _DAY


def window_of(
    entry: t.Mapping[str, t.Any], input_first: int | None, start: int | None, end: int | None
) -> Window | None:
    """The window to keep current, or None when the source has materialized nothing.

    It ends where the source's watermark stands: never inside the open bucket, whose later rows would stay unseen.

    :param entry: the source's aggregate.
    :param input_first: the first time value of what the aggregate reads on the target, None when there is nothing.
    :param start: given by the operator; the first whole bucket from there on counts.
    :param end: given by the operator; the last whole bucket in front of it counts.
    """
    if end is not None:
        end -= _past_border(entry, end)
    elif never_refreshed(entry):
        return None
    else:
        end = int(entry["watermark"])
    if start is not None:
        start += -_past_border(entry, start) % int(entry["bucket_width"])
    stored = entry["extent"][0] if entry["extent"] else None
    known = [value for value in (stored, input_first) if value is not None and value < end]
    if start is not None:
        return Window(start, start, end) if start < end else None
    if not known:
        return None
    first = min(known)
    lowest = LOWEST.get(entry["time_type"], _NEVER)
    return Window(max(lowest, first if first == stored else first - widest(entry)), first, end)


def _past_border(entry: t.Mapping[str, t.Any], value: int) -> int:
    """How far a value lies behind the begin of its bucket; 0 where that is not known.

    A refresh leaves out buckets that its window does not hold whole, so they would count as stale for ever.
    """
    known = entry["bucket_fixed"] and entry["extent"]
    return int((value - entry["extent"][0]) % int(entry["bucket_width"])) if known else 0


def stale(
    entry: t.Mapping[str, t.Any],
    window: Window,
    invalid: t.Sequence[t.Sequence[int]] | None,
    batch: int | None,
    density: float = 0.0,
) -> list[tuple[int, int]]:
    """The parts of a window that are not current, newest first, each to be refreshed by a call of its own.

    :param invalid: the target's invalid ranges (both ends belong to them); None means all of it.
    :param batch: length of one call; by default a chunk of the materialization or, where the rows of one are many, a
        part of it; at most a hundred calls.
    :param density: bytes of rows in a unit of internal time, 0 when unknown.
    """
    if invalid is not None and not _touches(invalid, window.first, window.end):
        return []
    return [
        (low, high)
        for low, high in _batches(entry, window, batch, density)
        if invalid is None or _touches(invalid, max(low, window.first), high)
    ]


def _touches(ranges: t.Sequence[t.Sequence[int]], low: int, high: int) -> bool:
    return any(lowest < high and greatest >= low for lowest, greatest in ranges)


def _batches(entry: t.Mapping[str, t.Any], window: Window, batch: int | None, density: float) -> list[tuple[int, int]]:
    """Cut a window.

    A call refreshes only whole buckets inside it: cuts lie on bucket borders, counted from a bucket that is stored, or
    calls overlap by a bucket where buckets vary or none is stored. A window's end is no border where it is the last
    value that the type can hold.
    """
    width = max(1, int(entry["bucket_width"]))
    span = window.end - window.start
    overlap = 0 if entry["bucket_fixed"] and entry["extent"] else widest(entry)
    chunk = int(entry["chunk_interval"])
    pieces = 1 if overlap else min(_MOST_PIECES, max(1, int(chunk * density / _PIECE)))
    length = batch or max(chunk // pieces, span // _MOST_BATCHES)
    length = max(width, length - length % width)
    high = window.end
    low = high - length - _past_border(entry, high)
    cut: list[tuple[int, int]] = []
    while low > window.start + 2 * widest(entry):
        cut.append((low - overlap, high))
        low, high = low - length, low
    return [*cut, (window.start, high)]


def call(entry: t.Mapping[str, t.Any], low: int, high: int, target: Facts) -> str:
    """The statement that refreshes one part. It cannot run inside a transaction block."""
    options = ""
    if target.timescale is not None and target.timescale >= TS_REFRESH_OPTIONS:
        options = """, options => '{"buckets_per_batch": 0}'"""  # one call is one batch already
    name = f"{quote_identifier(entry['schema'])}.{quote_identifier(entry['name'])}"
    return statement(
        "CALL {procedure}({name}::pg_catalog.regclass, {low}, {high}{options})",
        procedure=identifier(target.extension_schema, "refresh_continuous_aggregate"),
        name=literal(name),
        low=raw(time_text(low, entry["time_type"])),
        high=raw(time_text(high, entry["time_type"])),
        options=raw(options),
    )


def time_of(text: str, time_type: str, option: str, label: str) -> int:
    """Read an operator's time for one aggregate: a whole number, or ISO 8601 (UTC where no zone is given).

    :raises BadInput: it is neither, or not of the aggregate's kind.
    """
    try:
        if time_type in LOWEST:
            return int(text)
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        moment = moment.astimezone(datetime.timezone.utc).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError) as error:
        wanted = "a whole number" if time_type in LOWEST else "a time as ISO 8601"
        raise BadInput(
            f"{option}: {text!r} is not {wanted}, which {label} needs.",
            hint="Name the fitting aggregates with include.",
        ) from error
    return (moment - EPOCH) // datetime.timedelta(microseconds=1)


def length_of(text: str, entry: t.Mapping[str, t.Any]) -> int:
    """Read refresh_batch: a number of buckets, or an interval such as ``7 days`` (for integer time, buckets only).

    :raises BadInput: it is neither.
    """
    match = re.fullmatch(r"\s*(\d+)\s*(?:([a-z]+?)s?)?\s*", text.lower())
    if match is not None and int(match.group(1)) > 0:
        if match.group(2) is None:
            return int(match.group(1)) * int(entry["bucket_width"])
        if match.group(2) in _UNITS and entry["time_type"] not in LOWEST:
            return int(match.group(1)) * _UNITS[match.group(2)]
    raise BadInput(
        f"refresh_batch: {text!r} is neither a number of buckets nor an interval that aggregate"
        f" {entry['schema']}.{entry['name']} can take.",
        hint=f"Give a number, or a number and one of {', '.join(_UNITS)} (no months: they vary).",
    )
