# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""timescale_post_data against pg_dump and pg_restore, on copies of the same databases, in turns.

    (a) a hypertable with one index, with and without CREATE on the schema of its chunks
    (b) the same hypertable with four indexes
    (c) many small tables, five objects each
    (d) four plain tables with keys and foreign keys

All are timed as processes, start to exit; the module's own reading and planning are in its time. CPU seconds are those
of the client processes. The figures are medians of the rounds; before each run the disk has nothing left to write.
Prints a table, and the same figures as one JSON object on the last line.

    python -m benchmarks.post_data [--cases abcd] [--rounds 3] [--jobs 2] [--rows 20000000] [--chunks 100]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.support.installations import available, client_program, find
from tests.support.playbook import environment
from tests.support.servers import Server, start

VERSION, MAJOR = "2.28.3", 15
SETTINGS = {"max_wal_size": "8GB", "shared_buffers": "512MB", "maintenance_work_mem": "64MB", "autovacuum": "off"}
OWNER = "bench"

HYPERTABLE = """
CREATE TABLE public.h (at timestamptz NOT NULL, device int, value float, note int);
SELECT public.create_hypertable('public.h', 'at', create_default_indexes => false,
  chunk_time_interval => interval '1 hour');
INSERT INTO public.h SELECT '2026-01-01 00:00+00'::timestamptz + g * (interval '{chunks} hours' / {rows}),
  (g::bigint * 7919 % 1000)::int, g::bigint * 104729 % 1000003, g % 97 FROM generate_series(0, {rows} - 1) g;
"""
INDEXES = (
    "CREATE INDEX h_device ON public.h (device, at DESC)",
    "CREATE INDEX h_value ON public.h (value)",
    "CREATE INDEX h_note ON public.h (note, value)",
    "CREATE UNIQUE INDEX h_key ON public.h (at, device, value)",
)
SMALL = "CREATE TABLE public.t{n} AS SELECT g AS id, g AS a, g::text AS b, 1 + g % 5 AS p FROM generate_series(1, 20) g"
SMALL_OBJECTS = (
    "ALTER TABLE public.t{n} ADD PRIMARY KEY (id)",
    "CREATE INDEX ON public.t{n} (a)",
    "CREATE INDEX ON public.t{n} (b)",
    "ALTER TABLE public.t{n} ADD UNIQUE (a, b)",
    "ALTER TABLE public.t{n} ADD FOREIGN KEY (p) REFERENCES public.t{next}",
)
PLAIN = """
CREATE TABLE public.p{n} AS SELECT g AS id, (g::bigint * 7919 % {rows})::int AS other, md5(g::text) AS code
FROM generate_series(0, {rows} - 1) g
"""
PLAIN_OBJECTS = (
    "ALTER TABLE public.p{n} ADD PRIMARY KEY (id)",
    "ALTER TABLE public.p{n} ADD UNIQUE (code)",
    "CREATE INDEX ON public.p{n} (other)",
    "ALTER TABLE public.p{n} ADD FOREIGN KEY (other) REFERENCES public.p{next}",
)
Figures = dict[str, Any]


def _script(server: Server, db: str, texts: Sequence[str]) -> None:
    connection = server.connect(db, OWNER, autocommit=False)
    with contextlib.closing(connection), connection.cursor() as cursor:
        for text in texts:
            cursor.execute(text)
        connection.commit()


def _for_each(count: int, templates: Sequence[str], **more: Any) -> list[str]:
    return [text.format(n=n, next=n % count + 1, **more) for text in templates for n in range(1, count + 1)]


def _timed(argv: Sequence[str], env: dict[str, str], given: str = "") -> tuple[Figures, str]:
    """Run a process; wall seconds, CPU seconds and peak memory, with what it waited for itself."""
    with tempfile.TemporaryFile("w+") as stdin, tempfile.TemporaryFile("w+") as said:
        stdin.write(given)
        stdin.seek(0)
        began = time.monotonic()
        child = subprocess.Popen(argv, env=env, stdin=stdin, stdout=said, stderr=subprocess.STDOUT)
        _pid, status, used = os.wait4(child.pid, 0)
        wall = time.monotonic() - began
        said.seek(0)
        text = said.read()
    if status:
        raise SystemExit(f"{argv[0]}: {text[-2000:]}")
    cpu = round(used.ru_utime + used.ru_stime, 2)
    return {"seconds": round(wall, 2), "cpu": cpu, "peak_mb": round(used.ru_maxrss / 1024)}, text


def _module(server: Server, db: str, jobs: int) -> Figures:
    options = {**server.login_vars(db, OWNER), "source": server.login_vars("source", OWNER), "jobs": jobs}
    argv = [sys.executable, "-m", "tests.support.module_process", "timescale_post_data"]
    figures, said = _timed(argv, environment(), json.dumps({**options, "_ansible_tmpdir": None}))
    return {**figures, "objects": json.loads(said)["summary"]}


def _restore(server: Server, db: str, jobs: int) -> Figures:
    """pg_dump and pg_restore; their figures and the sum."""
    with tempfile.NamedTemporaryFile(suffix=".dump") as archive:
        names = {name: client_program(name, server.version // 10000) for name in ("pg_dump", "pg_restore")}
        hidden = "--exclude-schema=_timescaledb_*"
        dump = [names["pg_dump"], "-Fc", "--section=post-data", "--no-owner", hidden, f"--file={archive.name}"]
        first, _said = _timed(dump, server.child_env("source", OWNER))
        restore = [names["pg_restore"], f"--jobs={jobs}", f"--dbname={db}", archive.name]
        second, _said = _timed(restore, server.child_env("source", OWNER))
    both = {key: round(first[key] + second[key], 2) for key in ("seconds", "cpu")}
    peak = max(first["peak_mb"], second["peak_mb"])
    return {**both, "peak_mb": peak, "pg_dump_seconds": first["seconds"]}


def _copy(server: Server, db: str, *, grant: bool = False) -> str:
    while server.execute("postgres", "SELECT 1 FROM pg_stat_activity WHERE datname = 'bare'"):
        time.sleep(0.1)
    server.create_database(db, template="bare", owner=OWNER)
    if grant:
        server.execute(db, f"GRANT CREATE ON SCHEMA _timescaledb_internal TO {OWNER}")
    server.execute(db, "CHECKPOINT")
    os.sync()
    return db


def measure(server: Server, objects: Sequence[str], given: argparse.Namespace, *, privilege: bool) -> Figures:
    """Both ways on copies of the database ``bare``; ``source`` is one that has the objects.

    :param privilege: measure with CREATE on the schema of chunks too.
    """
    jobs = given.jobs
    server.execute("bare", "VACUUM")  # the first reader after a load pays for hint bits
    _copy(server, "source")
    _script(server, "source", objects)
    taken: dict[str, list[Figures]] = {}
    ways: dict[str, Callable[[str], Figures]] = {
        "pg_restore -j1": lambda db: _restore(server, db, 1),
        f"pg_restore -j{jobs}": lambda db: _restore(server, db, jobs),
        "module": lambda db: _module(server, db, jobs),
        "module with CREATE": lambda db: _module(server, db, jobs),
    }
    for _round in range(given.rounds):
        for name, work in ways.items():
            granted = name.endswith("CREATE")
            if granted and not privilege:
                continue
            db = _copy(server, "target", grant=granted)
            taken.setdefault(name, []).append(work(db))
            if name == "module":
                taken.setdefault("second run", []).append(_module(server, db, jobs))
            server.drop_database(db)
    server.drop_database("source")
    figures = {name: _median(rounds) for name, rounds in taken.items()}
    return {**figures, "ratios": _ratios(figures, jobs)}


def _median(rounds: Sequence[Figures]) -> Figures:
    """Of each number; what is no number is the same in every round."""
    return {
        key: round(statistics.median(one[key] for one in rounds), 2) if isinstance(value, (int, float)) else value
        for key, value in rounds[0].items()
    }


def _ratios(figures: Figures, jobs: int) -> Figures:
    theirs = figures[f"pg_restore -j{jobs}"]
    found = {name: figures[name]["seconds"] / theirs["seconds"] for name in figures if name.startswith("module")}
    found["module to -j1"] = figures["module"]["seconds"] / figures["pg_restore -j1"]["seconds"]
    found["second run to pg_dump"] = figures["second run"]["seconds"] / theirs["pg_dump_seconds"]
    return {name: round(value, 2) for name, value in found.items()}


def _hypertable(given: argparse.Namespace, indexes: Sequence[str]) -> Figures:
    installation = find(MAJOR, VERSION)
    if installation is None:
        raise SystemExit(f"TimescaleDB {VERSION} on PostgreSQL {MAJOR} is not installed")
    with start(installation, scheduler=False, **SETTINGS) as server:
        server.create_role(OWNER)
        server.create_database("bare", VERSION, owner=OWNER)
        _script(server, "bare", [HYPERTABLE.format(rows=given.rows, chunks=given.chunks)])
        return measure(server, indexes, given, privilege=True)


def _plain(given: argparse.Namespace, tables: Sequence[str], objects: Sequence[str]) -> Figures:
    with start(available()[-1], scheduler=False, **SETTINGS) as server:
        server.create_role(OWNER)
        server.create_database("bare", owner=OWNER)
        _script(server, "bare", tables)
        return measure(server, objects, given, privilege=False)


def _cases(given: argparse.Namespace) -> dict[str, Callable[[], Figures]]:
    small, plain = given.tables, 4
    return {
        "a": lambda: _hypertable(given, INDEXES[:1]),
        "b": lambda: _hypertable(given, INDEXES),
        "c": lambda: _plain(given, _for_each(small, (SMALL,)), _for_each(small, SMALL_OBJECTS)),
        "d": lambda: _plain(
            given,
            _for_each(plain, (PLAIN,), rows=given.plain_rows),
            _for_each(plain, PLAIN_OBJECTS),
        ),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="abcd")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each way")
    parser.add_argument("--jobs", type=int, default=2, help="connections of both ways")
    parser.add_argument("--rows", type=int, default=20_000_000, help="of the hypertable")
    parser.add_argument("--chunks", type=int, default=100)
    parser.add_argument("--tables", type=int, default=2000, help="small tables")
    parser.add_argument("--plain-rows", type=int, default=1_000_000, help="of each of the four plain tables")
    given = parser.parse_args()
    cases = _cases(given)
    result: Figures = {"sizes": vars(given)}
    for case in given.cases:
        result[case] = cases[case]()
        for name, values in result[case].items():
            print(f"({case}) {name:20} " + "  ".join(f"{key} {value}" for key, value in values.items()), flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
