# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing databases: what is the same is equal, and each planted difference is found, alone and in its slice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.playbook import run_module, run_playbook
from tests.support.pool import PAIRS, Pool, Sample

DATA = ["rows", "sequences", "owners", "grants", "comments"]

# statement on the target -> what must be told: kind, schema and name, and a word of the reason
PLANTED = {
    "row-too-few": (
        "DELETE FROM public.fill_measurements WHERE sensor_id = 7 AND \"time\" = '2026-02-01 05:00+00'",
        ("rows", "public", "fill_measurements"),
        "2026-01-29 00:00:00Z to 2026-02-05 00:00:00Z",
    ),
    "row-changed": (
        "UPDATE public.channel_readings SET value = value + 1e-6 WHERE ctid = (SELECT max(ctid) FROM ONLY {chunk})",
        ("rows", "public", "channel_readings"),
        "with other content",
    ),
    "plain-row-changed": (
        "UPDATE public.sensors SET tags = '{other}' WHERE id = 3",
        ("rows", "public", "sensors"),
        "with other content",
    ),
    "sequence-behind": (
        "SELECT setval('public.deliveries_id_seq', 17)",
        ("sequence_position", "public", "deliveries_id_seq"),
        "public.deliveries.id already holds 500",
    ),
    "grant-lost": (
        "REVOKE SELECT ON public.fill_measurements FROM sensor_reader",
        ("grant", "public", "SELECT to sensor_reader"),
        "Only the source",
    ),
    "column-grant-lost": (
        "REVOKE UPDATE (fill_level) ON public.fill_measurements FROM sensor_writer",
        ("grant", "public", "UPDATE to sensor_writer"),
        "Only the source",
    ),
    "comment-lost": (
        "COMMENT ON SCHEMA _timescaledb_app IS NULL",
        ("comment", "", "schema"),
        "Only the source has a comment",
    ),
    "owner-changed": (
        "ALTER FUNCTION public.counters_now() OWNER TO postgres",
        ("owner", "public", "function"),
        "sensor_admin",
    ),
}


def _verify(sample: Sample, **options: Any) -> dict[str, Any]:
    result = run_module("timescale_verify", {**sample.login("postgres", "postgres"), **options})
    assert not result.get("failed"), result["msg"]
    assert (result["changed"], result["queries"]) == (False, [])
    return result


def _differences(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in result["objects"] if entry["outcome"] != "present"]


def test_rows_that_were_copied_are_equal(sample: Sample) -> None:
    result = _verify(sample, scope=DATA)
    assert _differences(result) == []
    assert result["equal"]
    rows = {entry["name"]: entry["rows"] for entry in result["objects"] if entry["kind"] == "rows"}
    assert rows["fill_measurements"] == {"source": 35040, "target": 35040}


def test_what_the_target_lacks_is_told(sample: Sample) -> None:
    result = _verify(sample)
    missing = {entry["name"] for entry in _differences(result) if entry.get("only_on") == "source"}
    assert {"avg_fill_levels", "avg_fill_levels_daily", "latest_fill", "fill_summary"} <= missing
    assert not result["equal"]


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_difference_is_found_alone(sample: Sample, name: str) -> None:
    statement, (kind, schema, called), word = PLANTED[name]
    chunk = sample.target.execute(
        sample.target_db, "SELECT min(c::text) FROM public.show_chunks('public.channel_readings') AS c"
    )[0][0]
    sample.target.execute(sample.target_db, statement.replace("{chunk}", chunk))
    result = _verify(sample, scope=DATA)
    found = _differences(result)
    assert [(one["kind"], one["schema"], one["name"]) for one in found] == [(kind, schema, called)], found
    assert word in found[0]["reason"]
    assert not result["equal"]


def _on_both(sample: Sample, text: str) -> None:
    sample.source.execute(sample.source_db, text)
    sample.target.execute(sample.target_db, text)


def test_a_hypertable_whose_time_is_computed_is_compared(sample: Sample) -> None:
    """It has no axis to be cut along, so it is one slice."""
    _on_both(
        sample,
        """CREATE FUNCTION public.moment(text) RETURNS timestamptz LANGUAGE sql IMMUTABLE
           AS $$ SELECT pg_catalog.timestamptz($1) $$;
        CREATE TABLE public.logs (at text NOT NULL, line text);
        SELECT public.create_hypertable('public.logs', 'at', chunk_time_interval => interval '1 day',
            time_partitioning_func => 'public.moment');
        INSERT INTO public.logs VALUES ('2026-01-01 00:00+00', 'a'), ('2026-01-03 00:00+00', 'b')""",
    )
    result = _verify(sample, scope=["rows"])
    assert [one["rows"] for one in result["objects"] if one["name"] == "logs"] == [{"source": 2, "target": 2}]
    assert result["equal"]
    sample.target.execute(sample.target_db, "DELETE FROM public.logs WHERE line = 'b'")
    (found,) = _differences(_verify(sample, scope=["rows"]))
    assert (found["name"], found["rows"]) == ("logs", {"source": 2, "target": 1})


def test_sequences_that_give_a_chosen_value_next(sample: Sample) -> None:
    """setval(…, false) is how many tools leave a sequence."""
    _on_both(sample, "SELECT setval('public.deliveries_id_seq', 501, false)")
    assert _verify(sample, scope=["sequences"])["equal"]
    sample.source.execute(sample.source_db, "SELECT setval('public.deliveries_id_seq', 700, false)")
    (ahead,) = _differences(_verify(sample, scope=["sequences"]))
    assert ahead["reason"] == "Its next value is 501, and on the source it is 700."
    sample.source.execute(sample.source_db, "SELECT setval('public.deliveries_id_seq', 500)")
    assert _verify(sample, scope=["sequences"])["equal"]
    sample.target.execute(sample.target_db, "SELECT setval('public.deliveries_id_seq', 500, false)")
    (behind,) = _differences(_verify(sample, scope=["sequences"]))
    told = "public.deliveries.id already holds 500 and on the source it is 501."
    assert behind["reason"] == f"Its next value is 500, and {told}"


def test_columns_that_differ_by_default_or_collation(sample: Sample) -> None:
    _on_both(
        sample, "CREATE TABLE public.kinds (a int DEFAULT 1, b text, c int, d int GENERATED ALWAYS AS (c * 2) STORED)"
    )
    assert not [one for one in _differences(_verify(sample, scope=["tables"])) if one["name"] == "kinds"]
    for text in (
        'ALTER TABLE public.kinds ALTER a SET DEFAULT 2, ALTER b TYPE text COLLATE "C", DROP COLUMN d',
        "ALTER TABLE public.kinds ADD COLUMN d int GENERATED ALWAYS AS (c * 3) STORED",
    ):
        sample.target.execute(sample.target_db, text)
    (found,) = [one for one in _differences(_verify(sample, scope=["tables"])) if one["name"] == "kinds"]
    told = "its default differs (1 on the source, 2 there)"
    assert told in found["reason"]
    assert "column b: its collation differs (none on the source, C there)" in found["reason"]
    assert "column d: its default differs ((c * 2) on the source, (c * 3) there)" in found["reason"]


def test_tables_that_differ_by_what_stands_beside_their_columns(sample: Sample) -> None:
    _on_both(
        sample,
        """CREATE TABLE public.kinds (a int);
        CREATE TABLE public.same (a int) WITH (fillfactor = 70, parallel_workers = 1);
        ALTER TABLE public.same REPLICA IDENTITY FULL, FORCE ROW LEVEL SECURITY""",
    )
    sample.source.execute(
        sample.source_db,
        """ALTER TABLE public.kinds SET (fillfactor = 70), REPLICA IDENTITY FULL, FORCE ROW LEVEL SECURITY;
        ALTER TABLE public.kinds SET UNLOGGED;
        ALTER TABLE public.same RESET (fillfactor), SET (fillfactor = 70)""",
    )
    found = [one for one in _differences(_verify(sample, scope=["tables"])) if one["name"] in ("kinds", "same")]
    assert [one["name"] for one in found] == ["kinds"]
    for told in (
        "UNLOGGED differs (yes on the source, no there)",
        "FORCE ROW LEVEL SECURITY differs (yes on the source, no there)",
        "REPLICA IDENTITY differs (FULL on the source, none there)",
        "WITH (storage parameters) differs (fillfactor=70 on the source, none there)",
    ):
        assert told in found[0]["reason"]


def test_a_role_may_stand_for_another(sample: Sample) -> None:
    sample.target.execute(sample.target_db, "ALTER TABLE public.sensors OWNER TO postgres")
    assert [one["kind"] for one in _differences(_verify(sample, scope=["owners"]))] != []
    mapped = _verify(sample, scope=["owners"], owner_map={"sensor_admin": "postgres"})
    assert "sensors" not in str([one["table"] for one in _differences(mapped) if one["table"] == "public.sensors"])


def test_a_source_is_needed(sample: Sample) -> None:
    login = {key: value for key, value in sample.login().items() if key != "source"}
    assert "source" in run_module("timescale_verify", login)["msg"]


INCLUDE = ["publications", "default_privileges", "event_triggers"]
JOB = "(SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = '{}' {})"
NIGHTLY = JOB.format("nightly", "")
COMPRESSION = JOB.format("policy_compression", "AND hypertable_name = 'fill_measurements'")
CHANNELS = "ALTER TABLE public.sensor_channels {} CONSTRAINT sensor_channels_sensor_id_fkey"
REFERENCES = "FOREIGN KEY (sensor_id) REFERENCES public.sensors (id) ON UPDATE CASCADE ON DELETE CASCADE"
COVER = (
    "DROP INDEX public.fill_measurements_cover_idx;"
    " CREATE INDEX fill_measurements_cover_idx ON public.fill_measurements (batch) INCLUDE ({})"
)
CONFIG = "SELECT alter_job({}, config => jsonb_set(j.config, '{{compress_after}}', '\"{}\"'))" + (
    " FROM timescaledb_information.jobs AS j WHERE j.job_id = {}"
)
LATEST = (
    "CREATE OR REPLACE VIEW reports.latest_fill AS SELECT DISTINCT ON (sensor_id) sensor_id, bucket, avg_fill_level"
    " FROM public.avg_fill_levels {} ORDER BY sensor_id, bucket DESC"
)
NOTE = (
    "CREATE TRIGGER sensors_note BEFORE UPDATE ON public.sensors FOR EACH ROW EXECUTE FUNCTION public.note_delivery()"
)

# on the target: what plants a difference, what takes it back; then what must be told, alone
PLANTED_OBJECTS = {
    "foreign-key-missing": (
        CHANNELS.format("DROP"),
        f"{CHANNELS.format('ADD')} {REFERENCES}",
        ("foreign_key", "public", "sensor_channels_sensor_id_fkey"),
        "The target does not have it",
    ),
    "foreign-key-not-validated": (
        f"{CHANNELS.format('DROP')}; {CHANNELS.format('ADD')} {REFERENCES} NOT VALID",
        "ALTER TABLE public.sensor_channels VALIDATE CONSTRAINT sensor_channels_sensor_id_fkey",
        ("foreign_key", "public", "sensor_channels_sensor_id_fkey"),
        "not validated",
    ),
    "index-changed": (
        COVER.format("sensor_id"),
        COVER.format("fill_level"),
        ("index", "public", "fill_measurements_cover_idx"),
        "differs from the source's",
    ),
    "trigger-missing": (
        "DROP TRIGGER fill_measurements_statement ON public.fill_measurements",
        "",
        ("trigger", "public", "fill_measurements_statement"),
        "The target does not have it",
    ),
    "trigger-disabled": (
        "ALTER TABLE public.deliveries DISABLE TRIGGER deliveries_note",
        "ALTER TABLE public.deliveries ENABLE TRIGGER deliveries_note",
        ("trigger", "public", "deliveries_note"),
        "On the target its state is DISABLE",
    ),
    "trigger-enabled": (
        "ALTER TABLE public.deliveries ENABLE TRIGGER deliveries_disabled",
        "ALTER TABLE public.deliveries DISABLE TRIGGER deliveries_disabled",
        ("trigger_state", "public", "deliveries_disabled"),
        "The target does not have it",
    ),
    "trigger-added": (
        NOTE,
        "DROP TRIGGER sensors_note ON public.sensors",
        ("trigger", "public", "sensors_note"),
        "Only the target has it",
    ),
    "comment-lost": (
        "COMMENT ON INDEX public.fill_measurements_high_idx IS NULL",
        "COMMENT ON INDEX public.fill_measurements_high_idx IS 'Nearly full'",
        ("comment", "public", "index fill_measurements_high_idx"),
        "The target does not have it",
    ),
    "view-changed": (
        LATEST.format("WHERE avg_fill_level > 0"),
        LATEST.format(""),
        ("view", "reports", "latest_fill"),
        "another one than the source's",
    ),
    "real-time-changed": (
        "ALTER MATERIALIZED VIEW public.avg_fill_levels SET (timescaledb.materialized_only = true)",
        "ALTER MATERIALIZED VIEW public.avg_fill_levels SET (timescaledb.materialized_only = false)",
        ("continuous_aggregate", "public", "avg_fill_levels"),
        "attributes differ",
    ),
    "job-paused": (
        f"SELECT alter_job({NIGHTLY}, scheduled => false)",
        f"SELECT alter_job({NIGHTLY}, scheduled => true)",
        ("job", "public", "nightly"),
        "paused on the target and active on the source",
    ),
    "config-changed": (
        CONFIG.format(COMPRESSION, "61 days", COMPRESSION),
        CONFIG.format(COMPRESSION, "60 days", COMPRESSION),
        ("columnstore_policy", "public", "fill_measurements"),
        "compress_after",
    ),
}


@pytest.fixture(scope="module")
def moved(servers: Pool) -> Iterator[Sample]:
    """A pair after the whole move, jobs activated."""
    made = servers.fresh(PAIRS[0])
    variables = {
        "timescale_migrate_hosts": "localhost",
        "timescale_migrate_target": made.target.login_vars(made.target_db, "postgres"),
        "timescale_migrate_source": made.source_login("postgres"),
        "timescale_migrate_include": INCLUDE,
    }
    run = run_playbook("dbops.timescale.migrate", variables=variables)
    assert run.rc == 0, [(event.task, event.result.get("msg")) for event in run.failures()] or run.stderr
    assert [one["equal"] for one in run.results("timescale_verify")] == [True]
    yield made
    made.drop()


def test_a_moved_database_is_equal(moved: Sample) -> None:
    result = _verify(moved, include=INCLUDE)
    assert _differences(result) == []
    assert result["equal"]
    kinds = {entry["kind"] for entry in result["objects"]}
    assert {"foreign_key", "index", "trigger", "comment", "continuous_aggregate", "job", "retention_policy"} <= kinds


@pytest.mark.parametrize("name", PLANTED_OBJECTS)
def test_a_planted_difference_of_objects_is_found_alone(moved: Sample, name: str) -> None:
    plant, back, (kind, schema, called), word = PLANTED_OBJECTS[name]
    back = (
        back
        or moved.source.execute(
            moved.source_db,
            f"SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = '{called}' AND NOT tgisinternal",
        )[0][0]
    )
    moved.target.execute(moved.target_db, plant)
    try:
        result = _verify(moved, include=INCLUDE)
        found = _differences(result)
        assert [(one["kind"], one["schema"], one["name"]) for one in found] == [(kind, schema, called)], found
        assert word in found[0]["reason"]
        assert (found[0]["outcome"], result["equal"]) == ("drifted", False)
    finally:
        moved.target.execute(moved.target_db, back)
    assert _verify(moved, include=INCLUDE, scope=["objects"])["equal"]


def test_paused_jobs_may_wait_for_their_activation(moved: Sample) -> None:
    moved.target.execute(moved.target_db, f"SELECT alter_job({NIGHTLY}, scheduled => false)")
    try:
        assert _verify(moved, include=INCLUDE, scope=["objects"], jobs_scheduled=False)["equal"]
        assert not _verify(moved, include=INCLUDE, scope=["objects"])["equal"]
    finally:
        moved.target.execute(moved.target_db, f"SELECT alter_job({NIGHTLY}, scheduled => true)")


def test_objects_that_cannot_be_compared_are_no_success(moved: Sample, tmp_path: Path) -> None:
    result = _verify(moved, scope=["objects"], client_path=str(tmp_path))
    assert [(one["kind"], one["outcome"]) for one in _differences(result)] == [("comparison", "failed")]
    assert "pg_dump" in _differences(result)[0]["reason"]
    assert not result["equal"]


def test_schemas_choose_objects(moved: Sample) -> None:
    result = _verify(moved, scope=["objects"], schemas=["reports"])
    assert {one["schema"] for one in result["objects"] if one["kind"] != "system_job"} == {"reports"}
    assert result["equal"]


CHUNK_INDEX = "SELECT format('%I.%I', schemaname, indexname) FROM pg_indexes WHERE indexname LIKE '%chunk%_cover_idx'"


def test_an_index_that_one_chunk_lacks_is_found_alone(moved: Sample) -> None:
    index = moved.target.execute(moved.target_db, f"{CHUNK_INDEX} ORDER BY 1 LIMIT 1")[0][0]
    # With TimescaleDB's hooks off, as an interrupted build leaves it.
    moved.target.execute(moved.target_db, f"SET timescaledb.restoring = on; DROP INDEX {index}")
    try:
        found = _differences(_verify(moved, include=INCLUDE))
        assert [(one["kind"], one["name"]) for one in found] == [("index", "fill_measurements_cover_idx")]
        assert "1 chunks lack it" in found[0]["reason"]
    finally:
        moved.target.execute(moved.target_db, COVER.format("fill_level"))
    assert _verify(moved, include=INCLUDE, scope=["objects"])["equal"]


MATERIALIZED = (
    "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)"
    " FROM timescaledb_information.continuous_aggregates WHERE view_name = 'avg_fill_levels'"
)
# What is done to the target's stored buckets, and a word of the reason.
PLANTED_CONTENTS = {
    "value-changed": (
        "UPDATE {table} SET avg_fill_level = avg_fill_level * (1 + 1e-8)"
        " WHERE bucket = (SELECT max(bucket) FROM {table})",
        "rows on both sides, with other content; 1 slices differ",
    ),
    "oldest-bucket-lost": (
        "DELETE FROM {table} WHERE bucket = (SELECT min(bucket) FROM {table})",
        "1 slices differ",
    ),
}


@pytest.mark.parametrize("name", PLANTED_CONTENTS)
def test_a_planted_difference_of_contents_is_found_alone(moved: Sample, name: str) -> None:
    change, word = PLANTED_CONTENTS[name]
    connection = moved.target.connect(moved.target_db)
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(MATERIALIZED)
        (table,) = cursor.fetchone() or ("",)
        cursor.execute(f"CREATE TEMP TABLE kept AS SELECT * FROM {table}")
        try:
            cursor.execute(change.format(table=table))
            result = _verify(moved, include=INCLUDE)
            found = _differences(result)
        finally:
            cursor.execute(f"DELETE FROM {table}")
            cursor.execute(f"INSERT INTO {table} SELECT * FROM kept")
    assert [(one["kind"], one["name"]) for one in found] == ([("contents", "avg_fill_levels")] if word else []), found
    assert result["equal"] is not bool(word)
    assert not word or word in found[0]["reason"]
    assert [line.split(":")[0] for line in result["differences"]] == (
        ["contents public.avg_fill_levels"] if word else []
    )


def test_a_difference_that_was_told_before_is_marked_and_stays_one(moved: Sample) -> None:
    before = [{"kind": "job", "schema": "public", "name": "nightly", "outcome": "unsupported"}]
    moved.target.execute(moved.target_db, f"SELECT alter_job({NIGHTLY}, scheduled => false)")
    try:
        result = _verify(moved, include=INCLUDE, scope=["objects"], known=before)
        assert (result["equal"], result["differences_known"]) == (False, 1)
        assert result["differences"][0].endswith("(Told before.)")
    finally:
        moved.target.execute(moved.target_db, f"SELECT alter_job({NIGHTLY}, scheduled => true)")


def test_counts_see_rows_and_not_their_content(sample: Sample) -> None:
    sample.target.execute(sample.target_db, "UPDATE public.sensors SET tags = '{other}' WHERE id = 3")
    assert _verify(sample, scope=["rows"], rows="count")["equal"]
    sample.target.execute(sample.target_db, "DELETE FROM public.fill_measurements WHERE sensor_id < 50")
    for database, server in ((sample.source_db, sample.source), (sample.target_db, sample.target)):
        server.execute(database, "ANALYZE")
    for depth in ("count", "estimate"):
        found = _differences(_verify(sample, scope=["rows"], rows=depth))
        assert "fill_measurements" in {one["name"] for one in found if one["outcome"] == "drifted"}, depth


def test_buckets_that_the_source_has_not_refreshed_are_counted_apart(moved: Sample) -> None:
    """Raw rows change on the source below its watermark: its own buckets are out of date, so they are left out."""
    row = "('2026-03-05 05:30+00', 7, 50)"
    moved.source.execute(
        moved.source_db, f'INSERT INTO public.fill_measurements ("time", sensor_id, fill_level) VALUES {row}'
    )
    result = _verify(moved, scope=["aggregates"])
    contents = {one["name"]: one for one in result["objects"] if one["kind"] == "contents"}
    assert result["equal"]
    assert contents["avg_fill_levels"]["source_stale"] > 0
    gone = f'DELETE FROM public.fill_measurements WHERE ("time", sensor_id, fill_level) = {row}'
    refresh = "CALL public.refresh_continuous_aggregate('public.avg_fill_levels', '2026-03-05', '2026-03-06')"
    for statement in (gone, refresh):
        moved.source.execute(moved.source_db, statement)


# As a copy leaves it that lost a row: no trigger tells the aggregates.
QUIETLY = "SET session_replication_role = replica; "
# Each is planted on the target; then exactly these must be told: kind, schema and name.
FIFTEEN = {
    "a missing foreign key": (
        CHANNELS.format("DROP"),
        ("foreign_key", "public", "sensor_channels_sensor_id_fkey"),
    ),
    "a foreign key that is not validated": (
        "ALTER TABLE public.deliveries DROP CONSTRAINT deliveries_parent_fkey; ALTER TABLE public.deliveries"
        " ADD CONSTRAINT deliveries_parent_fkey FOREIGN KEY (parent_id) REFERENCES public.deliveries (id)"
        " ON DELETE SET NULL NOT VALID",
        ("foreign_key", "public", "deliveries_parent_fkey"),
    ),
    "a changed index": (
        "DROP INDEX public.sensors_tags_idx; CREATE INDEX sensors_tags_idx ON public.sensors (tags)",
        ("index", "public", "sensors_tags_idx"),
    ),
    "an index that one chunk lacks": (
        "SET timescaledb.restoring = on; DROP INDEX {chunk_index}",
        ("index", "public", "fill_measurements_cover_idx"),
    ),
    "a missing trigger": (
        "DROP TRIGGER fill_measurements_statement ON public.fill_measurements",
        ("trigger", "public", "fill_measurements_statement"),
    ),
    "a disabled trigger": (
        "ALTER TABLE public.deliveries DISABLE TRIGGER deliveries_note",
        ("trigger", "public", "deliveries_note"),
    ),
    "a row too few in one chunk": (QUIETLY + PLANTED["row-too-few"][0], ("rows", "public", "fill_measurements")),
    "a row changed in place": (QUIETLY + PLANTED["row-changed"][0], ("rows", "public", "channel_readings")),
    "one changed aggregate value": (
        "UPDATE {hourly} SET avg_fill_level = avg_fill_level + 1e-6"
        " WHERE bucket = (SELECT max(bucket) FROM {hourly}) AND sensor_id = 7",
        ("contents", "public", "avg_fill_levels"),
    ),
    "an aggregate's lost oldest bucket": (
        "DELETE FROM {daily} WHERE day = (SELECT min(day) FROM {daily})",
        ("contents", "reports", "avg_fill_levels_daily"),
    ),
    "a lost grant": (PLANTED["grant-lost"][0], ("grant", "public", "SELECT to sensor_reader")),
    "a lost comment": (PLANTED_OBJECTS["comment-lost"][0], ("comment", "public", "index fill_measurements_high_idx")),
    "a paused job": (f"SELECT alter_job({NIGHTLY}, scheduled => false)", ("job", "public", "nightly")),
    "a changed config key": (
        PLANTED_OBJECTS["config-changed"][0],
        ("columnstore_policy", "public", "fill_measurements"),
    ),
    "a sequence behind its table": (
        PLANTED["sequence-behind"][0],
        ("sequence_position", "public", "deliveries_id_seq"),
    ),
}


def test_fifteen_planted_differences_are_found_and_nothing_else(moved: Sample) -> None:
    """The last test: it leaves the target different."""
    target, database = moved.target, moved.target_db
    stored = (
        "SELECT format('%%I.%%I', materialization_hypertable_schema, materialization_hypertable_name)"
        " FROM timescaledb_information.continuous_aggregates WHERE view_name = %s"
    )
    names = {
        "chunk": target.execute(
            database, "SELECT min(c::text) FROM public.show_chunks('public.channel_readings') AS c"
        ),
        "chunk_index": target.execute(database, f"{CHUNK_INDEX} ORDER BY 1 LIMIT 1"),
        "hourly": target.execute(database, stored, ("avg_fill_levels",)),
        "daily": target.execute(database, stored, ("avg_fill_levels_daily",)),
    }
    assert len(FIFTEEN) == 15
    before = _verify(moved, include=INCLUDE)
    assert before["equal"], before["differences"]
    for statement, _told in FIFTEEN.values():
        for name, rows in names.items():
            statement = statement.replace(f"{{{name}}}", rows[0][0])
        target.execute(database, statement)
    result = _verify(moved, include=INCLUDE)
    found = sorted((one["kind"], one["schema"], one["name"]) for one in _differences(result))
    assert found == sorted(told for _statement, told in FIFTEEN.values())
    assert (result["equal"], len(result["differences"])) == (False, 15)
