# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Aggregates of every kind, moved by a role that owns none of them: same objects, same rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.test_cagg import AGGREGATES, compare, entries, judged, sync
from tests.support.pool import Pair, Pool, Sample

SUPERUSER = "postgres"
STORED = """
SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) AS stored,
    (SELECT quote_ident(d.column_name) FROM timescaledb_information.dimensions AS d
     WHERE d.hypertable_schema = materialization_hypertable_schema
     AND d.hypertable_name = materialization_hypertable_name) AS bucket, format('%I.%I', view_schema, view_name) AS view
FROM timescaledb_information.continuous_aggregates
"""
# A row was written behind the refresh: on the source the buckets that it falls in are not current.
PENDING = {
    '"Mixed.Case"."By.Hour"',
    'reports."By.Day"',
    '"Mixed.Case"."By.Week"',
    'reports."Per.Month"',
    "reports.month_of_berlin",
    "public.with_origin",
    "public.with_offset",
    "public.with_ng",
}

NAMES = (
    "By.",
    "Per.",
    "Top.",
    "month_of",
    "cycles_weekly",
    "local_days",
    "with_",
    "ticks_",
    "row_of",
    "rows_of",
    "days_",
)


@pytest.fixture
def moved(servers: Pool, pair: Pair) -> Iterator[Sample]:
    made = servers.fresh(pair, "aggregates")
    yield made
    made.drop()


def rows(server: Any, db: str, view: str, last: Any) -> tuple[list[Any], Any]:
    """What an aggregate answers up to a bucket (the last one that the source has materialized), in order."""
    ((table, column),) = [found[:2] for found in server.execute(db, STORED) if found[2] == view]
    if last is None:
        ((last,),) = server.execute(db, f"SELECT max({column}) FROM {table}")
    listed = "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
    keys = ", ".join(name for (name,) in server.execute(db, listed, (view,)))
    return server.execute(db, f"SELECT {keys} FROM {view} WHERE {column} <= %s ORDER BY {keys}", (last,)), last


def alike(ours: Any, theirs: Any) -> bool:
    """Equal values; floats within a relative 1e-9."""
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=1e-9)
    return bool(ours == theirs)


def differences(sample: Sample) -> dict[str, int]:
    """By aggregate the number of the source's rows that the target gives otherwise."""
    found: dict[str, int] = {}
    for (view,) in sample.source.execute(sample.source_db, AGGREGATES):
        ours, last = rows(sample.source, sample.source_db, view, None)
        theirs, _last = rows(sample.target, sample.target_db, view, last)
        assert ours, view
        assert len(ours) == len(theirs), view
        unlike = [a for a, b in zip(ours, theirs) if not all(alike(x, y) for x, y in zip(a, b))]
        if unlike:
            found[view] = len(unlike)
    return found


def test_four_beats_and_the_same_rows(moved: Sample) -> None:
    login: dict[str, Any] = {"user": SUPERUSER, "source": moved.source_login(SUPERUSER)}
    foreseen, done = sync(moved, check=True, **login), sync(moved, **login)
    assert done.get("failed") is None, done.get("msg")
    assert done["queries"] == foreseen["queries"]
    assert entries(done) == judged(foreseen)
    assert set(entries(done).values()) <= {"created", "altered"}
    assert "warnings" not in done, done["warnings"]
    for again in (sync(moved, check=True, **login), sync(moved, **login)):
        assert not again["changed"], again["queries"]
        assert set(again["summary"]) == {"present"}
    told = compare(moved, "continuous aggregates", "views", "functions", "columnstore settings")
    assert [line for line in told if any(name in line for name in NAMES) and "with_ng" not in line] == []
    apart = differences(moved)
    assert set(apart) <= PENDING, apart
    assert set(apart.values()) <= {1}, apart
