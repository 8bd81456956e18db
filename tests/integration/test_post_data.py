# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The post-data section on real servers: all of it arrives, once, and what cannot is told."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.installations import client_program, version_key
from tests.support.playbook import ROOT, environment, module_command, run_module
from tests.support.pool import Pair, Pool, Sample
from tests.support.servers import Server

# Chunks and the extension's schemas are each side's own; what stands on aggregates comes later.
USERS = """
SELECT c.oid, n.nspname, c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^(pg_|information_schema|_timescaledb_(catalog|config|cache|internal|functions|debug))'
  AND n.nspname NOT IN ('chunks_elsewhere', 'timescaledb_information', 'timescaledb_experimental')
  AND c.relname NOT IN ('fill_summary', 'fill_summary_sensor_id_idx')
"""
# Compared with these, not with the tool's own reader.
COMPARED = {
    "constraints": f"""SELECT u.nspname, u.relname, k.conname, k.convalidated, pg_get_constraintdef(k.oid, true),
        obj_description(k.oid, 'pg_constraint') FROM ({USERS}) u JOIN pg_constraint k ON k.conrelid = u.oid
        WHERE k.contype <> 'n' AND (k.contype <> 'f' OR k.conparentid = 0)""",
    "indexes": f"""SELECT u.nspname, u.relname, pg_get_indexdef(x.indexrelid), x.indisvalid, x.indisclustered,
        x.indisreplident, obj_description(u.oid, 'pg_class'), (SELECT array_agg(a.attstattarget ORDER BY a.attnum)
        FROM pg_attribute a WHERE a.attrelid = u.oid AND a.attstattarget >= 0)
        FROM ({USERS}) u JOIN pg_index x ON x.indexrelid = u.oid""",
    "attached": f"""SELECT u.nspname, u.relname, i.inhparent::regclass::text FROM ({USERS}) u
        JOIN pg_inherits i ON i.inhrelid = u.oid WHERE u.relkind IN ('i', 'I')""",
    "triggers": f"""SELECT u.relname, g.tgname, g.tgenabled, pg_get_triggerdef(g.oid),
        obj_description(g.oid, 'pg_trigger') FROM ({USERS}) u JOIN pg_trigger g ON g.tgrelid = u.oid
        WHERE NOT g.tgisinternal AND g.tgname NOT IN ('ts_insert_blocker', 'ts_cagg_invalidation_trigger')""",
    "rules": f"""SELECT u.relname, r.rulename, r.ev_enabled, pg_get_ruledef(r.oid), obj_description(r.oid, 'pg_rewrite')
        FROM ({USERS}) u JOIN pg_rewrite r ON r.ev_class = u.oid
        WHERE u.relkind = 'r' OR u.relname = 'sensor_deliveries'""",
    "policies": f"""SELECT u.relname, p.polname, p.polcmd, p.polpermissive, p.polroles::regrole[]::text,
        pg_get_expr(p.polqual, u.oid), pg_get_expr(p.polwithcheck, u.oid), obj_description(p.oid, 'pg_policy')
        FROM ({USERS}) u JOIN pg_policy p ON p.polrelid = u.oid""",
    "row security": f"SELECT u.relname FROM ({USERS}) u JOIN pg_class c USING (oid) WHERE c.relrowsecurity",
    "statistics": f"""SELECT s.stxname, pg_get_statisticsobjdef(s.oid), coalesce(s.stxstattarget, -1),
        obj_description(s.oid, 'pg_statistic_ext') FROM ({USERS}) u JOIN pg_statistic_ext s ON s.stxrelid = u.oid""",
    "filled": f"SELECT u.relname, c.relispopulated FROM ({USERS}) u JOIN pg_class c USING (oid) WHERE u.relkind = 'm'",
}
CHUNK_INDEXES = """
SELECT k.hypertable_name, count(DISTINCT k.chunk_name), count(x.indexrelid) FROM timescaledb_information.chunks k
LEFT JOIN pg_index x ON x.indrelid = format('%I.%I', k.chunk_schema, k.chunk_name)::regclass AND x.indisvalid
WHERE k.hypertable_name NOT LIKE '\\_%' GROUP BY 1 ORDER BY 1
"""


def _compared(server: Server, db: str) -> dict[str, list[Any]]:
    return {part: sorted(server.execute(db, query), key=repr) for part, query in COMPARED.items()}


def _run(sample: Sample, **more: Any) -> dict[str, Any]:
    beats = {name: more.pop(name, False) for name in ("check", "diff")}
    return run_module("timescale_post_data", {**sample.login(), **more}, **beats)


def _outcomes(result: dict[str, Any], *outcomes: str) -> set[str]:
    return {f"{one['kind']} {one['name']}" for one in result["objects"] if one["outcome"] in outcomes}


def _both(sample: Sample, text: str, *, source_only: str = "") -> None:
    """Run statements as the owner on both sides."""
    sample.source.execute(sample.source_db, text + source_only, user=sample.user)
    sample.target.execute(sample.target_db, text, user=sample.user)


def test_four_beats(sample: Sample) -> None:
    options = {"dependents_of_aggregates": False, "include": ["publications", "default_privileges"]}
    checked = _run(sample, check=True, **options)
    assert checked["changed"], checked.get("msg")
    assert _compared(sample.target, sample.target_db)["indexes"] == []
    ran = _run(sample, **options)
    assert (ran.get("msg"), ran["changed"]) == (None, True)
    assert checked["queries"] == ran["queries"]
    assert _outcomes(ran, "pending") == {"index fill_summary_sensor_id_idx", "refresh fill_summary"}
    source, target = _compared(sample.source, sample.source_db), _compared(sample.target, sample.target_db)
    for part, rows in source.items():
        assert target[part] == rows, part
        assert rows, part
    for again in (_run(sample, check=True, **options), _run(sample, **options)):
        assert (again["changed"], again["queries"], _outcomes(again, "drifted", "unsupported")) == (False, [], set())


def test_chunks_have_what_the_hypertable_has(sample: Sample) -> None:
    _run(sample)
    source = sample.source.execute(sample.source_db, CHUNK_INDEXES)
    assert source == sample.target.execute(sample.target_db, CHUNK_INDEXES)
    assert all(chunks and indexes for _table, chunks, indexes in source)


def test_plain_postgresql(plain_sample: Sample) -> None:
    ran = _run(plain_sample)
    assert (ran.get("msg"), ran["changed"]) == (None, True)
    source = _compared(plain_sample.source, plain_sample.source_db)
    assert _compared(plain_sample.target, plain_sample.target_db) == source
    again = _run(plain_sample)
    assert (again["changed"], again["queries"]) == (False, [])


def test_an_archive_alone_is_enough(sample: Sample, tmp_path: Path) -> None:
    kept = tmp_path / "post data.dump"
    assert not _run(sample, check=True, dump_file=str(kept)).get("failed")
    assert not kept.exists()
    options = {**sample.login(), "dump_file": str(kept), "exclude_schemas": ["reports"]}
    made = run_module("timescale_post_data", options)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    options.pop("source")
    again = run_module("timescale_post_data", options)
    assert (again.get("msg"), again["changed"], again["summary"].keys()) == (None, False, {"present", "skipped"})
    assert again["summary"]["present"] == made["summary"]["created"] + made["summary"].get("altered", 0)
    sample.target.execute(sample.target_db, "DROP INDEX public.sensors_big_idx")
    sample.target.execute(sample.target_db, "DROP TRIGGER deliveries_always ON public.deliveries")
    third = run_module("timescale_post_data", options)
    assert _outcomes(third, "created") == {
        "index sensors_big_idx",
        "comment index sensors_big_idx",
        "trigger deliveries_always",
        "trigger_state deliveries_always",
    }


def test_what_an_archive_lacks_is_named(sample: Sample, tmp_path: Path) -> None:
    dumped = tmp_path / "vendor.dump"
    argv = [client_program("pg_dump", sample.source.version // 10000), "-Fc", "--section=post-data", "--no-owner"]
    argv += ["--exclude-schema=_timescaledb*", f"--file={dumped}"]
    subprocess.run(argv, env=sample.source.child_env(sample.source_db, sample.user), check=True)
    said = str(_run(sample, dump_file=str(dumped))["warnings"])
    assert "lacks" in said
    assert "_timescaledb_app.settings.settings_pkey" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no archive"),
        (b"-- PostgreSQL database dump\n", "no archive"),
        (b"PGDMP\x01\x0b\x00\x04\x08\x01", "archive version 1.11"),
        (b"PGDMP\x01\x0e\x00\x04\x08\x03", "another format"),
        (b"PGDMP\x01\x0e\x00\x04\x08\x01\x00", "cut off"),
    ],
)
def test_a_file_that_is_no_archive(plain_sample: Sample, tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.dump"
    path.write_bytes(content)
    result = _run(plain_sample, dump_file=str(path))
    assert result["failed"]
    assert said in result["msg"]
    assert "exception" not in result


def test_neither_source_nor_archive(plain_sample: Sample) -> None:
    login = plain_sample.target.login_vars(plain_sample.target_db)
    assert "source, dump_file" in run_module("timescale_post_data", login)["msg"]
    assert "missing.dump" in run_module("timescale_post_data", {**login, "dump_file": "/missing.dump"})["msg"]


def test_names_made_to_hurt(plain_sample: Sample, tmp_path: Path) -> None:
    names = ['a";--b', "PGDMP\n-- Name: x; Type: INDEX", "ON", "/* é */ $1", "x" * 63, "it's 100%", "a.b", "SELECT"]
    for number, name in enumerate(names):
        quoted, text = name.replace('"', '""'), name.replace("'", "''")
        table = f'public."{number} {quoted[:50]}"'
        _both(
            plain_sample,
            f'CREATE TABLE {table} ("{quoted}" text, y int);',
            source_only=f"""
            CREATE INDEX "{quoted}" ON {table} ("{quoted}") WHERE "{quoted}" <> '{text}';
            COMMENT ON INDEX public."{quoted}" IS '{text};';
            ALTER TABLE {table} ADD CONSTRAINT "{quoted}" CHECK ("{quoted}" <> '{text}') NOT VALID;
            CREATE TRIGGER "{quoted}" BEFORE INSERT ON {table} FOR EACH ROW
                EXECUTE FUNCTION public.note_delivery('{text}');
            CREATE RULE "{quoted}" AS ON UPDATE TO {table} DO ALSO
                (DELETE FROM {table} WHERE "{quoted}" = '{text};'; SELECT 1);
            CREATE POLICY "{quoted}" ON {table} USING ("{quoted}" <> '{text}');""",
        )
    dumped = tmp_path / "names.dump"
    ran = _run(plain_sample, dump_file=str(dumped))
    assert ran.get("msg") is None
    source = _compared(plain_sample.source, plain_sample.source_db)
    assert _compared(plain_sample.target, plain_sample.target_db) == source
    assert _run(plain_sample)["changed"] is False
    # And from the archive alone, which finds them there, misses what is taken away, and makes it again.
    alone = {**plain_sample.target.login_vars(plain_sample.target_db, plain_sample.user), "dump_file": str(dumped)}
    again = run_module("timescale_post_data", alone)
    assert (again.get("msg"), again["changed"], _outcomes(again, "drifted", "unsupported")) == (None, False, set())
    with contextlib.closing(plain_sample.target.connect(plain_sample.target_db)) as target, target.cursor() as cursor:
        for number, name in enumerate(names):
            quoted = name.replace('"', '""')
            table = f'public."{number} {quoted[:50]}"'
            cursor.execute(f'DROP INDEX public."{quoted}"')
            cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{quoted}"')
            for kind in ("TRIGGER", "RULE", "POLICY"):
                cursor.execute(f'DROP {kind} "{quoted}" ON {table}')
    made = run_module("timescale_post_data", alone)
    assert (made.get("msg"), made["summary"]["created"]) == (None, 6 * len(names))
    assert _compared(plain_sample.target, plain_sample.target_db) == source


def test_what_an_archive_says_otherwise_is_named(plain_sample: Sample, tmp_path: Path) -> None:
    """The source has changed since the archive was made; what did not change is not named."""
    kept = str(tmp_path / "older.dump")
    assert not _run(plain_sample, dump_file=kept, schemas=["no_such_schema"]).get("failed")
    before = _run(plain_sample, dump_file=kept, check=True)
    assert "older" not in str(before.get("warnings", ""))
    for text in (
        "COMMENT ON INDEX public.sensors_big_idx IS 'changed since'",
        "ALTER POLICY own_notes ON public.tenant_notes USING (true)",
    ):
        plain_sample.source.execute(plain_sample.source_db, text, user=plain_sample.user)
    said = str(_run(plain_sample, dump_file=kept)["warnings"])
    assert "older than the source. Make it anew: 2 objects" in said
    assert "comment public.sensors.index sensors_big_idx, policy public.tenant_notes.own_notes" in said


@pytest.mark.parametrize("how", ["lock_timeout", "SIGTERM"])
def test_a_table_of_the_source_that_is_locked(plain_sample: Sample, how: str) -> None:
    """pg_dump would wait for ever, and the module for it."""
    sample = plain_sample
    argv, text = module_command(
        "timescale_post_data", {**sample.login(), "lock_timeout": 2 if how == "lock_timeout" else 100}
    )
    pipe = subprocess.PIPE
    with contextlib.closing(sample.source.connect(sample.source_db, autocommit=False)) as holder:
        holder.cursor().execute("LOCK TABLE public.sensors IN ACCESS EXCLUSIVE MODE")
        child = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment(), cwd=ROOT)
        if how == "SIGTERM":
            threading.Timer(4, child.terminate).start()
        try:
            stdout, stderr = child.communicate(text, timeout=40)
        finally:
            child.kill()
    result = json.loads(stdout)
    assert (result["failed"], "exception" in result) == (True, False), stderr
    assert ("raise lock_timeout" if how == "lock_timeout" else "told to stop") in result["msg"]


def test_indexes_that_are_alike(plain_sample: Sample) -> None:
    """One that the target has under another name stands for one of the source's, and makes up for an invalid one."""
    sample = plain_sample
    make = "CREATE INDEX {} ON public.sensors (name, id);"
    _both(sample, make.format("alike_invalid"), source_only="".join(map(make.format, ("alike_one", "alike_two"))))
    for name in ("alike_x", "alike_y"):
        sample.target.execute(sample.target_db, make.format(name), user=sample.user)
    invalid = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.alike_invalid'::regclass"
    sample.target.execute(sample.target_db, invalid)
    options: dict[str, Any] = {"objects": ["public.alike_*"]}
    told = _run(sample, **options)
    assert _outcomes(told, "drifted") == {"index alike_invalid", "index alike_one"}
    assert _outcomes(told, "created") == {"index alike_two"}
    assert "there too, invalid" in str(told["objects"])
    ran = _run(sample, **options, on_drift="replace")
    assert (ran.get("msg"), _outcomes(ran, "altered")) == (None, {"index alike_invalid", "index alike_one"})
    again = _run(sample, **options, on_drift="replace")
    assert (again.get("msg"), again["changed"], set(again["summary"])) == (None, False, {"present", "skipped"})


def test_differences_are_told_and_left(plain_sample: Sample) -> None:
    sample = plain_sample
    _run(sample)
    target = sample.target
    target.execute(sample.target_db, "DROP INDEX public.sensors_big_idx")
    target.execute(sample.target_db, "CREATE INDEX sensors_big_idx ON public.sensors (capacity)")
    target.execute(sample.target_db, "ALTER INDEX public.sensors_tags_idx RENAME TO other_name")
    ran = _run(sample, diff=True)
    # The comment went with the dropped index, and the index of another name carries none to lose.
    assert _outcomes(ran, "drifted") == {"index sensors_big_idx", "index sensors_tags_idx"}
    assert "WHERE (capacity > (50)::numeric)" in ran["diff"]["after"]
    assert "other_name" in str(ran["objects"])
    refused = _run(sample, on_drift="fail")
    assert refused["failed"]
    assert "Nothing was changed" in refused["msg"]


def test_an_invalid_index_is_built_again_and_a_key_is_validated(plain_sample: Sample) -> None:
    sample = plain_sample
    _run(sample)
    target, db = sample.target, sample.target_db
    target.execute(db, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.sensors_kind_idx'::regclass")
    target.execute(db, "ALTER TABLE public.sensor_channels DROP CONSTRAINT sensor_channels_sensor_id_fkey")
    target.execute(
        db,
        "ALTER TABLE public.sensor_channels ADD CONSTRAINT sensor_channels_sensor_id_fkey FOREIGN KEY (sensor_id)"
        " REFERENCES public.sensors ON UPDATE CASCADE ON DELETE CASCADE NOT VALID",
    )
    ran = _run(sample)
    assert _outcomes(ran, "created", "altered") == {
        "index sensors_kind_idx",
        "foreign_key sensor_channels_sensor_id_fkey",
    }
    assert _compared(target, db) == _compared(sample.source, sample.source_db)


def test_an_index_that_a_chunk_lacks_is_completed(servers: Pool, pair: Pair) -> None:
    sample = servers.fresh(pair)
    target, db = sample.target, sample.target_db
    lost = """
        SELECT format('%I.%I', n.nspname, i.relname), r.relname
        FROM timescaledb_information.chunks k
        JOIN pg_class c ON c.oid = format('%I.%I', k.chunk_schema, k.chunk_name)::regclass
        JOIN pg_index x ON x.indrelid = c.oid JOIN pg_class i ON i.oid = x.indexrelid
        JOIN pg_namespace n ON n.oid = i.relnamespace
        JOIN pg_class r ON r.oid = format('%I.%I', k.hypertable_schema, k.hypertable_name)::regclass
        WHERE k.hypertable_name = 'fill_measurements' AND NOT x.indisunique AND x.indexprs IS NULL
        ORDER BY c.oid, i.oid LIMIT 1"""
    try:
        _run(sample)
        with contextlib.closing(target.connect(db)) as connection, connection.cursor() as cursor:
            # With the hooks off, as an interrupted build leaves it.
            cursor.execute(lost)
            row = cursor.fetchone()
            assert row is not None
            cursor.execute("SET timescaledb.restoring = on")
            cursor.execute(f"DROP INDEX {row[0]}")
        ran = _run(sample)
        assert [entry["reason"] for entry in ran["objects"] if entry["outcome"] == "created"] == ["1 chunks lack it."]
        assert _run(sample)["changed"] is False
    finally:
        sample.drop()


def test_an_expression_index_that_a_chunk_lacks_is_not_taken_for_another(servers: Pool, pair: Pair) -> None:
    sample = servers.fresh(pair)
    source, target, db = sample.source, sample.target, sample.target_db
    one = """SELECT format('%I.%I', schemaname, indexname) FROM pg_indexes
        WHERE schemaname = '_timescaledb_internal' AND indexdef LIKE '%abs(sensor_id)%' ORDER BY 1 LIMIT 1"""
    try:
        for name, expression in (("by_abs", "abs(sensor_id)"), ("by_sign", "sign(sensor_id::float8)")):
            source.execute(sample.source_db, f"CREATE INDEX {name} ON public.fill_measurements (({expression}))")
        other = "CREATE INDEX by_negative ON public.fill_measurements ((- sensor_id))"
        source.execute(sample.source_db, other)
        _run(sample)
        with contextlib.closing(target.connect(db)) as connection, connection.cursor() as cursor:
            cursor.execute("SET timescaledb.restoring = on")
            cursor.execute(f"DROP INDEX {target.execute(db, one)[0][0]}")
        with contextlib.closing(target.connect(db, autocommit=False)) as holder, holder.cursor() as cursor:
            # The first try gets no lock. The index that is there must not pass for the one that is wanted.
            cursor.execute("LOCK TABLE public.fill_measurements IN ACCESS SHARE MODE")
            threading.Timer(2.5, holder.rollback).start()
            ran = _run(sample, lock_timeout=1)
        rebuilt = {entry["name"]: entry["reason"] for entry in ran["objects"] if entry["outcome"] == "created"}
        assert rebuilt["by_abs"] == "1 chunks lack it."
        assert target.execute(db, CHUNK_INDEXES) == source.execute(sample.source_db, CHUNK_INDEXES)
        assert _run(sample)["changed"] is False
    finally:
        sample.drop()


def test_a_stray_trigger_is_named(servers: Pool) -> None:
    pair = next((one for one in _pairs_with_blocker() if not one.missing()), None)
    if pair is None:
        pytest.skip("no TimescaleDB with ts_insert_blocker is installed")
    sample = servers.fresh(pair)
    try:
        # The old version as the target: its own pair turned around.
        old = sample.source
        create = (
            "CREATE TRIGGER ts_insert_blocker BEFORE INSERT ON public.sensors FOR EACH ROW"
            " EXECUTE FUNCTION _timescaledb_internal.insert_blocker()"
        )
        old.execute(sample.source_db, create)
        login = {**old.login_vars(sample.source_db), "source": sample.target.login_vars(sample.target_db)}
        ran = run_module("timescale_post_data", login, check=True)
        assert 'DROP TRIGGER "ts_insert_blocker" ON "public"."sensors"' in str(ran["warnings"])
    finally:
        sample.drop()


def _pairs_with_blocker() -> list[Pair]:
    from tests.support.pool import PAIRS

    return [one for one in PAIRS if version_key(one.source.timescaledb or "9") < (2, 12)]


def test_filters(plain_sample: Sample) -> None:
    ran = _run(plain_sample, objects=["public.sensors"], kinds=["index"])
    assert _outcomes(ran, "created") == {
        f"index sensors_{name}_idx" for name in ("identity", "tags", "settings", "big", "lower_name", "kind")
    }
    ran = _run(plain_sample, row_security="only", objects=["*.tenant_notes"])
    assert {one["kind"] for one in ran["objects"] if one["outcome"] == "created"} == {
        "policy",
        "row_security",
        "comment",
    }


def test_client_programs_that_do_not_fit(plain_sample: Sample, tmp_path: Path) -> None:
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.1'\n")
    program.chmod(0o755)
    result = _run(plain_sample, client_path=str(tmp_path))
    assert result["failed"]
    assert f"{tmp_path}{os.sep}pg_dump (9)" in result["msg"]


def test_fewer_connections_than_jobs(plain_sample: Sample) -> None:
    """What the server lets in does the work."""
    sample = plain_sample
    limit = f"ALTER ROLE {sample.user} CONNECTION LIMIT "
    sample.target.execute("postgres", limit + "4")
    try:
        ran = _run(sample, jobs=8)
        assert (ran.get("msg"), ran["changed"]) == (None, True)
        assert _compared(sample.target, sample.target_db) == _compared(sample.source, sample.source_db)
    finally:
        sample.target.execute("postgres", limit + "-1")


def test_what_somebody_else_creates_meanwhile(plain_sample: Sample) -> None:
    """The server says that it exists; equal is as good as created."""
    sample = plain_sample
    made = """CREATE POLICY meanwhile ON public.tenant_notes FOR SELECT TO sensor_reader USING (true);
        ALTER DOMAIN public.meanwhile_small ADD CONSTRAINT meanwhile CHECK (VALUE < 9) NOT VALID;"""
    _both(sample, "CREATE DOMAIN public.meanwhile_small AS int;", source_only=made)
    with contextlib.closing(sample.target.connect(sample.target_db, sample.user, autocommit=False)) as other:
        other.cursor().execute(made)
        threading.Timer(3, other.commit).start()
        ran = _run(sample, objects=["public.*meanwhile*"], lock_timeout=20)
    assert (ran.get("msg"), ran["queries"], ran["summary"]["present"]) == (None, [], 2)
    assert "Somebody else" in str(ran["objects"])


def test_what_differs_is_exchanged_as_a_whole(plain_sample: Sample) -> None:
    sample = plain_sample
    _run(sample)
    target, db = sample.target, sample.target_db
    for text in (
        "DROP INDEX public.sensors_big_idx",
        "CREATE INDEX sensors_big_idx ON public.sensors (capacity)",
        "ALTER INDEX public.sensors_tags_idx RENAME TO other_name",
        "ALTER TABLE public.sensor_channels RENAME CONSTRAINT sensor_channels_pkey TO another_key",
        "DROP POLICY own_notes ON public.tenant_notes",
        "CREATE POLICY own_notes ON public.tenant_notes USING (true)",
        "ALTER TABLE public.deliveries DISABLE TRIGGER deliveries_note",
        "ALTER TABLE public.deliveries DROP CONSTRAINT deliveries_no_overlap",
        "ALTER TABLE public.deliveries ADD CONSTRAINT deliveries_no_overlap EXCLUDE USING gist (during WITH =)"
        " WHERE (litres > 5)",
        "CREATE OR REPLACE RULE deliveries_keep AS ON DELETE TO public.deliveries DO INSTEAD NOTHING",
    ):
        target.execute(db, text)
    told = {
        "index sensors_big_idx",
        "index sensors_tags_idx",
        "primary_key sensor_channels_pkey",
        "policy own_notes",
        "trigger deliveries_note",
        "exclude deliveries_no_overlap",
        "rule deliveries_keep",
    }
    assert _outcomes(_run(sample), "drifted") == told
    ran = _run(sample, on_drift="replace")
    assert (ran.get("msg"), _outcomes(ran, "drifted")) == (None, set())
    # What stood on what was exchanged has come back in the same run.
    assert {"comment index sensors_big_idx", "comment policy own_notes"} <= _outcomes(ran, "created", "altered")
    assert _compared(target, db) == _compared(sample.source, sample.source_db)
    assert _run(sample, on_drift="replace")["changed"] is False


def test_an_exchange_that_fails_leaves_the_old_one(plain_sample: Sample) -> None:
    sample = plain_sample
    _run(sample)
    target, db = sample.target, sample.target_db
    old = "ALTER TABLE public.sensors ADD CONSTRAINT sensors_name_key UNIQUE (name, id)"
    target.execute(db, f"ALTER TABLE public.sensors DROP CONSTRAINT sensors_name_key; {old}")
    target.execute(db, "UPDATE public.sensors SET name = 'twice' WHERE id IN (1, 2)")
    ran = _run(sample, on_drift="replace")
    assert (ran["sqlstate"], ran["object"]) == ("23505", "unique public.sensors.sensors_name_key")
    assert "UNIQUE (name, id)" in str(_compared(target, db)["constraints"])
    tolerant = {"on_drift": "replace", "tolerate": [{"sqlstate": "23505", "object": "public.sensors*"}]}
    ran = _run(sample, **tolerant)
    assert (ran.get("msg"), ran["changed"]) == (None, False)
    reasons = {one["name"]: one["reason"] for one in ran["objects"] if one["outcome"] == "skipped"}
    assert reasons["sensors_name_key"].startswith("Tolerated (23505): ")
    assert _run(sample, **{**tolerant, "tolerate": [{"sqlstate": "23505", "object": "public.b*"}]})["failed"]


def test_a_rebuilt_index_keeps_what_stands_on_it(plain_sample: Sample) -> None:
    sample = plain_sample
    _run(sample)
    invalid = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.{}'::regclass"
    for name in ("sensors_big_idx", "deliveries_sensor_idx", "sensors_lower_name_idx"):
        sample.target.execute(sample.target_db, invalid.format(name))
    assert _run(sample)["changed"]
    source, target = _compared(sample.source, sample.source_db), _compared(sample.target, sample.target_db)
    assert target == source
    assert _run(sample)["changed"] is False


def test_a_role_that_owns_nothing_gets_one_message(plain_sample: Sample) -> None:
    sample = plain_sample
    before = _compared(sample.target, sample.target_db)
    login = sample.target.login_vars(sample.target_db, "sensor_reader")
    ran = run_module("timescale_post_data", {**login, "source": sample.source_login()})
    assert ran["msg"].startswith("Nothing was changed. The target's role sensor_reader does not own ")
    assert "public.sensors" in ran["msg"]
    assert (ran["objects"], _compared(sample.target, sample.target_db)) == ([], before)


def test_what_only_a_superuser_moves(plain_sample: Sample, tmp_path: Path) -> None:
    sample = plain_sample
    for text in (
        "CREATE FUNCTION public.watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''x''; END'",
        "CREATE EVENT TRIGGER watch_ddl ON ddl_command_end WHEN tag IN ('CREATE INDEX')"
        " EXECUTE FUNCTION public.watch()",
        "COMMENT ON EVENT TRIGGER watch_ddl IS 'Watches; all'",
        "ALTER EVENT TRIGGER watch_ddl ENABLE ALWAYS",
        "CREATE PUBLICATION everything FOR ALL TABLES",
        "CREATE SUBSCRIPTION feed CONNECTION 'host=feed.example dbname=x' PUBLICATION p WITH (connect = false)",
        "CREATE SUBSCRIPTION secret CONNECTION 'postgresql://u:it''s hidden@feed.example/x' PUBLICATION p"
        " WITH (connect = false)",
    ):
        sample.source.execute(sample.source_db, text)
    sample.target.execute(
        sample.target_db,
        "CREATE FUNCTION public.watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''x''; END'",
    )
    include = ["event_triggers", "publications", "subscriptions", "default_privileges"]
    refused = _run(sample, include=include)
    above = {"event_trigger watch_ddl", "comment event_trigger watch_ddl", "publication everything"}
    assert _outcomes(refused, "unsupported") == above
    assert (refused["changed"], refused["msg"].count("Only a superuser can create it.")) == (False, 2)
    # The owner's pg_dump does not see subscriptions; that is told.
    said = str(_run(sample, check=True, include=include, on_unsupported="skip")["warnings"])
    assert "subscription feed" in said
    admin = {**sample.login("postgres", "postgres"), "include": include}
    try:
        ran = run_module("timescale_post_data", {**admin, "on_unsupported": "skip"})
        assert (ran.get("msg"), _outcomes(ran, "unsupported")) == (None, {"subscription secret"})
        assert "hidden" not in str(ran)
        assert "watch_ddl" in ran["queries"][-1] or "watch_ddl" in ran["queries"][-2]
        triggers = "SELECT evtname, evtenabled, evttags FROM pg_event_trigger"
        assert sample.target.execute(sample.target_db, triggers) == [("watch_ddl", "A", ["CREATE INDEX"])]
        there = (
            "SELECT subname, subenabled FROM pg_subscription JOIN pg_database d ON d.oid = subdbid WHERE datname = %s"
        )
        assert sample.target.execute("postgres", there, (sample.target_db,)) == [("feed", False)]
        again = run_module("timescale_post_data", {**admin, "on_unsupported": "skip"})
        assert (again.get("msg"), again["changed"], _outcomes(again, "drifted")) == (None, False, set())
    finally:
        for server, db in ((sample.source, sample.source_db), (sample.target, sample.target_db)):
            for (name,) in server.execute(
                db,
                "SELECT subname FROM pg_subscription s JOIN pg_database d"
                " ON d.oid = s.subdbid WHERE d.datname = current_database()",
            ):
                server.execute(db, f"ALTER SUBSCRIPTION {name} SET (slot_name = NONE)")
                server.execute(db, f"DROP SUBSCRIPTION {name}")


def test_a_foreign_key_that_a_chunk_lacks_is_made_whole(servers: Pool, pair: Pair) -> None:
    sample = servers.fresh(pair)
    target, db = sample.target, sample.target_db
    one = """SELECT k.conrelid::regclass::text, quote_ident(k.conname) FROM pg_constraint k
        JOIN pg_inherits i ON i.inhrelid = k.conrelid
        WHERE i.inhparent = 'public.fill_measurements'::regclass AND k.contype = 'f' ORDER BY 1 LIMIT 1"""
    try:
        _run(sample)
        chunk, name = target.execute(db, one)[0]
        with contextlib.closing(target.connect(db)) as connection, connection.cursor() as cursor:
            cursor.execute("SET timescaledb.restoring = on")
            cursor.execute(f"ALTER TABLE {chunk} DROP CONSTRAINT {name}")
        ran = _run(sample)
        told = [(o["name"], o["reason"]) for o in ran["objects"] if o["outcome"] == "drifted"]
        assert told == [("fill_measurements_sensor_id_fkey", "1 chunks lack it.")]
        ran = _run(sample, on_drift="replace")
        assert (ran.get("msg"), _outcomes(ran, "drifted")) == (None, set())
        assert (_run(sample)["changed"], target.execute(db, one)[0][0]) == (False, chunk)
    finally:
        sample.drop()


def test_views_and_rules_that_majors_print_differently(servers: Pool, pair: Pair) -> None:
    sample = servers.fresh(pair)
    try:
        text = 'CREATE TABLE public.alone (id int, n numeric(10, 2), s text COLLATE "C");'
        more = """ALTER TABLE alone ADD PRIMARY KEY (id);
            CREATE RULE alone_log AS ON UPDATE TO alone DO ALSO DELETE FROM deliveries WHERE litres > new.id;"""
        view = "CREATE VIEW public.alone_view AS SELECT id, n, s FROM alone GROUP BY id;"
        empty = (
            "CREATE VIEW public.alone_view AS SELECT NULL::int AS id, NULL::numeric(10,2) AS n,"
            ' NULL::text COLLATE "C" AS s;'
        )
        sample.source.execute(sample.source_db, text + more + view, user=sample.user)
        sample.target.execute(sample.target_db, text + empty, user=sample.user)
        ran = _run(sample)
        assert {"rule _RETURN", "rule alone_log"} <= _outcomes(ran, "created", "altered")
        again = _run(sample, diff=True)
        assert (again["changed"], _outcomes(again, "drifted")) == (False, set()), again.get("diff")
    finally:
        sample.drop()


def test_a_blocked_step_fails_alone_and_names_who_blocks(plain_sample: Sample) -> None:
    sample = plain_sample
    with contextlib.closing(sample.target.connect(sample.target_db, sample.user, autocommit=False)) as blocker:
        with blocker.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM public.tenant_notes")  # an open transaction: ACCESS SHARE
        ran = _run(sample, lock_timeout=1, lock_retries=1, jobs=2)
        assert (ran["failed"], ran["sqlstate"]) == (True, "55P03")
        failed = [one for one in ran["objects"] if one["outcome"] == "failed"]
        assert {one.get("table", one["name"]) for one in failed} == {"tenant_notes"}
        said = failed[0]["reason"]
        assert f"pid {blocker.info.backend_pid} of user {sample.user}" in said
        assert re.search(r"its query \d+:\d\d:\d\d\S* old", said), said
        assert "2 tries of 1 s" in said
        assert ran["summary"]["created"] > 60
    assert _run(sample)["changed"]
    assert _compared(sample.target, sample.target_db) == _compared(sample.source, sample.source_db)
