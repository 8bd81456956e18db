# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second opinion on what a database holds, read without any code of the collection.

``read`` gives every object as plain values: by kind, then by name. ``compare`` says in words how two databases differ;
an empty list means that nothing is missing, different or superfluous on the target. Ids, chunk names and what a newer
version merely spells differently are left out. Both need a superuser's connection.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from psycopg2.extensions import connection as Connection

from . import catalog_queries as queries

Values = dict[str, Any]
Catalog = dict[str, Values]

FUNCTION_SCHEMAS = ("_timescaledb_internal.", "_timescaledb_functions.")


def read(connection: Connection, kinds: Collection[str] = ()) -> Catalog:
    """All objects of a database, or those of some kinds: kind -> name -> values."""
    return Reader(connection).read(kinds)


def compare(
    source: Connection,
    target: Connection,
    *,
    kinds: Collection[str] = (),
    without: Collection[str] = (),
    jobs_paused: bool = False,
    tablespaces: Mapping[str, str] | None = None,
) -> list[str]:
    """How the target differs from the source, one line per object; empty when it has everything.

    Args:
        source: a connection to the wanted state.
        target: a connection to the database that should have it.
        kinds: only these kinds (see ``catalog_queries``), all by default.
        without: not these kinds.
        tablespaces: the target's name for a tablespace of the source.
        jobs_paused: the source's jobs are expected on the target, but none of them scheduled.
    """
    readers = Reader(source), Reader(target)
    wanted, found = (reader.read(kinds) for reader in readers)
    _expect_whole_coverage(wanted)
    for values in wanted.get("indexes", {}).values():
        values["tablespace"] = (tablespaces or {}).get(values["tablespace"], values["tablespace"])
    if jobs_paused:
        _pause(wanted)
    _settle_definitions(wanted, found, target)
    _settle_versions(wanted, found, *readers)
    chosen = [kind for kind in wanted if kind not in without]
    return [line for kind in chosen for line in _differences(kind, wanted[kind], found.get(kind, {}))]


def row_sums(connection: Connection) -> dict[str, tuple[int, int]]:
    """For each user table, hypertable and continuous aggregate: the count and a checksum of its rows."""
    reader = Reader(connection)
    return {name: reader.sum(name) for (name,) in reader.rows(queries.RELATIONS_WITH_ROWS)}


class Reader:
    """Reads one database."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.major = connection.server_version // 10000
        self.timescaledb: tuple[int, ...] | None = None
        found = self.rows("SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'timescaledb'")
        if found:
            self.timescaledb = tuple(int(part) for part in found[0][0].split(".")[:2])

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Run a query with an empty search path, so that every definition comes out fully qualified."""
        ours = queries.CHUNKS if self.timescaledb else queries.NO_CHUNKS
        with self.connection.cursor() as cursor:
            cursor.execute("SET search_path TO ''")
            cursor.execute(query.replace("{ours}", ours + queries.OURS) if "{ours}" in query else query)
            found = list(cursor.fetchall())
            cursor.execute("RESET search_path")
            return found

    def sum(self, relation: str) -> tuple[int, int]:
        """The count and a checksum of a relation's rows."""
        hashed = "pg_catalog.hashtextextended((t.*)::pg_catalog.text, 0)::pg_catalog.numeric"
        count, total = self.rows(f"SELECT count(*), coalesce(sum({hashed}), 0) FROM {relation} AS t")[0]
        return int(count), int(total)

    def read(self, kinds: Collection[str]) -> Catalog:
        """The chosen kinds, all of them where none is named."""
        known = {**queries.PLAIN, **(queries.TIMESCALE if self.timescaledb else {})}
        found = {kind: dict(self.rows(query)) for kind, query in known.items() if not kinds or kind in kinds}
        if self.timescaledb and (not kinds or "jobs" in kinds):
            found["jobs"] = self._jobs()
        return found

    def _jobs(self) -> Values:
        """The jobs of users, by what they run and on what; several alike are several entries of a list."""
        version = self.timescaledb or (0, 0)
        schema = "_timescaledb_config" if version < (2, 25) else "_timescaledb_catalog"
        names = dict(self.rows(queries.HYPERTABLE_NAMES))
        jobs: dict[str, list[str]] = {}
        for _id, values in self.rows(queries.JOBS.replace("{schema}", schema)):
            job = _plain_job(values, names, version)
            jobs.setdefault(f"{job['proc']} on {job['relation']}", []).append(json.dumps(job, sort_keys=True))
        return {name: sorted(each) for name, each in jobs.items()}


def _plain_job(values: Values, names: dict[int, str], version: tuple[int, ...]) -> Values:
    """A job without ids, and without what depends on the version."""
    job = dict(values)
    for key in ("proc", "check"):
        for schema in FUNCTION_SCHEMAS:
            job[key] = job[key] and job[key].removeprefix(schema)
    job["relation"] = names.get(job.pop("hypertable_id"))
    config = dict(job["config"] or {})
    for key in ("hypertable_id", "mat_hypertable_id"):
        if key in config:
            config[key] = names.get(config[key])
    job["config"] = config
    if version < (2, 15) and job["max_retries"] == 0:
        job["max_retries"] = -1  # 0 meant "without limit" until 2.14
    if job["proc"].startswith("policy_"):
        del job["application_name"]
    else:
        job["application_name"] = re.sub(r" \[\d+\]$", "", job["application_name"])
    return job


def _expect_whole_coverage(wanted: Catalog) -> None:
    """Expect each object of a hypertable on all chunks: an old source drops foreign keys of chunks it compresses."""
    for kind in ("constraints", "indexes", "triggers"):
        for values in wanted.get(kind, {}).values():
            values["uncovered chunks"] = 0


def _pause(catalog: Catalog) -> None:
    for name, jobs in catalog.get("jobs", {}).items():
        paused = [json.dumps({**json.loads(job), "scheduled": False}, sort_keys=True) for job in jobs]
        catalog["jobs"][name] = sorted(paused)


def _settle_definitions(wanted: Catalog, found: Catalog, target: Connection) -> None:
    """Let the target print the source's queries where the two texts differ: majors print the same query differently."""
    for kind in ("views", "continuous aggregates"):
        for name, values in wanted.get(kind, {}).items():
            other = found.get(kind, {}).get(name)
            if other and values["definition"] != other["definition"]:
                values["definition"] = _printed_by(target, values["definition"])
                other["definition"] = _printed_by(target, other["definition"])


def _printed_by(target: Connection, query: str) -> str:
    """A query as the target's server prints it; unchanged where it does not take the query."""
    with target.cursor() as cursor:
        cursor.execute("SET search_path TO ''")
        try:
            cursor.execute(f"CREATE VIEW pg_temp.printed_query AS {query}")
            cursor.execute("SELECT pg_catalog.pg_get_viewdef('pg_temp.printed_query'::pg_catalog.regclass)")
            printed = str((cursor.fetchone() or (query,))[0])
            cursor.execute("DROP VIEW pg_temp.printed_query")
        except target.ProgrammingError:
            return query
        finally:
            cursor.execute("RESET search_path")
    return printed


def _settle_versions(wanted: Catalog, found: Catalog, source: Reader, target: Reader) -> None:
    """Leave out privileges that only the newer server knows (MAINTAIN, since PostgreSQL 17)."""
    if (source.major < 17) == (target.major < 17):
        return
    for catalog in (wanted, found):
        for values in [*catalog.get("relations", {}).values(), *catalog.get("default privileges", {}).values()]:
            values["grants"] = [grant for grant in values["grants"] if "MAINTAIN" not in grant]


def _differences(kind: str, wanted: Values, found: Values) -> list[str]:
    """One line per object that is missing, different or superfluous."""
    lines = [f"{kind}: {name} is missing" for name in wanted if name not in found]
    lines += [f"{kind}: {name} is not on the source" for name in found if name not in wanted]
    for name in wanted:
        if name in found and wanted[name] != found[name]:
            lines.append(f"{kind}: {name} differs: {_first_differences(wanted[name], found[name])}")
    return sorted(lines)


def _first_differences(wanted: Any, found: Any) -> str:
    if isinstance(wanted, dict) and isinstance(found, dict):
        keys = sorted({key for key in (*wanted, *found) if wanted.get(key) != found.get(key)})
        return "; ".join(f"{key}: {wanted.get(key)!r} became {found.get(key)!r}" for key in keys)
    return f"{wanted!r} became {found!r}"
