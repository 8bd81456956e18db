# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long timescale_policy_sync takes for many policies, beside psql that runs the same calls one after another.

    python -m benchmarks.policy [hypertables]

Each hypertable has a columnstore, a retention and a reorder policy, a user job, and an aggregate with a refresh policy.
Prints a table, and one JSON object on the last line.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from typing import Any

from tests.support.installations import client_program, find
from tests.support.playbook import run_module
from tests.support.servers import Server, start
from tests.support.statements import statements_during

VERSION, MAJOR = "2.28.3", 15

TABLES = """
CREATE PROCEDURE public.work(integer, jsonb) LANGUAGE sql AS 'SELECT';
DO $$ BEGIN FOR n IN {first}..{last} LOOP
  EXECUTE format('CREATE TABLE public.t%s (at timestamptz NOT NULL, device integer, value float)', n);
  PERFORM public.create_hypertable(format('public.t%s', n)::regclass, 'at');
  EXECUTE format('CREATE MATERIALIZED VIEW public.a%s WITH (timescaledb.continuous) AS'
    ' SELECT public.time_bucket(''1 hour'', at) AS bucket, device, avg(value) FROM public.t%1$s GROUP BY 1, 2'
    ' WITH NO DATA', n);
END LOOP; END $$
"""
POLICIES = """
DO $$ BEGIN FOR n IN {first}..{last} LOOP
  EXECUTE format('ALTER TABLE public.t%s SET (timescaledb.compress, timescaledb.compress_segmentby = ''device'','
    ' timescaledb.compress_orderby = ''at'')', n);
  PERFORM public.add_compression_policy(format('public.t%s', n)::regclass, interval '7 days');
  PERFORM public.add_retention_policy(format('public.t%s', n)::regclass, interval '90 days');
  PERFORM public.add_reorder_policy(format('public.t%s', n)::regclass, format('t%s_at_idx', n));
  PERFORM public.add_job('public.work', '1 hour', config => jsonb_build_object('n', n), initial_start => '2030-01-01');
  PERFORM public.add_continuous_aggregate_policy(format('public.a%s', n)::regclass, '30 days'::interval,
    '1 hour'::interval, '1 hour'::interval);
END LOOP; END $$
"""
AT_ONCE = 50  # hypertables per transaction


def in_parts(server: Server, db: str, text: str, count: int) -> None:
    """Run a block over all hypertables, a few per transaction."""
    prologue, _do, block = text.rpartition("DO $$")
    if prologue.strip():
        server.execute(db, prologue)
    for first in range(1, count + 1, AT_ONCE):
        server.execute(db, f"DO $${block}".format(first=first, last=min(first + AT_ONCE - 1, count)))


def timed(parameters: dict[str, Any], **how: Any) -> tuple[float, dict[str, Any]]:
    """Run the module as a process."""
    began = time.monotonic()
    result = run_module("timescale_policy_sync", parameters, timeout=1800, **how)
    if result.get("failed"):
        raise SystemExit(str(result["msg"])[:2000])
    return time.monotonic() - began, result


def psql(server: Server, db: str, statements: list[str]) -> float:
    """The same statements in one session of psql."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write("SET search_path TO '';\n" + ";\n".join(statements) + ";\n")
        file.flush()
        argv = [client_program("psql", MAJOR), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f", file.name]
        began = time.monotonic()
        subprocess.run(argv, env=server.child_env(db), check=True)
        return time.monotonic() - began


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    installation = find(MAJOR, VERSION)
    if installation is None:
        raise SystemExit(f"TimescaleDB {VERSION} on PostgreSQL {MAJOR} is not installed.")
    with start(installation, scheduler=False, max_locks_per_transaction="4096") as server:
        server.create_database("source", extension_version=VERSION)
        in_parts(server, "source", TABLES, count)
        for copy in ("target", "plain"):
            server.create_database(copy, template="source")
        in_parts(server, "source", POLICIES, count)
        parameters = {**server.login_vars("target"), "source": server.login_vars("source")}
        _seconds, foreseen = timed(parameters, check=True)
        plain = psql(server, "plain", foreseen["queries"])
        created, result = timed(parameters)
        again, nothing = timed(parameters)
        seen = len(statements_during(server, ["source", "target"], lambda: timed(parameters)))
    jobs = sum(1 for one in result["objects"] if one["outcome"] == "created" and one["kind"] != "columnstore_settings")
    figures = {
        "hypertables": count,
        "policies": jobs,
        "psql_s": round(plain, 2),
        "create_s": round(created, 2),
        "create_to_psql": round(created / plain, 2),
        "noop_s": round(again, 2),
        "noop_to_create": round(again / created, 2),
        "noop_statements": seen,
        "noop_changed": nothing["changed"],
    }
    for name, value in figures.items():
        print(f"{name:<20}{value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
