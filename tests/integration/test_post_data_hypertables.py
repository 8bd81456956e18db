# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Post-data of hypertables: a lock that is held, names made to hurt, and what chunks lack."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from psycopg2 import sql

from tests.support import catalog
from tests.support.playbook import run_module
from tests.support.pool import PAIRS, Pool, Sample

RENAMED = {"kinds_here": "kinds_there"}
NAMES = [
    'a";--b',
    "PGDMP\n-- Name: x; Type: INDEX",
    "ON",
    "/* é */ $1",
    "x" * 63,
    "it's 100%",
    "a.b",
    "ß" * 31,
    "SELECT",
]
# Of each name: a column, a constraint, two indexes, a trigger, a policy, statistics, and a comment on each.
OBJECTS = """
ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE ({name}, y) WITH (fillfactor = 77);
ALTER TABLE {table} ADD CONSTRAINT {other} CHECK ({name} > '2020-01-01' AND word <> {text}) NOT VALID;
CREATE INDEX {other} ON {table} (y DESC, word COLLATE "C") INCLUDE ({name}) WHERE word <> {text};
CREATE TRIGGER {name} BEFORE INSERT OR UPDATE OF {name} ON {table} FOR EACH ROW WHEN (new.word <> {text})
    EXECUTE FUNCTION refused.note({text});
CREATE POLICY {name} ON {table} USING (word <> {text});
CREATE STATISTICS {other_schema}.{name} ON {name}, y FROM {table};
COMMENT ON CONSTRAINT {name} ON {table} IS {text};
COMMENT ON INDEX {other_schema}.{other} IS {text};
COMMENT ON TRIGGER {name} ON {table} IS {text};
COMMENT ON POLICY {name} ON {table} IS {text};
COMMENT ON STATISTICS {other_schema}.{name} IS {text};
"""


def _differences(sample: Sample) -> list[str]:
    with (
        contextlib.closing(sample.source.connect(sample.source_db)) as source,
        contextlib.closing(sample.target.connect(sample.target_db)) as target,
    ):
        return catalog.compare(source, target, tablespaces=RENAMED)


def _labels(result: dict[str, Any], *outcomes: str) -> set[str]:
    return {f"{one['kind']} {one['name']}" for one in result["objects"] if one["outcome"] in outcomes}


def test_what_is_blocked_fails_alone_and_names_who_blocks(servers: Pool) -> None:
    sample = servers.fresh(PAIRS[-1], "every_kind")
    target, db = sample.target, sample.target_db
    arguments = {**sample.login(), "tablespace_map": RENAMED, "include": ["publications", "default_privileges"]}
    held = {sample.user: 'kinds."Other Readings"', "postgres": "kinds.heirs"}
    try:
        with contextlib.ExitStack() as stack:
            pids = {}
            for user, table in held.items():
                own = target.connect(db, user if user == sample.user else None, autocommit=False)
                stack.enter_context(contextlib.closing(own))
                pids[user] = own.info.backend_pid
                with own.cursor() as cursor:
                    cursor.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")
            ran = run_module("timescale_post_data", {**arguments, "lock_timeout": 1, "lock_retries": 1, "jobs": 4})
        assert (ran["failed"], ran["sqlstate"]) == (True, "55P03")
        failed = {one["name"]: one["reason"] for one in ran["objects"] if one["outcome"] == "failed"}
        # The rest is done, but for what needs one of them.
        assert {"Other; Key", 'Other; "Index"', "Other; Trigger", "heirs_key"} <= set(failed)
        assert all("2 tries of 1 s" in reason for reason in failed.values())
        assert ran["summary"]["created"] > 180
        own = failed["Other; Key"]
        assert f"pid {pids[sample.user]} of user {sample.user}" in own
        assert re.search(r"its query \d+:\d\d:\d\d\S* old", own), own
        # The age of a superuser's query is not for a plain owner to see.
        assert re.search(rf"pid {pids['postgres']} of user \w+\.", failed["heirs_key"]), failed["heirs_key"]
        assert run_module("timescale_post_data", arguments).get("msg") is None
        assert _differences(sample) == []
    finally:
        sample.drop()


def test_names_made_to_hurt(servers: Pool) -> None:
    sample = servers.fresh(PAIRS[-1], "refused")
    try:
        for number, name in enumerate(NAMES):
            table = sql.Identifier("hurt", f"{number} {name.encode()[:50].decode(errors='ignore')}")
            other = f"{number}{name.encode()[:60].decode(errors='ignore')}"
            values: dict[str, sql.Composable] = {"table": table, "name": sql.Identifier(name)}
            values["other"] = sql.Identifier(other)
            make = sql.SQL(
                "CREATE SCHEMA IF NOT EXISTS hurt;"
                "CREATE TABLE {table} ({name} timestamptz NOT NULL, y int, word text);"
                "SELECT create_hypertable({text}::regclass, {column}, create_default_indexes => false);"
                "INSERT INTO {table} SELECT '2026-01-01 00:00+00'::timestamptz + n * interval '5 days', n, 'word'"
                " FROM generate_series(1, 4) n"
            )
            for server, db in ((sample.source, sample.source_db), (sample.target, sample.target_db)):
                with contextlib.closing(server.connect(db, sample.user)) as connection:
                    text = sql.Literal(table.as_string(connection))
                    with connection.cursor() as cursor:
                        cursor.execute(make.format(**values, text=text, column=sql.Literal(name)))
            values.update(text=sql.Literal(f"{name}; 'it''s' \\ -- \n/* */"), other_schema=sql.Identifier("hurt"))
            sample.source.execute(sample.source_db, sql.SQL(OBJECTS).format(**values), user=sample.user)
        arguments = {**sample.login(), "schemas": ["hurt"], "on_unsupported": "skip"}
        ran = run_module("timescale_post_data", arguments)
        assert (ran.get("msg"), ran["summary"]["created"]) == (None, 11 * len(NAMES))
        assert [line for line in _differences(sample) if "refused" not in line] == []
        again = run_module("timescale_post_data", arguments)
        assert (again["changed"], _labels(again, "drifted", "unsupported")) == (False, set())
    finally:
        sample.drop()


def test_what_chunks_lack_or_lose_is_told(servers: Pool) -> None:
    sample = servers.fresh(PAIRS[-1], "refused")
    target, db = sample.target, sample.target_db
    make = "CREATE TABLE refused.{0} (at timestamptz NOT NULL, words tsvector); {1}"
    hypertable = "SELECT create_hypertable('refused.parted', 'at'); INSERT INTO refused.parted VALUES ('2026-01-01')"
    objects = """; CREATE TRIGGER on_chunks AFTER INSERT ON refused.parted FOR EACH ROW EXECUTE FUNCTION refused.note();
        CREATE INDEX with_parameters ON refused.parted USING gist (words tsvector_ops (siglen = 64))"""
    try:
        sample.source.execute(sample.source_db, make.format("parted", hypertable) + objects, user=sample.user)
        target.execute(db, make.format("parted", hypertable), user=sample.user)
        arguments = {**sample.login(), "objects": ["refused.parted"]}
        ran = run_module("timescale_post_data", arguments)
        assert ran.get("msg") is None
        loses = target.version >= 170000
        assert ("without operator class parameters" in str(ran.get("warnings"))) == loses
        chunk = target.execute(db, "SELECT show_chunks('refused.parted')::text")[0][0]
        lost = f"SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = '{chunk}'::regclass"
        texts = [text for (text,) in target.execute(db, lost) if "gist" in text]
        assert ["siglen" in text for text in texts] == [not loses]  # when this fails, TimescaleDB has mended it
        with contextlib.closing(target.connect(db)) as connection, connection.cursor() as cursor:
            cursor.execute("SET timescaledb.restoring = on")
            cursor.execute(f"DROP TRIGGER on_chunks ON {chunk}")
        told = run_module("timescale_post_data", arguments)
        reasons = [one["reason"] for one in told["objects"] if one["outcome"] == "drifted"]
        assert (told["changed"], reasons) == (False, ["1 chunks lack it."])
        assert run_module("timescale_post_data", {**arguments, "on_drift": "replace"})["changed"]
        settled = run_module("timescale_post_data", arguments)
        assert (settled["changed"], _labels(settled, "drifted")) == (False, set())
    finally:
        sample.drop()
