# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What a database holds, as one JSON document: relations, sequences, functions, schemas, and aggregates.

Positions on a time axis are TimescaleDB's internal numbers: microseconds since 1970 for times, the value itself for
whole numbers. They mean the same on both sides, whatever the column is called or printed like.
"""

from __future__ import annotations

import typing as t

from .._timescale import CONTINUOUS_AGGREGATES, EXTENSION_SCHEMAS, HYPERTABLES, chunks, functions_schema
from .._versions import TS_BUCKET_FUNCTION, TS_FINALIZED, Timescale

if t.TYPE_CHECKING:
    from .._connection import Database

__all__ = ["query", "read"]

# Grants as people read them. The owner's own rights are no grant.
_GRANTS = """
(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(coalesce(g.rolname, 'PUBLIC'), a.privilege_type, a.is_grantable)
        ORDER BY g.rolname, a.privilege_type)
 FROM pg_catalog.aclexplode({acl}) AS a LEFT JOIN pg_catalog.pg_roles AS g ON g.oid = a.grantee
 WHERE a.grantee <> {owner})
"""

# What grants hang on: the list of rights and the owner. Functions come with a right for everybody.
_ACL = {
    "schema_grants": ("c.nspacl", "c.nspowner"),
    "function_grants": ("coalesce(c.proacl, pg_catalog.acldefault('f', c.proowner))", "c.proowner"),
    "relation_grants": ("c.relacl", "c.relowner"),
    "sequence_grants": ("c.relacl", "c.relowner"),
    "column_grants": ("a.attacl", "c.relowner"),
}

_FLOATS = "('pg_catalog.float4'::pg_catalog.regtype, 'pg_catalog.float8'::pg_catalog.regtype)"

_COLUMNS = """
(SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
    'name', a.attname, 'type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull,
    'default', CASE WHEN a.atthasdef THEN (SELECT pg_catalog.pg_get_expr(f.adbin, f.adrelid)
      FROM pg_catalog.pg_attrdef AS f WHERE f.adrelid = a.attrelid AND f.adnum = a.attnum) END,
    'collation', CASE WHEN a.attcollation <> ty.typcollation THEN (SELECT o.collname FROM pg_catalog.pg_collation AS o
      WHERE o.oid = a.attcollation) END, 'identity', a.attidentity, 'generated', a.attgenerated,
    'float', coalesce(nullif(ty.typbasetype, 0), ty.oid) IN {floats},
    'comment', pg_catalog.col_description(c.oid, a.attnum), 'grants', {grants}) ORDER BY a.attnum)
 FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS ty ON ty.oid = a.atttypid
 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
"""

# Relations of users: no member of an extension, no chunk, nothing in a schema of the system or of TimescaleDB.
_DOCUMENT = """
WITH own AS ({own_schemas}), chunk AS ({chunks}), aggregate AS ({aggregates}), hypertable AS ({hypertables}),
schema AS (
  SELECT n.* FROM pg_catalog.pg_namespace AS n
  WHERE n.oid NOT IN (SELECT oid FROM own) AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
), member AS (
  SELECT d.classid, d.objid FROM pg_catalog.pg_depend AS d WHERE d.deptype = 'e'
), relation AS (
  SELECT c.*, s.nspname FROM pg_catalog.pg_class AS c JOIN schema AS s ON s.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND c.relpersistence <> 't'
    AND NOT EXISTS (SELECT FROM member AS m WHERE m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                    AND m.objid = c.oid)
    AND c.oid NOT IN (SELECT relid FROM chunk)
)
SELECT pg_catalog.json_build_object(
  'encoding', pg_catalog.current_setting('server_encoding'),
  'schemas', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', c.nspname,
      'owner', pg_catalog.pg_get_userbyid(c.nspowner), 'comment', pg_catalog.obj_description(c.oid, 'pg_namespace'),
      'grants', {schema_grants}) ORDER BY c.nspname) FROM schema AS c),
  'functions', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('schema', s.nspname,
      'name', c.proname || '(' || pg_catalog.pg_get_function_identity_arguments(c.oid) || ')',
      'owner', pg_catalog.pg_get_userbyid(c.proowner), 'comment', pg_catalog.obj_description(c.oid, 'pg_proc'),
      'grants', {function_grants}) ORDER BY s.nspname, c.proname)
    FROM pg_catalog.pg_proc AS c JOIN schema AS s ON s.oid = c.pronamespace
    WHERE NOT EXISTS (SELECT FROM member AS m WHERE m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                      AND m.objid = c.oid)),
  'relations', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('schema', c.nspname, 'name', c.relname,
      'kind', c.relkind, 'owner', pg_catalog.pg_get_userbyid(c.relowner), 'filled', c.relispopulated,
      'comment', pg_catalog.obj_description(c.oid, 'pg_class'), 'grants', {relation_grants}, 'columns', {columns},
      'aggregate', c.oid IN (SELECT a.view_oid FROM aggregate AS a), 'hypertable', h.relid IS NOT NULL,
      'settings', pg_catalog.json_build_object('unlogged', c.relpersistence = 'u', 'forced', c.relforcerowsecurity,
        'identity', CASE c.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' END,
        'options', (SELECT pg_catalog.string_agg(o.text, ', ' ORDER BY o.text)
                    FROM pg_catalog.unnest(c.reloptions) AS o (text))),
      'axis', {axis}) ORDER BY c.nspname, c.relname)
    FROM relation AS c LEFT JOIN hypertable AS h ON h.relid = c.oid WHERE c.relkind <> 'S'),
  'sequences', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('schema', c.nspname, 'name', c.relname,
      'owner', pg_catalog.pg_get_userbyid(c.relowner), 'increment', q.seqincrement,
      'comment', pg_catalog.obj_description(c.oid, 'pg_class'), 'grants', {sequence_grants},
      'readable', pg_catalog.has_sequence_privilege(c.oid, 'SELECT, USAGE'),
      'last', CASE WHEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT, USAGE')
              THEN pg_catalog.pg_sequence_last_value(c.oid) END,
      'feeds', {sequence_columns}) ORDER BY c.nspname, c.relname)
    FROM relation AS c JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = c.oid),
  'aggregates', {aggregate_list},
  'ranges', {ranges}
)
"""

# Columns that a sequence belongs to (serial, identity) or whose default takes its values.
_SEQUENCE_COLUMNS = """
(SELECT pg_catalog.json_agg(DISTINCT pg_catalog.jsonb_build_array(n.nspname, r.relname, a.attname))
 FROM (SELECT d.refobjid, d.refobjsubid FROM pg_catalog.pg_depend AS d
       WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
         AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjsubid > 0
       UNION SELECT f.adrelid, f.adnum FROM pg_catalog.pg_depend AS d
       JOIN pg_catalog.pg_attrdef AS f ON f.oid = d.objid
       WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
         AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = c.oid) AS u
 JOIN pg_catalog.pg_class AS r ON r.oid = u.refobjid JOIN relation AS known ON known.oid = r.oid
 JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
 JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND a.attnum = u.refobjsubid AND NOT a.attisdropped)
"""

_EDGE = """
coalesce(k.{edge}_integer, CASE WHEN pg_catalog.isfinite(k.{edge})
  THEN (extract(epoch FROM k.{edge}) * 1000000)::pg_catalog.int8 END)
"""

# Of all hypertables at once: the view looks at every chunk, whichever it is asked for. Put to each of them by _placed:
# the server takes names that it knows nothing of for few, and would compare each with each.
_RANGES = """
(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(r.schema, r.name, r.list)) FROM (
  SELECT k.hypertable_schema AS schema, k.hypertable_name AS name,
         pg_catalog.json_agg(DISTINCT pg_catalog.jsonb_build_array({begin}, {end})) AS list
  FROM timescaledb_information.chunks AS k GROUP BY 1, 2) AS r)
"""

# The first range dimension, where its column holds plain times or whole numbers. A hypertable without is one slice.
_AXIS = """
(SELECT pg_catalog.json_build_object('column', d.column_name,
    'type', d.column_type::pg_catalog.regtype::pg_catalog.text)
 FROM _timescaledb_catalog.dimension AS d
 WHERE d.hypertable_id = {id} AND d.interval_length IS NOT NULL AND d.partitioning_func IS NULL
   AND d.column_type::pg_catalog.regtype::pg_catalog.text IN ('timestamp with time zone',
     'timestamp without time zone', 'date', 'smallint', 'integer', 'bigint')
 ORDER BY d.id LIMIT 1)
"""

_AGGREGATES = """
(SELECT pg_catalog.json_agg(pg_catalog.json_build_object('schema', a.view_schema, 'name', a.view_name,
    'table', pg_catalog.json_build_array(m.schema_name, m.table_name),
    'raw', pg_catalog.json_build_array(r.schema_name, r.table_name),
    'finalized', coalesce((pg_catalog.to_jsonb(g) ->> 'finalized')::pg_catalog.bool, g.whole),
    'materialized_only', g.materialized_only,
    'width', {width}, 'zone', {zone},
    'watermark', {functions}.cagg_watermark(a.mat_hypertable_id),
    'stale', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(i.low, i.high)) FROM (
        SELECT materialization_id AS id, lowest_modified_value AS low, greatest_modified_value AS high
        FROM _timescaledb_catalog.continuous_aggs_materialization_invalidation_log
        WHERE materialization_id = a.mat_hypertable_id
        UNION ALL SELECT hypertable_id, lowest_modified_value, greatest_modified_value
        FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log
        WHERE hypertable_id = a.raw_hypertable_id) AS i),
    'axis', {axis},
    'stored', (SELECT pg_catalog.json_agg(x.attname) FROM pg_catalog.pg_attribute AS x
               WHERE x.attrelid = a.materialization_oid AND x.attnum > 0 AND NOT x.attisdropped),
    'columns', {columns}) ORDER BY a.view_schema, a.view_name)
 FROM aggregate AS a
 JOIN (SELECT ca.*, {whole} AS whole FROM _timescaledb_catalog.continuous_agg AS ca) AS g
   ON g.mat_hypertable_id = a.mat_hypertable_id
 JOIN _timescaledb_catalog.hypertable AS m ON m.id = a.mat_hypertable_id
 JOIN _timescaledb_catalog.hypertable AS r ON r.id = a.raw_hypertable_id
 JOIN pg_catalog.pg_class AS c ON c.oid = a.view_oid {buckets})
"""

_NOTHING = "SELECT NULL::pg_catalog.oid AS {} WHERE false"


def read(database: Database) -> dict[str, t.Any]:
    """Everything of one side in one statement. Lists are empty, not null."""
    document = database.document(query(database.timescale))
    return _placed({key: [] if value is None else value for key, value in document.items()})


def _placed(document: dict[str, t.Any]) -> dict[str, t.Any]:
    """Put to each hypertable, and to each aggregate's two, which ranges their chunks have."""
    ranges = {(schema, name): found for schema, name, found in document.pop("ranges")}
    for one in document["relations"]:
        if one["axis"]:
            one["axis"]["ranges"] = ranges.get((one["schema"], one["name"]))
    for one in document["aggregates"]:
        one["raw_ranges"] = ranges.get(tuple(one["raw"]))
        if one["axis"]:
            one["axis"]["ranges"] = ranges.get(tuple(one["table"]))
    return document


def query(version: Timescale | None) -> str:
    """The statement that ``read`` sends to a server with that TimescaleDB, or without one."""
    grants = {kind: _GRANTS.format(acl=acl, owner=owner) for kind, (acl, owner) in _ACL.items()}
    columns = _COLUMNS.format(floats=_FLOATS, grants=grants.pop("column_grants"))
    parts = _without_timescale() if version is None else _with_timescale(version, columns)
    return _DOCUMENT.format(
        own_schemas=EXTENSION_SCHEMAS, columns=columns, sequence_columns=_SEQUENCE_COLUMNS, **grants, **parts
    )


def _without_timescale() -> dict[str, str]:
    return {
        "chunks": _NOTHING.format("relid"),
        "aggregates": _NOTHING.format("view_oid"),
        "hypertables": _NOTHING.format("relid"),
        "ranges": "NULL",
        "axis": "NULL",
        "aggregate_list": "NULL",
    }


def _with_timescale(version: Timescale, columns: str) -> dict[str, str]:
    return {
        "chunks": chunks(version),
        "aggregates": CONTINUOUS_AGGREGATES,
        "hypertables": HYPERTABLES,
        "ranges": _ranges(),
        "axis": _AXIS.format(id="h.id"),
        "aggregate_list": _aggregates(version, columns),
    }


def _ranges() -> str:
    edges = {name: _EDGE.format(edge=f"range_{name}") for name in ("start", "end")}
    return _RANGES.format(begin=edges["start"], end=edges["end"])


def _aggregates(version: Timescale, columns: str) -> str:
    """How wide a bucket is stands in one of two tables, as a number of microseconds or as an interval."""
    own_table = version >= TS_BUCKET_FUNCTION
    buckets = (
        "LEFT JOIN _timescaledb_catalog.continuous_aggs_bucket_function AS b"
        " ON b.mat_hypertable_id = a.mat_hypertable_id"
    )
    function = "pg_catalog.to_jsonb(b)" if own_table else "NULL::pg_catalog.jsonb"
    return _AGGREGATES.format(
        functions=functions_schema(version),
        whole="true" if version >= TS_FINALIZED else "false",
        buckets=buckets if own_table else "",
        width=f"coalesce({function} ->> 'bucket_width', pg_catalog.to_jsonb(g) ->> 'bucket_width')",
        zone=f"coalesce({function} ->> 'bucket_timezone', {function} ->> 'timezone')",
        axis=_AXIS.format(id="m.id"),
        columns=columns,
    )
