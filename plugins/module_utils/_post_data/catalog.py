# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Reads what a database has of post-data: one statement that gives one JSON document.

Chunks, the extension's own schemas and what an extension owns are known by membership and left out. Definitions are the
server's own texts, read with an empty search_path, so that every name in them is qualified.
"""

from __future__ import annotations

import typing as t

from .._connection import Database
from .._timescale import CONTINUOUS_AGGREGATES, EXTENSION_SCHEMAS, HYPERTABLES, chunks, companions, has_columnstore
from .._versions import PG_PUBLICATION_FILTER, PG_TRIGGER_PARENT, TS_FK_ON_COMPRESSED, Timescale

__all__ = ["POLICY", "Document", "read"]

Document = dict[str, t.Any]

_NO_CHUNKS = "SELECT NULL::pg_catalog.int4 AS hypertable_id, NULL::pg_catalog.oid AS relid WHERE false"
_NO_AGGREGATES = "SELECT NULL::pg_catalog.oid AS view_oid WHERE false"
_NO_HYPERTABLES = "SELECT NULL::oid AS relid WHERE false"
# What is joined here, in Python, to the relations: the server takes hypertables for few and would look through all of
# them once for each relation. For the same reason memberships are asked with IN, which is looked up in a hash table.
_HYPERTABLES = """
SELECT t.relid::int8 AS oid, t.id AS hypertable_id, coalesce({has_columnstore}, false) AS columnstore,
       (SELECT json_agg(d.column_name ORDER BY d.id)
        FROM _timescaledb_catalog.dimension AS d WHERE d.hypertable_id = t.id) AS dimensions
FROM ({hypertables}) AS t
JOIN _timescaledb_catalog.hypertable AS h ON h.id = t.id
"""
_NO_HYPERTABLE = {"hypertable_id": None, "columnstore": False, "dimensions": None}

_COMMON = """
WITH RECURSIVE chunk AS ({chunks}),
hypertable AS ({hypertables}),
aggregate (oid) AS (
  SELECT a.view_oid FROM ({aggregates}) AS a
  UNION
  SELECT r.ev_class
  FROM aggregate AS a
  JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = a.oid
    AND d.classid = 'pg_catalog.pg_rewrite'::regclass
  JOIN pg_catalog.pg_rewrite AS r ON r.oid = d.objid
),
hidden_schema AS ({extension_schemas}),
relation AS (
  SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind, c.relrowsecurity, c.relreplident,
         c.relispopulated, c.relowner, c.oid IN (SELECT h.relid FROM hypertable AS h) AS is_hypertable
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND n.oid NOT IN (SELECT s.oid FROM hidden_schema AS s)
    AND c.oid NOT IN (SELECT k.relid FROM chunk AS k WHERE k.relid IS NOT NULL)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_class'::regclass
                    AND d.objid = c.oid AND d.deptype = 'e')
)
"""

# What obj_description does; that is a function in SQL, which the server runs as one for each row.
_COMMENT = """(
  SELECT d.description FROM pg_catalog.pg_description AS d
  WHERE d.objoid = {row}.oid AND d.classoid = 'pg_catalog.{catalog}'::regclass AND d.objsubid = 0
) AS comment"""

# A policy as pg_dump writes it after the table, its roles by name; of the row of pg_policy.
POLICY = """concat_ws(' ', CASE WHEN NOT {row}.polpermissive THEN 'AS RESTRICTIVE' END,
  CASE {row}.polcmd WHEN 'r' THEN 'FOR SELECT' WHEN 'a' THEN 'FOR INSERT' WHEN 'w' THEN 'FOR UPDATE'
    WHEN 'd' THEN 'FOR DELETE' END,
  CASE WHEN {row}.polroles <> ARRAY[0::oid] THEN 'TO ' || (SELECT string_agg(quote_ident(u.rolname), ', '
    ORDER BY u.rolname) FROM pg_catalog.pg_roles AS u WHERE u.oid = ANY ({row}.polroles)) END,
  'USING (' || pg_get_expr({row}.polqual, {row}.polrelid) || ')',
  'WITH CHECK (' || pg_get_expr({row}.polwithcheck, {row}.polrelid) || ')')"""

# The names of an index's columns; an expression counts as an empty name, because TimescaleDB folds constants in chunks.
_COLUMNS = """(
  SELECT array_agg(coalesce(a.attname, '') ORDER BY u.place)
  FROM unnest({index}.indkey::int2[]) WITH ORDINALITY AS u (attnum, place)
  LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = {index}.indrelid AND a.attnum = u.attnum AND u.attnum <> 0
)"""

# How many valid indexes a relation has that are like the index x, as far as chunks show it.
_ALIKE = f"""(
  SELECT count(*) FROM pg_catalog.pg_index AS kx
  JOIN pg_catalog.pg_class AS ki ON ki.oid = kx.indexrelid
  WHERE kx.indrelid = {{relation}} AND kx.indisvalid AND kx.indisunique = x.indisunique AND ki.relam = i.relam
    AND kx.indclass = x.indclass AND (kx.indpred IS NULL) = (x.indpred IS NULL)
    AND {_COLUMNS.format(index="kx")} = {_COLUMNS.format(index="x")}
)"""

# A hypertable's chunks, of which only tables can have what it has (a tiered chunk is a foreign table). By inheritance,
# which has an index: a list of all chunks would be read once for each hypertable.
_TABLES_OF = """
pg_catalog.pg_inherits AS k
JOIN pg_catalog.pg_class AS kc ON kc.oid = k.inhrelid AND kc.relkind = 'r'
WHERE k.inhparent = {relation}"""

# How many chunks have fewer valid indexes like it than the hypertable: an interrupted build, or one made while hooks
# were off. Counted, because indexes that differ in an expression or a predicate alone look alike here. OFFSET keeps the
# hypertable's own number from being counted again for each chunk.
_LACKING = f"""(
  SELECT count(*)
  FROM (SELECT greatest(1, {_ALIKE.format(relation="x.indrelid")}) AS alike OFFSET 0) AS own
  CROSS JOIN {_TABLES_OF.format(relation="x.indrelid")} AND {_ALIKE.format(relation="k.inhrelid")} < own.alike
)"""

# How many chunks have no such foreign key, but for those that a server of that version takes it from (compression).
_LACKING_KEY = f"""(
  SELECT count(*) FROM {_TABLES_OF.format(relation="c.conrelid")} AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_constraint AS kx
    WHERE kx.conrelid = k.inhrelid AND kx.contype = 'f' AND pg_get_constraintdef(kx.oid) = pg_get_constraintdef(c.oid)
  ) AND k.inhrelid NOT IN (SELECT z.chunk FROM ({{keyless}}) AS z)
)"""

# How many chunks have no such row trigger, or have it in another state: made while hooks were off.
_LACKING_TRIGGER = f"""(
  SELECT count(*) FROM {_TABLES_OF.format(relation="g.tgrelid")} AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_trigger AS kg
    WHERE kg.tgrelid = k.inhrelid AND kg.tgname = g.tgname AND kg.tgfoid = g.tgfoid AND kg.tgenabled = g.tgenabled)
)"""

# One query for each part of the document. A column that older servers lack is taken from the row as JSON.
_PARTS = {
    "relations": """
SELECT r.oid::int8, r.schema, r.name, r.kind, r.relrowsecurity AS row_security, r.relreplident AS replica_identity,
       r.relispopulated AS populated, pg_has_role(r.relowner, 'USAGE') AS owned,
       r.oid IN (SELECT a.oid FROM aggregate AS a) AS on_aggregate,
       (SELECT i.inhparent::int8 FROM pg_catalog.pg_inherits AS i
        JOIN pg_catalog.pg_class AS p ON p.oid = i.inhparent AND p.relkind = 'p' WHERE i.inhrelid = r.oid) AS parent,
       CASE WHEN r.is_hypertable THEN
         (SELECT coalesce(sum(pg_relation_size(k.inhrelid)), 0) FROM pg_catalog.pg_inherits AS k
          WHERE k.inhparent = r.oid)
         WHEN r.kind IN ('r', 'm') THEN pg_relation_size(r.oid) ELSE 0 END AS bytes,
       CASE WHEN r.is_hypertable THEN
         (SELECT count(*) FROM pg_catalog.pg_inherits AS k WHERE k.inhparent = r.oid) ELSE 0 END AS chunks
FROM relation AS r""",
    "indexes": f"""
SELECT i.oid::int8, x.indrelid::int8 AS relation, i.relname AS name,
       CASE WHEN c.oid IS NULL THEN pg_get_indexdef(i.oid) ELSE '' END AS definition,
       x.indisvalid AND x.indisready AND x.indislive AS valid,
       CASE WHEN r.is_hypertable THEN {_LACKING} ELSE 0 END AS lacking, x.indisclustered AS clustered,
       x.indisreplident AS replica_identity, c.oid::int8 AS constraint,
       {_COMMENT.format(row="i", catalog="pg_class")},
       array_to_string(i.reloptions, ', ') AS options,
       (SELECT i2.inhparent::int8 FROM pg_catalog.pg_inherits AS i2 WHERE i2.inhrelid = i.oid) AS parent,
       (SELECT s.spcname FROM pg_catalog.pg_tablespace AS s WHERE s.oid = i.reltablespace) AS tablespace,
       CASE WHEN x.indexprs IS NOT NULL THEN
         (SELECT json_object_agg(a.attnum, a.attstattarget ORDER BY a.attnum) FROM pg_catalog.pg_attribute AS a
          WHERE a.attrelid = i.oid AND a.attstattarget >= 0) END AS statistics
FROM relation AS r
JOIN pg_catalog.pg_index AS x ON x.indrelid = r.oid
JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
LEFT JOIN pg_catalog.pg_constraint AS c
  ON c.conindid = i.oid AND c.conrelid = x.indrelid AND c.contype IN ('p', 'u', 'x')""",
    "constraints": f"""
SELECT c.oid::int8, c.conrelid::int8 AS relation, n.nspname AS schema, t.typname AS domain, c.conname AS name,
       c.contype AS type, pg_get_constraintdef(c.oid) AS definition, c.conindid::int8 AS index,
       c.confrelid::int8 AS referenced, {_COMMENT.format(row="c", catalog="pg_constraint")},
       NOT c.conislocal AS inherited,
       CASE WHEN r.is_hypertable AND c.contype = 'f' THEN {_LACKING_KEY} ELSE 0 END AS lacking
FROM pg_catalog.pg_constraint AS c
LEFT JOIN relation AS r ON r.oid = c.conrelid
LEFT JOIN pg_catalog.pg_type AS t ON t.oid = c.contypid AND c.conrelid = 0
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
WHERE (r.oid IS NOT NULL OR n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')
  AND c.contype IN ('p', 'u', 'x', 'f', 'c', 'n') AND (c.contype <> 'f' OR c.conparentid = 0)""",
    "triggers": f"""
SELECT g.oid::int8, g.tgrelid::int8 AS relation, g.tgname AS name, pg_get_triggerdef(g.oid, false) AS definition,
       g.tgenabled AS enabled, {{clone}} AS clone,
       n.nspname AS function_schema, p.proname AS function, encode(g.tgargs, 'escape') AS arguments,
       CASE WHEN r.is_hypertable AND g.tgtype & 1 = 1 THEN {_LACKING_TRIGGER} ELSE 0 END AS lacking,
       {_COMMENT.format(row="g", catalog="pg_trigger")}
FROM relation AS r
JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = r.oid
JOIN pg_catalog.pg_proc AS p ON p.oid = g.tgfoid
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE NOT g.tgisinternal OR {{clone}}""",
    "rules": f"""
SELECT w.oid::int8, w.ev_class::int8 AS relation, w.rulename AS name, w.ev_enabled AS enabled,
       CASE WHEN w.rulename = '_RETURN' THEN pg_get_viewdef(w.ev_class) ELSE pg_get_ruledef(w.oid) END AS definition,
       {_COMMENT.format(row="w", catalog="pg_rewrite")}
FROM relation AS r
JOIN pg_catalog.pg_rewrite AS w ON w.ev_class = r.oid
WHERE r.kind <> 'm'""",
    "policies": f"""
SELECT p.oid::int8, p.polrelid::int8 AS relation, p.polname AS name, {POLICY.format(row="p")} AS definition,
       {_COMMENT.format(row="p", catalog="pg_policy")}
FROM relation AS r
JOIN pg_catalog.pg_policy AS p ON p.polrelid = r.oid""",
    "statistics": f"""
SELECT s.oid::int8, s.stxrelid::int8 AS relation, n.nspname AS schema, s.stxname AS name,
       pg_get_statisticsobjdef(s.oid) AS definition, to_jsonb(s) ->> 'stxstattarget' AS target,
       {_COMMENT.format(row="s", catalog="pg_statistic_ext")}
FROM relation AS r
JOIN pg_catalog.pg_statistic_ext AS s ON s.stxrelid = r.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid = s.stxnamespace""",
    "reads": """
SELECT d.classid::int8 AS class, d.objid::int8 AS object, json_agg(DISTINCT d.refobjid::int8) AS relations
FROM pg_catalog.pg_depend AS d
JOIN pg_catalog.pg_class AS c ON c.oid = d.refobjid AND c.relkind IN ('r', 'p', 'm', 'v', 'f')
WHERE d.classid IN ('pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_policy'::regclass)
  AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.objid >= 16384
GROUP BY d.classid, d.objid""",
    "matviews": """
SELECT r.oid::int8 AS relation, w.oid::int8 AS rule
FROM relation AS r JOIN pg_catalog.pg_rewrite AS w ON w.ev_class = r.oid WHERE r.kind = 'm'""",
    "event_triggers": """
SELECT e.oid::int8, e.evtname AS name, e.evtevent AS event, e.evtenabled AS enabled, e.evttags AS tags,
       n.nspname AS function_schema, p.proname AS function, obj_description(e.oid, 'pg_event_trigger') AS comment
FROM pg_catalog.pg_event_trigger AS e
JOIN pg_catalog.pg_proc AS p ON p.oid = e.evtfoid
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_event_trigger'::regclass
                  AND d.objid = e.oid AND d.deptype = 'e')""",
    "publications": """
SELECT p.oid::int8, p.pubname AS name, to_jsonb(p) - 'oid' - 'pubname' - 'pubowner' AS settings,
       obj_description(p.oid, 'pg_publication') AS comment
FROM pg_catalog.pg_publication AS p""",
    "publication_tables": """
SELECT x.oid::int8, p.pubname AS publication, x.prrelid::int8 AS relation,
       {publication_filter} AS filter,
       (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = x.prrelid AND to_jsonb(x) -> 'prattrs' @> to_jsonb(a.attnum)) AS columns
FROM pg_catalog.pg_publication_rel AS x
JOIN pg_catalog.pg_publication AS p ON p.oid = x.prpubid
JOIN relation AS r ON r.oid = x.prrelid""",
    "publication_schemas": """{publication_schemas}""",
    "subscriptions": """
SELECT s.oid::int8, s.subname AS name, array_to_json(s.subpublications) AS publications,
       obj_description(s.oid, 'pg_subscription') AS comment
FROM pg_catalog.pg_subscription AS s
WHERE s.subdbid = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())""",
    "default_privileges": """
SELECT a.oid::int8, pg_get_userbyid(a.defaclrole) AS role, n.nspname AS schema, a.defaclobjtype AS type,
       (SELECT json_agg(x::text ORDER BY x::text) FROM unnest(a.defaclacl) AS x) AS privileges
FROM pg_catalog.pg_default_acl AS a
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = a.defaclnamespace""",
    "hypertables": """{hypertables}""",
    "chunks": """
SELECT n.nspname AS schema, c.relname AS name
FROM chunk AS k
JOIN pg_catalog.pg_class AS c ON c.oid = k.relid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT EXISTS (SELECT FROM hidden_schema AS s WHERE s.oid = n.oid)""",
    "tablespaces": """
SELECT s.spcname AS name, s.oid = d.dattablespace AS standard
FROM pg_catalog.pg_tablespace AS s
JOIN pg_catalog.pg_database AS d ON d.datname = current_database()""",
    "role": """
SELECT r.rolsuper AS superuser, r.rolsuper OR EXISTS (SELECT FROM pg_catalog.pg_roles AS g
  WHERE g.rolname = 'pg_create_subscription' AND pg_has_role(g.oid, 'USAGE')) AS may_subscribe
FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user""",
    # ALTER INDEX / TRIGGER … DEPENDS ON EXTENSION (PostgreSQL 13 and later print it)
    "extension_dependencies": """
SELECT d.classid::int8 AS class, d.objid::int8 AS object, e.extname AS extension
FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid
WHERE d.deptype = 'x' ORDER BY e.extname""",
}

_PUBLICATION_SCHEMAS = """
SELECT x.oid::int8, p.pubname AS publication, n.nspname AS schema
FROM pg_catalog.pg_publication_namespace AS x
JOIN pg_catalog.pg_publication AS p ON p.oid = x.pnpubid
JOIN pg_catalog.pg_namespace AS n ON n.oid = x.pnnspid"""
_NO_PUBLICATION_SCHEMAS = "SELECT NULL::int8 AS oid WHERE false"


def read(database: Database) -> Document:
    """Read one side's document, in one statement.

    :returns: a list of rows for each part; oids belong to that side only.
    """
    since_15 = database.server_version >= PG_PUBLICATION_FILTER
    choices = {
        "{clone}": "g.tgparentid <> 0" if database.server_version >= PG_TRIGGER_PARENT else "false",
        "{publication_filter}": "pg_get_expr(x.prqual, x.prrelid)" if since_15 else "NULL",
        "{keyless}": _keyless(database),
        "{hypertables}": _hypertables(database.timescale),
        "{publication_schemas}": _PUBLICATION_SCHEMAS if since_15 else _NO_PUBLICATION_SCHEMAS,
    }
    queries = {name: _filled(query, choices) for name, query in _PARTS.items()}
    parts = ",\n".join(
        f"'{name}', (SELECT coalesce(json_agg(q), '[]') FROM ({queries[name]}) AS q)" for name in queries
    )
    document = t.cast(Document, database.document(f"{_common(database)} SELECT json_build_object({parts})::text"))
    hypertables = {row.pop("oid"): row for row in document.pop("hypertables")}
    for row in document["relations"]:
        row.update(hypertables.get(row["oid"], _NO_HYPERTABLE))
    return document


def _common(database: Database) -> str:
    version = database.timescale
    return _COMMON.format(
        chunks=chunks(version) if version else _NO_CHUNKS,
        hypertables=HYPERTABLES if version else _NO_HYPERTABLES,
        aggregates=CONTINUOUS_AGGREGATES if version else _NO_AGGREGATES,
        extension_schemas=EXTENSION_SCHEMAS,
    )


def _hypertables(version: Timescale | None) -> str:
    if version is None:
        return _NO_HYPERTABLES
    return _HYPERTABLES.format(hypertables=HYPERTABLES, has_columnstore=has_columnstore(version))


def _keyless(database: Database) -> str:
    version = database.timescale
    if version is None or version >= TS_FK_ON_COMPRESSED:
        return "SELECT NULL::pg_catalog.oid AS chunk WHERE false"
    return companions(version)


def _filled(query: str, choices: dict[str, str]) -> str:
    for place, text in choices.items():
        query = query.replace(place, text)
    return query
