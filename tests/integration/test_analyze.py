# Copyright (c) 2026, the dbops.timescale authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""postgres_analyze on real servers: what it lists, what it leaves, and what it says about the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support import samples
from tests.support.playbook import run_module
from tests.support.pool import Pool
from tests.support.servers import Server

# (PostgreSQL major, TimescaleDB version); without a version the plain sample.
PLACES = ((15, None), (16, None), (18, None), (15, "2.11.2"), (15, "2.28.3"), (18, "2.29.2"))


@dataclass
class Place:
    """A database with a sample, not analyzed by anybody."""

    server: Server
    db: str
    version: str | None
    major: int

    def run(self, user: str = samples.OWNER, **options: Any) -> dict[str, Any]:
        check = bool(options.pop("check", False))
        options.setdefault("jobs", 2)
        return run_module("postgres_analyze", {**self.server.login_vars(self.db, user), **options}, check=check)

    def ask(self, statement: str, values: Any = None) -> Any:
        return self.server.execute(self.db, statement, values)


@pytest.fixture(params=PLACES, ids=lambda place: f"{place[1] or 'plain'}-on-{place[0]}")
def place(request: pytest.FixtureRequest, servers: Pool) -> Iterator[Place]:
    """A fresh database of each kind."""
    major, version = request.param
    server = servers.server(major, version)
    db = samples.load(server, f"analyze_{major}", "fill_levels" if version else "plain", version)
    server.execute(db, "SELECT pg_stat_reset()")
    yield Place(server, db, version, major)
    server.drop_database(db)


def test_four_beats(place: Place) -> None:
    foreseen = place.run(check=True)
    assert foreseen["changed"], foreseen
    before = place.ask(COUNTS)
    assert all(count == 0 for _name, count in before)
    done = place.run()
    assert done.get("failed") is None, done
    assert sorted(done["queries"]) == sorted(foreseen["queries"])
    assert "warnings" not in done
    for again in (place.run(check=True), place.run()):
        assert not again["changed"], [entry for entry in again["objects"] if entry["outcome"] != "present"]
        assert again["queries"] == []
        assert set(again["summary"]) == {"present"}


COUNTS = """
SELECT relid::regclass::text, analyze_count FROM pg_stat_user_tables
WHERE schemaname NOT IN ('_timescaledb_catalog', '_timescaledb_config', '_timescaledb_cache') ORDER BY 1
"""


def _outcomes(result: dict[str, Any]) -> dict[str, str]:
    return {f"{entry['schema']}.{entry['name']}": entry["outcome"] for entry in result["objects"]}


@pytest.fixture(params=(15, 18), ids=lambda major: f"on-{major}")
def bare(request: pytest.FixtureRequest, servers: Pool) -> Iterator[Place]:
    """An empty database of a superuser; two roles own a table each."""
    server = servers.server(request.param)
    db = server.create_database(f"bare_{request.param}")
    for role in ("one", "two"):
        server.create_role(role)
        server.execute(db, f"CREATE SCHEMA {role} AUTHORIZATION {role}")
        server.execute(db, f"GRANT USAGE ON SCHEMA {role} TO PUBLIC")
        server.execute(db, f"CREATE TABLE {role}.t AS SELECT n, n % 7 AS k FROM generate_series(1, 1000) AS n")
        server.execute(db, f"ALTER TABLE {role}.t OWNER TO {role}")
    yield Place(server, db, None, request.param)
    server.drop_database(db)


def test_each_chunk_once(place: Place) -> None:
    place.run("postgres")
    twice = [entry for entry in place.ask(COUNTS) if entry[1] > 1]
    assert twice == []


def test_what_the_role_may_not_analyze_is_skipped(bare: Place) -> None:
    """The server itself warns for the user's table and for catalogs, in words that differ by version."""
    connection = bare.server.connect(bare.db, "one")
    connection.notices.clear()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE two.t, pg_catalog.pg_authid")
        warned = "".join(connection.notices)
    connection.close()
    for text in ("permission denied to analyze",) if bare.major >= 16 else ("only superuser", "only table or database"):
        assert text in warned
    bare.ask("ANALYZE two.t")
    bare.ask("SELECT pg_stat_reset()")
    result = bare.run("one", scope="all", include_catalogs=True)
    assert _outcomes(result)["one.t"] == "altered"
    assert _outcomes(result)["two.t"] == "skipped"
    assert not any(entry["schema"] == "pg_catalog" for entry in result["objects"])
    assert result["catalogs_skipped"] > 0
    assert not any("notices" in entry for entry in result["objects"])


def test_a_table_that_stays_without_statistics(bare: Place) -> None:
    result = bare.run("one", scope="missing")
    assert _outcomes(result) == {"one.t": "altered", "two.t": "skipped"}
    assert "table two.t" in str(result["warnings"])
    strict = bare.run("one", scope="missing", strict=True)
    assert strict["failed"]
    assert "table two.t" in strict["msg"]


def test_maintain_is_enough(bare: Place) -> None:
    if bare.major < 17:
        assert bare.ask("SELECT current_setting('server_version_num')::int < 170000") == [(True,)]
        return
    bare.ask("GRANT MAINTAIN ON two.t TO one")
    result = bare.run("one", tables=["two.*"])
    assert _outcomes(result) == {"two.t": "altered"}
    assert result["objects"][0]["evidence"] == "counters"
    assert not bare.run("one", tables=["two.*"])["changed"]


def test_stale_is_the_rule_of_autovacuum(bare: Place) -> None:
    bare.run("postgres")
    bare.ask("UPDATE one.t SET k = 0 WHERE n <= 150")  # the limit is 50 + 0.1 * 1000
    assert not bare.run("postgres")["changed"]
    bare.ask("UPDATE one.t SET k = 0 WHERE n = 1")
    result = bare.run("postgres")
    assert result["queries"] == ['ANALYZE "one"."t"']
    bare.ask("UPDATE one.t SET k = 1 WHERE n <= 100")
    bare.ask("ALTER TABLE one.t SET (autovacuum_analyze_threshold = 99, autovacuum_analyze_scale_factor = 0)")
    assert bare.run("postgres", scope="missing")["changed"] is False
    assert bare.run("postgres")["queries"] == ['ANALYZE "one"."t"']


def test_counters_that_vanished_do_not_matter(bare: Place) -> None:
    bare.run("postgres")
    bare.ask("SELECT pg_stat_reset()")
    assert not bare.run("postgres")["changed"]


def test_what_is_missing_part_by_part(bare: Place) -> None:
    bare.run("postgres")
    for change in (
        "ALTER TABLE one.t ADD COLUMN more int DEFAULT 1",
        "CREATE INDEX ON one.t ((n + k))",
        "CREATE STATISTICS one.s ON n, k FROM one.t",
    ):
        bare.ask(change)
        result = bare.run("postgres", scope="missing")
        assert result["queries"] == ['ANALYZE "one"."t"'], change
        assert not bare.run("postgres", scope="missing")["changed"], change


def test_partitions_and_children(bare: Place) -> None:
    bare.ask("CREATE TABLE one.p (n int) PARTITION BY RANGE (n)")
    bare.ask("CREATE TABLE one.p1 PARTITION OF one.p FOR VALUES FROM (0) TO (500)")
    bare.ask("CREATE TABLE one.p2 PARTITION OF one.p FOR VALUES FROM (500) TO (1001)")
    bare.ask("INSERT INTO one.p SELECT n FROM generate_series(1, 1000) AS n")
    bare.ask("CREATE TABLE one.child () INHERITS (one.t)")
    bare.ask("INSERT INTO one.child SELECT n, n FROM generate_series(1, 500) AS n")
    parent = 'ANALYZE ONLY "one"."t"' if bare.major >= 18 else 'ANALYZE "one"."t"'
    assert bare.run("postgres", schemas=["one"])["queries"] == ['ANALYZE "one"."child"', 'ANALYZE "one"."p"', parent]
    assert all(count == 1 for name, count in bare.ask(COUNTS) if name.startswith("one."))
    assert not bare.run("postgres", schemas=["one"])["changed"]
    bare.ask("UPDATE one.p1 SET n = n WHERE n <= 110")  # more than its own limit, less than the whole's
    assert bare.run("postgres", schemas=["one"])["queries"] == ['ANALYZE "one"."p1"']


def test_stages_never_worsen(bare: Place) -> None:
    bare.ask("ANALYZE one.t")
    bare.ask("UPDATE one.t SET k = 0")
    result = bare.run("postgres", stages=True, jobs=1)
    targets = [(entry["schema"], entry.get("statistics_target")) for entry in result["objects"]]
    assert targets == [("one", None), ("two", 1), ("two", 10), ("two", None)]
    assert not bare.run("postgres", stages=True)["changed"]


def test_one_locked_relation_does_not_stop_the_rest(bare: Place) -> None:
    holder = bare.server.connect(bare.db, autocommit=False)
    with holder.cursor() as cursor:
        cursor.execute("LOCK TABLE one.t IN ACCESS EXCLUSIVE MODE")
        result = bare.run("postgres", lock_timeout=0.7, lock_retries=1)
        pid = holder.info.backend_pid
    holder.close()
    assert result["failed"]
    assert _outcomes(result) == {"one.t": "failed", "two.t": "altered"}
    assert f"pid {pid}" in result["msg"]
    assert result["remaining"] == ["table one.t"]


def test_columns(bare: Place) -> None:
    result = bare.run("postgres", tables=["one.t"], columns=["k"])
    assert result["queries"] == ['ANALYZE "one"."t" ("k")']
    assert not bare.run("postgres", tables=["one.t"], columns=["k"])["changed"]
    assert bare.ask("SELECT attname::text FROM pg_stats WHERE schemaname = 'one'") == [("k",)]
    for options, told in (({"tables": ["one.t"]}, "not all of the columns"), ({"tables": ["*.t"]}, "needs one table")):
        refused = bare.run("postgres", columns=["nothing"], **options)
        assert refused["failed"]
        assert told in refused["msg"]


def test_bad_values(bare: Place) -> None:
    assert "threshold is -1" in bare.run("postgres", threshold=-1)["msg"]
    assert "nobody.at_all" in str(bare.run("postgres", tables=["nobody.at_all"])["warnings"])
