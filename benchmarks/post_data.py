# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""timescale_post_data against pg_dump and pg_restore: a schema of many small tables, five objects each.

Both are timed as processes, start to exit; the module's own reading and planning are in its time. Prints a table, and
the same figures as one JSON object on the last line.

    python -m benchmarks.post_data [TABLES] [CONNECTIONS]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from tests.support.installations import available, client_program
from tests.support.playbook import run_module
from tests.support.servers import Server, start

TABLE = "CREATE TABLE public.t{n} AS SELECT g AS id, g AS a, g::text AS b, 1 + g % 5 AS p FROM generate_series(1, 20) g"
OBJECTS = (
    "ALTER TABLE public.t{n} ADD PRIMARY KEY (id)",
    "CREATE INDEX ON public.t{n} (a)",
    "CREATE INDEX ON public.t{n} (b)",
    "ALTER TABLE public.t{n} ADD UNIQUE (a, b)",
    "ALTER TABLE public.t{n} ADD FOREIGN KEY (p) REFERENCES public.t{next}",
)


def _make(server: Server, db: str, tables: int, *templates: str) -> None:
    connection = server.connect(db, autocommit=False)
    with connection.cursor() as cursor:
        for template in templates:
            for number in range(1, tables + 1):
                cursor.execute(template.format(n=number, next=number % tables + 1))
            connection.commit()
    connection.close()


def _timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall seconds, CPU seconds of our children, and what came out."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    result = work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return round(time.monotonic() - began, 2), round(cpu, 2), result


def _program(server: Server, name: str, *arguments: str) -> Callable[[], Any]:
    argv = [client_program(name, server.version // 10000), *arguments]
    return lambda: subprocess.run(argv, env=server.child_env("source"), check=True, capture_output=True)


def _module(server: Server, jobs: int) -> dict[str, Any]:
    options = {**server.login_vars("ours"), "source": server.login_vars("source"), "jobs": jobs}
    result = run_module("timescale_post_data", options)
    if result.get("failed"):
        raise SystemExit(result["msg"])
    return result


def measure(tables: int, jobs: int) -> dict[str, Any]:
    """Make the databases and time both ways on them."""
    with start(available()[-1]) as server, tempfile.NamedTemporaryFile(suffix=".dump") as archive:
        server.create_database("source")
        _make(server, "source", tables, TABLE)
        for db in ("ours", "restored"):
            server.create_database(db, template="source")
        _make(server, "source", tables, *OBJECTS)
        dump = _program(server, "pg_dump", "-Fc", "--section=post-data", "--no-owner", f"--file={archive.name}")
        restore = _program(server, "pg_restore", f"--jobs={jobs}", "--dbname=restored", archive.name)
        figures: dict[str, Any] = {"tables": tables, "jobs": jobs}
        for name, work in (("pg_dump", dump), ("pg_restore", restore)):
            figures[f"{name}_seconds"], figures[f"{name}_cpu"], _done = _timed(work)
        for name in ("first_run", "second_run"):
            seconds, cpu, result = _timed(lambda: _module(server, jobs))
            figures.update({f"{name}_seconds": seconds, f"{name}_cpu": cpu, f"{name}_objects": result["summary"]})
        figures["peak_memory_mb"] = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
    both = figures["pg_dump_seconds"] + figures["pg_restore_seconds"]
    figures["ratio"] = round(figures["first_run_seconds"] / both, 2)
    figures["second_run_to_pg_dump"] = round(figures["second_run_seconds"] / figures["pg_dump_seconds"], 2)
    return figures


def main() -> None:
    """Measure and print."""
    given = [int(text) for text in sys.argv[1:]]
    figures = measure(*(given + [2000, 2][len(given) :]))
    for name, value in figures.items():
        print(f"{name:24} {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
