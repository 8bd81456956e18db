# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The locks that are estimated for each chunk against those that the server counts."""

from __future__ import annotations

import contextlib
from typing import Any

from ansible_collections.dbops.timescale.plugins.module_utils._plan import Identity, Step
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.objects import Relation
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.resources import locks_of
from tests.support.pool import Pair, Pool

TABLES = """
CREATE TABLE few (at timestamptz NOT NULL, x int, y int);
CREATE TABLE many (at timestamptz NOT NULL, x int, y int);
CREATE TABLE plain (x int PRIMARY KEY);
INSERT INTO plain SELECT generate_series(1, 20);
SELECT create_hypertable('few', 'at', chunk_time_interval => interval '1 hour');
SELECT create_hypertable('many', 'at', chunk_time_interval => interval '1 hour');
INSERT INTO few SELECT '2026-01-01 00:00+00'::timestamptz + g * interval '1 hour', g, g FROM generate_series(1, 10) g;
INSERT INTO many SELECT '2026-01-01 00:00+00'::timestamptz + g * interval '1 hour', g, g FROM generate_series(1, 20) g;
CREATE INDEX few_other ON few (x, at);
CREATE INDEX many_other ON many (x, at);
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
"""
STATEMENTS = {
    "index": "CREATE INDEX ON {} (y)",
    "primary_key": "ALTER TABLE {} ADD PRIMARY KEY (at, x)",
    "unique": "ALTER TABLE {} ADD UNIQUE (at, y)",
    "foreign_key": "ALTER TABLE {} ADD FOREIGN KEY (x) REFERENCES plain",
    "check": "ALTER TABLE {} ADD CHECK (x > 0) NOT VALID",
    "trigger": "CREATE TRIGGER t BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION nothing()",
    "statistics": "CREATE STATISTICS s ON x, y FROM {}",
    "row_security": "ALTER TABLE {} ENABLE ROW LEVEL SECURITY",
}


def _held(connection: Any, text: str) -> int:
    """The entries in the server's lock table after a statement, which is taken back."""
    with connection.cursor() as cursor:
        cursor.execute(text)
        cursor.execute("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND NOT fastpath")
        found: int = cursor.fetchone()[0]
    connection.rollback()
    return found


def test_locks_per_chunk(servers: Pool, pair: Pair) -> None:
    """What ten more chunks add, whatever else a statement takes, is about what is estimated for ten."""
    server, version = servers.side(pair.target)
    db = server.create_database("lock_table", version)
    server.execute(db, TABLES)
    estimated, counted = {}, {}
    with contextlib.closing(server.connect(db, autocommit=False)) as connection:
        for kind, text in STATEMENTS.items():
            few = [_held(connection, text.format("few")) for _time in range(2)][-1]  # the first one fills caches
            counted[kind] = _held(connection, text.format("many")) - few
            step = Step(Identity(kind, "public", "o", "t"), "create", (text,), exclusive=('"public"."t"',))
            estimated[kind] = locks_of(step, {'"public"."t"': Relation(("public", "t"), dimensions=("at",), chunks=10)})
    server.drop_database(db)
    assert {kind: counted[kind] <= 1.5 * estimated[kind] + 5 for kind in counted} == dict.fromkeys(counted, True)
    del counted["foreign_key"]  # its weak locks have room in the backend itself while chunks are few
    assert {kind: estimated[kind] <= 2 * counted[kind] for kind in counted} == dict.fromkeys(counted, True)
