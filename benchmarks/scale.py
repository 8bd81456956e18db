# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How every module grows with the source: plan (check mode), apply and no-op, at a quarter, half and all of a size.

Two sources, each with its target on the same server. ``wide``: 2,000 hypertables of one chunk, 500 aggregates, 5,000
jobs, and 10,000 tables with a primary key, an index, a foreign key and a trigger each (50,000 objects of the catalog).
``deep``: 20,000 chunks in 20 hypertables with two indexes, an aggregate and a retention policy each. The target has the
tables and chunks, as a restore leaves them. Tables hold a row or two: rows are measured by other benchmarks.

Seconds are those of the module as a process, CPU is its own and the server's, memory the peak of the process. Growth is
the exponent by which CPU grows from the smallest size to the largest: 1 is linear. It leaves out what a start costs
(CPU of timescale_info on an empty database); a run that costs little more says nothing about growth (-). Prints a
table, and the same figures as one JSON object on the last line.

    python -m benchmarks.scale [--part 1] [--shapes wide,deep] [--steps 4,2,1] [--jobs 2]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.installations import Installation, find
from tests.support.playbook import environment, module_command
from tests.support.servers import ThrowawayServer, start

VERSION, MAJOR = "2.28.3", 15
SETTINGS = {
    "autovacuum": "off",
    "max_locks_per_transaction": "8192",
    "max_wal_size": "8GB",
    "shared_buffers": "512MB",
}
AT_ONCE = 50  # hypertables or tables per transaction
Figures = dict[str, Any]

HYPERTABLES = """
DO $$ BEGIN FOR n IN {first}..{last} LOOP
  EXECUTE format('CREATE TABLE public.h%s (at timestamptz NOT NULL, device integer NOT NULL, value float)', n);
  PERFORM public.create_hypertable(format('public.h%s', n)::regclass, 'at', create_default_indexes => false,
    chunk_time_interval => interval '1 day');
  EXECUTE format('INSERT INTO public.h%s SELECT timestamptz ''2026-01-01 UTC'' + g * interval ''1 day'', g, g'
    ' FROM generate_series(0, {chunks} - 1) AS g', n);
END LOOP; END $$
"""
INDEXES = """
DO $$ BEGIN FOR n IN {first}..{last} LOOP
  EXECUTE format('CREATE INDEX h%s_at ON public.h%1$s (at DESC)', n);
  EXECUTE format('CREATE INDEX h%s_device ON public.h%1$s (device, at DESC)', n);
END LOOP; END $$
"""
AGGREGATES = """
DO $$ BEGIN FOR n IN {first}..{last} LOOP
  EXECUTE format('CREATE MATERIALIZED VIEW public.a%s WITH (timescaledb.continuous) AS'
    ' SELECT public.time_bucket(''1 hour'', at) AS bucket, device, avg(value) FROM public.h%1$s GROUP BY 1, 2'
    ' WITH NO DATA', n);
  PERFORM public.add_continuous_aggregate_policy(format('public.a%s', n)::regclass, '30 days'::interval,
    '1 hour'::interval, '1 hour'::interval);
END LOOP; END $$
"""
RETENTION = """
DO $$ BEGIN FOR n IN {first}..{last} LOOP
  PERFORM public.add_retention_policy(format('public.h%s', n)::regclass, interval '90 years');
END LOOP; END $$
"""
COLUMNSTORE = """
DO $$ BEGIN FOR n IN {first}..{last} LOOP
  EXECUTE format('ALTER TABLE public.h%s SET (timescaledb.compress, timescaledb.compress_segmentby = ''device'')', n);
  PERFORM public.add_compression_policy(format('public.h%s', n)::regclass, interval '90 years');
END LOOP; END $$
"""
JOBS = """
DO $$ BEGIN FOR n IN {first}..{last} LOOP
  PERFORM public.add_job('public.work', '1 hour', config => jsonb_build_object('n', n), initial_start => '2030-01-01');
END LOOP; END $$
"""
ROUTINES = """
CREATE PROCEDURE public.work(integer, jsonb) LANGUAGE sql AS 'SELECT';
CREATE FUNCTION public.touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE public.t0 (id integer NOT NULL)
"""
TABLES = """
DO $$ BEGIN FOR n IN {first}..{last} LOOP
  EXECUTE format('CREATE TABLE public.t%s AS SELECT 1 AS id, 1 AS parent, 2 AS value', n);
END LOOP; END $$
"""
OBJECTS = """
DO $$ BEGIN FOR n IN {first}..{last} LOOP
  EXECUTE format('ALTER TABLE public.t%s ADD PRIMARY KEY (id)', n);
  EXECUTE format('CREATE INDEX t%s_value ON public.t%1$s (value)', n);
  EXECUTE format('ALTER TABLE public.t%s ADD FOREIGN KEY (parent) REFERENCES public.t%1$s', n);
  EXECUTE format('CREATE TRIGGER touched BEFORE UPDATE ON public.t%s FOR EACH ROW EXECUTE FUNCTION public.touched()',
    n);
END LOOP; END $$
"""

# As the role calls them, one after the other.
MODULES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "preflight": ("timescale_preflight", {}),
    "post_data": (
        "timescale_post_data",
        {"row_security": "none", "dependents_of_aggregates": False, "refresh_materialized_views": False},
    ),
    "caggs": ("timescale_cagg_sync", {}),
    "post_data_rest": ("timescale_post_data", {"second_part": True}),
    "policies": ("timescale_policy_sync", {"scheduled": "paused"}),
    "statistics": ("postgres_analyze", {}),
    "verify": ("timescale_verify", {"jobs_scheduled": False}),
    "info": ("timescale_info", {}),
}
_SEEN = 0.2  # seconds of CPU at the smallest size, below which nothing can be said of growth
ONLY_READ = ("preflight", "verify", "info")
WITHOUT_SOURCE = ("statistics", "info")
WITH_JOBS = ("preflight", "post_data", "post_data_rest", "caggs", "policies", "statistics", "verify")


def _in_parts(server: ThrowawayServer, text: str, count: int, at_once: int = AT_ONCE, **more: Any) -> None:
    """Run a block over all of them, a few per transaction, in one session."""
    connection = server.connect("source")
    with connection.cursor() as cursor:
        for first in range(1, count + 1, at_once):
            cursor.execute(text.format(first=first, last=min(first + at_once - 1, count), **more))
    connection.close()


def _make(server: ThrowawayServer, shape: str, part: float) -> dict[str, int]:
    """Make both databases; gives how many there are of each."""

    def share(count: int) -> int:
        return max(1, round(count * part))

    server.create_database("source", extension_version=VERSION)
    server.execute("source", ROUTINES)
    counts = {"hypertables": share(2000), "chunks": share(2000), "aggregates": share(500), "tables": share(10000)}
    if shape == "deep":
        chunks = share(1000)
        counts = {"hypertables": 20, "chunks": 20 * chunks, "aggregates": 20, "tables": 0}
        _in_parts(server, HYPERTABLES, 20, 1, chunks=chunks)
    else:
        _in_parts(server, HYPERTABLES, counts["hypertables"], chunks=1)
        _in_parts(server, TABLES, counts["tables"])
    server.execute("source", "CHECKPOINT")
    server.create_database("target", template="source")
    _in_parts(server, INDEXES, counts["hypertables"], 1 if shape == "deep" else AT_ONCE)
    _in_parts(server, OBJECTS, counts["tables"])
    _in_parts(server, AGGREGATES, counts["aggregates"])
    _in_parts(server, RETENTION, counts["hypertables"])
    if shape == "wide":
        _in_parts(server, COLUMNSTORE, counts["hypertables"])
        _in_parts(server, JOBS, share(500))
    counts["jobs"] = server.execute("source", "SELECT count(*) FROM timescaledb_information.jobs WHERE job_id >= 1000")[
        0
    ][0]
    server.execute("source", "ANALYZE pg_catalog.pg_class, pg_catalog.pg_attribute")
    return counts


def _server_cpu(server: ThrowawayServer) -> float:
    """CPU seconds of the server with its finished backends (proc(5), fields 14 to 17)."""
    pid = (server.base / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0]
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return sum(int(text) for text in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _run(server: ThrowawayServer, module: str, options: dict[str, Any], *, check: bool) -> Figures:
    """Run a module as a process: wall and CPU seconds, peak memory, and what it says."""
    argv, given = module_command(module, options, check=check)
    before, began = _server_cpu(server), time.monotonic()
    with tempfile.TemporaryFile("w+") as stdin, tempfile.TemporaryFile("w+") as said:
        stdin.write(given)
        stdin.seek(0)
        child = subprocess.Popen(argv, env=environment(), stdin=stdin, stdout=said, stderr=subprocess.PIPE)
        _pid, status, used = os.wait4(child.pid, 0)
        wall = time.monotonic() - began
        said.seek(0)
        text = said.read().strip()
        result: dict[str, Any] = json.loads(text) if text.startswith("{") else {"failed": True, "msg": text}
    if status or result.get("failed"):
        raise SystemExit(f"{module}: {str(result.get('msg'))[:2000]}")
    time.sleep(0.3)  # until the last backend is gone and counted
    cpu = used.ru_utime + used.ru_stime + _server_cpu(server) - before
    return {
        "seconds": round(wall, 2),
        "cpu": round(cpu, 2),
        "peak_mb": round(used.ru_maxrss / 1024),
        "result_kb": len(text) // 1024,
        "changed": bool(result["changed"]),
    }


def _phases(server: ThrowawayServer, name: str, jobs: int) -> Iterator[tuple[str, Figures]]:
    module, options = MODULES[name]
    given = {**server.login_vars("target"), **options}
    if name not in WITHOUT_SOURCE:
        given["source"] = server.login_vars("source")
    if name in WITH_JOBS:
        given["jobs"] = jobs
    if name in ONLY_READ:
        yield "read", _run(server, module, given, check=False)
        return
    yield "plan", _run(server, module, given, check=True)
    yield "apply", _run(server, module, given, check=False)
    again = _run(server, module, given, check=False)
    if again["changed"]:
        raise SystemExit(f"{module}: a second run was not without work")
    yield "no-op", again


def measure(installation: Installation, shape: str, part: float, jobs: int) -> Figures:
    """Every module, in the role's order, at one size."""
    with start(installation, scheduler=False, **SETTINGS) as server:
        server.create_database("empty", extension_version=VERSION)
        login = server.login_vars("empty")
        begin = min(_run(server, "timescale_info", login, check=False)["cpu"] for _time in range(3))
        counts = _make(server, shape, part)
        print(f"{shape}, {counts}", flush=True)
        found: Figures = {}
        for name in MODULES:
            for phase, figures in _phases(server, name, jobs):
                found[f"{name} {phase}"] = figures
                print(f"  {name + ' ' + phase:24} {figures}", flush=True)
    return {"counts": counts, "start_cpu": begin, "runs": found}


def _growth(sizes: list[Figures], steps: list[int], run: str) -> float | None:
    """The exponent from the smallest size to the largest, without the start; None where that is all there is."""
    first, last = (one["runs"][run]["cpu"] - one["start_cpu"] for one in (sizes[0], sizes[-1]))
    if first < _SEEN or len(steps) < 2:
        return None
    return round(math.log(last / first) / math.log(steps[0] / steps[-1]), 2)


def _table(shape: str, sizes: list[Figures], steps: list[int]) -> dict[str, float | None]:
    columns = [f"1/{step}" for step in steps]
    print(f"\n| {shape}: run | " + " | ".join(f"{name} s" for name in columns) + " | peak MB | growth |")
    print("|" + "---|" * (len(columns) + 3))
    growths: dict[str, float | None] = {}
    for run in sizes[0]["runs"]:
        growths[run] = _growth(sizes, steps, run)
        seconds = " | ".join(str(one["runs"][run]["seconds"]) for one in sizes)
        peaks = " / ".join(str(one["runs"][run]["peak_mb"]) for one in sizes)
        print(f"| {run} | {seconds} | {peaks} | {growths[run] or '-'} |")
    return growths


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--shapes", default="wide,deep")
    parser.add_argument("--steps", default="4,2,1", help="the size is divided by these, one after the other")
    parser.add_argument("--jobs", type=int, default=2, help="connections of each module")
    given = parser.parse_args()
    installation = find(MAJOR, VERSION)
    if installation is None:
        raise SystemExit(f"TimescaleDB {VERSION} on PostgreSQL {MAJOR} is not installed")
    steps = [int(step) for step in given.steps.split(",")]
    figures: Figures = {"options": vars(given)}
    for shape in given.shapes.split(","):
        sizes = [measure(installation, shape, given.part / step, given.jobs) for step in steps]
        figures[shape] = {"sizes": sizes, "growth": _table(shape, sizes, steps)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
