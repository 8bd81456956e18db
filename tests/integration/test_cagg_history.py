# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Buckets older than the rows they were made of: nothing of them may be lost, now or at a later refresh."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.playbook import run_module
from tests.support.pool import PAIRS, Pair, Pool, Sample

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


def settled(server: Any, db: str) -> dict[str, list[Any]]:
    """What each level answers for the time that both sides have materialized."""
    limit = datetime.datetime(2026, 2, 2, tzinfo=datetime.timezone.utc)
    return {level: [row for row in rows if row[0] < limit] for level, rows in contents(server, db).items()}


def recompute(moved: Sample) -> None:
    """Refresh all there is on the target."""
    for level in LEVELS:
        moved.target.execute(moved.target_db, f"CALL refresh_continuous_aggregate('public.{level}', NULL, NULL)")


def history(result: dict[str, Any]) -> dict[str, int]:
    """Rows of history by aggregate."""
    rows: dict[str, int] = {}
    for entry in result["objects"]:
        if entry["kind"] == "history" and "rows" in entry:
            rows[entry["table"]] = rows.get(entry["table"], 0) + entry["rows"]
    return rows


def warned(result: dict[str, Any]) -> list[str]:
    """The warnings as text, whatever shape this ansible-core gives them."""
    return [one["event"]["msg"] if isinstance(one, dict) else one for one in result.get("warnings", ())]


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
    recompute(aged)
    assert settled(aged.target, aged.target_db) == settled(aged.source, aged.source_db)
    aged.target.execute(aged.target_db, "INSERT INTO public.raw VALUES ('2026-02-03 05:05+00', 1, 5)")
    before = contents(aged.target, aged.target_db)["daily"]
    recompute(aged)
    assert contents(aged.target, aged.target_db)["daily"] != before
    assert settled(aged.target, aged.target_db) == settled(aged.source, aged.source_db)
    aged.target.execute(aged.target_db, "INSERT INTO public.raw VALUES ('2026-02-04 05:05+00', 1, 5)")
    for level in LEVELS:
        add = f"SELECT add_continuous_aggregate_policy('public.{level}', NULL, interval '1 hour', interval '1 hour')"
        job = aged.target.execute(aged.target_db, add)[0][0]
        aged.target.execute(aged.target_db, f"CALL run_job({job})")
    assert settled(aged.target, aged.target_db) == settled(aged.source, aged.source_db)


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


def moved_on(aged: Sample, wanted: list[Any]) -> None:
    """What was moved without its rows is a source itself: its watermarks stand where nothing was ever refreshed."""
    ((version,),) = aged.target.execute(
        aged.target_db, "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"
    )
    further = Sample(aged.target, aged.target_db, aged.target, "aged_further", user="postgres")
    further.target.create_database(further.target_db, extension_version=version)
    try:
        for statement in SETUP[:2]:
            further.target.execute(further.target_db, statement)
        done = sync(further)
        assert done.get("failed") is None, done["msg"]
        assert contents(further.target, further.target_db)["daily"] == wanted
        assert not sync(further)["changed"]
    finally:
        further.target.drop_database(further.target_db)


def test_no_rows_at_all_on_the_target(aged: Sample) -> None:
    wanted = contents(aged.source, aged.source_db)
    aged.target.execute(aged.target_db, "TRUNCATE public.raw")
    done = sync(aged)
    assert done.get("failed") is None, done
    told = {entry["name"] for entry in done["objects"] if entry["outcome"] == "pending"}
    assert told == {"hourly"}
    assert contents(aged.target, aged.target_db)["daily"] == wanted["daily"]
    assert not sync(aged)["changed"]
    moved_on(aged, wanted["daily"])
    recompute(aged)
    aged.target.execute(aged.target_db, "INSERT INTO public.raw VALUES ('2026-03-02 05:05+00', 1, 5)")
    recompute(aged)
    assert settled(aged.target, aged.target_db) == settled(aged.source, aged.source_db)


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
    aged.target.execute(aged.target_db, "INSERT INTO public.raw VALUES ('2026-03-02 05:05+00', 1, 5)")
    recompute(aged)
    ours, theirs = settled(aged.source, aged.source_db), settled(aged.target, aged.target_db)
    # Rows that only the target has make a bucket of their own there.
    new = datetime.datetime(2026, 1, 26, tzinfo=datetime.timezone.utc)
    for level in ("hourly", "daily"):
        assert [r for r in ours[level] if r not in theirs[level] and not new <= r[0] <= new] == [], level


def test_the_targets_rows_are_a_piece_out_of_the_middle(aged: Sample) -> None:
    """Rows are missing in front and behind: what lies behind is hidden in real-time levels until a row comes."""
    wanted = contents(aged.source, aged.source_db)
    aged.target.execute(aged.target_db, "SELECT drop_chunks('public.raw', newer_than => '2026-01-28'::timestamptz)")
    done = sync(aged)
    assert done.get("failed") is None, done
    told = {entry["name"] for entry in done["objects"] if entry["outcome"] == "pending"}
    assert "hourly" in told
    assert "daily" not in told
    assert contents(aged.target, aged.target_db)["daily"] == wanted["daily"]
    assert not sync(aged)["changed"]
    aged.target.execute(aged.target_db, "INSERT INTO public.raw VALUES ('2026-03-02 05:05+00', 1, 5)")
    recompute(aged)
    assert settled(aged.target, aged.target_db) == settled(aged.source, aged.source_db)
    recompute(aged)
    assert settled(aged.target, aged.target_db) == settled(aged.source, aged.source_db)


def test_the_other_way_round_real_time_or_not(aged: Sample) -> None:
    """Each level the other kind; later rows are seen at once by the one that is real-time."""
    for level, only in (("hourly", "true"), ("daily", "false"), ("weekly", "true")):
        alter = f"ALTER MATERIALIZED VIEW public.{level} SET (timescaledb.materialized_only = {only})"
        aged.source.execute(aged.source_db, alter)
    done = sync(aged)
    assert done.get("failed") is None, done
    assert contents(aged.target, aged.target_db) == contents(aged.source, aged.source_db)
    assert not sync(aged)["changed"]
    stored = "SELECT max(bucket) FROM public.hourly"
    assert aged.target.execute(aged.target_db, stored) == aged.source.execute(aged.source_db, stored)
    recompute(aged)
    assert settled(aged.target, aged.target_db) == settled(aged.source, aged.source_db)


def test_the_open_bucket_stays_open(aged: Sample) -> None:
    """A refresh ends at the source's watermark: a row in the bucket behind it is seen without another refresh."""
    sync(aged)
    late = "INSERT INTO public.raw VALUES ('2026-02-09 05:05+00', 1, 5)"
    query = "SELECT n FROM public.hourly WHERE bucket = '2026-02-09 05:00+00' AND device = 1"
    for server, db in ((aged.source, aged.source_db), (aged.target, aged.target_db)):
        before = server.execute(db, query)
        server.execute(db, late)
        assert server.execute(db, query) != before


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


def test_a_refresh_that_ends_early_does_not_leave_copies_to_the_next_one(aged: Sample) -> None:
    done = sync(aged, refresh_end="2026-01-05")
    assert done.get("failed") is None, done
    recompute(aged)
    assert settled(aged.target, aged.target_db) == settled(aged.source, aged.source_db)


def test_only_what_is_chosen_counts(aged: Sample) -> None:
    done = sync(aged, include=["reports.*"], history="fail")
    assert done.get("failed") is None, done
    sync(aged, include=["public.hourly"], history="ignore")
    done = sync(aged, include=["public.daily"])
    assert set(history(done)) == {"daily"}
    query = "SELECT * FROM public.daily ORDER BY 1, 2"
    assert aged.target.execute(aged.target_db, query) == aged.source.execute(aged.source_db, query)


def test_policies_that_reach_into_copies_are_told(aged: Sample) -> None:
    for level, start in (("hourly", "NULL"), ("daily", "interval '4 days'")):
        aged.source.execute(
            aged.source_db,
            f"SELECT add_continuous_aggregate_policy('public.{level}', {start}, interval '1 hour', interval '1 hour')",
        )
    told = [text for text in warned(sync(aged, check=True)) if "policy" in text]
    assert len(told) == 1, told
    assert "public.hourly" in told[0]


COUNTED = (
    "CREATE TABLE public.counted (tick int NOT NULL, gone text, device int, twice int"
    " GENERATED ALWAYS AS (device * 2) STORED)",
    "ALTER TABLE public.counted DROP COLUMN gone",
    "SELECT create_hypertable('public.counted', 'tick', chunk_time_interval => 100)",
    "CREATE FUNCTION public.counted_now() RETURNS int LANGUAGE sql STABLE AS 'SELECT max(tick) FROM public.counted'",
    "SELECT set_integer_now_func('public.counted', 'public.counted_now')",
    "INSERT INTO public.counted SELECT n, n % 7 FROM generate_series(0, 2999) AS n",
)
COUNTED_AGGREGATES = (
    """CREATE MATERIALIZED VIEW public.steps WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
       SELECT time_bucket(250, tick) AS bucket, device, sum(twice) AS total, count(*) AS n
       FROM public.counted GROUP BY 1, 2 WITH NO DATA""",
    "CALL refresh_continuous_aggregate('public.steps', 0, 2750)",
    "ALTER MATERIALIZED VIEW public.steps SET (timescaledb.compress = true, timescaledb.compress_segmentby = 'device')",
    "SELECT compress_chunk(c) FROM show_chunks('public.steps') AS c",
)


@pytest.fixture
def counted(servers: Pool, pair: Pair) -> Iterator[Sample]:
    """Integer time, generated and dropped columns, a compressed aggregate; the first row lies within a bucket."""
    for one in pair.missing():
        pytest.skip(f"{one} is not installed")
    (source, version), (target, target_version) = servers.side(pair.source), servers.side(pair.target)
    made = Sample(source, "counted_source", target, "counted_target", user="postgres")
    source.create_database(made.source_db, extension_version=version)
    target.create_database(made.target_db, extension_version=target_version)
    for statement in (*COUNTED, *COUNTED_AGGREGATES):
        source.execute(made.source_db, statement)
    for statement in COUNTED:
        target.execute(made.target_db, statement)
    for server, db in ((source, made.source_db), (target, made.target_db)):
        server.execute(db, "SELECT drop_chunks('public.counted', older_than => 600)")
    yield made
    made.drop()


def test_compressed_integers_and_the_bucket_that_straddles(counted: Sample) -> None:
    query = "SELECT * FROM public.steps ORDER BY 1, 2"
    wanted = counted.source.execute(counted.source_db, query)
    foreseen, done = sync(counted, check=True), sync(counted)
    assert done.get("failed") is None, done["msg"]
    assert history(done) == history(foreseen) == {"steps": 21}
    assert counted.target.execute(counted.target_db, query) == wanted
    assert not sync(counted)["changed"]
    counted.target.execute(counted.target_db, "SELECT compress_chunk(c) FROM show_chunks('public.steps') AS c")
    assert not sync(counted)["changed"]
    stored = counted.target.execute(
        counted.target_db,
        "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)"
        " FROM timescaledb_information.continuous_aggregates",
    )[0][0]
    counted.target.execute(counted.target_db, f"DELETE FROM {stored} WHERE bucket < 500 AND device < 3")
    again = sync(counted)
    assert again.get("failed") is None, again["msg"]
    assert counted.target.execute(counted.target_db, query) == wanted
    counted.target.execute(counted.target_db, "CALL refresh_continuous_aggregate('public.steps', NULL, NULL)")
    assert counted.target.execute(counted.target_db, query)[: len(wanted)] == wanted


DATED = (
    "CREATE TABLE public.dated (day date NOT NULL, value int)",
    "SELECT create_hypertable('public.dated', 'day', chunk_time_interval => interval '5 days')",
    "INSERT INTO public.dated SELECT '2026-01-01'::date + n, n FROM generate_series(0, 39) AS n",
)
BY_DAY = (
    """CREATE MATERIALIZED VIEW public.by_day WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
       SELECT time_bucket('1 day', day) AS bucket, sum(value) AS total FROM public.dated GROUP BY 1 WITH NO DATA""",
    "CALL refresh_continuous_aggregate('public.by_day', NULL, NULL)",
)


@pytest.mark.parametrize("left", ["nothing", "the middle"])
def test_buckets_that_are_dates(servers: Pool, left: str) -> None:
    """No date lies behind the last one by less than a day: the last bucket of a piece is copied too."""
    pair = PAIRS[-1]
    for one in pair.missing():
        pytest.skip(f"{one} is not installed")
    (source, version), (target, target_version) = servers.side(pair.source), servers.side(pair.target)
    made = Sample(source, "dated_source", target, "dated_target", user="postgres")
    source.create_database(made.source_db, extension_version=version)
    target.create_database(made.target_db, extension_version=target_version)
    try:
        for statement in (*DATED, *BY_DAY):
            source.execute(made.source_db, statement)
        for statement in DATED:
            target.execute(made.target_db, statement)
        gone = "" if left == "nothing" else " WHERE day NOT BETWEEN '2026-01-13' AND '2026-01-21'"
        for server, db in ((source, made.source_db), (target, made.target_db)):
            server.execute(db, f"DELETE FROM public.dated{gone}")
        query = "SELECT * FROM public.by_day ORDER BY 1"
        wanted = source.execute(made.source_db, query)
        foreseen, done = sync(made, check=True), sync(made)
        assert done.get("failed") is None, done["msg"]
        assert done["queries"] == foreseen["queries"]
        assert target.execute(made.target_db, query) == wanted
        assert not sync(made)["changed"]
    finally:
        made.drop()


def test_partials_cannot_be_copied(aged: Sample) -> None:
    source = aged.source.execute(aged.source_db, "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    if source[0][0] != "2.11.2":
        return  # later versions know none
    # This release makes none any more either, but reads what older ones made; the catalog says which is which.
    aged.source.execute(
        aged.source_db,
        "UPDATE _timescaledb_catalog.continuous_agg SET finalized = false WHERE user_view_name = 'weekly'",
    )
    refused = sync(aged)
    assert refused["failed"]
    assert "partials" in refused["msg"]
    assert not refused["changed"]
    done = sync(aged, on_unsupported="skip")
    assert done.get("failed") is None, done["msg"]
    (told,) = [one for one in done["objects"] if one["kind"] == "history" and one["name"] == "weekly"]
    assert (told["outcome"], "cagg_migrate" in told["hint"]) == ("unsupported", True)
