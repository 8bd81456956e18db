# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""timescale_cagg_sync on real servers: what the target refuses, what is in the way, what differs, what is left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_cagg import AGGREGATES, compare, entries, rows_differ, sync
from tests.support.playbook import run_module
from tests.support.pool import PAIRS, Pool, Sample
from tests.support.prepare import prepare_target

COUNTERS = "continuous_aggregate public.counters_by_100"
HOURLY = "continuous_aggregate public.avg_fill_levels"
# The storage of an aggregate, under whatever name it has on a server.
STORED = """SELECT format('%%I.%%I', materialization_hypertable_schema, materialization_hypertable_name)
    FROM timescaledb_information.continuous_aggregates WHERE view_name = %s"""


@pytest.fixture
def moved(servers: Pool) -> Iterator[Sample]:
    """Two servers: what is tested here does not depend on the versions."""
    made = servers.fresh(PAIRS[-1])
    yield made
    made.drop()


def on_source(moved: Sample, *statements: str, user: str | None = None) -> None:
    for statement in statements:
        moved.source.execute(moved.source_db, statement, user=user)


def on_target(moved: Sample, *statements: str, user: str | None = None) -> None:
    for statement in statements:
        moved.target.execute(moved.target_db, statement, user=user)


def stored(moved: Sample, view: str) -> str:
    """The name of a materialization on the target."""
    return str(moved.target.execute(moved.target_db, STORED, (view,))[0][0])


def of_kind(result: dict[str, Any], kind: str, name: str = "") -> list[dict[str, Any]]:
    return [one for one in result["objects"] if one["kind"] == kind and name in ("", one["name"])]


def warned(result: dict[str, Any]) -> list[str]:
    """The warnings as text, whatever shape this ansible-core gives them."""
    return [one["event"]["msg"] if isinstance(one, dict) else one for one in result.get("warnings", ())]


def refused(moved: Sample, told: str, **options: Any) -> dict[str, Any]:
    """A run that changes nothing and says why; in check mode it says the same."""
    before = moved.target.execute(moved.target_db, AGGREGATES)
    foreseen, result = sync(moved, check=True, **options), sync(moved, **options)
    assert result["failed"], result
    assert told in result["msg"]
    assert foreseen["msg"] == result["msg"]
    assert not result["changed"]
    assert moved.target.execute(moved.target_db, AGGREGATES) == before
    return result


def with_tablespace(moved: Sample) -> None:
    """Both servers have the tablespace "fast 100%"."""
    for server in (moved.source, moved.target):
        connection = server.connect("postgres")
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET allow_in_place_tablespaces = true")
                cursor.execute("SELECT 1 FROM pg_tablespace WHERE spcname = 'fast 100%'")
                if cursor.fetchone() is None:
                    cursor.execute("""CREATE TABLESPACE "fast 100%" LOCATION ''""")
        finally:
            connection.close()


def unchanged(moved: Sample, user: str | None = None, **options: Any) -> None:
    for check in (True, False):
        again = sync(moved, check=check, user=user, **options)
        assert again.get("failed") is None, again
        assert not again["changed"], again["queries"]


def test_from_a_file_with_the_source_gone(moved: Sample, tmp_path: Path) -> None:
    path = str(tmp_path / "source.json")
    written = run_module("timescale_info", {**moved.source_login(), "write_to": path})
    assert written.get("failed") is None, written
    live = sync(moved, check=True)
    moved.source.execute("postgres", f"ALTER DATABASE {moved.source_db} ALLOW_CONNECTIONS false")

    def from_file(check: bool = False) -> dict[str, Any]:
        login = moved.target.login_vars(moved.target_db, moved.user)
        return run_module("timescale_cagg_sync", {**login, "source_file": path, "jobs": 2}, check=check)

    foreseen, done = from_file(check=True), from_file()
    assert done.get("failed") is None, done["msg"]
    assert done["queries"] == foreseen["queries"]
    assert done["queries"] == [text for text in live["queries"] if not text.startswith("--")]
    for again in (from_file(check=True), from_file()):
        assert not again["changed"], again
    moved.source.execute("postgres", f"ALTER DATABASE {moved.source_db} ALLOW_CONNECTIONS true")
    assert rows_differ(moved) == {}


def test_include_and_exclude(moved: Sample) -> None:
    done = sync(moved, include=["public.*"], exclude=["*.counters*"])
    created = [one for one in of_kind(done, "continuous_aggregate") if one["outcome"] == "created"]
    assert [one["name"] for one in created] == ["avg_fill_levels"]
    orphan = sync(moved, include=["reports.Avg*"])
    (entry,) = of_kind(orphan, "continuous_aggregate")
    assert entry["outcome"] == "skipped"
    assert "reports.avg_fill_levels_daily" in entry["reason"]
    assert any("Avg Fill Levels Weekly" in text for text in warned(orphan))
    assert not sync(moved, include=["nowhere.*"])["changed"]


def test_window_and_batches(moved: Sample) -> None:
    window: dict[str, Any] = {
        "refresh": "window",
        "refresh_start": "2026-01-09T23:10:00",
        "refresh_end": "2026-01-31T00:30:00+00:00",  # inside a bucket, as the start: whole buckets only
    }
    chosen: dict[str, Any] = {"include": ["public.avg_fill_levels"], **window, "refresh_batch": "7 days"}
    foreseen, done = sync(moved, check=True, **chosen), sync(moved, **chosen)
    assert done.get("failed") is None, done["msg"]
    assert done["queries"] == foreseen["queries"]
    calls = [text for text in done["queries"] if text.startswith("CALL")]
    assert len(calls) == 3
    assert "'2026-01-31 00:00:00+00'" in calls[0], calls
    assert "'2026-01-10 00:00:00+00'" in calls[-1], calls
    (limits,) = moved.target.execute(
        moved.target_db,
        f"SELECT min(bucket)::text, max(bucket)::text, count(DISTINCT bucket) FROM {stored(moved, 'avg_fill_levels')}",
    )
    assert limits == ("2026-01-10 00:00:00+00", "2026-01-30 23:00:00+00", 21 * 24)
    unchanged(moved, **chosen)
    assert "refresh_start" in sync(moved, include=["public.counters*"], **window)["msg"]
    assert "refresh_batch" in sync(moved, refresh_batch="often")["msg"]
    assert "refresh_start" in sync(moved, refresh="window")["msg"]
    counted: dict[str, Any] = {
        "refresh": "window",
        "refresh_start": "1000",
        "refresh_end": "5000",
        "refresh_batch": "10",
    }
    done = sync(moved, include=["public.counters*"], **counted)
    assert len([text for text in done["queries"] if text.startswith("CALL")]) == 4
    unchanged(moved, include=["public.counters*"], **counted)


@pytest.mark.parametrize(
    ("kind", "create"),
    [("view", "CREATE VIEW {} AS SELECT 1 AS bucket"), ("table", "CREATE TABLE {} (bucket integer)")],
)
def test_a_relation_in_the_way(moved: Sample, kind: str, create: str) -> None:
    on_target(moved, create.format("public.avg_fill_levels"))
    refused(moved, f"A {kind} public.avg_fill_levels of the target is in the way.")
    done = sync(moved, on_unsupported="skip")
    assert done.get("failed") is None, done["msg"]
    assert entries(done)[HOURLY] == "unsupported"
    assert entries(done)[COUNTERS] == "created"
    assert entries(done)["view reports.latest_fill"] == "skipped"
    assert moved.target.execute(moved.target_db, "SELECT count(*) >= 0 FROM public.avg_fill_levels") == [(True,)]
    unchanged(moved, on_unsupported="skip")


def test_a_query_that_the_target_refuses(moved: Sample) -> None:
    on_source(
        moved,
        "CREATE FUNCTION public.halved(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1 / 2'",
        """CREATE MATERIALIZED VIEW public.halves WITH (timescaledb.continuous) AS
           SELECT time_bucket(100::bigint, tick) AS bucket, public.halved(max(value)) AS half
           FROM public.counters GROUP BY 1 WITH NO DATA""",
        user="sensor_admin",
    )
    refused(moved, "halved(bigint) does not exist")
    done = sync(moved, on_unsupported="skip")
    assert entries(done)["continuous_aggregate public.halves"] == "unsupported"
    assert entries(done)[COUNTERS] == "created"


def test_row_security_of_the_hypertable(moved: Sample) -> None:
    on_target(moved, "ALTER TABLE public.counters ENABLE ROW LEVEL SECURITY")
    refused(moved, "DISABLE ROW LEVEL SECURITY")
    done = sync(moved, on_unsupported="skip")
    assert entries(done)[COUNTERS] == "unsupported"
    assert entries(done)[HOURLY] == "created"
    on_target(moved, "ALTER TABLE public.counters DISABLE ROW LEVEL SECURITY")
    assert entries(sync(moved))[COUNTERS] == "created"
    assert rows_differ(moved) == {}


def test_an_owner_and_a_grantee_that_the_target_lacks(moved: Sample) -> None:
    for role in ("only_there", "reads_there"):
        moved.source.create_role(role)
    on_source(
        moved,
        "GRANT SELECT ON public.counters TO only_there",
        "GRANT CREATE ON SCHEMA public TO only_there",
        "ALTER MATERIALIZED VIEW public.counters_by_100 OWNER TO only_there",
        "GRANT SELECT ON public.avg_fill_levels TO reads_there",
    )
    done = sync(moved)
    assert done.get("failed") is None, done["msg"]
    assert entries(done)[COUNTERS] == entries(done)[HOURLY] == "created"
    assert {(one["name"], one["outcome"]) for one in of_kind(done, "attribute")} == {
        ("counters_by_100", "skipped"),
        ("avg_fill_levels", "skipped"),
    }
    told = "\n".join(warned(done))
    assert "only_there" in told
    assert "reads_there" in told
    assert "The buckets of public.counters_by_100 may not be read on the source" in told
    unchanged(moved)
    moved.target.create_role("reads_there")
    later = sync(moved)
    assert later["queries"] == ['GRANT SELECT ON TABLE "public"."avg_fill_levels" TO "reads_there"'], later
    unchanged(moved)


def test_restored_without_owners(moved: Sample, servers: Pool) -> None:
    """A connecting role that owns everything and is a member of nothing, as after ``pg_restore --no-owner``."""
    moved.target.create_role("newcomer")
    moved.target.drop_database(moved.target_db)
    version = servers.side(PAIRS[-1].target)[1]
    prepare_target(moved.source, moved.source_db, moved.target, moved.target_db, version, owner="newcomer")
    foreseen, done = sync(moved, check=True, user="newcomer"), sync(moved, user="newcomer")
    assert done.get("failed") is None, done["msg"]
    assert done["queries"] == foreseen["queries"]
    assert {one["outcome"] for one in of_kind(done, "continuous_aggregate")} == {"created"}
    kept = of_kind(done, "attribute", "counters_by_100")
    assert [one["outcome"] for one in kept] == ["skipped"]
    assert "here it is newcomer" in kept[0]["reason"]
    assert len([text for text in warned(done) if "newcomer" in text]) == 1
    unchanged(moved, user="newcomer")
    assert rows_differ(moved) == {}


def test_another_definition(moved: Sample) -> None:
    create = """CREATE MATERIALIZED VIEW public.counters_by_100 WITH (timescaledb.continuous) AS
        SELECT time_bucket(100::bigint, tick) AS bucket, device, min(value) AS value, count(*) AS samples
        FROM public.counters GROUP BY 1, 2 WITH NO DATA"""
    on_target(moved, create, user="sensor_admin")
    refused(moved, "public.counters_by_100", on_drift="fail")
    done = sync(moved)
    assert done.get("failed") is None, done["msg"]
    assert entries(done)[COUNTERS] == "drifted"
    assert entries(done)[HOURLY] == "created"
    assert any("counters_by_100" in text for text in warned(done))
    definition = (
        "SELECT view_definition ~ 'min' FROM timescaledb_information.continuous_aggregates WHERE view_name = %s"
    )
    assert moved.target.execute(moved.target_db, definition, ("counters_by_100",)) == [(True,)]
    unchanged(moved)


def test_an_aggregate_that_differs_is_brought_back_by_one_run(moved: Sample) -> None:
    sync(moved)
    index = moved.target.execute(
        moved.target_db,
        "SELECT format('%I.%I', schemaname, indexname) FROM pg_indexes WHERE indexname = %s".replace("%I", "%%I"),
        ("avg_fill_levels_high",),
    )[0][0]
    on_target(
        moved,
        "ALTER MATERIALIZED VIEW public.avg_fill_levels SET (timescaledb.materialized_only = true)",
        f"DROP INDEX {index}",
        "COMMENT ON VIEW public.avg_fill_levels IS NULL",
        "COMMENT ON COLUMN public.avg_fill_levels.bucket IS 'other'",
        "REVOKE SELECT ON public.avg_fill_levels FROM sensor_reader",
    )
    foreseen, done = sync(moved, check=True), sync(moved)
    assert done["queries"] == foreseen["queries"]
    assert len(done["queries"]) == 5, done["queries"]
    assert entries(done, "altered") == {HOURLY: "altered"}
    unchanged(moved)
    assert compare(moved, "continuous aggregates") == []


def test_a_default_index_that_the_source_dropped(moved: Sample) -> None:
    table = moved.source.execute(moved.source_db, STORED, ("avg_fill_levels_daily",))[0][0]
    found = moved.source.execute(
        moved.source_db,
        "SELECT x.indexrelid::regclass::text FROM pg_index x WHERE x.indrelid = %s::regclass"
        " AND pg_get_indexdef(x.indexrelid) LIKE '%%(day DESC)'",
        (table,),
    )
    on_source(moved, *(f"DROP INDEX {index}" for (index,) in found))
    assert len(found) == 1
    done = sync(moved)
    assert done.get("failed") is None, done["msg"]
    assert compare(moved, "continuous aggregates") == []
    unchanged(moved)


def test_a_function_on_an_aggregate_and_months(moved: Sample) -> None:
    on_source(
        moved,
        """CREATE FUNCTION reports.highest(one integer) RETURNS numeric LANGUAGE sql STABLE
           BEGIN ATOMIC SELECT max(avg_fill_level) FROM public.avg_fill_levels WHERE sensor_id = one; END""",
        "COMMENT ON FUNCTION reports.highest(integer) IS 'Ever'",
        """CREATE MATERIALIZED VIEW reports.fill_monthly
           WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
           SELECT time_bucket('1 month', "time") AS month, sensor_id, count(*) AS n
           FROM public.fill_measurements GROUP BY 1, 2 WITH NO DATA""",
        "CALL refresh_continuous_aggregate('reports.fill_monthly', NULL, '2026-03-01')",
        user="sensor_admin",
    )
    foreseen, done = sync(moved, check=True), sync(moved)
    assert done.get("failed") is None, done["msg"]
    assert done["queries"] == foreseen["queries"]
    assert entries(done)["function reports.highest(one integer)"] == "created"
    unchanged(moved)
    assert rows_differ(moved) == {}
    (highest,) = moved.target.execute(moved.target_db, "SELECT reports.highest(3) IS NOT NULL")[0]
    assert highest
    months = {row[0].month for row in moved.target.execute(moved.target_db, "SELECT month FROM reports.fill_monthly")}
    assert months == {1, 2}


def test_storage_that_is_not_moved_is_told_with_its_statement(moved: Sample) -> None:
    sync(moved)
    with_tablespace(moved)
    table = moved.source.execute(moved.source_db, STORED, ("avg_fill_levels",))[0][0]
    schema = table.split(".")[0]
    (default_index,) = moved.source.execute(
        moved.source_db,
        "SELECT x.indexrelid::regclass::text FROM pg_index x WHERE x.indrelid = %s::regclass"
        " AND pg_get_indexdef(x.indexrelid) LIKE '%%(bucket DESC)'",
        (table,),
    )[0]
    on_source(
        moved,
        'GRANT CREATE ON TABLESPACE "fast 100%" TO sensor_admin',
        'ALTER MATERIALIZED VIEW public.avg_fill_levels SET TABLESPACE "fast 100%"',
        f"ALTER TABLE {table} SET (autovacuum_enabled = false)",
        f"CLUSTER {table} USING {default_index.split('.')[1]}",
        f'ALTER INDEX {schema}.avg_fill_levels_high SET TABLESPACE "fast 100%"',
        f'ALTER INDEX {default_index} SET TABLESPACE "fast 100%"',
    )
    told = sync(moved)
    assert told.get("failed") is None, told
    assert not told["changed"]
    found = of_kind(told, "attribute", "avg_fill_levels")
    assert len(found) == 5, found
    assert {one["outcome"] for one in found} == {"skipped"}
    assert any("autovacuum_enabled" in text for text in warned(told))
    on_target(moved, 'GRANT CREATE ON TABLESPACE "fast 100%" TO sensor_admin')
    for one in found:
        asked = one["hint"].removesuffix("\\gexec")
        ((statement,),) = moved.target.execute(moved.target_db, asked)
        on_target(moved, statement)
    assert of_kind(sync(moved), "attribute") == []


def test_an_owner_of_which_the_role_is_a_member(moved: Sample) -> None:
    for server, db in ((moved.source, moved.source_db), (moved.target, moved.target_db)):
        server.execute(db, "GRANT SELECT ON public.counters TO sensor_writer")
        server.execute(db, "GRANT sensor_writer TO sensor_admin")
    on_source(
        moved,
        "GRANT CREATE ON SCHEMA public TO sensor_writer",
        "ALTER MATERIALIZED VIEW public.counters_by_100 OWNER TO sensor_writer",
    )
    try:
        done = sync(moved)
        assert done.get("failed") is None, done["msg"]
        (entry,) = of_kind(done, "attribute")
        assert "CREATE" in entry["reason"]
        unchanged(moved)
        on_target(moved, "GRANT CREATE ON SCHEMA public, _timescaledb_internal TO sensor_writer")
        later = sync(moved)
        assert later.get("failed") is None, later["msg"]
        assert later["queries"] == ['ALTER MATERIALIZED VIEW "public"."counters_by_100" OWNER TO "sensor_writer"']
        unchanged(moved)
    finally:
        for server in (moved.source, moved.target):
            server.execute("postgres", "REVOKE sensor_writer FROM sensor_admin")
