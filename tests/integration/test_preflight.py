# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of a move is told beforehand, all of it at once, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.playbook import run_module
from tests.support.pool import PAIRS, Pool, Sample
from tests.support.samples import create_tablespaces
from tests.support.servers import Server

NO_WORKERS = ("target", "server", "timescaledb.max_background_workers is 0, so no job will ever run.")
# The samples' owner is not exempt from forced row security.
ROWS_HIDDEN = (
    "source",
    "role sensor_admin",
    "Row security hides rows of public.tenant_notes from it, so these rows cannot be compared.",
)


def _told(entries: list[dict[str, str]]) -> set[tuple[str, str, str]]:
    return {(entry["side"], entry["object"], entry["problem"]) for entry in entries}


def _preflight(sample: Sample, **more: Any) -> dict[str, Any]:
    return run_module("timescale_preflight", {**sample.login(), **more})


def _run(server: Server, db: str, *statements: str) -> None:
    for text in statements:
        server.execute(db, text)


def test_a_prepared_target_has_no_problem(sample: Sample) -> None:
    told = _preflight(sample)
    assert not told.get("failed"), told
    assert told["problems"] == []
    # The shared test servers run without TimescaleDB's scheduler; nothing else of them is worth a caution.
    assert _told(told["cautions"]) == {NO_WORKERS, ROWS_HIDDEN}
    assert (told["changed"], told["queries"]) == (False, [])


def test_a_prepared_plain_target_has_no_problem(plain_sample: Sample) -> None:
    told = _preflight(plain_sample)
    assert not told.get("failed"), told
    assert (told["problems"], _told(told["cautions"])) == ([], {ROWS_HIDDEN})
    assert told["source_version"]["timescaledb"] is None


def test_all_that_is_missing_on_a_plain_target_is_told_at_once(plain_sample: Sample) -> None:
    _run(
        plain_sample.target,
        plain_sample.target_db,
        "DROP TABLE public.sensor_channels CASCADE",
        "ALTER TABLE public.deliveries DROP COLUMN litres CASCADE",
        "ALTER TABLE public.deliveries ALTER COLUMN parent_id TYPE integer",
        "DROP FUNCTION public.note_delivery() CASCADE",
        'DROP SCHEMA "Plant North" CASCADE',
        "CREATE SEQUENCE public.only_here",
    )
    _run(plain_sample.source, plain_sample.source_db, "CREATE TYPE public.colour AS ENUM ('red', 'blue')")
    told = _preflight(plain_sample)
    assert told["failed"]
    assert _told(told["problems"]) >= {
        ("target", "table public.sensor_channels", "It is missing."),
        ("target", "table public.deliveries", "Columns are missing: litres."),
        ("target", "function public.note_delivery()", "It is missing."),
        ("target", "schema Plant North", "It is missing."),
        ("target", "type public.colour", "It is missing."),
    }
    assert ("target", "table public.deliveries", "Columns have another type: parent_id integer, not bigint.") in _told(
        told["cautions"]
    )
    assert not any("Plant North." in entry["object"] for entry in told["problems"])
    for entry in told["problems"]:
        assert (
            f"- {entry['side']}, {entry['object']}: {entry['problem']} {entry['remedy']}" in told["msg"].splitlines()
        ), told["msg"]


def test_hypertables_must_be_there_with_the_same_dimensions(sample: Sample) -> None:
    _run(
        sample.target,
        sample.target_db,
        "DROP TABLE public.counters CASCADE",
        "CREATE TABLE public.counters (tick bigint NOT NULL, device integer NOT NULL, value bigint NOT NULL)",
        "DROP TABLE public.channel_readings CASCADE",
        """CREATE TABLE public.channel_readings
           ("time" timestamptz NOT NULL, sensor_id integer NOT NULL, channel smallint NOT NULL, value float)""",
        "SELECT public.create_hypertable('public.channel_readings', 'time', chunk_time_interval => interval '14 days')",
        "SELECT public.set_chunk_time_interval('public.pump_cycles', interval '3 months')",
    )
    told = _preflight(sample)
    assert told["failed"]
    problems = _told(told["problems"])
    assert ("target", "hypertable public.counters", "It is still a plain table there.") in problems
    assert (
        "target",
        "hypertable public.channel_readings",
        "It is partitioned by ranges of time there, on the source by ranges of time; sensor_id in 2 slices.",
    ) in problems
    assert any(
        entry["object"] == "hypertable public.pump_cycles" and "chunk interval on at" in entry["problem"]
        for entry in told["cautions"]
    )


def test_integer_time_needs_its_function(sample: Sample) -> None:
    catalog = "UPDATE _timescaledb_catalog.dimension SET integer_now_func_schema = NULL, integer_now_func = NULL"
    _run(sample.target, sample.target_db, catalog, "DELETE FROM public.counters")
    told = _preflight(sample)
    (problem,) = told["problems"]
    assert problem["object"] == "hypertable public.counters"
    assert problem["remedy"] == "Run set_integer_now_func('public.counters', 'public.counters_now')."


def test_a_hypertable_without_rows_is_a_caution(sample: Sample) -> None:
    _run(sample.target, sample.target_db, "TRUNCATE public.fill_measurements")
    told = _preflight(sample)
    expected = ("target", "hypertable public.fill_measurements", "It has no chunks there, the source's has rows.")
    assert told["problems"] == []
    assert expected in _told(told["cautions"])


def test_an_extension_that_objects_need(plain_sample: Sample) -> None:
    carried = plain_sample.source.execute(
        "postgres", "SELECT count(*) FROM pg_available_extensions WHERE name IN ('pg_trgm', 'citext')"
    )
    if carried[0][0] < 2:
        pytest.skip("this server's installation has no contrib extensions")
    _run(
        plain_sample.source,
        plain_sample.source_db,
        "CREATE EXTENSION pg_trgm",
        "CREATE EXTENSION citext",
        "CREATE INDEX sensors_trgm_idx ON public.sensors USING gin (name gin_trgm_ops)",
    )
    told = _preflight(plain_sample)
    needed = ("target", "extension pg_trgm", "It is missing, and objects of the source need it.")
    assert _told(told["problems"]) == {needed}
    assert _told(told["cautions"]) == {("target", "extension citext", "It is missing."), ROWS_HIDDEN}


def test_roles_that_the_source_names(servers: Pool) -> None:
    """Roles belong to a server, so this takes two of them."""
    sample = servers.fresh(PAIRS[-1])
    sample.source.create_role("only_on_the_source")
    _run(
        sample.source,
        sample.source_db,
        "CREATE POLICY theirs ON public.tenant_notes TO only_on_the_source USING (true)",
        "GRANT SELECT ON public.avg_fill_levels TO only_on_the_source",
    )
    told = _preflight(sample)
    missing = "It is missing; the source names it for privileges, row security."
    assert _told(told["problems"]) == {("target", "role only_on_the_source", missing)}
    sample.drop()


def test_an_owner_of_jobs_must_be_able_to_run_them(sample: Sample) -> None:
    _run(sample.target, "postgres", "ALTER ROLE sensor_admin NOLOGIN")
    try:
        told = run_module("timescale_preflight", {**sample.login("postgres", "postgres")})
    finally:
        _run(sample.target, "postgres", "ALTER ROLE sensor_admin LOGIN")
    text = "It will own jobs but may not log in, so TimescaleDB refuses them."
    assert _told(told["problems"]) == {("target", "role sensor_admin", text)}


def test_a_role_without_rights(sample: Sample) -> None:
    user = {
        **sample.target.login_vars(sample.target_db, "sensor_reader"),
        "source": sample.source_login("sensor_reader"),
    }
    told = run_module("timescale_preflight", user)
    assert told["failed"]
    texts = {
        side: entry["problem"] for entry in told["problems"] for side in [entry["side"]] if "role" in entry["object"]
    }
    assert "so pg_dump would fail" in texts["source"]
    assert any(
        entry["object"] == "role sensor_reader" and entry["problem"].startswith("It is not the owner of ")
        for entry in told["problems"]
    )
    assert any(
        entry["object"] == "role sensor_admin" and "is no member of it" in entry["problem"]
        for entry in told["problems"]
    )


INTERNAL_FUNCTIONS = """
SELECT n.nspname || '.' || p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = '_timescaledb_internal'"""


def test_code_that_reads_what_is_gone(sample: Sample) -> None:
    """TimescaleDB 2.12 moved its internal functions, 2.29 dropped the names of chunks."""
    there, here = (
        {row[0] for row in server.execute(db, INTERNAL_FUNCTIONS)}
        for server, db in ((sample.source, sample.source_db), (sample.target, sample.target_db))
    )
    gone = min(there - here, default="")
    _run(
        sample.source,
        sample.source_db,
        """CREATE FUNCTION reports.chunk_names() RETURNS SETOF name LANGUAGE sql AS
           'SELECT table_name FROM _timescaledb_catalog.chunk'""",
        f"""CREATE FUNCTION reports.old_functions() RETURNS void LANGUAGE plpgsql AS
           'BEGIN PERFORM {gone or "public.check_fill"}(); END'""",
    )
    told = _preflight(sample, on_problem="warn")
    version = sample.target.execute(
        sample.target_db, "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"
    )[0][0]
    expected = {ROWS_HIDDEN[1]: ROWS_HIDDEN[2]}
    if gone:
        expected["function reports.old_functions"] = f"It reads {gone}, which TimescaleDB {version} does not have."
    if version == "2.29.2":
        text = "It reads _timescaledb_catalog.chunk.table_name, which TimescaleDB 2.29.2 does not have."
        expected["function reports.chunk_names"] = text
    assert {entry["object"]: entry["problem"] for entry in told["cautions"] if entry["side"] == "source"} == expected


def test_paused_jobs_of_the_source(sample: Sample) -> None:
    _run(
        sample.source,
        sample.source_db,
        "SELECT public.alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs",
    )
    told = _preflight(sample)
    (line,) = [entry for entry in told["cautions"] if entry["object"] == "jobs"]
    assert "so they will be paused on the target too" in line["problem"]


def test_what_no_dump_of_objects_brings(sample: Sample) -> None:
    """Settings of the database, large objects, and the tablespaces of new chunks."""
    create_tablespaces(sample.source)
    source = sample.source_db
    _run(
        sample.source,
        source,
        f"ALTER DATABASE {source} SET search_path = 'app', 'public'",
        f"ALTER DATABASE {source} SET app.token = 'hush'",
        f"ALTER ROLE sensor_reader IN DATABASE {source} SET work_mem = '9MB'",
        "SELECT lo_create(0), lo_create(0)",
        "SELECT public.attach_tablespace('kinds_here', 'public.fill_measurements')",
    )
    told = _preflight(sample)
    expected = {
        ("target", "database", "The source has 2 large objects, it has 0."),
        (
            "target",
            "database",
            "The source's has settings that it lacks or has otherwise: app.token, search_path,"
            " work_mem of sensor_reader.",
        ),
        (
            "target",
            "hypertable public.fill_measurements",
            "New chunks do not go to kinds_here there, as on the source.",
        ),
    }
    assert _told(told["cautions"]) >= expected
    assert "hush" not in str(told)
    assert told["problems"] == []
    target = sample.target_db
    _run(
        sample.target,
        target,
        f"ALTER DATABASE {target} SET search_path = 'app', 'public'",
        f"ALTER DATABASE {target} SET app.token = 'other'",
        f"ALTER ROLE sensor_reader IN DATABASE {target} SET work_mem = '9MB'",
        "SELECT lo_create(0), lo_create(0)",
    )
    left = _told(_preflight(sample, tablespace_map={"kinds_here": "pg_default"})["cautions"])
    assert not any(one[1] == "database" for one in left)


def test_too_few_connections(sample: Sample) -> None:
    told = _preflight(sample, jobs=500)
    assert any(entry["problem"].endswith("connections are free, 502 will be used.") for entry in told["cautions"])


def test_restoring_mode(sample: Sample) -> None:
    _run(sample.target, sample.target_db, "SELECT public.timescaledb_pre_restore()")
    told = _preflight(sample)
    assert [entry["remedy"] for entry in told["problems"]] == ["Run SELECT timescaledb_post_restore()."]


def test_problems_can_be_warnings(plain_sample: Sample, tmp_path: Path) -> None:
    dump = tmp_path / "post-data"
    dump.write_text("SELECT 1;", encoding="utf-8")
    told = _preflight(plain_sample, dump_file=str(dump), on_problem="warn")
    assert not told.get("failed")
    assert [entry["side"] for entry in told["problems"]] == ["client"]
    assert told["warnings"]
