# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What timescale_info tells of a database: one statement, one document, by catalogs of TimescaleDB 2.0 to 2.29."""

from __future__ import annotations

import typing as t

from .._connection import Database
from .._timescale import CONTINUOUS_AGGREGATES, HYPERTABLES, chunks, companions, job_table
from .._versions import TS_FINALIZED, Timescale

__all__ = ["read"]

_SERVER = """
pg_catalog.json_build_object(
  'database', pg_catalog.current_database(), 'version', pg_catalog.current_setting('server_version'),
  'standby', pg_catalog.pg_is_in_recovery(), 'encoding', pg_catalog.getdatabaseencoding(),
  'timescale_available', (
    SELECT a.default_version FROM pg_catalog.pg_available_extensions AS a WHERE a.name = 'timescaledb'))
"""

_PRIVILEGES = """
(SELECT pg_catalog.json_build_object(
   'role', r.rolname, 'session_user', session_user, 'superuser', r.rolsuper, 'create_role', r.rolcreaterole,
   'create_database', r.rolcreatedb, 'bypass_row_security', r.rolbypassrls, 'replication', r.rolreplication,
   'database_owner', pg_catalog.pg_has_role(d.datdba, 'USAGE'),
   'create_schema', pg_catalog.has_database_privilege(d.oid, 'CREATE'),
   'member_of', (SELECT COALESCE(pg_catalog.json_agg(m.rolname ORDER BY m.rolname), '[]'::pg_catalog.json)
                 FROM pg_catalog.pg_roles AS m
                 WHERE NOT r.rolsuper AND m.oid <> r.oid AND pg_catalog.pg_has_role(r.oid, m.oid, 'MEMBER')),
   'not_create_in', (SELECT COALESCE(pg_catalog.json_agg(n.nspname ORDER BY n.nspname), '[]'::pg_catalog.json)
                     FROM pg_catalog.pg_namespace AS n
                     WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                       AND NOT EXISTS ({member} AND x.objid = n.oid)
                       AND NOT pg_catalog.has_schema_privilege(n.oid, 'CREATE')),
   'not_owned', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class AS c
                 JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
                   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                   AND NOT EXISTS ({member} AND x.objid = n.oid) AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')))
 FROM pg_catalog.pg_roles AS r, pg_catalog.pg_database AS d
 WHERE r.rolname = current_user AND d.datname = pg_catalog.current_database())
"""
_MEMBER = """SELECT FROM pg_catalog.pg_depend AS x
  WHERE x.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND x.deptype = 'e'"""

_PLAIN = """
SELECT pg_catalog.json_build_object(
  'server', {server}, 'privileges', {privileges}, 'hypertables', '[]'::pg_catalog.json,
  'aggregates', '[]'::pg_catalog.json, 'jobs', '[]'::pg_catalog.json,
  'sizes', CASE WHEN %(sizes)s THEN pg_catalog.json_build_object(
    'database', pg_catalog.pg_database_size(pg_catalog.current_database()), 'hypertables', 0, 'aggregates', 0) END
)::pg_catalog.text
"""

_TIMESCALE = """
WITH hypertables AS ({hypertables}),
aggregates AS ({aggregates}),
chunks AS ({chunks}),
parts AS (
  SELECT h.id, k.relid, z.companion
  FROM hypertables AS h
  JOIN chunks AS k ON k.hypertable_id = h.id
  LEFT JOIN ({companions}) AS z ON z.chunk = k.relid
),
totals AS MATERIALIZED (
  SELECT h.id, pg_catalog.count(p.relid) AS chunks, pg_catalog.count(p.companion) AS compressed_chunks,
         CASE WHEN %(sizes)s THEN pg_catalog.pg_total_relation_size(h.relid)
           + COALESCE(pg_catalog.sum(pg_catalog.pg_total_relation_size(p.relid)
                                     + COALESCE(pg_catalog.pg_total_relation_size(p.companion), 0)), 0) END AS bytes
  FROM hypertables AS h LEFT JOIN parts AS p ON p.id = h.id
  GROUP BY h.id, h.relid
)
SELECT pg_catalog.json_build_object(
  'server', {server}, 'privileges', {privileges},
  'hypertables', (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object(
      'schema', h.schema_name, 'name', h.table_name, 'owner', pg_catalog.pg_get_userbyid(c.relowner),
      'dimensions', (
        SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
          'column', d.column_name, 'type', pg_catalog.format_type(d.column_type::pg_catalog.oid, NULL),
          'interval', d.interval_length, 'partitions', d.num_slices) ORDER BY d.id)
        FROM _timescaledb_catalog.dimension AS d WHERE d.hypertable_id = h.id),
      'chunks', s.chunks, 'compressed_chunks', s.compressed_chunks, 'size_bytes', s.bytes
      ) ORDER BY h.schema_name, h.table_name), '[]'::pg_catalog.json)
    FROM hypertables AS h
    JOIN totals AS s ON s.id = h.id
    JOIN pg_catalog.pg_class AS c ON c.oid = h.relid
    WHERE NOT h.is_materialization),
  'aggregates', (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object(
      'schema', a.view_schema, 'name', a.view_name, 'owner', pg_catalog.pg_get_userbyid(v.relowner),
      'on_schema', COALESCE(o.view_schema, r.schema_name), 'on_name', COALESCE(o.view_name, r.table_name),
      'materialized_only', (pg_catalog.to_jsonb(x) ->> 'materialized_only')::pg_catalog.bool,
      'finalized', COALESCE((pg_catalog.to_jsonb(x) ->> 'finalized')::pg_catalog.bool, {finalized}),
      'materialization_schema', m.schema_name, 'materialization_name', m.table_name,
      'chunks', s.chunks, 'compressed_chunks', s.compressed_chunks, 'size_bytes', s.bytes
      ) ORDER BY a.view_schema, a.view_name), '[]'::pg_catalog.json)
    FROM aggregates AS a
    JOIN _timescaledb_catalog.continuous_agg AS x ON x.mat_hypertable_id = a.mat_hypertable_id
    JOIN pg_catalog.pg_class AS v ON v.oid = a.view_oid
    JOIN hypertables AS m ON m.id = a.mat_hypertable_id
    LEFT JOIN hypertables AS r ON r.id = a.raw_hypertable_id
    LEFT JOIN aggregates AS o ON o.mat_hypertable_id = a.raw_hypertable_id
    JOIN totals AS s ON s.id = a.mat_hypertable_id),
  'jobs', (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object(
      'id', j.id, 'name', pg_catalog.to_jsonb(j) ->> 'application_name', 'owner', pg_catalog.to_jsonb(j) ->> 'owner',
      'proc_schema', j.proc_schema, 'proc_name', j.proc_name, 'scheduled', j.scheduled,
      'schedule_interval', j.schedule_interval::pg_catalog.text, 'config', j.config,
      'schema', COALESCE(a.view_schema, h.schema_name), 'table', COALESCE(a.view_name, h.table_name)
      ) ORDER BY j.id), '[]'::pg_catalog.json)
    FROM {jobs} AS j
    LEFT JOIN hypertables AS h ON h.id = j.hypertable_id
    LEFT JOIN aggregates AS a ON a.mat_hypertable_id = j.hypertable_id),
  'sizes', CASE WHEN %(sizes)s THEN pg_catalog.json_build_object(
    'database', pg_catalog.pg_database_size(pg_catalog.current_database()),
    'hypertables', (SELECT COALESCE(pg_catalog.sum(s.bytes), 0) FROM totals AS s
                    JOIN hypertables AS h ON h.id = s.id WHERE NOT h.is_materialization),
    'aggregates', (SELECT COALESCE(pg_catalog.sum(s.bytes), 0) FROM totals AS s
                   JOIN hypertables AS h ON h.id = s.id WHERE h.is_materialization)) END
)::pg_catalog.text
"""


def read(database: Database, *, sizes: bool) -> dict[str, t.Any]:
    """Read what there is.

    :param sizes: also sizes in bytes, which opens every chunk's files.
    :returns: server, privileges, hypertables, aggregates, jobs, sizes.
    :raises StatementFailed: the server refuses to be read.
    """
    # The server takes what its own query gives for few rows, and would look through all hypertables once for each.
    with database.transaction("BEGIN; SET LOCAL enable_nestloop = off"):
        found: dict[str, t.Any] = database.document(_query(database.timescale), {"sizes": sizes})
    return found


def _query(version: Timescale | None) -> str:
    shared = {"server": _SERVER, "privileges": _PRIVILEGES.format(member=_MEMBER)}
    if version is None:
        return _PLAIN.format(**shared)
    return _TIMESCALE.format(
        **shared,
        hypertables=HYPERTABLES,
        aggregates=CONTINUOUS_AGGREGATES,
        chunks=chunks(version),
        companions=companions(version),
        jobs=job_table(version),
        # Before 2.7 there is no such column and no such aggregate.
        finalized="true" if version >= TS_FINALIZED else "false",
    )
