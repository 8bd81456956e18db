# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions carried between versions, and windows cut into calls."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dbops.timescale.plugins.module_utils._cagg.definition import translate
from ansible_collections.dbops.timescale.plugins.module_utils._cagg.refresh import Window, stale
from ansible_collections.dbops.timescale.plugins.module_utils._cagg.times import time_text
from ansible_collections.dbops.timescale.plugins.module_utils._connection import Facts

HERE = Facts("source", 150000, None, "public")
MOVED = Facts("target", 150000, None, "Time Scale")
NG = "timescaledb_experimental.time_bucket_ng"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("SELECT public.time_bucket('1 day'::interval, t)", "SELECT \"Time Scale\".time_bucket('1 day'::interval, t)"),
        ("SELECT public.mine(t), 'public.time_bucket('", "SELECT public.mine(t), 'public.time_bucket('"),
        ("SELECT x.public.time_bucket", "SELECT x.public.time_bucket"),
    ],
)
def test_extension_schema(text: str, wanted: str) -> None:
    assert translate(text, HERE, MOVED, {"time_bucket"}) == wanted


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ("'7 days'::interval, d", "'7 days'::interval, d, origin => '2000-01-01 00:00:00'"),
        ("w, (a + b(1, 2)), '2020-01-01'::date", "w, (a + b(1, 2)), origin => '2020-01-01'::date"),
        ("w, t, origin => '2020-01-01'::date", "w, t, origin => '2020-01-01'::date"),
        (
            "w, t, 'Europe/Berlin'::text",
            "w, t, timezone => 'Europe/Berlin'::text, origin => "
            "('2000-01-01 00:00:00'::timestamp without time zone AT TIME ZONE 'Europe/Berlin'::text)",
        ),
    ],
)
def test_time_bucket_ng(arguments: str, wanted: str) -> None:
    assert translate(f"SELECT {NG}({arguments})", HERE, HERE, ()) == f'SELECT "public".time_bucket({wanted})'


ENTRY: dict[str, Any] = {
    "bucket_width": 10,
    "bucket_fixed": True,
    "chunk_interval": 40,
    "time_type": "bigint",
    "extent": [0, 190],
}


def test_calls_cover_the_window_newest_first_on_bucket_borders() -> None:
    parts = stale(ENTRY, Window(0, 0, 200), None, None)
    assert parts[0][1] == 200
    assert parts[-1][0] == 0
    assert [high for _low, high in parts[1:]] == [low for low, _high in parts[:-1]]
    assert all(high % 10 == 0 for _low, high in parts)


def test_cuts_lie_on_bucket_borders_whatever_the_end() -> None:
    parts = stale(ENTRY, Window(0, 0, 207), None, None)
    assert parts[0][1] == 207
    assert [high for _low, high in parts[1:]] == [low for low, _high in parts[:-1]]
    assert all(low % 10 == 0 for low, _high in parts)


def test_calls_overlap_where_no_bucket_border_is_known() -> None:
    parts = stale({**ENTRY, "extent": None}, Window(0, 0, 207), None, None)
    assert all(earlier - low == 10 for (low, _high), (_low, earlier) in zip(parts, parts[1:]))


def test_calls_are_shorter_where_rows_are_many() -> None:
    window, many = Window(0, 0, 200), 16 * 2**20 / 20.0  # bytes in a unit of time
    by_chunk = stale(ENTRY, window, None, None)
    assert len(stale(ENTRY, window, None, None, many / 10)) == len(by_chunk) == 5
    assert len(stale(ENTRY, window, None, None, many)) == 9  # two for a chunk, but the first bucket is nobody's border
    assert len(stale(ENTRY, window, None, None, many * 1000)) == 18  # a bucket each
    assert len(stale(ENTRY, window, None, 40, many)) == len(by_chunk)  # the operator's word
    overlapping = {**ENTRY, "extent": None}
    assert stale(overlapping, window, None, None, many) == stale(overlapping, window, None, None)


def test_only_stale_parts_are_called() -> None:
    window = Window(0, 0, 200)
    assert stale(ENTRY, window, [(-(2**63), -1), (200, 2**63 - 1)], None) == []
    assert stale(ENTRY, window, [(165, 165)], None) == [(160, 200)]


def test_time_text() -> None:
    assert time_text(-5, "integer") == "(-5)::pg_catalog.int4"
    assert time_text(1, "timestamp with time zone") == "'1970-01-01 00:00:00.000001+00'::pg_catalog.timestamptz"
    assert time_text(253_402_300_800_000_000, "date") == "'10000-01-01'::pg_catalog.date"
    assert time_text(9223371331200000000 - 86_400_000_000, "date") == "'294247-01-01'::pg_catalog.date"
    assert time_text(9223371331200000000, "timestamp with time zone") == "'infinity'::pg_catalog.timestamptz"
    assert time_text(86_400_000_000, "date") == "'1970-01-02'::pg_catalog.date"
    assert time_text(86_400_000_001, "date") == "'1970-01-03'::pg_catalog.date"
    assert time_text(-1, "date") == "'1970-01-01'::pg_catalog.date"
