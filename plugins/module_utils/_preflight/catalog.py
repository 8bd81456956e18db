# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What preflight needs to know of one side, read by one statement."""

from __future__ import annotations

import typing as t

from .._connection import Database
from .._timescale import CONTINUOUS_AGGREGATES, EXTENSION_SCHEMAS, HYPERTABLES, chunks, job_table
from .._versions import PG_SQL_BODY, TS_OWNER_OID, Timescale

__all__ = ["read"]

# Members of any extension, and what lies in system schemas, are never the user's.
_WITH = """
WITH members AS MATERIALIZED (
  SELECT d.classid, d.objid, d.refobjid AS extension FROM pg_catalog.pg_depend AS d
  WHERE d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
), schemas AS MATERIALIZED (
  SELECT n.oid, n.nspname FROM pg_catalog.pg_namespace AS n
  WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
    AND n.oid NOT IN (SELECT s.oid FROM ({extension_schemas}) AS s)
), chunks AS MATERIALIZED (
  {chunks}
), hypertables AS MATERIALIZED (
  {hypertables}
), aggregates AS MATERIALIZED (
  {aggregates}
), relations AS MATERIALIZED (
  SELECT c.oid, s.nspname, c.relname, c.relkind, c.relowner, c.reltablespace, c.relacl, c.reltype
  FROM pg_catalog.pg_class AS c JOIN schemas AS s ON s.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND c.relpersistence <> 't'
    AND c.oid NOT IN (SELECT k.relid FROM chunks AS k)
    AND NOT EXISTS (SELECT FROM members AS m
                    WHERE m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND m.objid = c.oid)
), waiting AS MATERIALIZED (
  {waiting}
)
"""
_NO_CHUNKS = "SELECT NULL::pg_catalog.oid AS relid WHERE false"
_NO_HYPERTABLES = """
SELECT NULL::int AS id, NULL::pg_catalog.oid AS relid, ''::pg_catalog.name AS schema_name,
       ''::pg_catalog.name AS table_name, false AS is_materialization WHERE false"""
_NO_AGGREGATES = """
SELECT NULL::pg_catalog.oid AS view_oid, NULL::pg_catalog.oid AS materialization_oid,
       ''::pg_catalog.name AS view_schema, ''::pg_catalog.name AS view_name WHERE false"""

# Aggregates and whatever reads them, over any number of steps: earlier stages of a move cannot have made these.
_WAITING = """
SELECT r.oid FROM (
  WITH RECURSIVE readers AS (
    SELECT a.view_oid AS oid FROM aggregates AS a
    UNION
    SELECT w.ev_class FROM readers AS b
    JOIN pg_catalog.pg_depend AS d ON d.refobjid = b.oid AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
    JOIN pg_catalog.pg_rewrite AS w ON w.oid = d.objid
  ) SELECT oid FROM readers
) AS r"""
_NOTHING_WAITS = "SELECT NULL::pg_catalog.oid AS oid WHERE false"

_RELATIONS = """
(SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
   'schema', r.nspname, 'name', r.relname, 'kind', r.relkind, 'owner', pg_catalog.pg_get_userbyid(r.relowner),
   'mine', pg_catalog.pg_has_role(r.relowner, 'USAGE'),
   'readable', r.relkind NOT IN ('r', 'p') OR pg_catalog.has_table_privilege(r.oid, 'SELECT'),
   'hidden', r.relkind IN ('r', 'p') AND pg_catalog.row_security_active(r.oid),
   'waits', r.oid IN (SELECT w.oid FROM waiting AS w),
   'aggregate', r.oid IN (SELECT a.view_oid FROM aggregates AS a),
   'columns', (SELECT pg_catalog.json_object_agg(a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)
                                                 ORDER BY a.attnum)
               FROM pg_catalog.pg_attribute AS a
               WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped AND r.relkind IN ('r', 'p', 'f'))
 ) ORDER BY r.nspname, r.relname) FROM relations AS r)"""

_SCHEMAS = """
(SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
   'name', s.nspname, 'create', pg_catalog.has_schema_privilege(s.oid, 'CREATE'),
   'usage', pg_catalog.has_schema_privilege(s.oid, 'USAGE')) ORDER BY s.nspname)
 FROM schemas AS s
 WHERE NOT EXISTS (SELECT FROM members AS m
                   WHERE m.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND m.objid = s.oid))"""

_FUNCTIONS = """
(SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
   'schema', s.nspname, 'name', p.proname, 'arguments', pg_catalog.pg_get_function_identity_arguments(p.oid),
   'waits', EXISTS (
     SELECT FROM pg_catalog.pg_depend AS d
     WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
       AND d.refobjid IN (SELECT w.oid FROM waiting AS w UNION ALL
                          SELECT c.reltype FROM waiting AS w JOIN pg_catalog.pg_class AS c ON c.oid = w.oid)))
   ORDER BY s.nspname, p.proname, p.oid)
 FROM pg_catalog.pg_proc AS p JOIN schemas AS s ON s.oid = p.pronamespace
 WHERE NOT EXISTS (SELECT FROM members AS m
                   WHERE m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND m.objid = p.oid))"""

_TYPES = """
(SELECT pg_catalog.json_agg(pg_catalog.json_build_object('schema', s.nspname, 'name', y.typname)
                             ORDER BY s.nspname, y.typname)
 FROM pg_catalog.pg_type AS y JOIN schemas AS s ON s.oid = y.typnamespace
 LEFT JOIN pg_catalog.pg_class AS c ON c.oid = y.typrelid
 WHERE y.typtype IN ('c', 'd', 'e', 'r') AND (y.typtype <> 'c' OR c.relkind = 'c')
   AND NOT EXISTS (SELECT FROM members AS m
                   WHERE m.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND m.objid = y.oid))"""

_EXTENSIONS = """
(SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
   'name', e.extname, 'version', e.extversion,
   'used', EXISTS (
     SELECT FROM members AS m
     JOIN pg_catalog.pg_depend AS d ON d.refclassid = m.classid AND d.refobjid = m.objid AND d.deptype IN ('n', 'a')
     WHERE m.extension = e.oid
       AND d.classid IN ('pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_proc'::pg_catalog.regclass,
                         'pg_catalog.pg_attrdef'::pg_catalog.regclass, 'pg_catalog.pg_constraint'::pg_catalog.regclass,
                         'pg_catalog.pg_rewrite'::pg_catalog.regclass, 'pg_catalog.pg_trigger'::pg_catalog.regclass,
                         'pg_catalog.pg_policy'::pg_catalog.regclass, 'pg_catalog.pg_type'::pg_catalog.regclass)
       AND NOT EXISTS (SELECT FROM members AS o WHERE o.classid = d.classid AND o.objid = d.objid)))
   ORDER BY e.extname)
 FROM pg_catalog.pg_extension AS e)"""

# Roles that post-data, aggregates and jobs name. A policy of row security for PUBLIC has the role 0.
_NAMED_ROLES = """
(SELECT pg_catalog.json_agg(DISTINCT
   pg_catalog.jsonb_build_object('role', pg_catalog.pg_get_userbyid(u.role), 'use', u.use))
 FROM (
   SELECT x.role, 'row security' AS use FROM pg_catalog.pg_policy AS p
   JOIN relations AS r ON r.oid = p.polrelid CROSS JOIN LATERAL pg_catalog.unnest(p.polroles) AS x (role)
   UNION SELECT g.grantee, 'privileges' FROM relations AS r CROSS JOIN LATERAL pg_catalog.aclexplode(r.relacl) AS g
   WHERE r.oid IN (SELECT w.oid FROM waiting AS w)
   UNION SELECT r.relowner, 'ownership' FROM relations AS r WHERE r.oid IN (SELECT w.oid FROM waiting AS w)
   {job_owners}
 ) AS u WHERE u.role <> 0)"""

_ROLES = """
(SELECT pg_catalog.json_object_agg(r.rolname, pg_catalog.json_build_object(
   'login', r.rolcanlogin, 'mine', pg_catalog.pg_has_role(r.oid, 'MEMBER')))
 FROM pg_catalog.pg_roles AS r)"""

_TABLESPACES = """
(SELECT pg_catalog.json_agg(DISTINCT s.spcname) FROM pg_catalog.pg_tablespace AS s
 JOIN pg_catalog.pg_class AS c ON c.reltablespace = s.oid
 WHERE s.spcname !~ '^pg_' AND (c.relkind = 'i' OR c.oid IN (SELECT w.oid FROM waiting AS w) OR c.relkind = 'm'))"""

# What a dump of the database's objects leaves out. Only PostgreSQL's own settings show their values: under a name with
# a dot there may be a secret of the application.
_SETTINGS = """
(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(coalesce(r.rolname, ''), x.name,
   CASE WHEN x.name !~ '\\.' THEN pg_catalog.substr(x.setting, pg_catalog.length(x.name) + 2) END)
   ORDER BY r.rolname, x.name)
 FROM pg_catalog.pg_db_role_setting AS s
 JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase AND d.datname = pg_catalog.current_database()
 LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
 CROSS JOIN LATERAL (SELECT pg_catalog.split_part(e, '=', 1) AS name, e AS setting
                     FROM pg_catalog.unnest(s.setconfig) AS e) AS x
 WHERE x.name <> 'timescaledb.restoring')"""

_SERVER = """
pg_catalog.json_build_object(
  'database', pg_catalog.current_database(), 'user', current_user::pg_catalog.text,
  'superuser', (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user),
  'temporary', pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY'),
  'event_triggers', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_event_trigger AS e WHERE NOT EXISTS (
     SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_event_trigger'::pg_catalog.regclass
     AND d.objid = e.oid AND d.deptype = 'e')),
  'standby', pg_catalog.pg_is_in_recovery(),
  'read_only', (SELECT s.reset_val = 'on' FROM pg_catalog.pg_settings AS s
                WHERE s.name = 'default_transaction_read_only'),
  'restoring', pg_catalog.current_setting('timescaledb.restoring', true) = 'on',
  'encoding', pg_catalog.getdatabaseencoding(),
  'sessions', (SELECT pg_catalog.sum(s.numbackends) FROM pg_catalog.pg_stat_database AS s),
  'role_limit', (SELECT r.rolconnlimit FROM pg_catalog.pg_roles AS r WHERE r.rolname = session_user),
  'database_limit', (SELECT d.datconnlimit FROM pg_catalog.pg_database AS d
                     WHERE d.datname = pg_catalog.current_database()),
  'settings', (SELECT pg_catalog.json_object_agg(s.name, s.setting::pg_catalog.int8) FROM pg_catalog.pg_settings AS s
               WHERE s.name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections',
                                'max_worker_processes', 'max_parallel_workers', 'max_locks_per_transaction',
                                'max_prepared_transactions',
                                'timescaledb.max_background_workers')))"""

_HYPERTABLES = """
(SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
   'schema', h.schema_name, 'name', h.table_name,
   'chunks', (SELECT pg_catalog.count(*) FROM chunks AS k WHERE k.hypertable_id = h.id),
   'jobs', (SELECT pg_catalog.count(*) FROM {jobs} AS j WHERE j.hypertable_id = h.id),
   'chunk_schema', s.associated_schema_name,
   'tablespaces', (SELECT pg_catalog.json_agg(p.tablespace_name ORDER BY p.tablespace_name)
                   FROM _timescaledb_catalog.tablespace AS p WHERE p.hypertable_id = h.id),
   'chunk_schema_create', pg_catalog.has_schema_privilege(n.oid, 'CREATE')
      OR n.oid IN (SELECT e.oid FROM ({extension_schemas}) AS e),
   'dimensions', (
     SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
       'column', d.column_name, 'slices', d.num_slices, 'interval', d.interval_length,
       'now', d.integer_now_func_schema || '.' || d.integer_now_func) ORDER BY d.id)
     FROM _timescaledb_catalog.dimension AS d WHERE d.hypertable_id = h.id)
 ) ORDER BY h.schema_name, h.table_name)
 FROM hypertables AS h JOIN _timescaledb_catalog.hypertable AS s ON s.id = h.id
 LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = s.associated_schema_name
 WHERE NOT h.is_materialization)"""

# Ids below 1000 are the extension's own jobs.
_JOBS = """
(SELECT pg_catalog.json_build_object('all', pg_catalog.count(*),
   'paused', pg_catalog.count(*) FILTER (WHERE NOT j.scheduled))
 FROM {jobs} AS j WHERE j.id >= 1000)"""

# Names and columns of what the extension keeps in schemas of its own, its information views included.
_INTERNALS = """
(SELECT pg_catalog.json_object_agg(i.name, i.columns) FROM (
   SELECT s.nspname || '.' || c.relname AS name,
          (SELECT pg_catalog.json_agg(a.attname ORDER BY a.attnum) FROM pg_catalog.pg_attribute AS a
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
   FROM ({extension_schemas}) AS s JOIN pg_catalog.pg_class AS c ON c.relnamespace = s.oid
   JOIN members AS m ON m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND m.objid = c.oid
   WHERE c.relkind IN ('r', 'v')
   UNION ALL SELECT s.nspname || '.' || p.proname, NULL::pg_catalog.json
   FROM (SELECT DISTINCT p.pronamespace, p.proname FROM pg_catalog.pg_proc AS p
         JOIN members AS m ON m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND m.objid = p.oid) AS p
   JOIN ({extension_schemas}) AS s ON s.oid = p.pronamespace
 ) AS i)"""

# The words of user code that names one of the extension's schemas; which of them count is decided by checks.py.
_CODE = """
(SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
   'kind', c.kind, 'schema', c.nspname, 'name', c.name,
   'reads', (SELECT pg_catalog.json_agg(DISTINCT w[1] || '.' || w[2])
             FROM pg_catalog.regexp_matches(c.text, '\\m(_?timescaledb_[a-z]+)"?\\s*\\.\\s*"?(\\w+)', 'g') AS w),
   'words', (SELECT pg_catalog.json_agg(DISTINCT w[1]) FROM pg_catalog.regexp_matches(c.text, '\\w+', 'g') AS w))
   ORDER BY c.nspname, c.name)
 FROM (
   SELECT 'function' AS kind, s.nspname, p.proname AS name, coalesce({sql_body}, p.prosrc) AS text
   FROM pg_catalog.pg_proc AS p JOIN schemas AS s ON s.oid = p.pronamespace
   WHERE p.prolang NOT IN (SELECT l.oid FROM pg_catalog.pg_language AS l WHERE l.lanname IN ('c', 'internal'))
     AND NOT EXISTS (SELECT FROM members AS m
                     WHERE m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND m.objid = p.oid)
   UNION ALL SELECT CASE r.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END, r.nspname, r.relname,
                    pg_catalog.pg_get_viewdef(r.oid)
   FROM relations AS r WHERE r.relkind IN ('v', 'm') AND r.oid NOT IN (SELECT a.view_oid FROM aggregates AS a)
 ) AS c WHERE c.text ~ '_?timescaledb_[a-z]+"?\\s*\\.')"""


def read(database: Database) -> dict[str, t.Any]:
    """Read what the checks compare. Raises StatementFailed.

    :returns: a JSON document; lists that are empty are null.
    """
    document: dict[str, t.Any] = database.document(_query(database))
    return document


def _query(database: Database) -> str:
    version = database.timescale
    parts = {
        "server": _SERVER,
        "schemas": _SCHEMAS,
        "relations": _RELATIONS,
        "functions": _FUNCTIONS,
        "types": _TYPES,
        "extensions": _EXTENSIONS,
        "named_roles": _NAMED_ROLES.replace("{job_owners}", _job_owners(version)),
        "roles": _ROLES,
        "tablespaces": _TABLESPACES,
        "database_settings": _SETTINGS,
        "large_objects": "(SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata)",
        "all_tablespaces": "(SELECT pg_catalog.json_agg(s.spcname) FROM pg_catalog.pg_tablespace AS s)",
    }
    if version is not None:
        parts["hypertables"] = _HYPERTABLES.replace("{jobs}", job_table(version))
        parts["jobs"] = _JOBS.replace("{jobs}", job_table(version))
        parts["internals"] = _INTERNALS
        parts["code"] = _CODE.replace("{sql_body}", _sql_body(database.server_version))
    told = ", ".join(f"'{name}', {query}" for name, query in parts.items())
    query = f"{_WITH} SELECT pg_catalog.json_build_object({told})"
    return _filled(query, version).replace("{extension_schemas}", EXTENSION_SCHEMAS)


def _filled(query: str, version: Timescale | None) -> str:
    known = version is not None
    query = query.replace("{chunks}", chunks(version) if version is not None else _NO_CHUNKS)
    query = query.replace("{hypertables}", HYPERTABLES if known else _NO_HYPERTABLES)
    query = query.replace("{aggregates}", CONTINUOUS_AGGREGATES if known else _NO_AGGREGATES)
    return query.replace("{waiting}", _WAITING if known else _NOTHING_WAITS)


def _job_owners(version: Timescale | None) -> str:
    """The owners of users' own jobs, as role oids: the column was a name before TimescaleDB 2.10.2."""
    if version is None:
        return ""
    by_name = "(SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = j.owner)"
    oid = "j.owner::pg_catalog.oid" if version >= TS_OWNER_OID else by_name
    return f"""UNION SELECT {oid}, 'jobs' FROM {job_table(version)} AS j
     WHERE j.id >= 1000 AND j.proc_schema NOT IN (SELECT e.nspname FROM ({{extension_schemas}}) AS e)"""


def _sql_body(server_version: int) -> str:
    """Functions in standard SQL keep a parsed body instead of a text (PostgreSQL 14)."""
    return "pg_catalog.pg_get_function_sqlbody(p.oid)" if server_version >= PG_SQL_BODY else "NULL"
