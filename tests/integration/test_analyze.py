# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""postgres_analyze on real servers: what it lists, what it leaves, and what it says about the rest."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support import samples
from tests.support.installations import find
from tests.support.playbook import run_module
from tests.support.pool import Pool
from tests.support.servers import Server, ThrowawayServer
from tests.support.statements import statements_during

# (PostgreSQL major, TimescaleDB version); without a version the plain sample.
# PostgreSQL 12 to 14 and 17 join in where they are installed (PGBIN).
MORE = tuple(major for major in (12, 13, 14, 17) if find(major))
PLACES = (
    *((major, None) for major in (15, 16, 18, *MORE) if major > 13),  # the sample needs 14
    (15, "2.11.2"),
    (15, "2.28.3"),
    (18, "2.29.2"),
)


@dataclass
class Place:
    """A database with a sample, not analyzed by anybody."""

    server: Server
    db: str
    version: str | None
    major: int

    def run(self, user: str = samples.OWNER, **options: Any) -> dict[str, Any]:
        self.settle()
        check = bool(options.pop("check", False))
        options.setdefault("jobs", 2)
        return run_module("postgres_analyze", {**self.server.login_vars(self.db, user), **options}, check=check)

    def ask(self, statement: str, values: Any = None) -> Any:
        self.settle()
        return self.server.execute(self.db, statement, values)

    def settle(self) -> None:
        """Up to PostgreSQL 14 counters are what a file said half a second ago."""
        if self.major < 15:
            time.sleep(0.6)


def empty_place(servers: Pool, name: str, major: int, version: str) -> Place:
    """A database without a sample, and a role ``one`` on its server."""
    server = servers.server(major, version)
    server.create_role("one")
    return Place(server, server.create_database(name, extension_version=version), version, major)


@pytest.fixture(params=PLACES, ids=lambda place: f"{place[1] or 'plain'}-on-{place[0]}")
def place(request: pytest.FixtureRequest, servers: Pool) -> Iterator[Place]:
    """A fresh database of each kind."""
    major, version = request.param
    server = servers.server(major, version)
    db = samples.load(server, f"analyze_{major}", "fill_levels" if version else "plain", version)
    server.execute(db, "SELECT pg_stat_reset()")
    yield Place(server, db, version, major)
    server.drop_database(db)


def _beats(place: Place, user: str) -> dict[str, str]:
    """Check, run, check again, run again; gives the outcomes of the run."""
    foreseen = place.run(user, check=True)
    assert foreseen["changed"], foreseen
    before = place.ask(COUNTS)
    done = place.run(user)
    assert done.get("failed") is None, done
    assert sorted(done["queries"]) == sorted(foreseen["queries"])
    assert _outcomes(done) == _outcomes(foreseen)
    assert before != place.ask(COUNTS)
    for again in (place.run(user, check=True), place.run(user)):
        assert not again["changed"], [entry for entry in again["objects"] if entry["outcome"] == "altered"]
        assert again["queries"] == []
        assert set(again["summary"]) <= {"present", "skipped"}
    return _outcomes(done)


def test_four_beats_of_three_roles(place: Place) -> None:
    """A role that owns a part, then the database's owner, then, with all statistics gone, a superuser."""
    place.server.create_role("part")
    place.ask("CREATE SCHEMA part AUTHORIZATION part; GRANT USAGE ON SCHEMA part TO PUBLIC")
    place.ask("CREATE TABLE part.t AS SELECT n, now() - n * interval '1 hour' AS at FROM generate_series(1, 99) AS n")
    place.ask("ALTER TABLE part.t OWNER TO part")
    if place.version:
        place.ask("CREATE TABLE part.h (LIKE part.t); ALTER TABLE part.h ALTER at SET NOT NULL")
        place.ask("ALTER TABLE part.h OWNER TO part; GRANT USAGE ON SCHEMA part TO part")
        place.server.execute(place.db, "SELECT public.create_hypertable('part.h', 'at')", user="part")
        place.server.execute(place.db, "INSERT INTO part.h SELECT * FROM part.t", user="part")
    of_part = _beats(place, "part")
    mine = {name for name, outcome in of_part.items() if outcome == "altered"}
    assert mine == ({"part.t", "part.h"} if place.version else {"part.t"})
    assert set(of_part.values()) == {"altered", "skipped"}
    of_owner = _beats(place, samples.OWNER)
    assert {name for name, outcome in of_owner.items() if outcome == "present"} >= mine
    assert "skipped" not in of_owner.values()
    place.ask("DELETE FROM pg_statistic")
    place.ask("UPDATE pg_class SET reltuples = -1 WHERE relkind IN ('r', 'p', 'm') AND oid >= 16384")
    place.ask("SELECT pg_stat_reset()")
    assert set(_beats(place, "postgres").values()) == {"altered"}
    assert [entry for entry in place.ask(COUNTS) if entry[1] > 1] == []


COUNTS = """
SELECT relid::regclass::text, analyze_count FROM pg_stat_user_tables
WHERE schemaname NOT IN ('_timescaledb_catalog', '_timescaledb_config', '_timescaledb_cache') ORDER BY 1
"""


def _outcomes(result: dict[str, Any]) -> dict[str, str]:
    return {f"{entry['schema']}.{entry['name']}": entry["outcome"] for entry in result["objects"]}


@pytest.fixture(params=(15, 18, *MORE), ids=lambda major: f"on-{major}")
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


def test_what_the_role_may_not_analyze_is_skipped(bare: Place) -> None:
    """The server itself warns for the user's table and for catalogs, in words that differ by version."""
    connection = bare.server.connect(bare.db, "one")
    connection.notices.clear()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE two.t, pg_catalog.pg_authid, pg_catalog.pg_class")
        warned = "".join(connection.notices)
    connection.close()
    told = {
        "pg_authid": "only superuser can analyze it",
        "pg_class": "only superuser or database owner can analyze it",
        "t": "only table or database owner can analyze it",
    }
    for name, old in told.items():
        text = (
            f'skipping "{name}" --- {old}' if bare.major < 16 else f'permission denied to analyze "{name}", skipping it'
        )
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


def test_chunks_of_somebody_else(servers: Pool) -> None:
    """They are told, and do not make every run a change."""
    place = empty_place(servers, "chunks_of_others", 15, "2.28.3")
    place.ask("CREATE SCHEMA one AUTHORIZATION one; CREATE TABLE one.h (at date NOT NULL)")
    place.ask("ALTER TABLE one.h OWNER TO one")
    place.ask("SELECT create_hypertable('one.h', 'at', chunk_time_interval => interval '1 day')")
    place.ask("INSERT INTO one.h SELECT date '2026-01-01' + n % 3 FROM generate_series(1, 90) AS n")
    place.ask("UPDATE pg_class SET relowner = 10 WHERE oid = (SELECT min(c::oid) FROM show_chunks('one.h') AS c)")
    first, again = place.run("one"), place.run("one")
    assert first["summary"] == {"skipped": 1, "altered": 1}
    assert "Of its 3 chunks, 1 need ANALYZE and the role may not do it" in first["objects"][0]["reason"]
    assert sum("analyze" in text for entry in first["objects"] for text in entry.get("notices", ())) == 1
    assert (again["changed"], again["summary"]) == (False, {"skipped": 1, "present": 1})
    assert "hypertable one.h" in str(again["warnings"])
    assert place.run("postgres")["summary"] == {"altered": 1}
    assert place.run("one")["summary"] == {"present": 1}
    place.server.drop_database(place.db)


def test_notices_beyond_fifty_are_kept(bare: Place) -> None:
    """A partitioned table of which the role may do the root alone: one warning for each part, tied to the root."""
    bare.ask("CREATE TABLE one.p (n int) PARTITION BY RANGE (n)")
    bare.ask(
        "DO $$ BEGIN FOR n IN 1..70 LOOP"
        " EXECUTE format('CREATE TABLE one.p%s PARTITION OF one.p FOR VALUES FROM (%s) TO (%s)', n, n, n + 1);"
        " END LOOP; END $$"
    )
    bare.ask("ALTER TABLE one.p OWNER TO one; INSERT INTO one.p SELECT generate_series(1, 70)")
    result = bare.run("one", tables=["one.p"])
    (entry,) = result["objects"]
    assert (entry["outcome"], len(entry["notices"])) == ("altered", 70)
    assert result["summary"] == {"altered": 1}
    assert bare.run("one", tables=["one.p*"])["summary"] == {"present": 1, "skipped": 70}


def test_maintain_is_enough(bare: Place) -> None:
    if bare.major < 17:
        assert bare.ask("SELECT current_setting('server_version_num')::int < 170000") == [(True,)]
        return
    bare.ask("GRANT MAINTAIN ON two.t TO one")
    result = bare.run("one", tables=["two.*"])
    assert _outcomes(result) == {"two.t": "altered"}
    assert result["objects"][0]["evidence"] == "counters"
    assert not bare.run("one", tables=["two.*"])["changed"]
    bare.ask("REVOKE MAINTAIN ON two.t FROM one; GRANT pg_maintain TO one")
    again = bare.run("one", tables=["two.*"], scope="all")
    bare.ask("REVOKE pg_maintain FROM one")
    assert _outcomes(again) == {"two.t": "altered"}


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


def test_counters_that_vanished_in_a_crash_do_not_matter(bare: Place) -> None:
    assert isinstance(bare.server, ThrowawayServer)
    bare.ask("CREATE TABLE one.empty (n int)")
    bare.ask("ALTER SYSTEM SET wal_writer_delay = '10s'")  # only what the run itself has waited for survives
    bare.server.restart()
    bare.run("postgres")
    bare.server.restart("immediate")
    bare.ask("ALTER SYSTEM RESET wal_writer_delay")
    assert bare.ask("SELECT last_analyze FROM pg_stat_user_tables WHERE relname = 't'") == [(None,)] * 2
    again = bare.run("postgres")
    # Before PostgreSQL 14 nothing but the counters tells that an empty table was looked at.
    assert again["queries"] == (['ANALYZE "one"."empty"'] if bare.major < 14 else [])
    sent = statements_during(bare.server, [bare.db], functools.partial(bare.run, "postgres", scope="all", jobs=1))
    assert sum('"synchronous_commit": "off"' in line for line in sent) == 1


def test_where_pg_stats_cannot_be_read(bare: Place) -> None:
    """The database's owner without SELECT, and an owner under row security of its own."""
    bare.ask(f"ALTER DATABASE {bare.db} OWNER TO one")
    bare.ask("ALTER TABLE one.t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    done = bare.run("one")
    assert [entry["evidence"] for entry in done["objects"]] == ["counters", "counters"]
    assert _outcomes(done) == {"one.t": "altered", "two.t": "altered"}
    assert "warnings" not in done
    assert not bare.run("one")["changed"]
    bare.ask("UPDATE two.t SET k = 0")
    assert bare.run("one")["queries"] == ['ANALYZE "two"."t"']


def test_foreign_tables_on_request(bare: Place) -> None:
    if not bare.ask("SELECT 1 FROM pg_available_extensions WHERE name = 'postgres_fdw'"):
        bare.ask("CREATE FOREIGN DATA WRAPPER w")
        bare.ask("CREATE SERVER s FOREIGN DATA WRAPPER w")
        bare.ask("CREATE FOREIGN TABLE one.f (n int) SERVER s")
        assert "one.f" not in _outcomes(bare.run("postgres"))
        refused = bare.run("postgres", include_foreign=True)  # no handler: the server says so, the rest is done
        assert _outcomes(refused)["one.f"] != "present"
        return
    bare.ask("CREATE EXTENSION postgres_fdw")
    bare.ask(f"CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '{bare.server.port}')")
    bare.ask("ALTER SERVER s OPTIONS (ADD dbname %s)", (bare.db,))
    password = bare.server.passwords["postgres"]
    bare.ask("CREATE USER MAPPING FOR postgres SERVER s OPTIONS (user 'postgres', password %s)", (password,))
    bare.ask("CREATE FOREIGN TABLE one.f (n int) SERVER s OPTIONS (schema_name 'one', table_name 't')")
    assert "one.f" not in _outcomes(bare.run("postgres"))
    assert bare.run("postgres", include_foreign=True)["queries"] == ['ANALYZE "one"."f"']
    assert not bare.run("postgres", include_foreign=True)["changed"]


def test_dropped_meanwhile(bare: Place) -> None:
    """One that goes while ANALYZE waits for it is no error."""
    holder = bare.server.connect(bare.db, autocommit=False)

    def commit_when_waited_for() -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until and not bare.ask("SELECT 1 FROM pg_locks WHERE NOT granted"):
            time.sleep(0.1)
        holder.commit()

    with holder.cursor() as cursor:
        cursor.execute("DROP TABLE one.t")
        other = threading.Thread(target=commit_when_waited_for)
        other.start()
        result = bare.run("postgres")
        other.join()
    holder.close()
    assert result.get("failed") is None, result
    assert _outcomes(result) == {"one.t": "skipped", "two.t": "altered"}
    assert result["summary"] == {"skipped": 1, "altered": 1}


def test_catalogs_on_request(bare: Place) -> None:
    result = bare.run("postgres", include_catalogs=True, scope="all")
    assert _outcomes(result)["pg_catalog.pg_class"] == "altered"
    assert result["catalogs_skipped"] == 0
    assert bare.run("postgres", include_catalogs=True)["queries"] == []


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


def test_what_has_nothing_to_gather_is_done_once(bare: Place) -> None:
    """Without rows, without columns, and with columns that nobody wants statistics of."""
    bare.ask("CREATE TABLE one.empty (n int); CREATE TABLE one.nothing (); INSERT INTO one.nothing DEFAULT VALUES")
    bare.ask("CREATE TABLE one.unwanted (n int); ALTER TABLE one.unwanted ALTER n SET STATISTICS 0")
    bare.ask("INSERT INTO one.unwanted VALUES (1)")
    names = ["one.empty", "one.nothing", "one.unwanted"]
    assert bare.run("postgres", scope="missing", tables=names)["summary"] == {"altered": 3}
    assert bare.run("postgres", tables=names)["summary"] == {"present": 3}
    assert "warnings" not in bare.run("postgres", tables=names, strict=True)
    bare.ask("INSERT INTO one.empty VALUES (1)")
    assert bare.run("postgres", scope="missing", tables=names)["queries"] == ['ANALYZE "one"."empty"']


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


def test_small_tables_share_a_statement_and_one_that_fails_does_not_stop_the_rest(bare: Place) -> None:
    """A list of them in one ANALYZE; with a locked one in it each is tried alone."""
    bare.ask(
        "DO $$ BEGIN FOR n IN 1..60 LOOP EXECUTE 'CREATE TABLE one.s' || n || ' AS SELECT 1 AS n'; END LOOP; END $$"
    )
    holder = bare.server.connect(bare.db, autocommit=False)
    with holder.cursor() as cursor:
        cursor.execute("LOCK TABLE one.s30 IN ACCESS EXCLUSIVE MODE")
        result = bare.run("postgres", lock_timeout=0.5, lock_retries=0)
    holder.close()
    assert (result["failed"], result["remaining"]) == (True, ["table one.s30"])
    assert result["summary"] == {"altered": 61, "failed": 1}
    assert bare.run("postgres", jobs=1)["queries"] == ['ANALYZE "one"."s30"']
    assert bare.run("postgres", scope="all", jobs=1)["summary"] == {"altered": 62}
    if isinstance(bare.server, ThrowawayServer):
        run = functools.partial(bare.run, "postgres", scope="all", jobs=1)
        sent = statements_during(bare.server, [bare.db], run)
        assert (len(run()["queries"]), sum("statement: ANALYZE" in line for line in sent) < 20) == (62, True)


# Of a tree together, of each part, and what pg_class says.
STATISTICS = (
    "SELECT attname::text, inherited, null_frac, avg_width, n_distinct, pg_catalog.cardinality(most_common_freqs)"
    " FROM pg_stats WHERE tablename = 'readings' ORDER BY 1, 2",
    "SELECT inherited, n_distinct::text, dependencies::text FROM pg_stats_ext ORDER BY 1",
    "SELECT relname::text, relkind::text, reltuples, relpages FROM pg_class"
    " WHERE relname = 'readings' OR oid IN (SELECT c::oid FROM show_chunks('public.readings') AS c) ORDER BY 1",
    "SELECT tablename::text, attname::text, n_distinct FROM pg_stats WHERE tablename LIKE '%hyper%' ORDER BY 1, 2",
)


@pytest.mark.parametrize(("major", "version"), [place for place in PLACES if place[1]])
def test_a_hypertable_spread_over_connections(servers: Pool, major: int, version: str) -> None:
    """Each chunk once, the same statistics as one plain ANALYZE leaves, also those of expressions and extended ones."""
    place = empty_place(servers, "spread", major, version)
    place.ask("GRANT CREATE ON SCHEMA public TO one")

    def as_one(text: str) -> Any:
        return place.server.execute(place.db, text, user="one")

    as_one("CREATE TABLE public.readings (at timestamptz NOT NULL, kind int, part int) WITH (autovacuum_enabled = off)")
    as_one("SELECT create_hypertable('public.readings', 'at', chunk_time_interval => interval '1 day')")
    as_one(
        "INSERT INTO public.readings SELECT timestamptz '2026-01-01 UTC' + n * interval '1 day' / 25000, n % 60,"
        " n % 60 / 6 FROM generate_series(0, 10 * 25000 - 1) AS n"
    )
    as_one("CREATE STATISTICS public.both (ndistinct, dependencies) ON kind, part FROM public.readings")
    as_one("CREATE INDEX ON public.readings (public.time_bucket('1 hour', at), (kind + 1))")
    as_one("ANALYZE ONLY public.readings" if major >= 18 else "ANALYZE public.readings")
    plain = [place.ask(text) for text in STATISTICS]
    place.ask("DELETE FROM pg_statistic WHERE starelid >= 16384; DELETE FROM pg_statistic_ext_data")
    place.ask("SELECT pg_stat_reset()")
    foreseen = place.run("one", check=True)
    done: dict[str, Any] = {}
    assert isinstance(place.server, ThrowawayServer)
    sent = statements_during(place.server, [place.db], lambda: done.update(place.run("one")))
    # One message, hence one transaction: behind a pooler the next user of that session meets nothing of it.
    assert [line.partition("statement: ")[2].strip() for line in sent if "disable_load" in line] == [
        "SET LOCAL timescaledb.disable_load = on;"
    ]
    assert done["queries"] == foreseen["queries"]
    assert (len(done["queries"]), done["summary"]) == (11, {"altered": 1})
    assert done["objects"][0]["parts"] == 10
    assert [place.ask(text) for text in STATISTICS] == plain
    assert {count for name, count in place.ask(COUNTS) if "_hyper_" in name} == {1}
    for again in (place.run("one", check=True), place.run("one")):
        assert (again["changed"], again["queries"]) == (False, [])
    # With the columnstore, whose tables only the plain statement knows.
    as_one("ALTER TABLE public.readings SET (timescaledb.compress, timescaledb.compress_segmentby = 'kind')")
    as_one("SELECT public.compress_chunk(c) FROM public.show_chunks('public.readings') AS c LIMIT 1")
    assert len(place.run("one", scope="all")["queries"]) == 1
    place.server.drop_database(place.db)


def test_stages_of_a_hypertable(servers: Pool) -> None:
    """Rough statistics first; the last stage leaves the usual ones, and nothing is left to do."""
    place = empty_place(servers, "stages", 15, "2.28.3")
    place.ask("CREATE TABLE public.h (at date NOT NULL, n int)")
    place.ask("SELECT create_hypertable('public.h', 'at', chunk_time_interval => interval '1 day')")
    place.ask("INSERT INTO public.h SELECT date '2026-01-01' + n % 5, n FROM generate_series(1, 5000) AS n")
    place.ask("SELECT pg_stat_reset()")
    foreseen, result = place.run("postgres", check=True, stages=True), place.run("postgres", stages=True)
    assert result["queries"] == foreseen["queries"] == ['ANALYZE "public"."h"'] * 3
    assert [entry.get("statistics_target") for entry in result["objects"]] == [1, 10, None]
    bounds = place.ask("SELECT DISTINCT cardinality(histogram_bounds::text::int[]) FROM pg_stats WHERE attname = 'n'")
    assert bounds == [(101,)]
    assert not place.run("postgres", stages=True)["changed"]
    place.server.drop_database(place.db)
