# Copyright (c) 2026, the dbops.timescale authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Buckets older than the rows they were made of: nothing of them may be lost, now or at a later refresh."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.playbook import run_module
from tests.support.pool import Pair, Pool, Sample

LEVELS = ("hourly", "daily", "weekly")
SETUP = (
    "CREATE TABLE public.raw (at timestamptz NOT NULL, device int, value numeric)",
    "SELECT create_hypertable('public.raw', 'at', chunk_time_interval => interval '1 day')",
    """INSERT INTO public.raw SELECT '2026-01-01 00:20+00'::timestamptz + n * interval '1 hour', n % 3, n
       FROM generate_series(0, 999) AS n""",
    """CREATE MATERIALIZED VIEW public.hourly WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
       SELECT time_bucket('1 hour', at) AS bucket, device, sum(value) AS total, count(*) AS n
       FROM public.raw GROUP BY 1, 2 WITH NO DATA""",
    """CREATE MATERIALIZED VIEW public.daily WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
       SELECT time_bucket('1 day', bucket) AS bucket, device, sum(total) AS total, sum(n) AS n
       FROM public.hourly GROUP BY 1, 2 WITH NO DATA""",
    """CREATE MATERIALIZED VIEW public.weekly WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
       SELECT time_bucket('7 days', bucket) AS bucket, device, sum(total) AS total, sum(n) AS n
       FROM public.daily GROUP BY 1, 2 WITH NO DATA""",
    "CALL refresh_continuous_aggregate('public.hourly', NULL, '2026-02-08 00:00+00')",
    "CALL refresh_continuous_aggregate('public.daily', NULL, '2026-02-08 00:00+00')",
    "CALL refresh_continuous_aggregate('public.weekly', NULL, '2026-02-09 00:00+00')",
)
# Each level keeps its buckets longer than what it is made of.
RETENTION = (
    "SELECT drop_chunks('public.raw', older_than => '2026-01-25 00:00+00'::timestamptz)",
    "SELECT drop_chunks('public.hourly', older_than => '2026-01-18 00:00+00'::timestamptz)",
    "SELECT drop_chunks('public.daily', older_than => '2026-01-09 00:00+00'::timestamptz)",
)


def sync(moved: Sample, check: bool = False, **options: Any) -> dict[str, Any]:
    return run_module("timescale_cagg_sync", {**moved.login("postgres", "postgres"), "jobs": 2, **options}, check=check)


def contents(server: Any, db: str) -> dict[str, list[Any]]:
    """What each level answers."""
    return {level: server.execute(db, f"SELECT * FROM public.{level} ORDER BY 1, 2") for level in LEVELS}


def history(result: dict[str, Any]) -> dict[str, int]:
    """Rows of history by aggregate."""
    rows: dict[str, int] = {}
    for entry in result["objects"]:
        if entry["kind"] == "history" and "rows" in entry:
            rows[entry["table"]] = rows.get(entry["table"], 0) + entry["rows"]
    return rows


@pytest.fixture
def aged(servers: Pool, pair: Pair) -> Iterator[Sample]:
    """A source whose levels each have a retention of their own, and a target that has only the rows that are left."""
    for one in pair.missing():
        pytest.skip(f"{one} is not installed")
    source, source_version = servers.side(pair.source)
    target, target_version = servers.side(pair.target)
    made = Sample(source, "aged_source", target, "aged_target", user="postgres")
    source.create_database(made.source_db, extension_version=source_version)
    target.create_database(made.target_db, extension_version=target_version)
    for statement in (*SETUP, *RETENTION):
        source.execute(made.source_db, statement)
    for statement in SETUP[:3]:
        target.execute(made.target_db, statement)
    target.execute(made.target_db, RETENTION[0])
    yield made
    made.drop()


def test_every_level_answers_as_the_source_and_stays_so(aged: Sample) -> None:
    wanted = contents(aged.source, aged.source_db)
    foreseen = sync(aged, check=True)
    done = sync(aged)
    assert done.get("failed") is None, done
    assert done["queries"] == foreseen["queries"]
    assert history(done) == history(foreseen)
    assert set(history(done)) == {"hourly", "daily", "weekly"}
    assert contents(aged.target, aged.target_db) == wanted
    for again in (sync(aged, check=True), sync(aged)):
        assert not again["changed"], again["queries"]
    for level in LEVELS:
        aged.target.execute(aged.target_db, f"CALL refresh_continuous_aggregate('public.{level}', NULL, '2026-02-08')")
    assert contents(aged.target, aged.target_db) == wanted
    aged.target.execute(aged.target_db, "INSERT INTO public.raw VALUES ('2026-02-03 05:05+00', 1, 5)")
    for level, end in zip(LEVELS, ("2026-02-08", "2026-02-08", "2026-02-09")):
        aged.target.execute(aged.target_db, f"CALL refresh_continuous_aggregate('public.{level}', NULL, '{end}')")
    later = contents(aged.target, aged.target_db)
    for level in LEVELS:
        changed = [row for row in wanted[level] if row not in later[level]]
        assert len(changed) <= 1, (level, changed)
        assert {row[:2] for row in wanted[level]} <= {row[:2] for row in later[level]}, level


def test_a_lost_piece_is_copied_again_with_what_stands_on_it(aged: Sample) -> None:
    wanted = contents(aged.source, aged.source_db)
    sync(aged)
    schema, name = aged.target.execute(
        aged.target_db,
        "SELECT materialization_hypertable_schema, materialization_hypertable_name"
        " FROM timescaledb_information.continuous_aggregates WHERE view_name = 'hourly'",
    )[0]
    aged.target.execute(aged.target_db, f"DELETE FROM {schema}.{name} WHERE bucket < '2026-01-20'")
    again = sync(aged)
    assert again.get("failed") is None, again
    assert "hourly" in history(again)
    assert contents(aged.target, aged.target_db) == wanted
    assert not sync(aged)["changed"]


def test_no_rows_at_all_on_the_target(aged: Sample) -> None:
    wanted = contents(aged.source, aged.source_db)
    aged.target.execute(aged.target_db, "TRUNCATE public.raw")
    done = sync(aged)
    assert done.get("failed") is None, done
    told = {entry["name"] for entry in done["objects"] if entry["outcome"] == "pending"}
    assert told == {"hourly"}
    assert contents(aged.target, aged.target_db)["daily"] == wanted["daily"]
    assert not sync(aged)["changed"]
    aged.target.execute(aged.target_db, "INSERT INTO public.raw VALUES ('2026-03-02 05:05+00', 1, 5)")
    for level in LEVELS:
        aged.target.execute(aged.target_db, f"CALL refresh_continuous_aggregate('public.{level}', NULL, '2026-03-09')")
    later = contents(aged.target, aged.target_db)
    for level in LEVELS:
        stored = [row for row in wanted[level] if str(row[0]) < "2026-02-02"]
        assert [row for row in stored if row not in later[level]] == [], level


def test_rows_that_end_before_the_history_does(aged: Sample) -> None:
    wanted = contents(aged.source, aged.source_db)
    aged.target.execute(aged.target_db, "SELECT drop_chunks('public.raw', older_than => '2026-02-20'::timestamptz)")
    aged.target.execute(
        aged.target_db,
        "INSERT INTO public.raw SELECT '2026-01-26 00:20+00'::timestamptz, n % 3, n FROM generate_series(1, 3) AS n",
    )
    sync(aged)
    stored = contents(aged.target, aged.target_db)["daily"]
    missing = [row for row in wanted["daily"] if row not in stored]
    assert missing == []
    assert not sync(aged)["changed"]


def test_refused_or_ignored(aged: Sample) -> None:
    refused = sync(aged, history="fail")
    assert refused["failed"]
    assert "public.hourly" in refused["msg"]
    assert not refused["changed"]
    done = sync(aged, history="ignore")
    assert history(done) == {}
    assert len(contents(aged.target, aged.target_db)["daily"]) < len(contents(aged.source, aged.source_db)["daily"])


def test_without_refresh_the_copied_ranges_are_refreshed_first(aged: Sample) -> None:
    done = sync(aged, refresh="none")
    assert done.get("failed") is None, done
    for level in LEVELS:
        aged.target.execute(aged.target_db, f"CALL refresh_continuous_aggregate('public.{level}', NULL, '2026-02-08')")
    assert contents(aged.target, aged.target_db)["daily"] == contents(aged.source, aged.source_db)["daily"]
