# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""on_drift: recreate of timescale_cagg_sync: what differs is made anew, with all that stands on it and all its rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_cagg import compare, entries
from tests.integration.test_cagg_history import (
    LEVELS,
    RETENTION,
    SETUP,
    contents,
    history,
    recompute,
    settled,
    sync,
    warned,
)
from tests.integration.test_cagg_refusals import with_tablespace
from tests.support import samples
from tests.support.playbook import run_module
from tests.support.pool import PAIRS, Pair, Pool, Sample

HOURLY = "continuous_aggregate public.hourly"
# The first level has a column too many: it differs, and what stands on it reads it.
DRIFTED = SETUP[3].replace("count(*) AS n", "max(value) AS top, count(*) AS n")
# The same, but what it calls total is something else.
OTHER_MEANING = SETUP[3].replace("sum(value) AS total", "max(value) AS total")
STANDING = (
    "CREATE VIEW public.latest AS SELECT device, max(bucket) AS bucket FROM public.hourly GROUP BY 1",
    "COMMENT ON VIEW public.latest IS 'of each device'",
    "COMMENT ON COLUMN public.hourly.device IS 'kept'",
    "GRANT SELECT ON public.latest, public.hourly TO sensor_reader",
    """CREATE MATERIALIZED VIEW public.of_both AS SELECT d.device, d.n, l.bucket FROM public.daily d
       JOIN public.latest l USING (device)""",
    "CREATE INDEX of_both_device ON public.of_both (device)",
    "COMMENT ON INDEX public.of_both_device IS 'kept too'",
    "ALTER VIEW public.latest ALTER COLUMN device SET DEFAULT 7",
    """CREATE FUNCTION public.highest(one public.hourly) RETURNS numeric LANGUAGE sql STABLE
       BEGIN ATOMIC SELECT max(h.total) FROM public.hourly h WHERE h.device = one.device; END""",
    "REVOKE EXECUTE ON FUNCTION public.highest FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION public.highest TO sensor_reader",
    "SELECT add_continuous_aggregate_policy('public.hourly', interval '9 days', interval '1 hour', interval '3 hours')",
    "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE hypertable_name = 'hourly'",
    "SELECT add_retention_policy('public.daily', interval '90 years')",
)
# All of that as the catalogs tell it; the numbers of jobs and hypertables are new ones.
STANDS = """
SELECT 'view', c.relname::text, concat_ws(' ', c.relkind, c.relispopulated, c.relacl,
    obj_description(c.oid, 'pg_class'),
    CASE WHEN c.relname <> 'hourly' THEN pg_get_viewdef(c.oid) END,
    (SELECT string_agg(pg_get_expr(d.adbin, d.adrelid), ',') FROM pg_attrdef d WHERE d.adrelid = c.oid),
    col_description(c.oid, (SELECT attnum FROM pg_attribute WHERE attrelid = c.oid AND attname = 'device')))
FROM pg_class c WHERE c.relname IN ('latest', 'of_both', 'hourly')
UNION ALL SELECT 'function', p.proname, concat_ws(' ', p.proacl, pg_get_functiondef(p.oid))
FROM pg_proc p WHERE p.proname = 'highest'
UNION ALL SELECT 'index', c.relname, concat_ws(' ', pg_get_indexdef(c.oid), obj_description(c.oid, 'pg_class'))
FROM pg_class c WHERE c.relname = 'of_both_device'
UNION ALL SELECT 'rows', '', count(*)::text FROM public.of_both
UNION ALL SELECT 'job', j.hypertable_name, concat_ws(' ', j.proc_name, j.schedule_interval, j.scheduled, j.max_retries,
    j.config - 'mat_hypertable_id' - 'hypertable_id')
FROM timescaledb_information.jobs j WHERE j.job_id >= 1000
ORDER BY 1, 2"""
AGGREGATES = "SELECT view_name FROM timescaledb_information.continuous_aggregates ORDER BY 1"
STORED = """SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)
    FROM timescaledb_information.continuous_aggregates WHERE view_name = '{}'"""


def made(servers: Pool, pair: Pair, first: str = DRIFTED) -> Sample:
    """A source with history, and a target that has had it all, but computed the first level otherwise."""
    for one in pair.missing():
        pytest.skip(f"{one} is not installed")
    (source, source_version), (target, target_version) = servers.side(pair.source), servers.side(pair.target)
    sample = Sample(source, "recreate_source", target, "recreate_target", user="postgres")
    source.create_database(sample.source_db, extension_version=source_version)
    target.create_database(sample.target_db, extension_version=target_version)
    samples.create_roles(target)
    for statement in (*SETUP, *RETENTION):
        source.execute(sample.source_db, statement)
    for statement in (*SETUP[:3], first, *SETUP[4:], *RETENTION):
        target.execute(sample.target_db, statement)
    return sample


@pytest.fixture
def drifted(servers: Pool) -> Iterator[Sample]:
    """Between two servers of one version each: what is tested with it does not depend on versions."""
    sample = made(servers, PAIRS[-1])
    yield sample
    sample.drop()


def on_target(sample: Sample, query: str) -> list[Any]:
    return list(sample.target.execute(sample.target_db, query) or ())


def recreate(sample: Sample, check: bool = False, **options: Any) -> dict[str, Any]:
    return sync(sample, check=check, on_drift="recreate", **options)


def unchanged(sample: Sample, **options: Any) -> None:
    for check in (True, False):
        again = recreate(sample, check, **options)
        assert again.get("failed") is None, again["msg"]
        assert not again["changed"], again["queries"]


def forget(sample: Sample) -> None:
    """The source loses buckets that the target has: 18 and 19 January of the first level, amid those of one chunk."""
    ((table,),) = sample.source.execute(sample.source_db, STORED.format("hourly"))
    sample.source.execute(
        sample.source_db, f"DELETE FROM {table} WHERE bucket >= '2026-01-18' AND bucket < '2026-01-20'"
    )


def test_four_beats(servers: Pool, pair: Pair) -> None:
    sample = made(servers, pair)
    try:
        for statement in STANDING:
            on_target(sample, statement)
        assert entries(sync(sample, refresh="none"))[HOURLY] == "drifted"  # never without being told to
        standing, before = on_target(sample, STANDS), contents(sample.target, sample.target_db)
        login = {**sample.login("postgres", "postgres"), "jobs": 2, "on_drift": "recreate"}
        foreseen = run_module("timescale_cagg_sync", login, check=True, diff=True)
        assert on_target(sample, STANDS) == standing
        assert contents(sample.target, sample.target_db) == before
        assert "max(value)" in foreseen["diff"]["before"] or "max(raw.value)" in foreseen["diff"]["before"]
        assert "-- continuous aggregate public.hourly\n" in foreseen["diff"]["after"]
        done = recreate(sample)
        assert done.get("failed") is None, done["msg"]
        assert done["queries"] == foreseen["queries"]
        # What stands on something new cannot be tried beforehand.
        assert {name for name, outcome in entries(foreseen).items() if outcome == "pending"} <= {
            "continuous_aggregate public.daily_dbops_new",
            "continuous_aggregate public.weekly_dbops_new",
        }
        assert entries(done).keys() == entries(foreseen).keys()
        (swapped,) = [
            one for one in done["objects"] if (one["kind"], one["name"]) == ("continuous_aggregate", "hourly")
        ]
        told = ["view public.latest", "function public.highest(one hourly)", "refresh_policy public.hourly"]
        assert {name.replace("public.hourly)", "hourly)") for name in swapped["along"]} >= set(told)
        assert any("new numbers" in text for text in warned(done))
        assert contents(sample.target, sample.target_db) == contents(sample.source, sample.source_db)
        assert on_target(sample, STANDS) == standing
        assert on_target(sample, AGGREGATES) == sorted((level,) for level in LEVELS)
        unchanged(sample)
        recompute(sample)
        assert settled(sample.target, sample.target_db) == settled(sample.source, sample.source_db)
    finally:
        sample.drop()


def test_another_one_with_other_columns_is_left_alone(drifted: Sample) -> None:
    """It cannot be asked for what the source's has; neither here nor by the guard of retention policies."""
    on_target(drifted, "ALTER MATERIALIZED VIEW public.hourly RENAME COLUMN total TO amount")
    on_target(drifted, "ALTER MATERIALIZED VIEW public.weekly RENAME COLUMN bucket TO week")
    before = contents(drifted.target, drifted.target_db)
    for check in (True, False):
        told = sync(drifted, check)
        assert told.get("failed") is None, told["msg"]
        assert set(entries(told, "drifted")) == {f"continuous_aggregate public.{level}" for level in LEVELS}
        assert history(told) == {}
    assert contents(drifted.target, drifted.target_db) == before
    add = "SELECT add_retention_policy('public.{}', interval '{}')"
    for level, age in (("raw", "90 years"), ("hourly", "91 years"), ("weekly", "92 years")):
        drifted.source.execute(drifted.source_db, add.format(level, age))
    guarded = run_module("timescale_policy_sync", drifted.login("postgres", "postgres"), check=True)
    assert guarded.get("failed") is None, guarded["msg"]


def test_rows_that_only_the_old_one_has_are_carried_over(drifted: Sample) -> None:
    wanted = contents(drifted.source, drifted.source_db)
    forget(drifted)
    foreseen, done = recreate(drifted, check=True), recreate(drifted)
    assert done.get("failed") is None, done["msg"]
    assert done["queries"] == foreseen["queries"]
    carried = [one for one in done["objects"] if one["name"] == "of the old aggregate" and one["rows"]]
    assert [(one["table"], one["buckets"]) for one in carried] == [("hourly_dbops_new", 48)]
    assert contents(drifted.target, drifted.target_db) == wanted
    unchanged(drifted)
    assert not sync(drifted)["changed"]  # and no later run takes them for surplus
    recompute(drifted)
    assert contents(drifted.target, drifted.target_db)["hourly"][:100] == wanted["hourly"][:100]


def test_the_sources_rows_come_again_without_those_that_only_the_target_has(drifted: Sample) -> None:
    wanted = contents(drifted.source, drifted.source_db)
    recreate(drifted)
    forget(drifted)
    ((table,),) = on_target(drifted, STORED.format("hourly"))
    on_target(drifted, f"DELETE FROM {table} WHERE bucket > '2026-01-21' AND bucket < '2026-01-22'")
    done = sync(drifted)
    assert done.get("failed") is None, done["msg"]
    assert done["changed"]
    assert contents(drifted.target, drifted.target_db) == wanted
    unchanged(drifted)


def test_what_would_be_lost_is_refused_before_anything_changes(servers: Pool) -> None:
    sample = made(servers, PAIRS[-1], OTHER_MEANING)
    try:
        forget(sample)
        before = contents(sample.target, sample.target_db)
        for check in (True, False):
            refused = recreate(sample, check)
            assert refused["failed"], refused
            assert "would lose 48 buckets of public.hourly" in refused["msg"]
            assert "history: ignore" in refused["msg"]
            assert not refused["changed"]
        skipped = recreate(sample, on_unsupported="skip")
        assert entries(skipped)[HOURLY] == "unsupported"
        assert contents(sample.target, sample.target_db) == before
        done = recreate(sample, history="ignore")
        assert done.get("failed") is None, done["msg"]
        assert contents(sample.target, sample.target_db)["hourly"][0][0].day == 25
        again = recreate(sample)  # as the hint says
        assert again.get("failed") is None, again["msg"]
        ours, theirs = contents(sample.source, sample.source_db), contents(sample.target, sample.target_db)
        assert theirs["hourly"] == ours["hourly"]
    finally:
        sample.drop()


def test_a_bucket_that_the_new_one_lacks_stops_the_exchange(servers: Pool) -> None:
    """Rows that were deleted one by one are seen by no look at chunks; the server counts before it renames."""
    sample = made(servers, PAIRS[-1], OTHER_MEANING)
    try:
        for server, db in ((sample.source, sample.source_db), (sample.target, sample.target_db)):
            server.execute(db, "DELETE FROM public.raw WHERE at >= '2026-01-28' AND at < '2026-01-28 05:00+00'")
        before = contents(sample.target, sample.target_db)
        stopped = recreate(sample)
        assert stopped["failed"]
        assert "5 buckets of public.hourly (2026-01-28 00:00:00+00 to 2026-01-28 04:00:00+00)" in stopped["msg"]
        assert contents(sample.target, sample.target_db) == before
    finally:
        sample.drop()


def test_who_stands_on_it_and_is_not_chosen_keeps_it(drifted: Sample) -> None:
    refused = recreate(drifted, exclude=["*.daily"])
    assert refused["failed"]
    assert "public.daily stands on it" in refused["msg"]
    on_target(drifted, "CREATE TABLE public.hourly_dbops_old (mine int)")
    assert "public.hourly_dbops_old is in the way" in recreate(drifted)["msg"]


@pytest.mark.parametrize(
    "last",
    ['"hourly_dbops_new" IS', "CALL", '"hourly" IS', '"daily_dbops_new" IS'],
    ids=["created", "half refreshed", "swapped", "the next one created"],
)
def test_a_run_that_ended_early_is_gone_on_with(drifted: Sample, last: str) -> None:
    """Every state between two transactions, made by the statements that are announced."""
    wanted = contents(drifted.source, drifted.source_db)
    forget(drifted)
    queries = [text for text in recreate(drifted, check=True)["queries"] if not text.startswith("--")]
    end = next(place for place, text in enumerate(queries) if last in text and "DO" not in text[:3])
    for text in queries[: end + 1]:
        if not text.startswith("DROP MATERIALIZED VIEW"):  # the last step of all, in time
            on_target(drifted, text)
    left = recreate(drifted, check=True)
    assert left.get("failed") is None, left["msg"]
    assert "An interrupted run with on_drift: recreate left it" in str(sync(drifted, check=True)["objects"])
    done = recreate(drifted)
    assert done.get("failed") is None, done["msg"]
    assert done["queries"] == left["queries"]
    assert len([text for text in done["queries"] if not text.startswith("--")]) < len(queries)
    assert contents(drifted.target, drifted.target_db) == wanted
    assert on_target(drifted, AGGREGATES) == sorted((level,) for level in LEVELS)
    unchanged(drifted)


@pytest.mark.parametrize("validate", ["plain", "deep"])
def test_a_half_that_no_longer_fits_is_built_again(drifted: Sample, validate: str) -> None:
    half = SETUP[3].replace("public.hourly", "public.hourly_dbops_new").replace("count(*)", "count(device)")
    on_target(drifted, half)
    on_target(drifted, "COMMENT ON VIEW public.hourly_dbops_new IS 'dbops.timescale: is going to take the place'")
    done = recreate(drifted, validate=validate)
    assert done.get("failed") is None, done["msg"]
    assert done["queries"][0] == 'DROP MATERIALIZED VIEW "public"."hourly_dbops_new"'
    assert any("no longer fits" in one["reason"] for one in done["objects"])
    assert contents(drifted.target, drifted.target_db) == contents(drifted.source, drifted.source_db)
    unchanged(drifted)


def test_another_bucket_width(drifted: Sample) -> None:
    on_target(drifted, "DROP MATERIALIZED VIEW public.weekly")
    on_target(drifted, SETUP[5].replace("7 days", "14 days"))
    on_target(drifted, "CALL refresh_continuous_aggregate('public.weekly', NULL, NULL)")
    done = recreate(drifted)
    assert done.get("failed") is None, done["msg"]
    assert contents(drifted.target, drifted.target_db) == contents(drifted.source, drifted.source_db)
    unchanged(drifted)


def test_attributes_are_altered_in_place(drifted: Sample) -> None:
    recreate(drifted)
    samples.create_roles(drifted.source)
    ((table,),) = drifted.source.execute(drifted.source_db, STORED.format("daily"))
    for statement in (
        f"SELECT set_chunk_time_interval('{table}', interval '30 days')",
        "ALTER MATERIALIZED VIEW public.daily SET (timescaledb.materialized_only = false)",
        "CREATE INDEX daily_total ON public.daily (total)",
        "COMMENT ON VIEW public.daily IS 'by day'",
        "COMMENT ON COLUMN public.daily.total IS 'of the day'",
        "GRANT SELECT ON public.daily TO sensor_reader",
        "ALTER MATERIALIZED VIEW public.daily OWNER TO sensor_admin",
        "ALTER MATERIALIZED VIEW public.daily SET (timescaledb.compress, timescaledb.compress_segmentby = 'device')",
    ):
        drifted.source.execute(drifted.source_db, statement)
    stored = on_target(drifted, STORED.format("daily"))
    assert compare(drifted, "continuous aggregates") != []
    foreseen, done = recreate(drifted, check=True), recreate(drifted)
    assert done.get("failed") is None, done["msg"]
    assert done["queries"] == foreseen["queries"]
    assert entries(done, "altered") == {"continuous_aggregate public.daily": "altered"}
    assert on_target(drifted, STORED.format("daily")) == stored
    assert compare(drifted, "continuous aggregates", "columnstore settings") == []
    unchanged(drifted)


HANGING = (
    *STANDING[:7],
    "CREATE TRIGGER quiet INSTEAD OF INSERT ON public.latest FOR EACH ROW"
    " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "COMMENT ON TRIGGER quiet ON public.latest IS 'of a trigger'",
    "CREATE STATISTICS public.two_of_both ON device, n FROM public.of_both",
    "COMMENT ON STATISTICS public.two_of_both IS 'of statistics'",
    'ALTER MATERIALIZED VIEW public.of_both SET TABLESPACE "fast 100%"',
    'ALTER INDEX public.of_both_device SET TABLESPACE "fast 100%"',
    "ALTER MATERIALIZED VIEW public.of_both ALTER COLUMN n SET (n_distinct = 5)",
    "ALTER MATERIALIZED VIEW public.of_both ALTER COLUMN device SET STATISTICS 7",
    "CREATE INDEX only_here ON public.hourly (n)",
    "GRANT SELECT ON public.raw TO sensor_admin",
    "ALTER MATERIALIZED VIEW public.hourly OWNER TO sensor_admin",
)
HANGS = """
SELECT c.relname::text, concat_ws(' ', t.spcname, a.attname, a.attoptions, nullif(a.attstattarget, -1)),
    concat_ws(' ', s.stxname, obj_description(s.oid, 'pg_statistic_ext'), g.tgname,
      obj_description(g.oid, 'pg_trigger'))
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace LEFT JOIN pg_statistic_ext s ON s.stxrelid = c.oid
LEFT JOIN pg_trigger g ON g.tgrelid = c.oid WHERE c.relname IN ('latest', 'of_both', 'of_both_device') ORDER BY 1, 2"""


def test_what_hangs_on_the_old_one_is_made_again_or_named(drifted: Sample) -> None:
    with_tablespace(drifted)
    drifted.source.create_role("only_there")
    ((table,),) = drifted.source.execute(drifted.source_db, STORED.format("hourly"))
    by_time = "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = %s::regclass" + (
        " AND pg_get_indexdef(indexrelid) LIKE '%%(bucket DESC)'"
    )
    ((default_index,),) = drifted.source.execute(drifted.source_db, by_time, (table,))
    for statement in (
        f"ALTER INDEX {default_index} RENAME TO hourly_by_time",
        "ALTER MATERIALIZED VIEW public.hourly OWNER TO only_there",
    ):
        drifted.source.execute(drifted.source_db, statement)
    for statement in HANGING:
        on_target(drifted, statement)
    ((stored,),) = on_target(drifted, STORED.format("hourly"))
    on_target(drifted, f"ALTER TABLE {stored} SET (autovacuum_enabled = false)")
    hanging, standing = on_target(drifted, HANGS), on_target(drifted, STANDS)
    foreseen, done = recreate(drifted, check=True), recreate(drifted)
    assert done.get("failed") is None, done["msg"]
    assert done["queries"] == foreseen["queries"]
    assert on_target(drifted, HANGS) == hanging
    assert on_target(drifted, STANDS) == standing
    told = [one for one in done["objects"] if one["kind"] == "attribute" and one["name"] == "hourly"]
    for part in (
        "autovacuum_enabled",
        'CREATE INDEX "only_here"',
        "its owner is only_there, which the target does not",
    ):
        assert [one["outcome"] for one in told if part in one["reason"]] == ["skipped"], (part, told)
        assert any(part in text for text in warned(done))
    for one in told:
        if "\\gexec" in one["hint"]:
            ((statement,),) = on_target(drifted, one["hint"].removesuffix("\\gexec"))
            on_target(drifted, statement)
    unchanged(drifted)


def test_a_new_child_reads_what_only_the_new_parent_has(drifted: Sample) -> None:
    on_target(drifted, "ALTER MATERIALIZED VIEW public.hourly RENAME COLUMN total TO amount")
    for statement in (
        """CREATE MATERIALIZED VIEW public.tops WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
           SELECT time_bucket('1 day', bucket) AS bucket, max(total) AS top FROM public.hourly GROUP BY 1
           WITH NO DATA""",
        "CALL refresh_continuous_aggregate('public.tops', NULL, '2026-02-08 00:00+00')",
    ):
        drifted.source.execute(drifted.source_db, statement)
    foreseen, done = recreate(drifted, check=True), recreate(drifted)
    assert foreseen.get("failed") is None, foreseen["msg"]
    assert done.get("failed") is None, done["msg"]
    assert done["queries"] == foreseen["queries"]
    assert entries(foreseen)["continuous_aggregate public.tops"] == "pending"
    query = "SELECT * FROM public.tops ORDER BY 1"
    assert on_target(drifted, query) == drifted.source.execute(drifted.source_db, query)
    unchanged(drifted)


def test_columns_of_one_name_that_the_parent_computes_otherwise_are_not_carried_over(servers: Pool) -> None:
    """The child's text is the same on both sides, but the old one has summed up something else."""
    sample = made(servers, PAIRS[-1], OTHER_MEANING)
    try:
        ((table,),) = sample.source.execute(sample.source_db, STORED.format("daily"))
        queries = [text for text in recreate(sample, check=True)["queries"] if not text.startswith("--")]
        forget_a_day = f"DELETE FROM {table} WHERE bucket = '2026-01-12'"
        sample.source.execute(sample.source_db, forget_a_day)
        before = contents(sample.target, sample.target_db)
        refused = recreate(sample)
        assert refused["failed"], refused["queries"]
        assert "would lose 1 buckets of public.daily" in refused["msg"]
        assert contents(sample.target, sample.target_db) == before
        # The same when an interrupted run has replaced the parent already.
        for text in queries:
            if not text.startswith("DO"):  # the copies from the source are not among them, so it would be stopped
                on_target(sample, text)
            if '"hourly" IS' in text and "DO" not in text[:3]:
                break
        refused = recreate(sample)
        assert refused["failed"], refused["queries"]
        assert "would lose 1 buckets of public.daily" in refused["msg"]
        assert contents(sample.target, sample.target_db)["daily"] == before["daily"]
    finally:
        sample.drop()


def test_the_bucket_that_reaches_into_a_hole_is_carried_over_whole(drifted: Sample, tmp_path: Path) -> None:
    """Its first rows are there, its last ones are not, and a file has no buckets."""
    by_week = (
        """CREATE MATERIALIZED VIEW public.by_week WITH (timescaledb.continuous, timescaledb.materialized_only = true)
           AS SELECT time_bucket('7 days', at) AS week, sum(value) AS total FROM public.raw GROUP BY 1 WITH NO DATA""",
        "CALL refresh_continuous_aggregate('public.by_week', NULL, '2026-02-09 00:00+00')",
    )
    for statement in by_week:
        drifted.source.execute(drifted.source_db, statement)
        on_target(drifted, statement)
    query = "SELECT * FROM public.by_week ORDER BY 1"
    wanted = on_target(drifted, query)
    on_target(drifted, "ALTER MATERIALIZED VIEW public.by_week RENAME COLUMN total TO amount")
    on_target(drifted, "SELECT drop_chunks('public.raw', newer_than => '2026-01-28'::timestamptz)")
    path = str(tmp_path / "source.json")
    written = run_module("timescale_info", {**drifted.source_login("postgres"), "write_to": path})
    assert written.get("failed") is None, written
    login = drifted.target.login_vars(drifted.target_db, "postgres")
    options = {**login, "source_file": path, "on_drift": "recreate", "include": ["public.by_week"]}
    done = run_module("timescale_cagg_sync", options)
    assert done.get("failed") is None, done["msg"]
    assert done["changed"]
    assert on_target(drifted, query) == wanted


def test_a_view_of_two_is_made_again_as_the_source_has_it_with_the_last_of_them(drifted: Sample) -> None:
    """With a parent that is left out, its child is not the last one to be replaced."""
    recreate(drifted)
    zero = """CREATE MATERIALIZED VIEW public.zero WITH (timescaledb.continuous, timescaledb.materialized_only = true)
        AS SELECT time_bucket('1 day', at) AS bucket, device, {} FROM public.raw GROUP BY 1, 2 WITH NO DATA"""
    view = (
        "CREATE VIEW public.pairs AS SELECT d.total, {} AS more FROM public.daily d JOIN public.zero z USING (device)"
    )
    drifted.source.execute(drifted.source_db, zero.format("sum(value) AS total, count(*) AS n"))
    drifted.source.execute(drifted.source_db, view.format("z.n"))
    on_target(drifted, zero.format("sum(value) AS total"))
    on_target(drifted, "DROP MATERIALIZED VIEW public.weekly")
    on_target(drifted, "DROP MATERIALIZED VIEW public.daily")
    on_target(drifted, SETUP[4].replace("sum(n) AS n", "sum(n) AS n, min(n) AS least"))
    on_target(drifted, view.format("z.total"))
    done = recreate(drifted, exclude=["*.hourly"])
    assert done.get("failed") is None, done["msg"]
    found = "SELECT pg_get_viewdef('public.pairs'::regclass) ~ 'z.n AS more'"
    assert on_target(drifted, found) == [(True,)]
    unchanged(drifted, exclude=["*.hourly"])
