# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Time values as TimescaleDB counts them: microseconds since 1970, or the integer itself."""

from __future__ import annotations

import datetime

__all__ = ["EPOCH", "LOWEST", "TIME_TYPES", "time_text"]

EPOCH = datetime.datetime(1970, 1, 1)
# Types whose internal time is counted in microseconds since 1970, as extract(epoch) gives it, and the integers.
TIME_TYPES = {
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "date": "date",
    "bigint": "int8",
    "integer": "int4",
    "smallint": "int2",
}
LOWEST = {"bigint": -(2**63), "integer": -(2**31), "smallint": -(2**15)}
_DAY = 86_400_000_000
_CYCLE = 146_097 * _DAY  # 400 years: the Gregorian calendar repeats
_LAST = (datetime.datetime.max - EPOCH) // datetime.timedelta(microseconds=1)
_END = 9223371331200000000  # what TimescaleDB's internal time has for behind the last timestamp


def time_text(value: int, time_type: str) -> str:
    """A typed SQL literal for an internal time value; for dates the first one that is not lower.

    So a date is below (or not below) the text whenever it is below (or not below) the value.
    """
    if time_type in LOWEST:
        return (
            f"{value}::pg_catalog.{TIME_TYPES[time_type]}"
            if value >= 0
            else f"({value})::pg_catalog.{TIME_TYPES[time_type]}"
        )
    moment = _moment(-(-value // _DAY) * _DAY if time_type == "date" else value)
    zone = "+00" if time_type == "timestamp with time zone" and not moment.endswith("infinity") else ""
    if time_type == "date":
        moment = moment.split(" ")[0]
    return f"'{moment}{zone}'::pg_catalog.{TIME_TYPES[time_type]}"


def _moment(value: int) -> str:
    """A date and time. Python knows years 1 to 9999; later ones are told by the same day cycles of 400 years before."""
    if value >= _END:
        return "infinity"
    cycles = max(0, -(-(value - _LAST) // _CYCLE))
    try:
        moment = EPOCH + datetime.timedelta(microseconds=value - cycles * _CYCLE)
    except OverflowError:
        return "-infinity"
    return f"{moment.year + 400 * cycles:04}{moment.isoformat(sep=' ')[4:]}"
