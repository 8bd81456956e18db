# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What both sides have: continuous aggregates, what stands on them, and how far their data reaches.

A few statements per side, however many aggregates there are: one for the catalog, one or two for the extents of the
data, and one for the sizes of aggregates that others stand on.
Nothing in the first may look for one aggregate among all: with 500 of them that takes longer than everything else.
Columns that only some versions have are read through to_jsonb, which gives NULL for a column that is not there.
"""

from __future__ import annotations

import re
import typing as t

from .._connection import Database
from .._timescale import EXTENSION_SCHEMAS, functions_schema, has_columnstore, job_table
from .._versions import (
    TS_BUCKET_FUNCTION,
    TS_COMPRESSION_BY_RELID,
    TS_FINALIZED,
    TS_MATERIALIZATION_RANGES,
    TS_NO_DROPPED_CHUNKS,
    TS_WATERMARK_TABLE,
    Timescale,
)
from .extents import read_extents, read_sizes

__all__ = ["read", "read_existing", "used_hypertables"]

# acl is NULL where nobody granted or revoked anything; then only the owner has rights (PostgreSQL manual, 5.8).
_ACL = """(SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
    'grantee', CASE WHEN x.grantee = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(x.grantee) END,
    'privilege', x.privilege_type, 'grantable', x.is_grantable)
    ORDER BY pg_catalog.pg_get_userbyid(x.grantee), x.privilege_type)
  FROM pg_catalog.aclexplode({acl}) AS x WHERE x.grantee <> {owner})"""

# Rights that an owner has by default and has given up.
_WITHHELD = """(SELECT pg_catalog.json_agg(x.privilege_type ORDER BY x.privilege_type)
  FROM pg_catalog.aclexplode(pg_catalog.acldefault({kind}, {owner})) AS x
  WHERE x.grantee = {owner} AND {acl} IS NOT NULL AND x.privilege_type NOT IN (
    SELECT y.privilege_type FROM pg_catalog.aclexplode({acl}) AS y WHERE y.grantee = {owner}))"""

# Only columns that have something of their own.
_COLUMNS = """(SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
    'name', k.attname, 'comment', pg_catalog.col_description(k.attrelid, k.attnum), 'acl', {acl},
    'default', pg_catalog.pg_get_expr(kd.adbin, kd.adrelid)) ORDER BY k.attnum)
  FROM pg_catalog.pg_attribute AS k
  LEFT JOIN pg_catalog.pg_attrdef AS kd ON kd.adrelid = k.attrelid AND kd.adnum = k.attnum
  WHERE k.attrelid = {relation} AND k.attnum > 0 AND NOT k.attisdropped AND (k.attacl IS NOT NULL
    OR kd.oid IS NOT NULL OR pg_catalog.col_description(k.attrelid, k.attnum) IS NOT NULL))"""

# Aggregates: one row each. d is the one dimension of the materialization, b the bucket function's row.
_AGGREGATES = """
SELECT a.mat_hypertable_id AS id, a.raw_hypertable_id AS raw_id,
       (a.j ->> 'parent_mat_hypertable_id')::pg_catalog.int4 AS parent_id,
       a.user_view_schema AS schema, a.user_view_name AS name, a.materialized_only,
       COALESCE((a.j ->> 'finalized')::pg_catalog.bool, {finalized}) AS finalized,
       v.oid AS view_oid, v.relowner, v.relacl, m.oid AS mat_oid, m.relname AS mat_name,
       m.reltablespace AS mat_tablespace, m.reloptions AS mat_options,
       m.relreplident AS mat_identity, mn.nspname AS mat_schema,
       q.oid AS direct_oid, d.id AS dimension_id, d.column_name, d.column_type, d.interval_length,
       (d.j ->> 'compress_interval_length')::pg_catalog.int8 AS compress_interval,
       COALESCE(NULLIF(a.j ->> 'bucket_width', '-1'), b.j ->> 'bucket_width') AS width,
       COALESCE((b.j ->> 'bucket_fixed_width')::pg_catalog.bool, (a.j ->> 'bucket_width')::pg_catalog.int8 > 0)
         AS fixed, {has_columnstore} AS has_columnstore
FROM (SELECT o.*, pg_catalog.to_jsonb(o) AS j FROM _timescaledb_catalog.continuous_agg AS o) AS a
JOIN pg_catalog.pg_namespace AS vn ON vn.nspname = a.user_view_schema
JOIN pg_catalog.pg_class AS v ON v.relnamespace = vn.oid AND v.relname = a.user_view_name
JOIN pg_catalog.pg_namespace AS qn ON qn.nspname = a.direct_view_schema
JOIN pg_catalog.pg_class AS q ON q.relnamespace = qn.oid AND q.relname = a.direct_view_name
JOIN _timescaledb_catalog.hypertable AS h ON h.id = a.mat_hypertable_id
JOIN pg_catalog.pg_namespace AS mn ON mn.nspname = h.schema_name
JOIN pg_catalog.pg_class AS m ON m.relnamespace = mn.oid AND m.relname = h.table_name
JOIN (SELECT o.*, pg_catalog.to_jsonb(o) AS j FROM _timescaledb_catalog.dimension AS o) AS d
  ON d.hypertable_id = a.mat_hypertable_id AND d.interval_length IS NOT NULL
LEFT JOIN (SELECT o.mat_hypertable_id, pg_catalog.to_jsonb(o) AS j FROM {bucket_function} AS o) AS b
  ON b.mat_hypertable_id = a.mat_hypertable_id
"""

_COMPRESSION = """CASE WHEN a.has_columnstore THEN pg_catalog.json_build_object('interval', a.compress_interval,
    'segmentby', {segmentby}, 'orderby', {orderby}) END"""
# By primary key: a look into timescaledb_information for each would take as long as all else.
_SETTINGS_BY_RELID = (
    """(SELECT pg_catalog.json_agg(o.name ORDER BY o.place) FROM _timescaledb_catalog.compression_settings AS s,
      pg_catalog.unnest(s.segmentby) WITH ORDINALITY AS o (name, place) WHERE s.relid = a.mat_oid)""",
    """(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(o.name, NOT o.descending, o.nulls_first)
      ORDER BY o.place) FROM _timescaledb_catalog.compression_settings AS s, ROWS FROM (pg_catalog.unnest(s.orderby),
        pg_catalog.unnest(s.orderby_desc), pg_catalog.unnest(s.orderby_nullsfirst))
        WITH ORDINALITY AS o (name, descending, nulls_first, place) WHERE s.relid = a.mat_oid)""",
)
_SETTINGS_BY_COLUMN = (
    """(SELECT pg_catalog.json_agg(s.attname ORDER BY s.segmentby_column_index)
      FROM _timescaledb_catalog.hypertable_compression AS s
      WHERE s.hypertable_id = a.id AND s.segmentby_column_index IS NOT NULL)""",
    """(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(s.attname, s.orderby_asc, s.orderby_nullsfirst)
      ORDER BY s.orderby_column_index) FROM _timescaledb_catalog.hypertable_compression AS s
      WHERE s.hypertable_id = a.id AND s.orderby_column_index IS NOT NULL)""",
)

# What follows the relation's name is the part of an index that can be compared and replayed ("USING btree (…)").
_INDEXES = """(SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', ic.relname, 'tail', pg_catalog.substr(
      pg_catalog.pg_get_indexdef(ic.oid), pg_catalog.length(pg_catalog.format(CASE WHEN x.indisunique
        THEN 'CREATE UNIQUE INDEX %I ON %I.%I ' ELSE 'CREATE INDEX %I ON %I.%I ' END,
        ic.relname, a.mat_schema, a.mat_name)) + 1),
    'unique', x.indisunique, 'comment', pg_catalog.obj_description(ic.oid, 'pg_class')) ORDER BY ic.relname)
  FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS ic ON ic.oid = x.indexrelid WHERE x.indrelid = a.mat_oid)"""

# What is not moved, as templates of format(): %1$I is the materialization's schema, %2$I its name. Settings of columns
# are not asked for: TimescaleDB refuses ALTER COLUMN on a materialization.
_UNMOVED = """(SELECT pg_catalog.json_agg(u.template ORDER BY u.template) FROM (
  SELECT 'ALTER MATERIALIZED VIEW ' || {ident:a.schema} || '.' || {ident:a.name} || ' SET TABLESPACE '
    || {ident:s.spcname} AS template
  FROM pg_catalog.pg_tablespace AS s WHERE s.oid = a.mat_tablespace
  UNION ALL SELECT 'SELECT attach_tablespace(' || {literal:o.tablespace_name} || ', '
    || {literal:pg_catalog.format('%I.%I', a.schema, a.name)} || ')'
  FROM _timescaledb_catalog.tablespace AS o WHERE o.hypertable_id = a.id AND o.tablespace_name <> COALESCE(
    (SELECT s.spcname FROM pg_catalog.pg_tablespace AS s WHERE s.oid = a.mat_tablespace), '')
  UNION ALL SELECT 'ALTER TABLE %1$I.%2$I SET (' || pg_catalog.replace(o.option, '%', '%%') || ')'
  FROM pg_catalog.unnest(a.mat_options) AS o (option)
  UNION ALL SELECT 'ALTER TABLE %1$I.%2$I REPLICA IDENTITY ' || i.word
  FROM (VALUES ('f', 'FULL'), ('n', 'NOTHING')) AS i (kind, word) WHERE i.kind = a.mat_identity::pg_catalog.text
  UNION ALL SELECT CASE WHEN i.cluster THEN 'CLUSTER %1$I.%2$I USING '
    ELSE 'ALTER TABLE %1$I.%2$I REPLICA IDENTITY USING INDEX ' END || {index}
  FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS ic ON ic.oid = x.indexrelid
  JOIN (VALUES (true), (false)) AS i (cluster) ON CASE WHEN i.cluster THEN x.indisclustered ELSE x.indisreplident END
  WHERE x.indrelid = a.mat_oid
  UNION ALL SELECT pg_catalog.replace(pg_catalog.replace(o.text, '%', '%%'),
    pg_catalog.format('%I.%I', a.mat_schema, a.mat_name), '%1$I.%2$I')
  FROM (SELECT pg_catalog.pg_get_statisticsobjdef(s.oid) FROM pg_catalog.pg_statistic_ext AS s
      WHERE s.stxrelid = a.mat_oid
    UNION ALL SELECT pg_catalog.pg_get_triggerdef(g.oid) FROM pg_catalog.pg_trigger AS g
      JOIN pg_catalog.pg_proc AS p ON p.oid = g.tgfoid WHERE g.tgrelid = a.mat_oid AND NOT g.tgisinternal
      AND p.pronamespace NOT IN (SELECT e.oid FROM extension_schemas AS e)) AS o (text)
  UNION ALL SELECT 'ALTER INDEX %1$I.' || {index} || ' SET TABLESPACE ' || {ident:s.spcname}
  FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS ic ON ic.oid = x.indexrelid
  JOIN pg_catalog.pg_tablespace AS s ON s.oid = ic.reltablespace WHERE x.indrelid = a.mat_oid) AS u)"""
# Names that the server made hold the materialization's name.
_INDEX_TEMPLATE = """'"' || pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
    ic.relname, '"', '""'), '%', '%%'), a.mat_name, '%2$s') || '"'"""

# Ranges that a refresh takes from the log before it computes them; they stay when it is interrupted.
_TAKEN = """
    UNION ALL SELECT l.materialization_id, l.lowest_modified_value, l.greatest_modified_value
    FROM _timescaledb_catalog.continuous_aggs_materialization_ranges AS l"""
# Before 2.26 a dropped chunk that aggregates were made of leaves its slice behind.
_LIVE = """ WHERE EXISTS (SELECT FROM _timescaledb_catalog.chunk_constraint AS y
  JOIN _timescaledb_catalog.chunk AS z ON z.id = y.chunk_id WHERE y.dimension_slice_id = s.id AND NOT z.dropped)"""

# Everything that reads an aggregate, over any number of steps: rules of views, SQL bodies, uses of a row type and of
# its array. What reads the materialization by its name is found too, to be told.
_DEPENDENTS = """
reached (classid, objid) AS (
  SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, pg_catalog.unnest(ARRAY[a.view_oid, a.mat_oid])
  FROM aggregates AS a
  UNION
  SELECT CASE WHEN w.oid IS NULL THEN d.classid ELSE 'pg_catalog.pg_class'::pg_catalog.regclass END,
    COALESCE(w.ev_class, d.objid)
  FROM reached AS r
  LEFT JOIN pg_catalog.pg_class AS rc ON r.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND rc.oid = r.objid
  LEFT JOIN pg_catalog.pg_type AS rt ON rt.oid = rc.reltype
  JOIN pg_catalog.pg_depend AS d ON (d.refclassid = r.classid AND d.refobjid = r.objid)
    OR (d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.refobjid IN (rt.oid, rt.typarray))
  LEFT JOIN pg_catalog.pg_rewrite AS w ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND w.oid = d.objid
  WHERE d.deptype = 'n' AND (w.oid IS NOT NULL OR d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
),
dependents AS (
  SELECT c.oid, 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid AS classid, c.reltype,
    {typarray:c} AS typarray,
    CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END AS kind, n.nspname AS schema, c.relname AS name,
    NULL::pg_catalog.text AS arguments, pg_catalog.rtrim(pg_catalog.pg_get_viewdef(c.oid), ';') AS definition,
    c.relowner AS owner, c.reloptions AS options, c.relacl AS acl, c.reltablespace AS tablespace
  FROM reached AS r JOIN pg_catalog.pg_class AS c ON c.oid = r.objid AND c.relkind IN ('v', 'm')
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  WHERE r.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND n.oid NOT IN (SELECT e.oid FROM extension_schemas AS e)
    AND c.oid NOT IN (SELECT a.view_oid FROM aggregates AS a) AND c.relpersistence <> 't'
  UNION ALL
  SELECT p.oid, r.classid, 0, 0, 'function', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid),
    pg_catalog.pg_get_functiondef(p.oid), p.proowner, NULL, COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner)),
    0
  FROM reached AS r JOIN pg_catalog.pg_proc AS p ON p.oid = r.objid AND p.prokind IN ('f', 'p')
  JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
  WHERE r.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    AND n.oid NOT IN (SELECT e.oid FROM extension_schemas AS e)
)
"""
# What a dependent may name. A materialization stands for its aggregate.
_NAMED = """
named AS (
  SELECT x.classid, x.oid, x.reltype, x.typarray, x.schema, x.name, x.arguments FROM dependents AS x
  UNION ALL
  SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, c.oid, c.reltype, {typarray:c},
    a.schema, a.name, NULL
  FROM aggregates AS a JOIN pg_catalog.pg_class AS c ON c.oid IN (a.view_oid, a.mat_oid)
)
"""
_TYPARRAY = "(SELECT y.typarray FROM pg_catalog.pg_type AS y WHERE y.oid = c.reltype)"
# Types, tables, defaults and the like that use a row type or a function of these. Indexes, triggers, policies and
# extended statistics come with post-data.
_OTHERS = """(SELECT pg_catalog.json_agg(DISTINCT pg_catalog.jsonb_build_object('kind', i.type, 'identity', i.identity,
    'reads', pg_catalog.jsonb_build_array(o.schema, o.name, o.arguments)))
  FROM named AS o
  JOIN pg_catalog.pg_depend AS d ON d.deptype = 'n' AND d.refobjid <> 0
    AND ((d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.refobjid IN (o.reltype, o.typarray))
      OR (d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.refclassid = o.classid AND d.refobjid = o.oid))
    AND d.classid NOT IN ('pg_catalog.pg_rewrite'::pg_catalog.regclass, 'pg_catalog.pg_trigger'::pg_catalog.regclass,
      'pg_catalog.pg_policy'::pg_catalog.regclass, 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass)
  LEFT JOIN pg_catalog.pg_proc AS p ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = d.objid
  LEFT JOIN pg_catalog.pg_class AS k ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND k.oid = d.objid
  CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) AS i
  WHERE p.prokind IS DISTINCT FROM 'f' AND p.prokind IS DISTINCT FROM 'p'
  AND (k.oid IS NULL OR k.relkind IN ('r', 'p', 'f', 'c')))"""
# Which aggregates and other dependents an object names itself.
_READS = """(SELECT pg_catalog.json_agg(DISTINCT pg_catalog.jsonb_build_array(o.schema, o.name, o.arguments))
  FROM pg_catalog.pg_depend AS d
  JOIN named AS o ON (d.refclassid = o.classid AND d.refobjid = o.oid)
    OR (d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.refobjid IN (o.reltype, o.typarray)
      AND d.refobjid <> 0)
  LEFT JOIN pg_catalog.pg_rewrite AS w ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND w.oid = d.objid
  WHERE ((d.classid = p.classid AND d.objid = p.oid) OR w.ev_class = p.oid) AND o.oid <> p.oid)"""

_DOCUMENT = """
WITH RECURSIVE extension_schemas AS ({extension_schemas}), aggregates AS ({aggregates}), {dependents},
{named}
SELECT pg_catalog.json_build_object(
  'slices', (SELECT pg_catalog.json_agg(DISTINCT pg_catalog.jsonb_build_array(
      s.dimension_id, s.range_start, s.range_end)) FROM _timescaledb_catalog.dimension_slice AS s{live}),
  'invalid', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
      i.materialization_id, i.lowest_modified_value, i.greatest_modified_value)) FROM (
    SELECT l.materialization_id, l.lowest_modified_value, l.greatest_modified_value
    FROM _timescaledb_catalog.continuous_aggs_materialization_invalidation_log AS l{taken}) AS i),
  'modified', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(i.hypertable_id, i.lowest, i.greatest)) FROM (
    SELECT l.hypertable_id, pg_catalog.min(l.lowest_modified_value) AS lowest,
      pg_catalog.max(l.greatest_modified_value) AS greatest
    FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log AS l GROUP BY l.hypertable_id) AS i),
  'refreshes', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
      (j.config ->> 'mat_hypertable_id')::pg_catalog.int4, j.config ->> 'start_offset') ORDER BY j.id)
    FROM {jobs} AS j WHERE j.proc_name = 'policy_refresh_continuous_aggregate'),
  'aggregates', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
      'schema', a.schema, 'name', a.name, 'owner', pg_catalog.pg_get_userbyid(a.relowner),
      'definition', pg_catalog.rtrim(pg_catalog.pg_get_viewdef(a.direct_oid), ';'),
      'materialized_only', a.materialized_only, 'finalized', a.finalized,
      'parent', (SELECT pg_catalog.json_build_array(p.user_view_schema, p.user_view_name)
        FROM _timescaledb_catalog.continuous_agg AS p WHERE p.mat_hypertable_id = a.parent_id),
      'hypertable', (SELECT pg_catalog.json_build_array(h.schema_name, h.table_name)
        FROM _timescaledb_catalog.hypertable AS h WHERE h.id = a.raw_id AND a.parent_id IS NULL),
      'materialization', pg_catalog.json_build_array(a.mat_schema, a.mat_name),
      'materialized', (SELECT pg_catalog.json_agg(k.attname ORDER BY k.attnum) FROM pg_catalog.pg_attribute AS k
        WHERE k.attrelid = a.mat_oid AND k.attnum > 0 AND NOT k.attisdropped AND k.attgenerated = ''),
      'time_column', a.column_name, 'time_type', pg_catalog.format_type(a.column_type, NULL),
      'bucket_width', CASE WHEN a.width ~ '^[0-9]+$' THEN a.width::pg_catalog.int8
        ELSE (EXTRACT(epoch FROM a.width::pg_catalog.interval) * 1000000)::pg_catalog.int8 END,
      'bucket_fixed', COALESCE(a.fixed, false), 'chunk_interval', a.interval_length,
      'columnstore', {compression}, 'indexes', {indexes}, 'unmoved', {unmoved}, 'watermark', {watermark},
      'id', a.id, 'raw_id', a.raw_id, 'dimension_id', a.dimension_id,
      'comment', pg_catalog.obj_description(a.view_oid, 'pg_class'), 'acl', {acl}, 'withheld', {withheld},
      'columns', {columns},
      'readable', pg_catalog.has_table_privilege(a.mat_oid, 'SELECT')
    ) ORDER BY a.schema, a.name) FROM aggregates AS a),
  'hypertables', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
      'schema', h.schema_name, 'name', h.table_name, 'time_column', d.column_name,
      'time_type', pg_catalog.format_type(d.column_type, NULL), 'dimension_id', d.id,
      'readable', (SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
          AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = h.schema_name AND c.relname = h.table_name)
    ) ORDER BY h.schema_name, h.table_name)
    FROM _timescaledb_catalog.hypertable AS h
    JOIN LATERAL (SELECT o.* FROM _timescaledb_catalog.dimension AS o
      WHERE o.hypertable_id = h.id AND o.interval_length IS NOT NULL ORDER BY o.id LIMIT 1) AS d ON true
    WHERE {which_hypertables}),
  'dependents', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
      'kind', p.kind, 'schema', p.schema, 'name', p.name, 'arguments', p.arguments, 'definition', p.definition,
      'options', p.options,
      'tablespace', (SELECT s.spcname FROM pg_catalog.pg_tablespace AS s WHERE s.oid = p.tablespace),
      'owner', pg_catalog.pg_get_userbyid(p.owner), 'reads', {reads},
      'comment', (SELECT x.description FROM pg_catalog.pg_description AS x
        WHERE x.objoid = p.oid AND x.classoid = p.classid AND x.objsubid = 0),
      'acl', {dependent_acl}, 'withheld', {dependent_withheld}, 'storage', EXISTS (SELECT FROM pg_catalog.pg_depend AS d
        LEFT JOIN pg_catalog.pg_rewrite AS w
          ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND w.oid = d.objid
        WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND d.refobjid IN (SELECT a.mat_oid FROM aggregates AS a)
        AND ((d.classid = p.classid AND d.objid = p.oid) OR w.ev_class = p.oid)),
      'columns', CASE WHEN p.kind <> 'function' THEN {dependent_columns} END
    ) ORDER BY p.schema, p.name, p.arguments) FROM dependents AS p),
  'others', {others}
)::pg_catalog.text
"""


def read(database: Database) -> dict[str, t.Any]:
    """Everything about the continuous aggregates of a source.

    :returns: ``aggregates``, ``hypertables`` that they stand on, ``dependents`` that can be brought over, ``others``
        that cannot. Each aggregate and hypertable has ``extent``: first and last time value in TimescaleDB's internal
        form, or None. An aggregate that others stand on has ``bytes``, of its rows.
    :raises StatementFailed: the server refuses to be read.
    """
    document = _read_catalog(database)
    document["hypertables"] = used_hypertables(document)
    read_extents(database, document["aggregates"] + document["hypertables"])
    parents = {tuple(entry["parent"]) for entry in document["aggregates"] if entry["parent"]}
    read_sizes(database, [entry for entry in document["aggregates"] if (entry["schema"], entry["name"]) in parents])
    return document


def read_existing(database: Database) -> dict[str, t.Any]:
    """The same of a target, where nobody asks how far its aggregates reach.

    :returns: all hypertables; ``extent`` is there for those that its aggregates stand on.
    :raises StatementFailed: the server refuses to be read.
    """
    document = _read_catalog(database)
    read_extents(database, used_hypertables(document))
    return document


def used_hypertables(document: t.Mapping[str, t.Any], wanted: t.Mapping[str, t.Any] | None = None) -> list[t.Any]:
    """Hypertables that aggregates stand on, or that the other side names."""
    used = {tuple(entry["hypertable"]) for entry in document["aggregates"] if entry["hypertable"]}
    used |= {(entry["schema"], entry["name"]) for entry in (wanted or {}).get("hypertables", ())}
    return [entry for entry in document["hypertables"] if (entry["schema"], entry["name"]) in used]


def _read_catalog(database: Database) -> dict[str, t.Any]:
    version = database.timescale
    if version is None:
        return {"aggregates": [], "hypertables": [], "dependents": [], "others": []}
    return _joined({key: value or [] for key, value in database.document(document_query(version)).items()})


def _joined(document: dict[str, t.Any]) -> dict[str, t.Any]:
    """Put to each object what is known by number: for the server that would be a look for each of them."""
    slices, invalid, modified, starts = (
        _by_number(document.pop(key)) for key in ("slices", "invalid", "modified", "refreshes")
    )
    for entry in document["aggregates"]:
        number, raw_number = entry.pop("id"), entry.pop("raw_id")
        entry["invalid"] = invalid.get(number, []) + modified.get(raw_number, [])
        entry["refreshed_from"] = [start for (start,) in starts.get(number, ())]
    for entry in document["aggregates"] + document["hypertables"]:
        entry["slices"] = slices.get(entry.pop("dimension_id"), [])
    return document


def _by_number(rows: t.Sequence[t.Sequence[t.Any]]) -> dict[int, list[list[t.Any]]]:
    found: dict[int, list[list[t.Any]]] = {}
    for number, *values in rows:
        found.setdefault(number, []).append(values)
    return found


def document_query(version: Timescale) -> str:
    """The catalog statement for one version of TimescaleDB."""
    functions = functions_schema(version)
    watermark = (
        "(SELECT w.watermark FROM _timescaledb_catalog.continuous_aggs_watermark AS w WHERE w.mat_hypertable_id = a.id)"
        if version >= TS_WATERMARK_TABLE
        else f"{functions}.cagg_watermark(a.id)"
    )
    nothing = "(SELECT NULL::pg_catalog.int4 AS mat_hypertable_id)"
    bucket_function = (
        "_timescaledb_catalog.continuous_aggs_bucket_function" if version >= TS_BUCKET_FUNCTION else nothing
    )
    finalized = "true" if version >= TS_FINALIZED else "false"
    column_acl = _ACL.replace("{acl}", "k.attacl")
    segmentby, orderby = _SETTINGS_BY_RELID if version >= TS_COMPRESSION_BY_RELID else _SETTINGS_BY_COLUMN
    withheld = _WITHHELD.replace("{kind}", "'r'").replace("{owner}", "a.relowner").replace("{acl}", "a.relacl")
    dependent_kind = "CASE p.kind WHEN 'function' THEN 'f'::\"char\" ELSE 'r' END"
    parts = {
        "extension_schemas": EXTENSION_SCHEMAS,
        "aggregates": _AGGREGATES.replace("{finalized}", finalized)
        .replace("{bucket_function}", bucket_function)
        .replace("{has_columnstore}", has_columnstore(version)),
        "dependents": _DEPENDENTS.replace("{typarray:c}", _TYPARRAY),
        "named": _NAMED.replace("{typarray:c}", _TYPARRAY),
        "others": _OTHERS,
        "withheld": withheld,
        "dependent_withheld": _WITHHELD.replace("{kind}", dependent_kind)
        .replace("{owner}", "p.owner")
        .replace("{acl}", "p.acl"),
        "compression": _COMPRESSION.replace("{segmentby}", segmentby).replace("{orderby}", orderby),
        "indexes": _INDEXES,
        "unmoved": _unmoved(),
        "live": "" if version >= TS_NO_DROPPED_CHUNKS else _LIVE,
        "watermark": watermark,
        "taken": _TAKEN if version >= TS_MATERIALIZATION_RANGES else "",
        "jobs": job_table(version),
        "acl": _ACL.replace("{acl}", "a.relacl").replace("{owner}", "a.relowner"),
        "columns": _COLUMNS.replace("{acl}", column_acl.replace("{owner}", "a.relowner")).replace(
            "{relation}", "a.view_oid"
        ),
        "which_hypertables": "h.id NOT IN (SELECT a.id FROM aggregates AS a)",
        "reads": _READS,
        "dependent_acl": _ACL.replace("{acl}", "p.acl").replace("{owner}", "p.owner"),
        "dependent_columns": _COLUMNS.replace("{acl}", column_acl.replace("{owner}", "p.owner")).replace(
            "{relation}", "p.oid"
        ),
    }
    query = _DOCUMENT
    for name, text in parts.items():
        query = query.replace("{" + name + "}", text)
    return query


def _unmoved() -> str:
    """Names within a template of format(): its sign % is doubled."""
    quoted = re.sub(
        r"\{(ident|literal):([^{}]+)\}",
        lambda found: f"pg_catalog.replace(pg_catalog.quote_{found[1]}({found[2]}), '%', '%%')",
        _UNMOVED,
    )
    return quoted.replace("{index}", _INDEX_TEMPLATE)
