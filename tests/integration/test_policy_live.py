# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs beside a running scheduler: none starts too early, and what does not run is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_policy import make_aggregates, on_source, on_target, outcomes, refresh, run
from tests.support.playbook import run_module
from tests.support.pool import PAIRS, Pair, Pool, Sample, Wanted

NEWEST: Pair = PAIRS[1] if len(PAIRS) > 1 else PAIRS[0]
COMPACTING = Pair(Wanted("2.29.2", 18), Wanted("2.29.2", 18))
RUNS = 20
RUNNING = 30  # seconds that the scheduler is watched for
COUNT = "SELECT count(*) FROM public.tanks"
# Every run leaves a row there once logging is on; the row outlives its job.
HISTORY = "SELECT job_id FROM _timescaledb_internal.bgw_job_stat_history WHERE job_id >= 1000"
STARTED = "SELECT job_id FROM _timescaledb_internal.bgw_job_stat WHERE job_id >= 1000 AND total_runs > 0"

TABLES = """
CREATE TABLE public.tanks (at timestamptz NOT NULL, tank integer, level float);
SELECT public.create_hypertable('public.tanks', 'at', chunk_time_interval => interval '7 days');
CREATE MATERIALIZED VIEW public.daily WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT public.time_bucket('1 day', at) AS day, tank, sum(level) AS level FROM public.tanks GROUP BY 1, 2 WITH NO DATA;
"""
ROWS = """
INSERT INTO public.tanks SELECT t, n, 1 FROM generate_series(1, 3) AS n,
  generate_series('{begin}'::timestamptz, '{end}'::timestamptz, interval '1 day') AS t;
"""
REFRESH = "CALL public.refresh_continuous_aggregate('public.daily', NULL, NULL)"


@pytest.fixture
def live(servers: Pool) -> Iterator[Sample]:
    """The pair of equals; the target's scheduler is on."""
    made = servers.fresh(NEWEST, scheduler=True)
    make_aggregates(made)
    yield made
    made.drop()


def small(servers: Pool, number: int, *, begin: int = 730, scheduler: bool = True) -> Sample:
    """A source with rows of two years, an aggregate that is refreshed, and 30 days of retention; a target without.

    Args:
        servers: where.
        number: makes the names.
        begin: the target has rows of so many days.
        scheduler: whether the target runs jobs.
    """
    source, version = servers.side(NEWEST.source)
    target, target_version = servers.side(NEWEST.target, scheduler=scheduler)
    sample = Sample(source, f"old_tanks_{number}", target, f"new_tanks_{number}", "postgres")
    source.create_database(sample.source_db, extension_version=version)
    target.create_database(sample.target_db, extension_version=target_version)
    days = {days: str(source.execute("postgres", f"SELECT now()::date - {days}")[0][0]) for days in (730, begin, 1)}
    for line in filter(str.strip, TABLES.split(";")):
        on_source(sample, line)
        on_target(sample, line)
    on_source(sample, ROWS.format(begin=days[730], end=days[1]))
    on_source(sample, REFRESH)
    on_source(sample, "SELECT public.add_retention_policy('public.tanks', interval '30 days')")
    on_target(sample, ROWS.format(begin=days[begin], end=days[1]))
    return sample


def until(condition: str, sample: Sample, seconds: float = 30) -> bool:
    """Wait for a query to give true."""
    end = time.monotonic() + seconds
    while not on_target(sample, condition)[0][0]:
        if time.monotonic() > end:
            return False
        time.sleep(0.3)
    return True


def test_no_job_starts_before_the_activation(live: Sample) -> None:
    on_target(live, "ALTER SYSTEM SET timescaledb.enable_job_execution_logging = on", "postgres")
    on_target(live, "SELECT pg_reload_conf()", "postgres")
    for number in range(RUNS):
        run(live, scheduled="paused")
        time.sleep(0.5)
        assert on_target(live, STARTED) == [], number
        if number + 1 < RUNS:
            on_target(live, "SELECT public.delete_job(job_id) FROM timescaledb_information.jobs WHERE job_id >= 1000")
    assert on_target(live, HISTORY) == []
    run(live, activate=True, exclude=["*.fill_measurements"])
    assert until(f"SELECT EXISTS ({STARTED})", live), "what is watched must be seen when it comes"


def test_old_rows_stay_until_the_aggregate_has_them(servers: Pool) -> None:
    paused, active = small(servers, 1), small(servers, 2)
    rows = [on_target(sample, COUNT) for sample in (paused, active)]
    try:
        run(paused, scheduled="paused")
        (entry,) = [o for o in run(active)["objects"] if o["kind"] == "retention_policy"]
        assert "not yet materialized in public.daily" in entry["reason"]
        held = run(active, activate=True)
        assert outcomes(held, "pending") == ["retention_policy public.tanks"]
        (told,) = held["retention"]
        assert told["chunks"] > 90
        time.sleep(RUNNING)
        assert [on_target(sample, COUNT) for sample in (paused, active)] == rows
        on_target(active, REFRESH)
        ran = run(active, activate=True, watch=30)
        assert outcomes(ran, "altered") == ["retention_policy public.tanks"]
        assert (ran["running"]["started"], ran["running"]["failing"]) == (1, [])
        assert until(f"SELECT ({COUNT}) < {rows[1][0][0] // 10}", active)
        assert on_target(paused, COUNT) == rows[0]
        _drift_keeps_what_the_scheduler_wrote(active)
    finally:
        paused.drop()
        active.drop()


def _drift_keeps_what_the_scheduler_wrote(sample: Sample) -> None:
    """The policy has run: its id and its statistics stay when it is put right."""
    statistics = "SELECT * FROM _timescaledb_internal.bgw_job_stat WHERE job_id >= 1000"
    before = on_target(sample, statistics)
    assert on_target(sample, f"SELECT total_successes FROM ({statistics}) AS s") == [(1,)]
    on_target(
        sample,
        "SELECT public.alter_job(job_id, max_retries => 3, max_runtime => '9 min')"
        " FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention' AND job_id >= 1000",
    )
    mended = run(sample)
    assert outcomes(mended, "altered") == ["retention_policy public.tanks"]
    assert on_target(sample, statistics) == before
    assert run(sample)["changed"] is False


def test_retention_waits_for_history(servers: Pool, tmp_path: Path) -> None:
    """The source dropped rows long ago; their results are only in its aggregate."""
    sample = small(servers, 3, begin=200, scheduler=False)
    on_source(sample, "SELECT public.drop_chunks('public.tanks', interval '200 days')")
    on_target(sample, "TRUNCATE public.tanks")
    for line in on_source(sample, "SELECT at, tank, level FROM public.tanks"):
        on_target(sample, f"INSERT INTO public.tanks VALUES ('{line[0]}', {line[1]}, {line[2]})")
    on_target(sample, REFRESH)
    try:
        (entry,) = run(sample)["objects"][-1:]
        assert "buckets of public.daily are only on the source" in entry["reason"]
        file = str(tmp_path / "wanted.json")
        recorded = run_module("timescale_info", {**sample.source_login("postgres"), "write_to": file})
        assert not recorded.get("failed"), recorded.get("msg")
        by_file = {**sample.target.login_vars(sample.target_db), "source_file": file, "activate": True}
        held = run_module("timescale_policy_sync", by_file)
        assert outcomes(held, "pending") == ["retention_policy public.tanks"]
        assert (
            "buckets (as far as the file can tell) of public.daily are only on the source"
            in held["retention"][0]["blocked"]
        )
        copied = run_module("timescale_cagg_sync", sample.login("postgres"))
        assert not copied.get("failed"), copied.get("msg")
        assert outcomes(run_module("timescale_policy_sync", by_file), "altered") == ["retention_policy public.tanks"]
    finally:
        sample.drop()


def test_kinds_of_the_newest_version(servers: Pool) -> None:
    """Compaction, and retention and columnstore by the time of creation."""
    made = servers.fresh(COMPACTING)
    make_aggregates(made)
    try:
        jobs = "FROM timescaledb_information.jobs WHERE hypertable_name = 'fill_measurements'"
        on_source(made, f"SELECT public.delete_job(job_id) {jobs}")
        for call in (
            "add_compaction_policy('public.fill_measurements', max_chunks => 5, inactive_for => interval '2 hours')",
            "add_retention_policy('public.pump_cycles', drop_created_before => interval '3 years')",
            "add_compression_policy('public.fill_measurements', compress_created_before => interval '20 days')",
            "add_retention_policy('public.fill_measurements', drop_created_before => interval '1 microsecond')",
        ):
            on_source(made, f"SELECT public.{call}")
        foreseen = run(made, check=True)
        first = run(made)
        assert first["queries"] == foreseen["queries"]
        assert "3 policies go by the time at which a chunk was created" in str(first["warnings"])
        assert first["owners"] == {"sensor_admin": 17}
        blocked = {one["relation"]: one["blocked"] for one in first["retention"]}
        assert "not yet materialized in public.avg_fill_levels" in blocked["public.fill_measurements"]
        assert blocked["public.pump_cycles"] == ""
        for name in ("compaction_policy public.fill_measurements", "columnstore_policy public.fill_measurements"):
            assert name in outcomes(first, "created")
        question = (
            "SELECT proc_name, hypertable_name, config - 'hypertable_id', schedule_interval FROM"
            " timescaledb_information.jobs WHERE proc_name IN ('policy_compaction', 'policy_retention',"
            " 'policy_compression') AND job_id >= 1000 ORDER BY 1, 2"
        )
        assert on_target(made, question) == on_source(made, question)
        on_target(
            made,
            "SELECT public.alter_job(job_id, config => config || '{\"max_chunks\": 9}')"
            " FROM timescaledb_information.jobs WHERE proc_name = 'policy_compaction'",
        )
        assert outcomes(run(made), "altered") == ["compaction_policy public.fill_measurements"]
        assert on_target(made, question) == on_source(made, question)
        assert run(made)["changed"] is False
        refresh(made)
        assert "retention_policy public.fill_measurements" in outcomes(run(made, activate=True), "altered")
    finally:
        made.drop()


def test_jobs_that_do_not_run_are_told(servers: Pool) -> None:
    quiet, busy = small(servers, 4, scheduler=False), small(servers, 5)
    fail = "CREATE PROCEDURE public.work(integer, jsonb) LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no tank''; END'"
    try:
        for sample in (quiet, busy):
            on_source(sample, fail)
            on_target(sample, fail)
            on_source(sample, "SELECT public.add_job('public.work', '1 hour', fixed_schedule => false)")
        none = run(quiet, kinds=["user"], watch=1)
        assert reasons(none) == ["None of the 1 jobs that are due has started."]
        assert none["running"] == {"active": 1, "started": 0, "waiting": 1, "failing": []}
        assert "None of the 1 jobs" in str(none["warnings"])
        park = "SELECT public.alter_job(id, next_start => 'infinity') FROM _timescaledb_catalog.bgw_job WHERE id > 999"
        on_target(quiet, park)
        parked = run(quiet, kinds=["user"], watch=1)
        assert parked["running"] == {"active": 0, "started": 0, "waiting": 0, "failing": []}
        bad = run(busy, kinds=["user"], watch=20)
        (reason,) = reasons(bad)
        assert reason.startswith("All 1 jobs that have run failed. public.work: no tank")
        assert bad["running"]["failing"][0]["job"] == "public.work"
        assert reasons(run(busy, kinds=["user"], activate=True)) == [reason]
        assert "watch is negative" in run(busy, watch=-1, may_fail=True)["msg"]
    finally:
        quiet.drop()
        busy.drop()


def reasons(result: dict[str, Any]) -> list[str]:
    return [one["reason"] for one in result["objects"] if one["kind"] == "scheduler"]
