# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""timescale_policy_sync on real servers: every job as it was, and none that runs too early."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import catalog
from tests.support.installations import find
from tests.support.playbook import run_module
from tests.support.pool import PAIRS, Pair, Pool, Sample
from tests.support.servers import ThrowawayServer, start
from tests.support.statements import statements_during

MODULE = "timescale_policy_sync"
KINDS = ("jobs", "columnstore settings")
Result = dict[str, Any]

ACTIVE = "SELECT count(*) FROM timescaledb_information.jobs WHERE job_id > 999 AND scheduled"

# What the sample lacks and every version knows. (The sample has: refresh, retention and columnstore on tables and on
# aggregates, by time and by integers, reorder, users' jobs with check function, time zone, twins, paused ones.)
EVERYWHERE = """
SELECT public.remove_reorder_policy('public.channel_readings');
SELECT public.add_reorder_policy('public.channel_readings', 'channel_readings_by_channel',
    initial_start => '2026-04-02 05:00+00', timezone => 'Asia/Tokyo');
SELECT public.add_retention_policy('public.counters_by_100', 30000000::bigint, schedule_interval => '36 hours');
SELECT public.alter_job(job_id, max_retries => 0, max_runtime => interval '7 minutes', retry_period => interval '90 s')
    FROM timescaledb_information.jobs WHERE proc_name = 'policy_reorder';
SELECT public.alter_job(job_id, config => config || '{{"verbose_log": true, "recompress": false}}')
    FROM timescaledb_information.jobs WHERE proc_name = 'policy_compression' AND hypertable_name = 'counters';
SELECT public.alter_job(job_id, config => '{{"n": 1.50, "deep": {{"list": [1, null]}}}}')
    FROM timescaledb_information.jobs WHERE proc_name = 'nightly';
SELECT {functions}.alter_job_set_hypertable_id(job_id, 'public.counters'::regclass)
    FROM timescaledb_information.jobs WHERE proc_name = 'nightly';
SELECT public.add_job('public.nightly', '1 month', initial_start => '2026-04-05 00:00+00', timezone => 'Europe/Berlin');
"""
# What 2.11 cannot have: a second refresh policy on one aggregate, and batches of it; policies by the time of creation;
# names of jobs, and schedules, that alter_job sets. Compaction came with 2.29; see test_policy_live.
MORE = """
ALTER TABLE public.pump_cycles SET (timescaledb.compress, timescaledb.compress_segmentby = 'pump');
SELECT public.add_compression_policy('public.pump_cycles', compress_created_before => interval '20 days');
SELECT public.add_continuous_aggregate_policy('public.avg_fill_levels', '300 days'::interval, '40 days'::interval,
    '1 day', buckets_per_batch => 7, max_batches_per_execution => 3, refresh_newest_first => false);
SELECT public.add_retention_policy('public.channel_readings', drop_created_before => interval '3 years');
SELECT public.alter_job(job_id, job_name => 'Nightly work')
    FROM timescaledb_information.jobs WHERE proc_name = 'nightly';
SELECT public.alter_job(job_id, fixed_schedule => false, initial_start => '2026-05-01 00:00+00',
    timezone => 'Asia/Tokyo')
    FROM timescaledb_information.jobs WHERE proc_name = 'policy_compression' AND hypertable_name = 'counters';
"""


TWENTY_DAYS = 'config => config || \'{"drop_after": "20 days"}\''
RETENTION = (
    "FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention' AND hypertable_name = 'fill_measurements'"
)


def run(sample: Sample, *, check: bool = False, diff: bool = False, user: str | None = None, **options: Any) -> Result:
    """Run the module; a failure that was not asked for ends the test."""
    may_fail = bool(options.pop("may_fail", False))
    result = run_module(MODULE, {**sample.login(user), **options}, check=check, diff=diff)
    assert may_fail or not result.get("failed"), result.get("msg")
    assert "traceback" not in str(result).lower(), result
    return result


def outcomes(result: Result, outcome: str) -> list[str]:
    return sorted(f"{o['kind']} {o['schema']}.{o['name']}" for o in result["objects"] if o["outcome"] == outcome)


def on_source(sample: Sample, text: str, user: str | None = None) -> Any:
    return sample.source.execute(sample.source_db, text, user=user)


def on_target(sample: Sample, text: str, user: str | None = None) -> Any:
    return sample.target.execute(sample.target_db, text, user=user)


def differences(sample: Sample, *, paused: bool = False, kinds: tuple[str, ...] = KINDS) -> list[str]:
    """How jobs and columnstore settings differ, read without the collection's code."""
    source, target = sample.source.connect(sample.source_db), sample.target.connect(sample.target_db)
    try:
        return catalog.compare(source, target, kinds=kinds, jobs_paused=paused)
    finally:
        source.close()
        target.close()


def make_aggregates(sample: Sample) -> None:
    """What the earlier stages bring: the aggregates, empty, and the index of the reorder policy."""
    reader = sample.source.connect(sample.source_db)
    writer = sample.target.connect(sample.target_db, sample.user)
    with reader.cursor() as out, writer.cursor() as into:
        out.execute("SET search_path TO ''")
        out.execute(
            "SELECT format('%I.%I', view_schema, view_name), rtrim(view_definition, '; '), compression_enabled"
            " FROM timescaledb_information.continuous_aggregates"
            " ORDER BY substring(materialization_hypertable_name from '\\d+')::int"
        )
        for name, query, columnstore in out.fetchall():
            into.execute(
                f"CREATE MATERIALIZED VIEW {name} WITH (timescaledb.continuous, timescaledb.materialized_only = true)"
                f" AS {query} WITH NO DATA"
            )
            if columnstore:
                into.execute(
                    f"ALTER MATERIALIZED VIEW {name} SET (timescaledb.compress,"
                    " timescaledb.compress_segmentby = 'sensor_id', timescaledb.compress_orderby = 'bucket')"
                )
        into.execute("CREATE INDEX channel_readings_by_channel ON public.channel_readings (channel)")
    reader.close()
    writer.close()


def refresh(sample: Sample) -> None:
    """Materialize every aggregate of the target, parents first."""
    for (name,) in on_target(
        sample,
        "SELECT format('%I.%I', user_view_schema, user_view_name) FROM _timescaledb_catalog.continuous_agg"
        " ORDER BY mat_hypertable_id",
    ):
        on_target(sample, f"CALL public.refresh_continuous_aggregate('{name}', NULL, NULL)")


def jobs_of(sample: Sample) -> list[tuple[Any, ...]]:
    """Ids of the target's jobs with all their attributes."""
    rows: list[tuple[Any, ...]] = on_target(
        sample, "SELECT id, to_jsonb(j) FROM _timescaledb_catalog.bgw_job AS j WHERE id >= 1000 ORDER BY id"
    )
    return rows


def statistics_of(sample: Sample) -> list[tuple[Any, ...]]:
    """What the jobs that have run have to tell of it."""
    found: list[tuple[Any, ...]] = on_target(
        sample,
        "SELECT job_id, total_runs, total_successes, last_start, last_successful_finish"
        " FROM _timescaledb_internal.bgw_job_stat WHERE job_id >= 1000 AND total_runs > 0 ORDER BY 1",
    )
    return found


@pytest.fixture
def ready(sample: Sample) -> Sample:
    """A target that has what policies stand on."""
    make_aggregates(sample)
    return sample


@pytest.fixture
def newest(servers: Pool) -> Iterator[Sample]:
    """The pair of equals, ready."""
    made = servers.fresh(PAIRS[1] if len(PAIRS) > 1 else PAIRS[0])
    make_aggregates(made)
    yield made
    made.drop()


# -- four beats ------------------------------------------------------------------------------------------------------


def test_four_beats(ready: Sample) -> None:
    known = on_source(ready, "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")[0][0]
    new = not known.startswith("2.11")
    functions = "_timescaledb_functions" if new else "_timescaledb_internal"
    on_source(ready, EVERYWHERE.format(functions=functions), "sensor_admin")
    if new:
        on_source(ready, MORE)
    guarded = on_source(ready, f"SELECT public.alter_job(job_id, {TWENTY_DAYS}) {RETENTION}")
    before = run(ready, check=True, diff=True)
    assert before["changed"] is True
    assert jobs_of(ready) == []
    assert "schedule_interval" in before["diff"]["after"]
    first = run(ready)
    assert first["changed"] is True
    assert first["queries"] == before["queries"]
    assert [one["relation"] for one in first["retention"] if one["blocked"]] == ["public.fill_measurements"]
    assert on_target(ready, ACTIVE)[0][0] == on_source(ready, ACTIVE)[0][0] - len(guarded)
    differing = [told.split(" differs")[0] for told in differences(ready)]
    assert differing == ["jobs: policy_retention on public.fill_measurements"], "only what the guard holds back"
    again = run(ready, check=True, diff=True)
    assert (again["changed"], again["queries"]) == (False, [])
    assert again["diff"] == {"before": "", "after": ""}
    second = run(ready)
    assert (second["changed"], second["queries"]) == (False, [])
    assert set(second["summary"]) <= {"present", "skipped"}
    refresh(ready)
    run(ready, activate=True)
    assert differences(ready) == []


def test_paused_then_activated(ready: Sample) -> None:
    run(ready, scheduled="paused")
    assert differences(ready, paused=True) == []
    told = [o["reason"] for o in run(ready, scheduled="paused")["objects"] if "activate" in o["reason"]]
    assert (
        len(told)
        == on_source(ready, "SELECT count(*) FROM timescaledb_information.jobs WHERE scheduled AND job_id > 999")[0][0]
    )
    foreseen = run(ready, activate=True, check=True)
    done = run(ready, activate=True)
    assert done["queries"] == foreseen["queries"]
    assert differences(ready) == []
    assert run(ready, activate=True)["changed"] is False
    assert run(ready, scheduled="paused")["changed"] is False, "an active job must not be paused by a later run"
    late = on_target(
        ready,
        "SELECT j.id FROM _timescaledb_catalog.bgw_job AS j"
        " JOIN _timescaledb_internal.bgw_job_stat AS s ON s.job_id = j.id"
        " WHERE j.scheduled AND j.fixed_schedule AND s.next_start < now()",
    )
    assert late == [], "a job whose first start has passed waits for its next slot"


def test_activation_is_foreseen_before_anything_is_there(sample: Sample) -> None:
    foreseen = run(sample, check=True, activate=True)
    make_aggregates(sample)
    run(sample, scheduled="paused")
    assert sorted(run(sample, activate=True)["queries"]) == sorted(foreseen["queries"])


def test_check_mode_counts_on_the_earlier_stages(sample: Sample) -> None:
    foreseen = run(sample, check=True)
    planned = [o["name"] for o in foreseen["objects"] if o.get("planned")]
    assert "avg_fill_levels" in planned
    assert "fill_measurements" not in planned
    refused = run(sample, may_fail=True)
    assert refused["failed"] is True
    assert "public.avg_fill_levels is not on the target" in refused["msg"]
    assert "index channel_readings_by_channel" in refused["msg"]
    assert jobs_of(sample) == []
    make_aggregates(sample)
    assert run(sample)["queries"] == foreseen["queries"]


# -- drift -----------------------------------------------------------------------------------------------------------

REFRESH = "hypertable_name = 'avg_fill_levels' AND proc_name LIKE 'policy_refresh%'"
COLUMNSTORE = "hypertable_name = 'fill_measurements' AND proc_name = 'policy_compression'"
USER = "proc_name = 'rebuild_summary' AND config @> '{\"limit\": 10}'"
DRIFTS = {
    "schedule_interval": (REFRESH, "schedule_interval => '45 minutes'"),
    "max_runtime": (REFRESH, "max_runtime => '9 minutes'"),
    "max_retries": (COLUMNSTORE, "max_retries => 99"),
    "retry_period": (COLUMNSTORE, "retry_period => '9 minutes'"),
    "fixed_schedule": (REFRESH, "fixed_schedule => false"),
    "initial_start": (REFRESH, "initial_start => '2026-06-01 00:00+00'"),
    "timezone": (REFRESH, "timezone => 'Asia/Tokyo'"),
    "timezone lost": (USER, "max_runtime => '0'"),
    "job_name": (COLUMNSTORE, "job_name => 'Mine'"),
    "check_config": (USER, "check_config => 0::oid::regproc"),
    "policy's window": (REFRESH, 'config => config || \'{"start_offset": "40 days"}\''),
    "policy's key changed": (COLUMNSTORE, "config => config || '{\"maxchunks_to_compress\": 9}'"),
    "policy's key added": (COLUMNSTORE, "config => config || '{\"recompress\": false}'"),
    "policy's key removed": (COLUMNSTORE, "config => config - 'verbose_log'"),
    "user's config": (USER, "config => '{\"limit\": 11}'"),
}


def test_each_drift_is_put_right_in_place(ready: Sample) -> None:
    run(ready)
    assert differences(ready) == []
    before = jobs_of(ready)
    on_target(ready, "UPDATE _timescaledb_internal.bgw_job_stat SET total_runs = 5, total_successes = job_id % 4")
    statistics = statistics_of(ready)
    assert len(statistics) > 3
    for name, (where, change) in DRIFTS.items():
        altered = on_target(
            ready, f"SELECT public.alter_job(job_id, {change}) FROM timescaledb_information.jobs WHERE {where}"
        )
        assert len(altered) == 1, name
        foreseen = run(ready, check=True, diff=True)
        calls = [text for text in foreseen["queries"] if "alter_job" in text]
        assert (len(calls), foreseen["summary"].get("altered")) == (1, 1), name
        assert calls[0].count("alter_job") == 1, name
        assert foreseen["diff"]["before"] != foreseen["diff"]["after"], name
        assert run(ready)["queries"] == foreseen["queries"], name
        assert jobs_of(ready) == before, name
        assert statistics_of(ready) == statistics, name
        assert run(ready)["changed"] is False, name


def test_an_attachment_is_put_right_by_its_own_function(newest: Sample) -> None:
    on_source(newest, EVERYWHERE.format(functions="_timescaledb_functions"), "sensor_admin")
    run(newest)
    before = jobs_of(newest)
    move = "SELECT _timescaledb_functions.alter_job_set_hypertable_id(job_id, 'public.pump_cycles'::regclass)"
    on_target(newest, f"{move} FROM timescaledb_information.jobs WHERE proc_name = 'nightly' AND config IS NOT NULL")
    assert len(run(newest)["queries"]) == 1
    assert jobs_of(newest) == before


WINDOW = "SELECT public.add_continuous_aggregate_policy('public.avg_fill_levels', {}, {}, interval '1 day')"
WINDOWS = (
    "SELECT config ->> 'start_offset', config ->> 'end_offset' FROM timescaledb_information.jobs"
    " WHERE proc_name = 'policy_refresh_continuous_aggregate' AND hypertable_name = 'avg_fill_levels' ORDER BY 1"
)
REMOVE = "SELECT public.remove_continuous_aggregate_policy('public.avg_fill_levels', if_exists => true)"


def windows(sample: Sample, on: Any, *wanted: tuple[int, int]) -> None:
    """Give an aggregate of one side these refresh policies and no others, in days."""
    on(sample, REMOVE, "sensor_admin")
    for begin, end in wanted:
        on(sample, WINDOW.format(f"interval '{begin} days'", f"interval '{end} days'"), "sensor_admin")


@pytest.mark.parametrize("equals", [pair for pair in PAIRS if not str(pair).startswith("2.11")], ids=str)
def test_windows_that_move_do_not_get_in_each_others_way(servers: Pool, equals: Pair) -> None:
    """TimescaleDB compares each with the others as they are at that moment; these would take the other's place."""
    sample = servers.fresh(equals)
    make_aggregates(sample)
    windows(sample, on_source, (20, 5), (40, 20), (60, 40))
    windows(sample, on_target, (60, 40), (30, 10), (10, 2))
    before = {job[0] for job in jobs_of(sample)}
    only: dict[str, Any] = {"kinds": ["refresh"], "include": ["*.avg_fill_levels"]}
    foreseen = run(sample, check=True, **only)
    assert run(sample, **only)["queries"] == foreseen["queries"]
    assert on_target(sample, WINDOWS) == on_source(sample, WINDOWS)
    assert {job[0] for job in jobs_of(sample)} == before
    assert run(sample, **only)["changed"] is False
    # What goes makes room, and what is altered, for what comes.
    windows(sample, on_source, (25, 5), (60, 40))
    assert run(sample, prune=True, **only)["changed"] is True
    windows(sample, on_source, (15, 5), (25, 15), (60, 40))
    assert run(sample, **only)["changed"] is True
    assert on_target(sample, WINDOWS) == on_source(sample, WINDOWS)
    assert run(sample, **only)["changed"] is False
    sample.drop()


def test_a_policy_that_is_tied_to_something_else(newest: Sample) -> None:
    """By hand only: its config names one relation, and it is tied to another."""
    tie = "SELECT _timescaledb_functions.alter_job_set_hypertable_id(job_id, 'public.pump_cycles'::regclass)"
    on_source(newest, f"{tie} {RETENTION}")
    only: dict[str, Any] = {"kinds": ["retention"], "include": ["*.fill_measurements"]}
    assert outcomes(run(newest, **only), "created") == ["retention_policy public.fill_measurements"]
    assert run(newest, **only)["changed"] is False
    drop = 'config => config || \'{"drop_after": "9 years"}\''
    where = "FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention' AND hypertable_name = 'pump_cycles'"
    on_source(newest, f"SELECT public.alter_job(job_id, {drop}) {where}")
    assert run(newest, guard="none", **only)["changed"] is True
    assert run(newest, **only)["changed"] is False
    on_source(newest, tie.replace("pump_cycles", "fill_measurements") + f" {where}")
    assert run(newest, **only)["changed"] is True
    assert run(newest, **only)["changed"] is False


def test_a_policy_without_its_check(newest: Sample) -> None:
    on_source(newest, f"SELECT public.alter_job(job_id, check_config => 0) {RETENTION}")
    only: dict[str, Any] = {"kinds": ["retention"], "include": ["*.fill_measurements"]}
    run(newest, **only)
    assert run(newest, **only)["changed"] is False
    check = "SELECT check_name FROM _timescaledb_catalog.bgw_job WHERE proc_name = 'policy_retention'"
    assert on_target(newest, check) == [(None,)]
    on_target(
        newest,
        f"SELECT public.alter_job(job_id, check_config =>"
        f" '_timescaledb_functions.policy_retention_check'::regproc) {RETENTION}",
        "sensor_admin",
    )
    assert run(newest, **only)["changed"] is True
    assert run(newest, **only)["changed"] is False


def test_columnstore_settings_are_put_right(ready: Sample) -> None:
    run(ready, kinds=["columnstore"])
    on_target(
        ready, "ALTER TABLE public.fill_measurements SET (timescaledb.compress, timescaledb.compress_segmentby = '')"
    )
    result = run(ready, kinds=["columnstore"])
    assert outcomes(result, "altered") == ["columnstore_settings public.fill_measurements"]
    assert differences(ready, kinds=("columnstore settings",)) == []


def test_equal_user_jobs_are_a_multiset(newest: Sample) -> None:
    run(newest)
    twins = "FROM timescaledb_information.jobs WHERE proc_name = 'rebuild_summary' AND config = '{\"limit\": 5}'"
    (kept,), (gone,) = on_target(newest, f"SELECT job_id {twins} ORDER BY 1")
    on_target(newest, f"SELECT public.delete_job({gone})")
    assert outcomes(run(newest), "created") == ["job reports.rebuild_summary"]
    assert differences(newest) == []
    on_target(newest, f"SELECT public.alter_job(job_id, max_retries => 4) {twins}")
    result = run(newest)
    assert outcomes(result, "altered") == ["job reports.rebuild_summary"] * 2
    assert differences(newest) == []
    assert kept in [job[0] for job in jobs_of(newest)]


# -- what a job stands on --------------------------------------------------------------------------------------------


def test_each_missing_thing_is_one_line(newest: Sample) -> None:
    on_target(newest, "DROP FUNCTION reports.check_rebuild(jsonb)")
    on_target(newest, "DROP FUNCTION public.nightly(integer, jsonb)")
    on_target(newest, "ALTER TABLE public.fill_measurements OWNER TO pg_monitor")
    result = run(newest, may_fail=True)
    assert result["failed"] is True
    assert "reports.check_rebuild(jsonb) is not on the target" in result["msg"]
    assert "public.nightly(integer, jsonb) is not on the target" in result["msg"]
    assert "pg_monitor" in result["msg"]
    assert jobs_of(newest) == []
    rest = run(newest, on_unsupported="skip", columnstore_settings=False, exclude=["public.counters"])
    assert len(outcomes(rest, "unsupported")) == 4
    assert "retention_policy public.avg_fill_levels" in outcomes(rest, "created")


def test_integer_time_needs_its_now(newest: Sample) -> None:
    on_target(
        newest, "UPDATE _timescaledb_catalog.dimension SET integer_now_func = NULL, integer_now_func_schema = NULL"
    )
    result = run(newest, may_fail=True)
    assert "public.counters has no integer_now function" in result["msg"]
    assert "public.counters_by_100 has no integer_now function" in result["msg"]


def test_settings_that_policies_stand_on_are_told(newest: Sample) -> None:
    """Another integer_now function, a columnstore of the target alone, settings that are made by hand only."""
    other = "CREATE FUNCTION public.other_now() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 7::bigint'"
    on_target(newest, other)
    on_target(
        newest, "SELECT public.set_integer_now_func('public.counters', 'public.other_now', replace_if_exists => true)"
    )
    on_target(newest, "ALTER TABLE public.pump_cycles SET (timescaledb.compress)")
    newest.source.execute(
        newest.source_db,
        "SET timescaledb.enable_chunk_skipping = on;"
        " SELECT public.enable_chunk_skipping('public.fill_measurements', 'batch')",
    )
    result = run(newest, may_fail=True)
    assert (
        "The integer_now function of public.counters is public.other_now and should be public.counters_now"
        in result["msg"]
    )
    rest = run(newest, on_unsupported="skip", kinds=["columnstore"], check=True)
    (surplus,) = [o for o in rest["objects"] if o["name"] == "pump_cycles"]
    assert (surplus["outcome"], surplus["reason"]) == ("skipped", "The columnstore is on for it on the target only.")
    assert "enable_chunk_skipping('public.fill_measurements', 'batch')" in str(rest["warnings"])


def test_a_user_job_belongs_to_who_owned_it(newest: Sample) -> None:
    grants = "GRANT USAGE ON SCHEMA reports TO sensor_writer"
    on_source(newest, grants)
    on_target(newest, grants)
    newest.source.execute(
        newest.source_db,
        "SELECT public.add_job('reports.rebuild_summary', '3 hours', '{\"limit\": 8}', fixed_schedule => false)",
        user="sensor_writer",
    )
    refused = run(newest, may_fail=True)
    assert "sensor_admin may not act as sensor_writer" in refused["msg"]
    assert jobs_of(newest) == []
    on_target(newest, "GRANT sensor_writer TO sensor_admin", "postgres")
    try:
        run(newest)
    finally:
        on_target(newest, "REVOKE sensor_writer FROM sensor_admin", "postgres")
    assert differences(newest) == []
    owner = "SELECT owner::text FROM timescaledb_information.jobs WHERE config @> '{\"limit\": 8}'"
    assert on_target(newest, owner) == [("sensor_writer",)]
    assert run(newest, user="postgres")["changed"] is False
    moved = "UPDATE _timescaledb_catalog.bgw_job SET owner = 'sensor_reader', max_retries = 9"
    on_target(newest, f"{moved} WHERE config @> '{{\"limit\": 8}}'", "postgres")
    wrong = run(newest, user="postgres")
    assert "It belongs to sensor_reader on the target and should belong to sensor_writer." in str(wrong["warnings"])
    assert len(wrong["queries"]) == 1, "what else differs is put right"
    assert run(newest, user="postgres")["changed"] is False


def test_owner_filter_and_map(newest: Sample) -> None:
    assert run(newest, owner=["sensor_reader"])["changed"] is False
    assert jobs_of(newest) == []
    on_target(newest, "GRANT SELECT ON public.sensors TO sensor_reader", "postgres")  # the check function reads it
    result = run(
        newest, user="postgres", owner=["sensor_admin"], owner_map={"sensor_admin": "sensor_reader"}, kinds=["user"]
    )
    assert len(outcomes(result, "created")) == 4
    owners = "SELECT DISTINCT owner::text FROM timescaledb_information.jobs WHERE job_id >= 1000"
    assert on_target(newest, owners) == [("sensor_reader",)]


def test_the_owner_filter_goes_by_the_source(newest: Sample) -> None:
    """After a restore without owners policies belong to another role on the target, and are found all the same."""
    only: dict[str, Any] = {"owner": ["sensor_admin"], "user": "postgres", "include": ["*.fill_measurements"]}
    on_target(newest, "ALTER TABLE public.fill_measurements OWNER TO postgres", "postgres")
    first = run(newest, **only)
    assert outcomes(first, "created") == [
        "columnstore_policy public.fill_measurements",
        "columnstore_settings public.fill_measurements",
        "retention_policy public.fill_measurements",
    ]
    assert run(newest, check=True, **only)["queries"] == []
    assert set(run(newest, **only)["summary"]) == {"present"}


def test_filters(newest: Sample) -> None:
    only = run(newest, kinds=["retention", "user"], include=["public.*"], exclude=["*.counters"])
    assert outcomes(only, "created") == [
        "job public.nightly",
        "retention_policy public.avg_fill_levels",
        "retention_policy public.fill_measurements",
    ]


def test_surplus_jobs_are_told_and_pruned(newest: Sample) -> None:
    run(newest)
    on_target(
        newest, "SELECT public.add_retention_policy('public.pump_cycles', interval '9 years')", user="sensor_admin"
    )
    told = run(newest)
    assert told["changed"] is False
    assert "retention_policy public.pump_cycles" in outcomes(told, "skipped")
    assert run(newest, prune=True, exclude=["*.pump_cycles"])["changed"] is False
    foreseen = run(newest, prune=True, include=["*.pump_cycles"], check=True)
    assert run(newest, prune=True)["queries"] == foreseen["queries"]
    assert len(foreseen["queries"]) == 1
    assert differences(newest) == []
    on_source(newest, "SELECT public.remove_reorder_policy('public.channel_readings')")
    kept = run(newest, prune=True)
    assert kept["changed"] is False
    assert "reorder_policy public.channel_readings" in outcomes(kept, "skipped")


def test_system_jobs_are_told_and_copied(newest: Sample) -> None:
    change = "schedule_interval => '5 hours', config => config || '{\"drop_after\": \"9 days\"}'"
    on_source(newest, f"SELECT public.alter_job(job_id, {change}) FROM timescaledb_information.jobs WHERE job_id = 3")
    told = run(newest, user="postgres")
    assert "system_job .policy_job_stat_history_retention" in outcomes(told, "skipped")
    copied = run(newest, user="postgres", system_jobs=True)
    assert len(copied["queries"]) == 1
    found = "SELECT schedule_interval::text, config ->> 'drop_after' FROM timescaledb_information.jobs WHERE job_id = 3"
    assert on_target(newest, found) == [("05:00:00", "9 days")]
    assert run(newest, user="postgres", system_jobs=True)["changed"] is False


def test_what_nothing_takes_back_from_a_system_job_is_told(newest: Sample) -> None:
    run(newest, user="postgres")
    given = "initial_start => '2026-01-01 00:00+00', schedule_interval => '7 hours'"
    on_target(newest, f"SELECT public.alter_job(job_id, {given}) FROM timescaledb_information.jobs WHERE job_id = 1")
    copied = run(newest, user="postgres", system_jobs=True)
    assert len(copied["queries"]) == 1
    assert "initial_start" not in copied["queries"][0]
    for result in (copied, run(newest, user="postgres", system_jobs=True)):
        assert outcomes(result, "drifted") == ["system_job .policy_telemetry"]
    assert result["changed"] is False


# -- nothing runs too early ------------------------------------------------------------------------------------------


NIGHTLY = "FROM timescaledb_information.jobs WHERE proc_name = 'nightly'"
FEBRUARY = "1769904000000000, 1770595200000000"  # in microseconds
AVERAGES = "_timescaledb_catalog.continuous_agg WHERE user_view_name = 'avg_fill_levels'"


def test_the_guard_judges_what_will_run(newest: Sample) -> None:
    """A window that was changed on the target, while the policy is paused there or while it runs."""
    only: dict[str, Any] = {"kinds": ["retention"], "include": ["*.fill_measurements"]}
    run(newest, scheduled="paused", **only)
    on_target(newest, f"SELECT public.alter_job(job_id, {TWENTY_DAYS}) {RETENTION}")
    held = run(newest, activate=True, **only)
    assert (held["changed"], outcomes(held, "drifted")) == (False, ["retention_policy public.fill_measurements"])
    assert "config.drop_after: 20 days -> 2 years" in held["objects"][0]["reason"]
    assert run(newest, **only)["changed"] is True
    assert run(newest, activate=True, **only)["changed"] is True
    on_source(newest, f"SELECT public.alter_job(job_id, {TWENTY_DAYS}) {RETENTION}")
    waits = run(newest, **only)
    assert (waits["changed"], outcomes(waits, "pending")) == (False, ["retention_policy public.fill_measurements"])
    assert "not yet materialized" in waits["retention"][0]["blocked"]
    assert waits["retention"][0]["chunks"] > 0
    assert on_target(newest, f"SELECT config ->> 'drop_after' {RETENTION}") == [("2 years",)]
    assert run(newest, include=["*.pump_cycles"], activate=True)["retention"] == [], "judged inside the filters"
    refresh(newest)
    taken = "_timescaledb_catalog.continuous_aggs_materialization_ranges"
    on_target(newest, f"INSERT INTO {taken} SELECT mat_hypertable_id, {FEBRUARY} FROM {AVERAGES}", "postgres")
    assert "not yet materialized in public.avg_fill_levels" in run(newest, **only)["retention"][0]["blocked"]
    on_target(newest, f"DELETE FROM {taken}", "postgres")
    assert run(newest, **only)["changed"] is True
    assert on_target(newest, f"SELECT config ->> 'drop_after' {RETENTION}") == [("20 days",)]


def test_strict_guard_and_no_guard(newest: Sample) -> None:
    on_source(newest, f"SELECT public.alter_job(job_id, {TWENTY_DAYS}) {RETENTION}")
    refresh(newest)
    strict = run(newest, kinds=["retention"], include=["*.fill_measurements"], guard="strict")
    (entry,) = strict["objects"]
    assert "refresh policy of public.avg_fill_levels reaches behind" in entry["reason"]
    assert on_target(newest, f"SELECT scheduled {RETENTION}") == [(False,)]
    warned = run(newest, kinds=["retention"], include=["*.fill_measurements"], activate=True, check=True)
    assert "reaches behind" in str(warned["warnings"])
    assert outcomes(warned, "altered") == ["retention_policy public.fill_measurements"]
    silent = run(newest, kinds=["retention"], include=["*.fill_measurements"], activate=True, guard="none")
    assert "reaches behind" not in str(silent.get("warnings", ""))
    assert on_target(newest, f"SELECT scheduled {RETENTION}") == [(True,)]


def test_the_guard_counts_refreshes_that_are_turned_on_by_choice(newest: Sample) -> None:
    """The source's were stopped for the move; also_paused turns them on, beside the retention policy."""
    on_source(newest, f"SELECT public.alter_job(job_id, {TWENTY_DAYS}) {RETENTION}")
    stop = "SELECT public.alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE job_id > 999"
    on_source(newest, stop)
    refresh(newest)
    run(newest)
    everything: dict[str, Any] = {"activate": True, "also_paused": ["*"], "user": "postgres"}
    assert "reaches behind" in str(run(newest, check=True, **everything)["warnings"])
    held = run(newest, guard="strict", **everything)
    assert "retention_policy public.fill_measurements" in outcomes(held, "pending")
    assert on_target(newest, f"SELECT scheduled {RETENTION}") == [(False,)]


STAGE = {"policy_refresh_continuous_aggregate": 0, "policy_retention": 2}  # of others: 1


def test_first_starts_lie_apart_stage_by_stage(newest: Sample) -> None:
    """Refresh policies start first, retention policies last; what is due every minute waits for its turn too."""
    minute = "SELECT public.add_job('public.nightly', '1 minute', initial_start => '2026-04-01 00:00+00')"
    on_source(newest, minute, "sensor_admin")
    run(newest, scheduled="paused")
    foreseen = run(newest, activate=True, stagger=3600, check=True)
    assert run(newest, activate=True, stagger=3600)["queries"] == foreseen["queries"]
    assert differences(newest) == [], "schedules and their initial starts are as on the source"
    starts = on_target(
        newest,
        "SELECT j.proc_name, j.fixed_schedule, extract(epoch FROM j.schedule_interval)::int,"
        " extract(epoch FROM s.next_start - now())::int"
        " FROM _timescaledb_catalog.bgw_job AS j LEFT JOIN _timescaledb_internal.bgw_job_stat AS s ON s.job_id = j.id"
        " WHERE j.id >= 1000 AND j.scheduled ORDER BY s.next_start",
    )
    free = [(STAGE.get(name, 1), seconds) for name, fixed, _interval, seconds in starts if not fixed]
    assert [stage for stage, _seconds in free] == sorted(stage for stage, _seconds in free)
    assert {stage for stage, _seconds in free} == {0, 1, 2}
    assert len({seconds for _stage, seconds in free}) == len(free)
    assert 1800 < free[-1][1] <= 3600
    (every_minute,) = [seconds for _name, fixed, interval, seconds in starts if fixed and interval == 60]
    assert free[0][1] + 600 < every_minute < free[-1][1]
    late = [seconds for _name, _fixed, _interval, seconds in starts if seconds < -60]
    assert late == [], "what has a slot waits for its next one"
    assert "stagger is negative" in run(newest, stagger=-1, may_fail=True)["msg"]


def test_too_few_workers_are_told(newest: Sample) -> None:
    assert "max_background_workers = 0" in str(run(newest)["warnings"])


def test_jobs_that_were_stopped_for_the_move(newest: Sample, tmp_path: Path) -> None:
    file = str(tmp_path / "before.json")
    recorded = run_module("timescale_info", {**newest.source_login("postgres"), "write_to": file})
    assert not recorded.get("failed"), recorded.get("msg")
    park = "SELECT public.alter_job(job_id, next_start => 'infinity') FROM timescaledb_information.jobs"
    on_source(newest, f"{park} WHERE proc_name = 'nightly'")
    created = run(newest, user="postgres", kinds=["user"])
    assert "The next start of 1 jobs on the source is infinity (public.nightly). They count as paused." in str(created)
    assert on_target(newest, f"SELECT scheduled {NIGHTLY}") == [(False,)]
    on_target(newest, f"SELECT public.alter_job(job_id, scheduled => true) {NIGHTLY}", "postgres")
    assert outcomes(run(newest, user="postgres", kinds=["user"]), "drifted") == ["job public.nightly"]
    on_target(newest, f"{park} WHERE proc_name = 'nightly'", "postgres")
    assert outcomes(run(newest, user="postgres", kinds=["user"]), "drifted") == [], "neither side ever starts it"
    on_target(
        newest, "SELECT public.delete_job(job_id) FROM timescaledb_information.jobs WHERE job_id > 999", "postgres"
    )
    run(newest, scheduled="paused", user="postgres")
    active = on_source(newest, ACTIVE)
    stop = "SELECT public.alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE job_id > 999"
    on_source(newest, stop)
    nothing = run(newest, activate=True, user="postgres")
    assert nothing["changed"] is False
    assert "15 of 15 jobs are paused on the source, so they stay paused" in str(nothing["warnings"])
    globs = ["reports.rebuild_summary"]
    assert run(newest, activate=True, include=globs, also_paused=globs, user="postgres")["summary"] == {"altered": 3}
    on_target(newest, stop)
    by_file = run_module(MODULE, {**newest.target.login_vars(newest.target_db), "source_file": file, "activate": True})
    assert not by_file.get("failed"), by_file.get("msg")
    assert on_target(newest, ACTIVE) == active
    run(newest, activate=True, also_paused=["*"], guard="none", user="postgres")
    assert on_target(newest, ACTIVE) == [(15,)]


def test_a_job_that_the_target_never_starts_is_told(newest: Sample) -> None:
    only: dict[str, Any] = {"kinds": ["user"], "include": ["public.nightly"], "user": "postgres"}
    run(newest, **only)
    on_target(newest, f"SELECT public.alter_job(job_id, next_start => 'infinity') {NIGHTLY}", "postgres")
    for activate in (False, True):
        told = run(newest, **only, activate=activate)
        assert (told["changed"], outcomes(told, "drifted")) == (False, ["job public.nightly"])
        (parked,) = told["objects"]
        assert "its next start there is infinity: it never starts" in parked["reason"]
    on_target(newest, parked["hint"].removeprefix("Run ").removesuffix(" there if it should."), "postgres")
    assert outcomes(run(newest, **only), "drifted") == []


def test_kinds_that_only_the_source_knows(newest: Sample, tmp_path: Path) -> None:
    """No server with the policies of 2.21 to 2.26, or of a version to come, is here: a file tells of them."""
    file = tmp_path / "wanted.json"
    recorded = run_module("timescale_info", {**newest.source_login("postgres"), "write_to": str(file)})
    assert not recorded.get("failed"), recorded.get("msg")
    document = json.loads(file.read_text())
    document["facts"]["timescale"] = "2.22.1"
    jobs = document["documents"]["jobs"]["jobs"]
    (retention,) = [
        job for job in jobs if job["proc_name"] == "policy_retention" and job["relation"]["name"] == "counters"
    ]
    for number, name in enumerate(("policy_process_hypertable_invalidations", "policy_to_come")):
        jobs.append({**retention, "id": 5000 + number, "proc_name": name, "config": "{}", "intervals": None})
    file.write_text(json.dumps(document))
    parameters = {**newest.target.login_vars(newest.target_db), "source_file": str(file), "guard": "none"}
    refused = run_module(MODULE, parameters)
    assert "has no policy_to_come." in refused["msg"]
    assert jobs_of(newest) == []
    rest = run_module(MODULE, {**parameters, "on_unsupported": "skip"})
    (left,) = [o for o in rest["objects"] if o["name"] == "policy_process_hypertable_invalidations"]
    assert (left["outcome"], left["reason"]) == ("skipped", "Not copied: the refresh policies do its work.")
    assert "policy_process_hypertable_invalidations of public.counters is not copied" in str(rest["warnings"])
    assert "policy_to_come" in str(rest["warnings"])
    assert differences(newest) == [], "all others are there"


def test_the_apache_edition_is_no_obstacle_where_there_is_nothing_to_bring() -> None:
    installation = find(15, "2.28.3")
    if installation is None:
        pytest.skip("TimescaleDB 2.28.3 on PostgreSQL 15 is not installed")
    with start(installation, scheduler=False, **{"timescaledb.license": "apache"}) as server:
        for name in ("old", "new"):
            server.create_database(name, extension_version="2.28.3")
        result = run(Sample(server, "old", server, "new", "postgres"))
        assert (result["changed"], result["queries"], set(result["summary"])) == (False, [], {"present"})


MORE_TABLES = """
DO $$ BEGIN FOR n IN 1..40 LOOP
  EXECUTE format('CREATE TABLE public.more%s (at timestamptz NOT NULL)', n);
  PERFORM public.create_hypertable(format('public.more%s', n)::regclass, 'at');
  EXECUTE format('ALTER TABLE public.more%s OWNER TO sensor_admin', n);
END LOOP; END $$
"""
THEIR_POLICIES = """
DO $$ BEGIN FOR n IN 1..40 LOOP
  PERFORM public.add_retention_policy(format('public.more%s', n)::regclass, interval '90 days');
END LOOP; END $$
"""


def test_number_of_statements_does_not_grow(newest: Sample) -> None:
    """Neither reading nor the guard asks per policy."""
    server = newest.target
    if not isinstance(server, ThrowawayServer):
        pytest.skip("the log of a given server cannot be read")
    run(newest, kinds=["retention"], guard="none")
    few = statements_during(server, [newest.target_db], lambda: run(newest, kinds=["retention"]))
    on_source(newest, MORE_TABLES)
    on_target(newest, MORE_TABLES)
    on_source(newest, THEIR_POLICIES)
    guarded = statements_during(server, [newest.target_db], lambda: run(newest, kinds=["retention"], check=True))
    # The guard asks in a transaction of four statements; check mode takes no lock and looks for no dead run.
    assert len(guarded) <= len(few) + 2, guarded
    assert len(run(newest, kinds=["retention"])["queries"]) == 40
    again = statements_during(server, [newest.target_db], lambda: run(newest, kinds=["retention"]))
    assert len(again) == len(few)
