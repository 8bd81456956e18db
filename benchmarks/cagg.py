# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""timescale_cagg_sync against psql, on the same databases, both timed as processes from start to exit.

- One aggregate, and four independent ones: against CREATE MATERIALIZED VIEW … WITH DATA, one after another. One also
  with a single connection: what refreshing its windows side by side is worth.
- History: copying buckets against recomputing the same buckets by one refresh; peak memory of a tenth of it and of all.
- Nothing to do: a second run over many aggregates, against psql printing their definitions from both sides: by one
  query for the views' texts alone (``noop_ratio``), and by ``\\d+``, which prints columns, too, as somebody would who
  compares by hand (``noop_described_ratio``). All in turn, several times, and the best of each: beside other work a
  single figure says little. What a run over two databases without any aggregate takes is the part that no reading can
  save: Python and Ansible start, and both sides are connected to.

Prints a table, and the same figures as one JSON object on the last line.

    python -m benchmarks.cagg [ROWS] [BUCKETS] [AGGREGATES]

ROWS are the rows of each hypertable, BUCKETS those that are copied, AGGREGATES those of the run with nothing to do.
"""

from __future__ import annotations

import functools
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.support.installations import client_program, find
from tests.support.playbook import run_module
from tests.support.servers import Server, ThrowawayServer, start
from tests.support.statements import statements_during

VERSION, MAJOR, JOBS = "2.28.3", 15, 2
TABLE = """
CREATE TABLE public.t{n} (at timestamptz NOT NULL, device integer, value double precision);
SELECT public.create_hypertable('public.t{n}', 'at', chunk_time_interval => interval '7 days')
"""
ROWS = """
INSERT INTO public.t{n} SELECT '2026-01-01 00:00+00'::timestamptz + g * interval '{step} seconds', g % 20, g % 977
FROM generate_series(0, {rows} - 1) AS g
"""
AGGREGATE = """
CREATE MATERIALIZED VIEW public.a{n} WITH (timescaledb.continuous, timescaledb.materialized_only = {only}) AS
SELECT public.time_bucket('{width}', at) AS bucket, {group}, avg(value) AS mean, max(value) AS highest, count(*) AS n
FROM public.t{table} GROUP BY 1{by} WITH {no} DATA
"""
DAYS = 364  # what the rows cover
ROUNDS = 5  # of runs with nothing to do
DEFINITIONS = "SELECT view_schema, view_name, view_definition FROM timescaledb_information.continuous_aggregates"
DESCRIPTIONS = "\\d+ public.a*\n"


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Wall seconds, and what came out."""
    began = time.monotonic()
    result = work()
    return round(time.monotonic() - began, 2), result


def psql(server: Server, db: str, *statements: str) -> None:
    """Run statements as psql does, each on its own."""
    argv = [client_program("psql", MAJOR), "-X", "-q", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1"]
    text = ";\n".join(statements) + ";\n"
    subprocess.run(argv, env=server.child_env(db), input=text, text=True, check=True, capture_output=True)


def sync(server: Server, source: str, target: str, **options: Any) -> dict[str, Any]:
    """Run the module as a process."""
    given = {**server.login_vars(target), "source": server.login_vars(source), "jobs": JOBS, **options}
    result = run_module("timescale_cagg_sync", given, timeout=3600)
    if result.get("failed"):
        raise SystemExit(str(result["msg"])[:2000])
    return result


def fill(server: Server, db: str, tables: int, rows: int) -> None:
    """A database with hypertables whose rows cover a year."""
    server.create_database(db, extension_version=VERSION)
    for number in range(1, tables + 1):
        server.execute(db, TABLE.format(n=number))
        server.execute(db, ROWS.format(n=number, rows=rows, step=DAYS * 86400 / rows))
    server.stop_workers(db)


def aggregate(number: int, *, data: bool, table: int | None = None, width: str = "1 hour", grouped: bool = True) -> str:
    """The statement that makes one."""
    group = "device" if grouped else "max(device) AS device"
    by, no = (", 2" if grouped else ""), ("" if data else "NO")
    return AGGREGATE.format(
        n=number, table=table or number, width=width, group=group, by=by, no=no, only=str(grouped).lower()
    )


def against_psql(server: Server, rows: int) -> dict[str, Any]:
    """Create and fill: one aggregate, then four."""
    figures: dict[str, Any] = {}
    fill(server, "rows", 4, rows)
    for count, name in ((1, "one"), (4, "four")):
        texts = [aggregate(number, data=True) for number in range(1, count + 1)]
        for db in ("source", "by_psql", "by_module"):
            server.create_database(db, template="rows")
        psql(server, "source", *texts)
        figures[f"{name}_psql_seconds"], _result = timed(functools.partial(psql, server, "by_psql", *texts))
        figures[f"{name}_module_seconds"], _result = timed(lambda: sync(server, "source", "by_module"))
        figures[f"{name}_ratio"] = round(figures[f"{name}_module_seconds"] / figures[f"{name}_psql_seconds"], 2)
        if count == 1:
            server.drop_database("by_module")
            server.create_database("by_module", template="rows")
            seconds, _result = timed(lambda: sync(server, "source", "by_module", jobs=1))
            figures["one_module_single_connection_seconds"] = seconds
        for db in ("source", "by_psql", "by_module"):
            server.drop_database(db)
    server.drop_database("rows")
    return figures


def history(server: Server, buckets: int, name: str) -> dict[str, Any]:
    """Copy buckets whose rows are gone; before they go, time one refresh that recomputes them."""
    server.create_database("gone", extension_version=VERSION)
    server.execute("gone", TABLE.format(n=1))
    server.create_database("empty", template="gone")
    server.execute("gone", ROWS.format(n=1, rows=buckets, step=60))
    server.execute("gone", aggregate(1, data=False, width="1 minute", grouped=False))
    end = f"'2026-01-01 00:00+00'::timestamptz + {buckets} * interval '1 minute'"
    call = "CALL public.refresh_continuous_aggregate('public.a1', '2025-12-31', :'high', options => :'options')"
    texts = f"SELECT {end} AS high \\gset\n\\set options '{{\"buckets_per_batch\": 0}}'\n{call}"
    recompute, _result = timed(lambda: psql(server, "gone", texts))
    server.execute("gone", "TRUNCATE public.t1")
    server.execute("gone", "SELECT public.drop_chunks('public.t1', older_than => 'infinity'::timestamptz)")
    seconds, result = timed(lambda: sync(server, "gone", "empty"))
    copied = sum(entry.get("buckets", 0) for entry in result["objects"])
    for db in ("gone", "empty"):
        server.drop_database(db)
    peak = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
    return {
        f"{name}_buckets": copied,
        f"{name}_recompute_seconds": recompute,
        f"{name}_module_seconds": seconds,
        f"{name}_ratio": round(seconds / recompute, 2),
        f"{name}_peak_memory_mb": peak,
    }


def nothing_to_do(server: ThrowawayServer, count: int) -> dict[str, Any]:
    """A second run over many aggregates, and how many statements the servers saw of it."""
    fill(server, "many", 10, 1000)
    psql(server, "many", *(aggregate(n, data=True, table=1 + n % 10) for n in range(1, count + 1)))
    server.create_database("again", template="many")
    sync(server, "many", "again")
    for db in ("none", "none_too"):
        server.create_database(db, extension_version=VERSION)
    by_psql: list[float] = []
    described: list[float] = []
    by_module, of_nothing, inside = [], [], []
    for _round in range(ROUNDS):
        for text, taken in ((DEFINITIONS, by_psql), (DESCRIPTIONS, described)):
            taken.append(sum(timed(functools.partial(psql, server, db, text))[0] for db in ("many", "again")))
        seconds, result = timed(lambda: sync(server, "many", "again"))
        by_module.append(seconds)
        inside.append(result["run"]["elapsed_ms"] / 1000)
        of_nothing.append(timed(lambda: sync(server, "none", "none_too"))[0])
    figures: dict[str, Any] = {"noop_aggregates": count, "noop_changed": result["changed"]}
    figures["noop_psql_seconds"] = round(min(by_psql), 2)
    figures["noop_described_seconds"] = round(min(described), 2)
    figures["noop_module_seconds"] = round(min(by_module), 2)
    figures["noop_in_module_seconds"] = round(min(inside), 2)
    figures["noop_without_aggregates_seconds"] = round(min(of_nothing), 2)
    figures["noop_ratio"] = round(min(by_module) / min(by_psql), 2)
    figures["noop_described_ratio"] = round(min(by_module) / min(described), 2)
    figures["noop_statements"] = len(
        statements_during(server, ["many", "again"], lambda: sync(server, "many", "again"))
    )
    figures["noop_statements_of_one"] = len(
        statements_during(server, ["many", "again"], lambda: sync(server, "many", "again", include=["public.a1"]))
    )
    return figures


def measure(rows: int, buckets: int, aggregates: int) -> dict[str, Any]:
    """All of it on one server."""
    installation = find(MAJOR, VERSION)
    if installation is None:
        raise SystemExit(f"TimescaleDB {VERSION} on PostgreSQL {MAJOR} is not installed")
    figures: dict[str, Any] = {"rows": rows, "jobs": JOBS}
    with start(installation, scheduler=False) as server:
        figures.update(history(server, buckets // 10, "tenth"))
        figures.update(history(server, buckets, "history"))
        figures.update(against_psql(server, rows))
        figures.update(nothing_to_do(server, aggregates))
    return figures


def main() -> None:
    """Measure and print."""
    given = [int(text) for text in sys.argv[1:]]
    figures = measure(*(given + [5_000_000, 5_000_000, 500][len(given) :]))
    for name, value in figures.items():
        print(f"{name:38} {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
