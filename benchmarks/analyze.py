# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""postgres_analyze against vacuumdb --analyze-only and a bare ANALYZE, on databases without any statistics.

Each is timed as a process, start to exit, one after the other on the same database, whose statistics are removed before
each; the figures are medians of the rounds. CPU is that of the process and of the server's backends together. Prints a
table, and the same figures as one JSON object on the last line.

    python -m benchmarks.analyze [PART] [ROUNDS] [CONNECTIONS]

PART is a share of the full size: 300 chunks of 30,000 rows (as many as ANALYZE samples by default), 2,000 tables of
5,000 rows, and 20,000 tables of 1,000 rows for the run with nothing to do; a table has eight columns and a primary key.
0.05 is enough to see that it works; the ratios mean something at 1 only.

Commits are as durable as PostgreSQL makes them by default (fsync on), unlike on the servers of the tests: vacuumdb
waits for the disk after each relation, the module once. The 2,000 tables are measured without that wait (fsync off),
too; how long one commit waited is printed.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.support.installations import client_program, find
from tests.support.playbook import run_module
from tests.support.servers import ThrowawayServer, start
from tests.support.statements import statements_during

DB = "measured"
HYPERTABLE = """
CREATE TABLE public.readings (at timestamptz NOT NULL, sensor int, value float8, state text);
SELECT public.create_hypertable('public.readings', 'at', chunk_time_interval => interval '1 day');
INSERT INTO public.readings
SELECT timestamptz '2026-01-01 UTC' + n * interval '1 day' / {rows}, n % 97, sqrt(n), 'state ' || n % 11
FROM generate_series(0, {chunks} * {rows} - 1) AS n
"""
# In batches: one transaction would hold as many locks as there are tables.
TABLES = """
DO $$ BEGIN FOR n IN {first}..{last} LOOP
  EXECUTE format('CREATE TABLE public.t%s (id bigint PRIMARY KEY, made timestamptz NOT NULL, kind integer, state text,'
    ' level float8, amount numeric(12, 2), active boolean, note text)', n);
  EXECUTE format('INSERT INTO public.t%s SELECT g, timestamptz ''2026-01-01 UTC'' + g * interval ''1 minute'', g %% 7,'
    ' ''state '' || g %% 11, sqrt(g), g / 100.0, g %% 3 = 0, md5(g::text) FROM generate_series(1, {rows}) AS g', n);
END LOOP; END $$
"""
DURABLE = {"fsync": "on", "full_page_writes": "on"}
FORGET = (
    "DELETE FROM pg_catalog.pg_statistic WHERE starelid >= 16384",  # initdb gathers those of catalogs
    "UPDATE pg_catalog.pg_class SET reltuples = -1, relpages = 0 WHERE relkind IN ('r', 'p', 'm') AND oid >= 16384",
    "VACUUM pg_catalog.pg_statistic",
    "VACUUM pg_catalog.pg_class",
    "SELECT pg_catalog.pg_stat_reset()",
    "CHECKPOINT",
)


def _forget(server: ThrowawayServer) -> None:
    for text in FORGET:
        server.execute(DB, text)


def _cpu(server: ThrowawayServer) -> float:
    """CPU seconds of our finished children, and of the server with its finished backends (proc(5), fields 14 to 17)."""
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    pid = (server.base / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0]
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return own.ru_utime + own.ru_stime + sum(int(text) for text in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _timed(server: ThrowawayServer, work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall seconds, CPU seconds, and what came out."""
    before, began = _cpu(server), time.monotonic()
    result = work()
    wall = time.monotonic() - began
    time.sleep(0.3)  # until the last backend is gone and counted
    return wall, _cpu(server) - before, result


def _program(server: ThrowawayServer, name: str, *arguments: str) -> Callable[[], Any]:
    argv = [client_program(name, server.version // 10000), *arguments]
    return lambda: subprocess.run(argv, env=server.child_env(DB), check=True, capture_output=True)


def _module(server: ThrowawayServer, jobs: int) -> dict[str, Any]:
    result = run_module("postgres_analyze", {**server.login_vars(DB), "jobs": jobs}, timeout=3600)
    if result.get("failed"):
        raise SystemExit(result["msg"])
    return result


def _compare(server: ThrowawayServer, rounds: int, jobs: int) -> dict[str, Any]:
    """All three ways, in turn, and their ratios."""
    ways = {
        "module": lambda: _module(server, jobs),
        "vacuumdb": _program(server, "vacuumdb", "--analyze-only", f"--jobs={jobs}"),
        "analyze": _program(server, "psql", "-X", "-c", "ANALYZE"),
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _round in range(rounds):
        for name, work in ways.items():
            _forget(server)
            wall, cpu, _result = _timed(server, work)
            taken[name].append((wall, cpu))
    figures: dict[str, Any] = {}
    for number, measure in enumerate(("wall", "cpu")):
        medians = {name: statistics.median(pair[number] for pair in pairs) for name, pairs in taken.items()}
        figures.update({f"{name}_{measure}": round(value, 2) for name, value in medians.items()})
        for other in ("vacuumdb", "analyze"):
            figures[f"{measure}_to_{other}"] = round(medians["module"] / medians[other], 2)
    return figures


def hypertable(major: int, version: str, part: float, rounds: int, jobs: int) -> dict[str, Any]:
    """One hypertable of many chunks."""
    installation = find(major, version)
    if installation is None:
        return {"missing": f"TimescaleDB {version} on PostgreSQL {major} is not installed"}
    with start(installation, scheduler=False, autovacuum="off", **DURABLE) as server:
        server.create_database(DB, extension_version=version)
        server.execute(DB, HYPERTABLE.format(chunks=max(1, round(300 * part)), rows=30000))
        server.execute(DB, "VACUUM")  # the first reader after a load pays for hint bits
        return _compare(server, rounds, jobs)


def _make_tables(server: ThrowawayServer, number: int, rows: int) -> None:
    for first in range(1, number + 1, 500):
        server.execute(DB, TABLES.format(first=first, last=min(first + 499, number), rows=rows))


def _commit_ms(server: ThrowawayServer) -> float:
    """Milliseconds that a commit takes, most of them for the disk."""
    connection = server.connect(DB)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE public.waited (n integer)")
        began = time.monotonic()
        for _number in range(100):
            cursor.execute("INSERT INTO public.waited VALUES (1)")
        taken = time.monotonic() - began
        cursor.execute("DROP TABLE public.waited")
    connection.close()
    return round(taken * 10, 2)


def plain(major: int, part: float, rounds: int, jobs: int) -> dict[str, dict[str, Any]]:
    """Many plain tables, compared: with the server's own durability, and without waiting for the disk."""
    installation = find(major)
    if installation is None:
        return {f"plain tables, PostgreSQL {major}": {"missing": f"PostgreSQL {major} is not installed"}}
    found = {}
    with start(installation, scheduler=False, autovacuum="off") as server:
        server.create_database(DB)
        _make_tables(server, max(1, round(2000 * part)), 5000)
        server.execute(DB, "VACUUM")
        for fsync in ("on", "off"):
            for name in DURABLE:
                server.execute(DB, f"ALTER SYSTEM SET {name} = {fsync}")
            server.restart()
            name = f"plain tables, PostgreSQL {major}, fsync {fsync}"
            found[name] = {"commit_ms": _commit_ms(server), **_compare(server, rounds, jobs)}
    return found


def nothing_to_do(major: int, part: float, rounds: int, jobs: int) -> dict[str, Any]:
    """A first run over many tables, then runs that find nothing; their statements are counted at two sizes."""
    installation = find(major)
    if installation is None:
        return {"missing": f"PostgreSQL {major} is not installed"}
    with start(installation, scheduler=False, autovacuum="off", **DURABLE) as server:
        server.create_database(DB)
        server.execute(DB, TABLES.format(first=0, last=0, rows=200))
        _module(server, jobs)
        few = len(statements_during(server, [DB], lambda: _module(server, jobs)))
        _make_tables(server, max(1, round(20000 * part)), 1000)
        wall, cpu, result = _timed(server, lambda: _module(server, jobs))
        again = [_timed(server, lambda: _module(server, jobs)) for _round in range(rounds)]
        if any(entry[2]["changed"] for entry in again):
            raise SystemExit("a second run was not without work")
        many = len(statements_during(server, [DB], lambda: _module(server, jobs)))
    walls, cpus = ([entry[number] for entry in again] for number in (0, 1))
    return {
        "analyzed": result["summary"]["altered"],
        "first_wall": round(wall, 2), "first_cpu": round(cpu, 2),
        "noop_wall": round(statistics.median(walls), 2), "noop_cpu": round(statistics.median(cpus), 2),
        "noop_to_first": round(statistics.median(walls) / wall, 3),
        "noop_statements_of_1": few, "noop_statements_of_all": many,
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    given = sys.argv[1:]
    part, rounds, jobs = (float((given + ["1", "3", "2"][len(given) :])[n]) for n in range(3))
    size = (part, int(rounds), int(jobs))
    figures = {
        "hypertable, PostgreSQL 15, TimescaleDB 2.28.3": hypertable(15, "2.28.3", *size),
        "hypertable, PostgreSQL 18, TimescaleDB 2.29.2": hypertable(18, "2.29.2", *size),
        **plain(15, *size),
        "nothing to do, PostgreSQL 15": nothing_to_do(15, *size),
    }
    for name, found in figures.items():
        print(name)
        for key, value in found.items():
            print(f"  {key:24} {value}")
    print(json.dumps({"part": part, "rounds": int(rounds), "connections": int(jobs), **figures}))


if __name__ == "__main__":
    main()
