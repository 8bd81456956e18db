# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that hangs on an aggregate arrives, or is named: what people add by hand, and what else stands on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.test_cagg import compare, entries, sync
from tests.integration.test_cagg_refusals import (
    STORED,
    of_kind,
    on_source,
    on_target,
    unchanged,
    warned,
    with_tablespace,
)
from tests.support.pool import PAIRS, Pool, Sample

COUNTED = "counters_by_100"
INDEXES = """
SELECT pg_catalog.regexp_replace(pg_catalog.pg_get_indexdef(x.indexrelid), '_materialized_hypertable_\\d+', '', 'g'),
  pg_catalog.obj_description(x.indexrelid, 'pg_class')
FROM pg_catalog.pg_index AS x WHERE x.indrelid = %s::regclass ORDER BY 1
"""
RIGHTS = """
SELECT x.privilege_type, x.is_grantable, x.grantee::regrole::text FROM pg_catalog.pg_class AS c,
  pg_catalog.aclexplode(c.relacl) AS x WHERE c.oid = 'public.counters_by_100'::regclass
  AND x.privilege_type <> 'MAINTAIN' ORDER BY 1, 2, 3
"""
COLUMNS = """
SELECT k.attrelid::regclass::text, k.attname, k.attacl::text, pg_catalog.col_description(k.attrelid, k.attnum),
  pg_catalog.pg_get_expr(d.adbin, d.adrelid)
FROM pg_catalog.pg_attribute AS k LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = k.attrelid AND d.adnum = k.attnum
WHERE k.attrelid = ANY (ARRAY['public.counters_by_100', 'reports.writable']::regclass[]) AND k.attnum > 0
AND (k.attacl IS NOT NULL OR d.oid IS NOT NULL) ORDER BY 1, 2
"""


@pytest.fixture
def moved(servers: Pool) -> Iterator[Sample]:
    """From the oldest release to the newest one."""
    made = servers.fresh(PAIRS[-1])
    yield made
    made.drop()


def materialization(server: Any, db: str, view: str = "avg_fill_levels") -> str:
    return str(server.execute(db, STORED, (view,))[0][0])


def both(moved: Sample, query: str) -> tuple[Any, Any]:
    """What both sides answer."""
    return moved.source.execute(moved.source_db, query), moved.target.execute(moved.target_db, query)


def indexes(server: Any, db: str) -> Any:
    return server.execute(db, INDEXES, (materialization(server, db, COUNTED),))


def test_indexes_rights_and_defaults_made_by_hand(moved: Sample) -> None:
    table = materialization(moved.source, moved.source_db, COUNTED)
    schema = table.split(".", maxsplit=1)[0]
    (default_index,) = moved.source.execute(
        moved.source_db,
        "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = %s::regclass"
        " AND pg_get_indexdef(indexrelid) LIKE '%%(bucket DESC)'",
        (table,),
    )[0]
    on_source(moved, f"CREATE UNIQUE INDEX once ON {table} (bucket, device)")
    on_source(
        moved,
        "CREATE INDEX once_more ON public.counters_by_100 (bucket, device)",
        "CREATE INDEX ON public.counters_by_100 USING brin (bucket) WITH (pages_per_range = 4)",
        "CREATE INDEX ON public.counters_by_100 (device) INCLUDE (value)",
        "CREATE INDEX of_it ON public.counters_by_100 ((device + 1)) WHERE device > 1",
        f"COMMENT ON INDEX {schema}.once IS 'Never twice: 100 %, {{it}} said'",
        f"COMMENT ON INDEX {default_index} IS 'Made by creation'",
        "REVOKE UPDATE, TRIGGER ON public.counters_by_100 FROM sensor_admin",
        "GRANT SELECT (bucket) ON public.counters_by_100 TO sensor_reader WITH GRANT OPTION",
        "CREATE VIEW reports.writable AS SELECT * FROM public.counters_by_100",
        "ALTER VIEW reports.writable ALTER COLUMN device SET DEFAULT 7",
        "GRANT INSERT (device) ON reports.writable TO sensor_writer",
        user="sensor_admin",
    )
    kept = sync(moved, check=True)
    assert any("its unique index once" in one["reason"] for one in of_kind(kept, "attribute", COUNTED))
    assert not any("CREATE UNIQUE" in text for text in kept["queries"])
    on_target(moved, "GRANT CREATE ON SCHEMA _timescaledb_internal TO sensor_admin")
    foreseen, done = sync(moved, check=True), sync(moved)
    assert done.get("failed") is None, done["msg"]
    assert done["queries"] == foreseen["queries"]
    assert indexes(moved.source, moved.source_db) == indexes(moved.target, moved.target_db)
    for query in (RIGHTS, COLUMNS):
        ours, theirs = both(moved, query)
        assert ours == theirs
        assert ours
    assert compare(moved, "continuous aggregates") == []
    unchanged(moved)
    own = materialization(moved.target, moved.target_db, COUNTED).split(".", maxsplit=1)[0]
    on_target(
        moved, f"COMMENT ON INDEX {own}.once IS NULL", "GRANT UPDATE, TRIGGER ON public.counters_by_100 TO sensor_admin"
    )
    assert len(sync(moved)["queries"]) == 2
    assert indexes(moved.source, moved.source_db) == indexes(moved.target, moved.target_db)
    unchanged(moved)


def test_functions_of_arrays_and_of_rows_and_procedures(moved: Sample) -> None:
    on_source(
        moved,
        "CREATE FUNCTION reports.of_array(public.avg_fill_levels[]) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        """CREATE PROCEDURE reports.of_body() LANGUAGE sql BEGIN ATOMIC
           INSERT INTO public.counters SELECT 0, count(*)::integer, 0 FROM public.avg_fill_levels WHERE false; END""",
        """CREATE FUNCTION reports.of_row(one public.avg_fill_levels) RETURNS bigint LANGUAGE sql
           AS 'SELECT count(*) FROM avg_fill_levels'""",
        """CREATE FUNCTION reports.at_most() RETURNS numeric LANGUAGE sql
           BEGIN ATOMIC SELECT max(a.avg_fill_level) FROM public.avg_fill_levels AS a; END""",
        "CREATE VIEW reports.on_all AS SELECT a.sensor_id, a AS whole FROM public.avg_fill_levels AS a",
        "CREATE FUNCTION reports.of_view(reports.on_all[]) RETURNS integer LANGUAGE sql AS 'SELECT 2'",
        "CREATE MATERIALIZED VIEW reports.kept AS SELECT sensor_id, count(*) AS n FROM reports.on_all GROUP BY 1",
        "COMMENT ON COLUMN reports.kept.n IS 'How many'",
        "GRANT SELECT (n) ON reports.kept TO sensor_reader",
        user="sensor_admin",
    )
    with_tablespace(moved)
    on_source(moved, 'ALTER MATERIALIZED VIEW reports.kept SET TABLESPACE "fast 100%"')
    done = sync(moved)
    assert done.get("failed") is None, done["msg"]
    (kept,) = of_kind(done, "attribute", "kept")
    assert kept["reason"] == "Not moved: its tablespace fast 100%."
    on_target(moved, kept["hint"].split(", where")[0])
    assert of_kind(sync(moved, check=True), "attribute", "kept") == []
    told = entries(done)
    assert told["function reports.of_array(public.avg_fill_levels[])"] == "created"
    assert told["function reports.of_body()"] == "created"
    assert told["function reports.of_row(one public.avg_fill_levels)"] == "created"
    assert told["function reports.of_view(reports.on_all[])"] == "created"
    assert told["materialized_view reports.kept"] == "created"
    lines = compare(moved, "views", "functions", "comments", "relations")
    assert [line for line in lines if "reports.of_" in line or "reports.on_all" in line] == []
    unchanged(moved)
    assert entries(sync(moved), "drifted") == {}
    on_target(
        moved,
        """CREATE OR REPLACE FUNCTION reports.at_most() RETURNS numeric LANGUAGE sql
           BEGIN ATOMIC SELECT min(a.avg_fill_level) FROM public.avg_fill_levels AS a; END""",
    )
    assert entries(sync(moved), "drifted") == {"function reports.at_most()": "drifted"}


def test_what_is_not_moved_is_named(moved: Sample) -> None:
    table = materialization(moved.source, moved.source_db)
    on_source(
        moved,
        f"CREATE STATISTICS public.of_two ON sensor_id, avg_fill_level FROM {table}",
        f"CREATE TRIGGER quiet BEFORE INSERT ON {table} FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE TYPE public.pair_of AS (one public.avg_fill_levels, n integer)",
        "CREATE TABLE public.copies (whole public.avg_fill_levels, many public.avg_fill_levels[])",
        "CREATE DOMAIN public.some_of AS public.avg_fill_levels",
        "CREATE FUNCTION public.counted(integer, public.avg_fill_levels) RETURNS integer LANGUAGE sql"
        " AS 'SELECT $1 + 1'",
        "CREATE AGGREGATE public.count_of (public.avg_fill_levels)"
        " (sfunc = public.counted, stype = integer, initcond = 0)",
        """CREATE FUNCTION public.how_many() RETURNS bigint LANGUAGE sql
           BEGIN ATOMIC SELECT count(*) FROM public.avg_fill_levels; END""",
        "CREATE TABLE public.with_default (n bigint DEFAULT public.how_many())",
    )
    done = sync(moved)
    assert done.get("failed") is None, done["msg"]
    named = {(one["kind"], one["name"]) for one in done["objects"] if one["outcome"] == "skipped"}
    assert named >= {
        ("composite_type", "public.pair_of"),
        ("table", "public.copies"),
        ("type", "public.some_of"),
        ("aggregate", "public.count_of(public.avg_fill_levels)"),
        ("default_value", "for public.with_default.n"),
    }
    reasons = [one["reason"] for one in of_kind(done, "attribute", "avg_fill_levels")]
    assert any("CREATE STATISTICS public.of_two" in reason for reason in reasons)
    assert any("CREATE TRIGGER quiet" in reason for reason in reasons)
    assert any("public.pair_of" in text for text in warned(done))
    on_target(moved, "CREATE DOMAIN public.some_of AS public.avg_fill_levels")
    again = sync(moved)
    assert not again["changed"]
    assert of_kind(again, "type", "public.some_of") == []


def test_a_temporary_view_belongs_to_its_session_alone(moved: Sample) -> None:
    session = moved.source.connect(moved.source_db)
    try:
        with session.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY VIEW mine AS SELECT count(*) AS n FROM public.avg_fill_levels")
        done = sync(moved, check=True)
    finally:
        session.close()
    assert done.get("failed") is None, done["msg"]
    assert [one for one in done["objects"] if one["name"] == "mine"] == []


def test_a_function_in_the_way_is_not_replaced(moved: Sample) -> None:
    on_source(
        moved,
        """CREATE FUNCTION public.how_many() RETURNS bigint LANGUAGE sql
           BEGIN ATOMIC SELECT count(*) FROM public.avg_fill_levels; END""",
    )
    on_target(moved, "CREATE FUNCTION public.how_many() RETURNS bigint LANGUAGE sql AS 'SELECT 7::bigint'")
    told = sync(moved)
    assert told["failed"]
    assert "A function public.how_many of the target is in the way." in told["msg"]
    assert moved.target.execute(moved.target_db, "SELECT public.how_many()") == [(7,)]


def test_a_view_of_the_storage_is_refused(moved: Sample) -> None:
    table = materialization(moved.source, moved.source_db)
    on_source(moved, f"CREATE VIEW reports.inside AS SELECT count(*) AS n FROM {table}")
    told = sync(moved)
    assert told["failed"]
    assert "reports.inside: It reads an aggregate's materialization by its internal name" in told["msg"]
    done = sync(moved, on_unsupported="skip")
    assert done.get("failed") is None, done["msg"]
    assert entries(done)["view reports.inside"] == "unsupported"
    unchanged(moved, on_unsupported="skip")


ROWS = (
    "CREATE TABLE public.raw (at timestamptz NOT NULL, device integer, value double precision)",
    "SELECT {}.create_hypertable('public.raw', 'at', chunk_time_interval => interval '7 days')",
    """INSERT INTO public.raw SELECT '2026-01-01 00:20+00'::timestamptz + n * interval '1 hour', n % 3, n
       FROM generate_series(0, 399) AS n""",
)


@pytest.mark.parametrize(("ours", "theirs"), [("public", "ext"), ("Ext.Here", "public")])
def test_the_extension_lives_in_another_schema(servers: Pool, ours: str, theirs: str) -> None:
    pair = PAIRS[-1]
    for one in pair.missing():
        pytest.skip(f"{one} is not installed")
    (source, source_version), (target, target_version) = servers.side(pair.source), servers.side(pair.target)
    moved = Sample(source, "placed_source", target, "placed_target", user="postgres")
    for server, db, schema, version in (
        (source, moved.source_db, ours, source_version),
        (target, moved.target_db, theirs, target_version),
    ):
        server.create_database(db)
        server.execute(db, f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        server.execute(db, f"CREATE EXTENSION timescaledb SCHEMA \"{schema}\" VERSION '{version}'")
        for statement in ROWS:
            server.execute(db, statement.format(f'"{schema}"'))
    on_source(
        moved,
        f"""CREATE MATERIALIZED VIEW public.hourly WITH (timescaledb.continuous) AS
            SELECT "{ours}".time_bucket('1 hour', at) AS bucket, "{ours}".first(value, at) AS one,
              "{ours}".histogram(value, 0, 400, 4) AS spread FROM public.raw GROUP BY 1 WITH NO DATA""",
        f"""CREATE VIEW public.daily AS SELECT "{ours}".time_bucket('1 day', bucket) AS day, max(one) AS one
            FROM public.hourly GROUP BY 1""",
        f"""CREATE FUNCTION public.of_day() RETURNS SETOF public.daily LANGUAGE sql BEGIN ATOMIC
            SELECT "{ours}".time_bucket('1 day', day), one FROM public.daily; END""",
        f"CALL \"{ours}\".refresh_continuous_aggregate('public.hourly', NULL, '2026-01-14')",
    )
    try:
        foreseen, done = sync(moved, check=True), sync(moved)
        assert done.get("failed") is None, done["msg"]
        assert done["queries"] == foreseen["queries"]
        for name in ("public.hourly", "public.daily", "public.of_day()"):
            query = f"SELECT * FROM {name} ORDER BY 1"
            found, wanted = both(moved, query)[::-1]
            assert found == wanted
        unchanged(moved)
    finally:
        moved.drop()
