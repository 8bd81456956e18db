# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""timescale_verify against psql: the same hypertable on two servers, compared exactly.

psql sums a hash over all rows of one side, ``SELECT count(*), sum(hashtextextended(t::text, 0))``, without parallel
workers and with nothing beside it. The module compares both sides; both servers share the machine. The two are timed
in turns, as processes, start to exit; the ratio is of the medians, against the slower side. Prints a table, and the
same figures as one JSON object on the last line.

    python -m benchmarks.verify [ROWS] [CONNECTIONS] [ROUNDS]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from typing import Any

from tests.support.installations import Installation, client_program, find
from tests.support.playbook import run_module
from tests.support.pool import Wanted, available_pairs
from tests.support.servers import Server, start

CHUNKS = 40
BATCH = 1_000_000
TABLE = """
CREATE TABLE public.readings ("time" timestamptz NOT NULL, sensor_id int NOT NULL, level float8, volume numeric(10, 2),
                              state text);
SELECT create_hypertable('public.readings', 'time', chunk_time_interval => interval '{seconds} seconds',
                         create_default_indexes => false);
"""
ROWS = """
INSERT INTO public.readings
SELECT timestamptz '2026-01-01 00:00+00' + g * interval '1 second', g % 500, sin(g) * 100, (g % 10000) / 7.0,
       (ARRAY['ok', 'low', 'empty', NULL])[1 + g % 4]
FROM generate_series({low}, {high}) AS g
"""
PSQL = (
    "SET max_parallel_workers_per_gather = 0;"
    " SELECT count(*), sum(hashtextextended(t::text, 0)) FROM public.readings AS t"
)


def _fill(server: Server, version: str, rows: int) -> None:
    server.create_database("bench", extension_version=version)
    server.execute("bench", TABLE.format(seconds=max(1, rows // CHUNKS)))
    for low in range(0, rows, BATCH):
        server.execute("bench", ROWS.format(low=low, high=min(low + BATCH, rows) - 1))
    server.execute("bench", "VACUUM (FREEZE, ANALYZE) public.readings")


def _psql(server: Server) -> float:
    argv = [client_program("psql", server.version // 10000), "-XAtqc", PSQL]
    began = time.monotonic()
    subprocess.run(argv, env=server.child_env("bench"), check=True, capture_output=True)
    return time.monotonic() - began


def _verify(source: Server, target: Server, rows: int, jobs: int) -> float:
    options = {**target.login_vars("bench"), "source": source.login_vars("bench"), "scope": ["rows"], "jobs": jobs}
    began = time.monotonic()
    result = run_module("timescale_verify", options)
    elapsed = time.monotonic() - began
    if result.get("failed"):
        raise SystemExit(result["msg"])
    told = [entry["rows"] for entry in result["objects"]]
    if not result["equal"] or told != [{"source": rows, "target": rows}]:
        raise SystemExit(f"It found differences where there are none, or other rows: {result['objects']}")
    return elapsed


def _installed(side: Wanted) -> Installation:
    found = find(side.major, side.timescaledb)
    if found is None:
        raise SystemExit(f"{side} is not installed.")
    return found


def measure(rows: int, jobs: int, rounds: int) -> dict[str, Any]:
    """Fill both servers and time both ways in turns."""
    pair = available_pairs()[-1]
    sides = [(_installed(one), one.timescaledb) for one in (pair.source, pair.target)]
    settings: dict[str, Any] = {"autovacuum": "off", "max_wal_size": "4GB", "shared_buffers": "256MB"}
    with start(sides[0][0], **settings) as source, start(sides[1][0], **settings) as target:
        for server, (_installation, version) in zip((source, target), sides):
            _fill(server, version, rows)
        times: dict[str, list[float]] = {"psql_source": [], "psql_target": [], "verify": []}
        for _round in range(rounds):
            times["psql_source"].append(_psql(source))
            times["psql_target"].append(_psql(target))
            times["verify"].append(_verify(source, target, rows, jobs))
    figures: dict[str, Any] = {"pair": str(pair), "rows": rows, "jobs": jobs, "rounds": rounds}
    figures.update({f"{name}_seconds": round(statistics.median(values), 2) for name, values in times.items()})
    figures["ratio"] = round(
        figures["verify_seconds"] / max(figures["psql_source_seconds"], figures["psql_target_seconds"]), 2
    )
    return figures


def main() -> None:
    """Measure and print."""
    given = [int(text) for text in sys.argv[1:]]
    figures = measure(*(given + [20_000_000, 2, 3][len(given) :]))
    for name, value in figures.items():
        print(f"{name:24} {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
