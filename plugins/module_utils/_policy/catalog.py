# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Reads jobs and what they stand on, in one statement, as one JSON document without ids of hypertables.

Keys of the document:

- ``jobs``: every row of the job catalog, ids in ``config`` replaced by names (``relation``), times in UTC, and whether
  its next start is infinity (``parked``);
- ``relations``: hypertables and continuous aggregates with owner, time column, columnstore settings and indexes;
- ``routines``: what can be a job's procedure or check function;
- ``roles``: who may log in, and whether the reading role has their rights (``usage``) and may act as them (``set``);
- ``server``: the background workers, and who reads.
"""

from __future__ import annotations

import re
import typing as t

from .._timescale import CONTINUOUS_AGGREGATES, HYPERTABLES, functions_schema, has_columnstore, job_table
from .._versions import (
    PG_SET_OPTION,
    TS_CHECK_CONFIG,
    TS_CHUNK_SKIPPING,
    TS_COMPRESSION_BY_RELID,
    TS_DATABASE_OWNER,
    TS_DEFAULTS_AT_COMPRESSION,
    TS_DIRECT_COMPRESS,
    TS_FIXED_SCHEDULES,
    TS_OWNER_OID,
    Timescale,
)
from .model import FIRST_USER_JOB

if t.TYPE_CHECKING:
    from .._connection import Database

__all__ = ["EMPTY", "holds_anything", "jobs_query", "read"]

EMPTY: dict[str, t.Any] = {"jobs": [], "relations": [], "routines": [], "roles": [], "server": {}}

# Keys of a policy's config that hold an interval as text, in whatever IntervalStyle its author had.
_INTERVAL_KEYS = (
    "start_offset",
    "end_offset",
    "drop_after",
    "drop_created_before",
    "compress_after",
    "compress_created_before",
    "inactive_for",
)

_DOCUMENT = """
WITH hypertables AS ({hypertables}),
aggregates AS ({aggregates}),
relations AS (
  SELECT h.id, h.relid AS table_oid, COALESCE(a.view_oid, h.relid) AS relid,
         a.mat_hypertable_id IS NOT NULL AS aggregate,
         COALESCE(a.view_schema, h.schema_name) AS schema_name, COALESCE(a.view_name, h.table_name) AS relation_name,
         a.raw_hypertable_id
  FROM hypertables AS h LEFT JOIN aggregates AS a ON a.mat_hypertable_id = h.id
),
jobs AS (
  SELECT j.*, j.proc_schema = '{functions}' AND j.proc_name LIKE 'policy\\_%' AS builtin FROM {job_table} AS j
)
SELECT pg_catalog.json_build_object(
  'jobs', (SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_array({job}) ORDER BY j.id), '[]'::pg_catalog.json)
    FROM jobs AS j
    LEFT JOIN relations AS a ON a.id = j.hypertable_id
    LEFT JOIN relations AS n ON n.id = CASE WHEN j.builtin THEN
      COALESCE(j.config ->> 'mat_hypertable_id', j.config ->> 'hypertable_id')::pg_catalog.int4 END
  ),
  'relations', (
    SELECT COALESCE(pg_catalog.json_agg({relation} ORDER BY r.schema_name, r.relation_name), '[]'::pg_catalog.json)
    FROM relations AS r
    JOIN pg_catalog.pg_class AS c ON c.oid = r.relid
    LEFT JOIN LATERAL (
      SELECT d.column_name, d.column_type, d.integer_now_func_schema, d.integer_now_func,
             (pg_catalog.to_jsonb(d) ->> 'compress_interval_length')::pg_catalog.int8 AS compress_interval_length
      FROM _timescaledb_catalog.dimension AS d
      WHERE d.hypertable_id = r.id AND d.interval_length IS NOT NULL ORDER BY d.id LIMIT 1
    ) AS d ON true
    LEFT JOIN LATERAL ({columnstore}) AS s ON true
  ),
  'routines', (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object(
      'schema', n.nspname, 'name', p.proname, 'check', p.pronargs = 1)
      ORDER BY n.nspname, p.proname), '[]'::pg_catalog.json)
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE p.prokind IN ('f', 'p') AND n.nspname <> 'pg_catalog' AND p.proargtypes IN ('23 3802', '3802')
  ),
  'roles', (
    SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', o.rolname, 'login', o.rolcanlogin,
      'usage', {usage}, 'set', pg_catalog.pg_has_role(session_user, o.oid, {acting})) ORDER BY o.rolname)
    FROM pg_catalog.pg_roles AS o WHERE o.rolname !~ '^pg_'
  ),
  'server', pg_catalog.json_build_object(
    'user', current_user,
    'workers', pg_catalog.current_setting('timescaledb.max_background_workers', true)::pg_catalog.int4,
    'processes', pg_catalog.current_setting('max_worker_processes')::pg_catalog.int4,
    'databases', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_database AS b WHERE b.datallowconn)
  )
)::pg_catalog.text
"""

# A relation's public name, NULL where the outer join found none.
_REFERENCE = """CASE WHEN {0}.id IS NOT NULL THEN pg_catalog.json_build_object(
    'schema', {0}.schema_name, 'name', {0}.relation_name, 'aggregate', {0}.aggregate) END"""

# By primary keys: a join of the relations with themselves would be planned as a loop inside a loop.
_RAW = """(SELECT pg_catalog.json_build_object(
    'schema', COALESCE(b.user_view_schema, w.schema_name), 'name', COALESCE(b.user_view_name, w.table_name),
    'aggregate', b.mat_hypertable_id IS NOT NULL)
  FROM _timescaledb_catalog.hypertable AS w
  LEFT JOIN _timescaledb_catalog.continuous_agg AS b ON b.mat_hypertable_id = w.id
  WHERE w.id = r.raw_hypertable_id)"""

# One value per key of _JOB_KEYS: with its keys, the text would be twice as long. NULL is for what came later.
_JOB = """j.id, j.builtin, j.proc_schema, j.proc_name, j.application_name, {owner}, j.scheduled,
    j.schedule_interval, j.max_runtime, j.max_retries, j.retry_period, {schedule}, {check}, {attached}, {named},
    CASE WHEN j.builtin THEN (j.config - 'mat_hypertable_id' - 'hypertable_id')::pg_catalog.text
         ELSE j.config::pg_catalog.text END,
    CASE WHEN j.builtin THEN (
      SELECT pg_catalog.json_object_agg(e.key, (e.value #>> '{{}}')::pg_catalog.interval::pg_catalog.text)
      FROM pg_catalog.jsonb_each(j.config) AS e
      WHERE e.key IN ({interval_keys}) AND pg_catalog.jsonb_typeof(e.value) = 'string') END,
    j.id IN (SELECT s.job_id FROM _timescaledb_internal.bgw_job_stat AS s WHERE s.next_start = 'infinity')"""
_JOB_KEYS = (
    *("id", "builtin", "proc_schema", "proc_name", "name", "owner", "scheduled"),
    *("schedule_interval", "max_runtime", "max_retries", "retry_period", "fixed_schedule", "initial_start", "timezone"),
    *("check_schema", "check_name", "attached", "relation", "config", "intervals", "parked"),
)
_SUFFIX = re.compile(r" \[\d+\]$")  # the extension appends the job's id to its name

_RELATION = """pg_catalog.json_build_object(
  'schema', r.schema_name, 'name', r.relation_name, 'aggregate', r.aggregate,
  'owner', pg_catalog.pg_get_userbyid(c.relowner),
  'time_column', d.column_name, 'time_type', pg_catalog.format_type(d.column_type::pg_catalog.oid, NULL),
  'integer_now', CASE WHEN d.integer_now_func IS NOT NULL
                      THEN pg_catalog.format('%I.%I', d.integer_now_func_schema, d.integer_now_func) END,
  'raw', {raw},
  'columnstore', s.settings, 'extras', {extras},
  'indexes', CASE WHEN NOT r.aggregate THEN (SELECT pg_catalog.json_agg(i.relname ORDER BY i.relname)
    FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
    WHERE x.indrelid = r.table_oid) END)"""

# Settings of a hypertable that no policy stands on and that come with no dump, as the statements that make them.
_EXTRAS = """CASE WHEN NOT r.aggregate THEN (SELECT pg_catalog.json_agg(x.statement ORDER BY x.statement) FROM ({}) AS x
    WHERE x.statement IS NOT NULL) END"""
_CHUNK_SKIPPING = """SELECT pg_catalog.format('SELECT enable_chunk_skipping(%L, %L)',
      pg_catalog.format('%I.%I', r.schema_name, r.relation_name), k.column_name) AS statement
    FROM _timescaledb_catalog.chunk_column_stats AS k WHERE k.hypertable_id = r.id AND COALESCE(k.chunk_id, 0) = 0"""
_SINCE_2_29 = """
    UNION ALL SELECT pg_catalog.format('ALTER TABLE %I.%I SET (timescaledb.direct_compress)',
      r.schema_name, r.relation_name)
    FROM _timescaledb_catalog.hypertable AS k WHERE k.id = r.id AND (k.status & 8) <> 0
    UNION ALL SELECT pg_catalog.concat(
      pg_catalog.format('ALTER TABLE %I.%I SET (timescaledb.granular_refresh_column = %L',
        r.schema_name, r.relation_name, k.granular_refresh_column),
      ', timescaledb.granular_refresh_start_offset = ' || pg_catalog.quote_literal(k.granular_refresh_start_offset),
      ', timescaledb.granular_refresh_end_offset = ' || pg_catalog.quote_literal(k.granular_refresh_end_offset), ')')
    FROM _timescaledb_catalog.hypertable_cagg_settings AS k WHERE k.hypertable_id = r.id"""

# TimescaleDB 2.14 and later; before 2.22 "no segmentby" is NULL, later NULL means "chosen when compressing".
_SETTINGS_BY_RELID = """
SELECT pg_catalog.json_build_object('segmentby', {segmentby}, 'orderby', (
    SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
      'column', o.name, 'descending', o.descending, 'nulls_first', o.nulls_first) ORDER BY o.place)
    FROM unnest(cs.orderby, cs.orderby_desc, cs.orderby_nullsfirst)
      WITH ORDINALITY AS o (name, descending, nulls_first, place)),
  'interval', d.compress_interval_length, 'sparse', (
    SELECT pg_catalog.json_agg(pg_catalog.json_build_object('type', x ->> 'type', 'column', x -> 'column'))
    FROM pg_catalog.jsonb_array_elements(NULLIF(pg_catalog.to_jsonb(cs) -> 'index', 'null')) AS x
    WHERE x ->> 'source' = 'config')) AS settings
FROM _timescaledb_catalog.hypertable AS h
LEFT JOIN _timescaledb_catalog.compression_settings AS cs ON cs.relid = r.table_oid
WHERE h.id = r.id AND {enabled}
"""

_SETTINGS_BY_COLUMN = """
SELECT pg_catalog.json_build_object('segmentby', COALESCE((
    SELECT pg_catalog.json_agg(k.attname ORDER BY k.segmentby_column_index)
    FROM _timescaledb_catalog.hypertable_compression AS k
    WHERE k.hypertable_id = r.id AND k.segmentby_column_index IS NOT NULL), '[]'::pg_catalog.json),
  'orderby', (
    SELECT pg_catalog.json_agg(pg_catalog.json_build_object('column', k.attname, 'descending', NOT k.orderby_asc,
      'nulls_first', k.orderby_nullsfirst) ORDER BY k.orderby_column_index)
    FROM _timescaledb_catalog.hypertable_compression AS k
    WHERE k.hypertable_id = r.id AND k.orderby_column_index IS NOT NULL),
  'interval', d.compress_interval_length, 'sparse', NULL) AS settings
FROM _timescaledb_catalog.hypertable AS h WHERE h.id = r.id AND {enabled}
"""


def read(database: Database) -> dict[str, t.Any]:
    """Read a database's jobs document. Raises StatementFailed.

    :returns: the document; an empty one where the extension is not installed.
    """
    if database.timescale is None:
        return dict(EMPTY)
    document: dict[str, t.Any] = database.document(jobs_query(database.timescale, database.server_version))
    jobs = [dict(zip(_JOB_KEYS, values)) for values in document["jobs"]]
    for job in jobs:
        job["name"] = _SUFFIX.sub("", job["name"])
    return {**document, "jobs": jobs}


def holds_anything(document: dict[str, t.Any]) -> bool:
    """Whether a document has jobs of users or columnstore settings: the extension's own jobs are everywhere."""
    jobs = any(job["id"] >= FIRST_USER_JOB for job in document["jobs"])
    return jobs or any(relation["columnstore"] for relation in document["relations"])


def jobs_query(version: Timescale, server: int) -> str:
    """The statement for a TimescaleDB version (2.0 and later) on a PostgreSQL version."""
    segmentby = "cs.segmentby"
    if version < TS_DEFAULTS_AT_COMPRESSION:
        segmentby = "COALESCE(cs.segmentby, '{}')"
    fixed = version >= TS_FIXED_SCHEDULES
    settings = _SETTINGS_BY_RELID if version >= TS_COMPRESSION_BY_RELID else _SETTINGS_BY_COLUMN
    columnstore = settings.format(enabled=has_columnstore(version), segmentby=segmentby)
    usage = "pg_catalog.pg_has_role(o.oid, 'USAGE')"
    if version >= TS_DATABASE_OWNER:
        usage = f"({usage} OR pg_catalog.pg_has_role('pg_database_owner', 'USAGE'))"
    return _DOCUMENT.format(
        usage=usage,
        acting="'SET'" if server >= PG_SET_OPTION else "'MEMBER'",
        hypertables=HYPERTABLES,
        aggregates=CONTINUOUS_AGGREGATES,
        functions=functions_schema(version),
        job_table=job_table(version),
        job=_JOB.format(
            owner="pg_catalog.pg_get_userbyid(j.owner)" if version >= TS_OWNER_OID else "j.owner",
            schedule="j.fixed_schedule, j.initial_start, j.timezone" if fixed else "false, NULL, NULL",
            check="j.check_schema, j.check_name" if version >= TS_CHECK_CONFIG else "NULL, NULL",
            attached=_REFERENCE.format("a"),
            named=_REFERENCE.format("n"),
            interval_keys=", ".join(f"'{key}'" for key in _INTERVAL_KEYS),
        ),
        relation=_RELATION.format(raw=_RAW, extras=_extras(version)),
        columnstore=columnstore,
    )


def _extras(version: Timescale) -> str:
    if version < TS_CHUNK_SKIPPING:
        return "NULL"
    return _EXTRAS.format(_CHUNK_SKIPPING + (_SINCE_2_29 if version >= TS_DIRECT_COMPRESS else ""))
