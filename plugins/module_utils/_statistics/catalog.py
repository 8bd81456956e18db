# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What the planner's statistics of every relation look like: one statement, a row for each.

No function here takes a lock on a user's relation: a table that somebody holds exclusively must not stop the reading.
"""

from __future__ import annotations

import typing as t

from .._connection import Database
from .._timescale import (
    COMPRESSED_HYPERTABLES,
    CONTINUOUS_AGGREGATES,
    EXTENSION_SCHEMAS,
    HYPERTABLES,
    chunks,
    companions,
)
from .._versions import (
    PG_ANALYZED_EMPTY,
    PG_EXTENDED_INHERITED,
    PG_MAINTAIN,
    Timescale,
)

__all__ = ["read"]

_SPREAD_FROM = 8 * 2**20  # bytes; below, a session of its own for the root costs more than it saves
_NO_HYPERTABLES = """
SELECT 0 AS id, 0::pg_catalog.oid AS relid, false AS is_materialization WHERE false
"""
_NO_AGGREGATES = """
SELECT 0::pg_catalog.oid AS materialization_oid, ''::pg_catalog.name AS view_schema, ''::pg_catalog.name AS view_name
WHERE false
"""
_NO_CHUNKS = "SELECT 0 AS hypertable_id, 0::pg_catalog.oid AS relid WHERE false"
_NO_COMPANIONS = "SELECT 0::pg_catalog.oid AS chunk, 0::pg_catalog.oid AS companion WHERE false"

_NO_RELATIONS = "SELECT 0::pg_catalog.oid AS relid WHERE false"

# PostgreSQL 12 to 16: owner, owner of the database (shared catalogs apart), superuser. 17 and later: MAINTAIN as well,
# which pg_maintain has everywhere. Without USAGE on the schema the statement could not name the relation.
_MAY = """
n.usable AND (COALESCE(o.ours, false) OR (NOT c.relisshared AND g.owns_database){maintain})
"""
_MAINTAIN = " OR pg_catalog.has_table_privilege(c.oid, 'MAINTAIN')"

# Where an option of the table says so, it wins over the task's option, and that over the server's setting.
_LIMIT = """
COALESCE(CASE WHEN c.reloptions IS NOT NULL THEN (
           SELECT p.option_value::pg_catalog.float8 FROM pg_catalog.pg_options_to_table(c.reloptions) AS p
           WHERE p.option_name = '{name}') END, g.{option})
"""
_LIMITS = {"threshold": "autovacuum_analyze_threshold", "scale_factor": "autovacuum_analyze_scale_factor"}
_GIVEN = "COALESCE(%({option})s, pg_catalog.current_setting('{name}')::pg_catalog.float8) AS {option}"

# A superuser may read the table itself, which costs a fifth of the view.
_STATS_OF_SUPERUSER = """
  SELECT s.starelid AS relid, pg_catalog.array_agg(s.staattnum) FILTER (WHERE NOT s.stainherit) AS own,
         pg_catalog.array_agg(s.staattnum) FILTER (WHERE s.stainherit) AS inherited
  FROM pg_catalog.pg_statistic AS s GROUP BY 1
"""
# Naming the system columns keeps the view from asking for the rights on them.
_STATS = """
  SELECT c.oid AS relid, s.own, s.inherited
  FROM (
    SELECT v.schemaname, v.tablename,
           pg_catalog.array_agg(v.attname) FILTER (WHERE NOT v.inherited) AS own,
           pg_catalog.array_agg(v.attname) FILTER (WHERE v.inherited) AS inherited
    FROM pg_catalog.pg_stats AS v
    WHERE v.attname <> ALL ('{tableoid,cmax,xmax,cmin,xmin,ctid}'::pg_catalog.name[]) GROUP BY 1, 2
  ) AS s
  JOIN pg_catalog.pg_namespace AS n ON n.nspname = s.schemaname
  JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = s.tablename
"""
# What is the same for many relations is asked once, per schema, per owner or for all: a call for each of 20,000 costs
# more than the rest of its row. So do JSON and names of 64 bytes, hence rows, and names as text.
_RELATIONS = """
WITH RECURSIVE hypertables AS ({hypertables}),
aggregates AS ({aggregates}),
companions AS ({companions}),
extension_schemas AS ({extension_schemas}),
hidden AS (
  SELECT relid FROM ({chunks}) AS k UNION SELECT companion FROM companions
  UNION SELECT relid FROM ({compressed_hypertables}) AS z
),
descent (root, part, companion) AS (
  SELECT inhparent, inhrelid, false FROM pg_catalog.pg_inherits
  UNION
  SELECT d.root, i.inhrelid, false
  FROM descent AS d JOIN pg_catalog.pg_inherits AS i ON i.inhparent = d.part
),
tree AS (
  SELECT root, part, companion FROM descent
  UNION
  SELECT d.root, z.companion, true FROM descent AS d JOIN companions AS z ON z.chunk = d.part
),
locked AS (
  SELECT relation FROM pg_catalog.pg_locks
  WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND granted AND relation IS NOT NULL
),
given AS MATERIALIZED (
  SELECT {given}, pg_catalog.current_setting('block_size')::pg_catalog.int8 AS block_size,
         pg_catalog.pg_has_role(datdba, 'USAGE') AS owns_database
  FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
),
schemas AS MATERIALIZED (
  SELECT n.oid, n.nspname, pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS usable,
         n.nspname IN ('pg_catalog', 'information_schema') AS is_catalog,
         n.oid IN (SELECT oid FROM extension_schemas) AS is_extension
  FROM pg_catalog.pg_namespace AS n WHERE n.nspname <> 'pg_toast'
),
owners AS MATERIALIZED (SELECT oid, pg_catalog.pg_has_role(oid, 'USAGE') AS ours FROM pg_catalog.pg_roles),
stats AS MATERIALIZED ({stats}),
-- The server gathers nothing for columns with target 0 and virtual ones; a type's own typanalyze function may decline.
columns AS (
  SELECT a.attrelid AS relid, pg_catalog.count(*) AS named, pg_catalog.array_agg({column}) AS every,
         pg_catalog.array_agg({column}) FILTER (
           WHERE COALESCE(a.attstattarget, -1) <> 0 AND a.attgenerated <> 'v' AND a.atttypid <> ALL (ARRAY(
             SELECT ty.oid FROM pg_catalog.pg_type AS ty WHERE ty.typanalyze::pg_catalog.oid >= 16384))) AS needed
  FROM pg_catalog.pg_attribute AS a
  WHERE a.attnum > 0 AND NOT a.attisdropped
    AND (%(columns)s::pg_catalog.text[] IS NULL OR a.attname = ANY (%(columns)s::pg_catalog.text[]))
  GROUP BY 1
),
-- Only the owner sees what is kept for the expressions of an index. A partial index without rows gets nothing.
expressions AS (
  SELECT i.indrelid AS relid, pg_catalog.bool_or(s.own IS NULL OR {column} <> ALL (s.own)) AS lack_own
  FROM pg_catalog.pg_index AS i
  JOIN pg_catalog.pg_class AS ic ON ic.oid = i.indexrelid AND ic.relkind = 'i' AND ic.reltuples > 0
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = ic.oid AND a.attnum > 0 AND i.indkey[a.attnum - 1] = 0
    AND COALESCE(a.attstattarget, -1) <> 0
  LEFT JOIN stats AS s ON s.relid = ic.oid
  WHERE i.indexprs IS NOT NULL AND i.indisready AND %(columns)s::pg_catalog.text[] IS NULL
  GROUP BY 1
),
extended AS (
  SELECT e.stxrelid AS relid, pg_catalog.bool_or(d.own IS NOT TRUE {unless_silent}) AS lack_own,
         pg_catalog.bool_or(d.inherited IS NOT TRUE AND {inherited_exists}) AS lack_inherited
  FROM pg_catalog.pg_statistic_ext AS e
  JOIN pg_catalog.pg_namespace AS n ON n.oid = e.stxnamespace
  LEFT JOIN (
    SELECT s.statistics_schemaname, s.statistics_name,
           pg_catalog.bool_or(NOT {inherited}) AS own, pg_catalog.bool_or({inherited}) AS inherited
    FROM pg_catalog.pg_stats_ext AS s {built} GROUP BY 1, 2
  ) AS d ON d.statistics_schemaname = n.nspname AND d.statistics_name = e.stxname
  WHERE %(columns)s::pg_catalog.text[] IS NULL
    AND COALESCE(pg_catalog.to_jsonb(e) ->> 'stxstattarget', '-1') <> '0'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                    WHERE a.attrelid = e.stxrelid AND a.attnum = ANY (e.stxkeys) AND a.attstattarget = 0)
  GROUP BY 1
),
relation AS (
  SELECT c.oid, c.relnamespace, c.relname::pg_catalog.text AS relname, c.relkind, c.reltuples, c.relpages,
         h.relid IS NOT NULL AS is_hypertable, hidden.relid IS NOT NULL AS is_hidden,
         n.is_catalog OR (h.relid IS NULL AND hidden.relid IS NULL AND n.is_extension) AS is_catalog,
         {may} AS may, COALESCE(o.ours, false) AS owns,
         pg_catalog.has_table_privilege(c.oid, 'SELECT')
           AND NOT (c.relrowsecurity AND pg_catalog.row_security_active(c.oid)) AS readable,
         pg_catalog.pg_stat_get_mod_since_analyze(c.oid) AS changes,
         pg_catalog.pg_stat_get_live_tuples(c.oid) AS live,
         GREATEST(pg_catalog.pg_stat_get_last_analyze_time(c.oid),
                  pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid)) AS analyzed,
         pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid) AS autoanalyzed,
         {threshold} AS threshold, {scale_factor} AS scale_factor
  FROM pg_catalog.pg_class AS c
  CROSS JOIN given AS g
  JOIN schemas AS n ON n.oid = c.relnamespace
  LEFT JOIN owners AS o ON o.oid = c.relowner
  LEFT JOIN hypertables AS h ON h.relid = c.oid
  LEFT JOIN hidden ON hidden.relid = c.oid
  WHERE c.relkind IN ('r', 'p', 'm', 'f') AND c.relpersistence <> 't'
    AND c.oid <> 'pg_catalog.pg_statistic'::pg_catalog.regclass
),
judged AS MATERIALIZED (
  SELECT r.*, COALESCE(k.named, 0) AS named, w.looked_at, l.lack_inherited,
         GREATEST(r.reltuples, 0, CASE WHEN NOT w.looked_at THEN r.live ELSE 0 END) AS rows,
         r.relkind IN ('r', 'm') AND r.changes > r.threshold + r.scale_factor * GREATEST(r.reltuples, 0) AS stale,
         CASE WHEN r.readable THEN (k.every && s.own) IS NOT TRUE AND (k.every && s.inherited) IS NOT TRUE
           ELSE NOT w.looked_at END AS bare,
         -- Seen empty and still so. Counters vanish in a crash; then the file must not have grown either.
         CASE
           WHEN r.relkind = 'p' THEN false
           WHEN NOT w.looked_at THEN true
           WHEN NOT r.readable THEN r.analyzed IS NULL AND r.relkind <> 'f'
           WHEN NOT l.lack_own THEN false
           WHEN r.reltuples > 0 OR r.changes > 0 THEN true
           WHEN r.analyzed IS NOT NULL OR r.relkind = 'f' OR r.oid IN (SELECT relation FROM locked) THEN false
           ELSE pg_catalog.pg_relation_size(r.oid) > r.relpages::pg_catalog.int8 * g.block_size
         END AS missing
  FROM relation AS r
  CROSS JOIN given AS g
  LEFT JOIN columns AS k ON k.relid = r.oid
  LEFT JOIN stats AS s ON s.relid = r.oid
  LEFT JOIN expressions AS x ON x.relid = r.oid
  LEFT JOIN extended AS e ON e.relid = r.oid
  CROSS JOIN LATERAL (SELECT {looked_at} AS looked_at) AS w
  CROSS JOIN LATERAL (SELECT
    NOT COALESCE(k.needed <@ s.own, k.needed IS NULL)
      OR (r.owns AND (COALESCE(x.lack_own, false) OR COALESCE(e.lack_own, false))) AS lack_own,
    NOT COALESCE(k.needed <@ s.inherited, k.needed IS NULL)
      OR (r.owns AND COALESCE(e.lack_inherited, false)) AS lack_inherited) AS l
),
-- What a tree's own statistics describe: everything below it. Autovacuum looks at the parts one by one and never at the
-- root, so rows of parts that it analyzed after the root count as changed. Counters of parts that the role may not
-- analyze would never go back to zero, so they do not count.
trees AS (
  SELECT t.root, pg_catalog.count(*) FILTER (WHERE NOT t.companion) AS parts,
         pg_catalog.count(*) FILTER (WHERE p.missing AND p.may) AS parts_missing,
         pg_catalog.count(*) FILTER (WHERE p.stale AND p.may) AS parts_stale,
         pg_catalog.count(*) FILTER (WHERE NOT p.may AND (p.missing OR p.stale)) AS parts_denied,
         pg_catalog.sum(p.rows) FILTER (WHERE NOT t.companion AND p.relkind <> 'p') AS rows,
         pg_catalog.sum(GREATEST(p.reltuples, 0)) FILTER (WHERE NOT t.companion AND p.relkind <> 'p') AS reltuples,
         pg_catalog.sum(p.changes) FILTER (WHERE p.relkind = 'r' AND p.may) AS changes,
         pg_catalog.sum(p.rows) FILTER (WHERE p.relkind = 'r' AND p.autoanalyzed > r.analyzed) AS autoanalyzed_rows,
         pg_catalog.bool_and(p.bare) AS bare,
         pg_catalog.sum(p.relpages) AS pages, pg_catalog.sum(p.live) AS live,
         -- By name, each with its weight, where the chunks may be done apart from the root: plain tables all of them.
         CASE WHEN pg_catalog.bool_and(r.is_hypertable AND p.relkind = 'r' AND p.may AND NOT t.companion)
           AND pg_catalog.sum(w.bytes) > {spread_from}
           THEN pg_catalog.json_agg(pg_catalog.json_build_array(n.nspname, p.relname, w.bytes) ORDER BY p.oid)
         END AS apart
  FROM tree AS t
  JOIN judged AS r ON r.oid = t.root AND NOT r.is_hidden
  JOIN judged AS p ON p.oid = t.part
  JOIN schemas AS n ON n.oid = p.relnamespace
  CROSS JOIN given AS g
  -- After a restart of the counters nothing but the file tells how large a chunk is.
  CROSS JOIN LATERAL (SELECT CASE
    WHEN p.relpages = 0 AND p.live = 0 AND p.missing AND r.is_hypertable AND p.relkind = 'r'
      AND p.oid NOT IN (SELECT relation FROM locked) THEN COALESCE(pg_catalog.pg_relation_size(p.oid), 0)
    ELSE GREATEST(p.relpages * g.block_size, p.live * 32) END AS bytes) AS w
  GROUP BY 1
),
-- ANALYZE of a partitioned table does its partitions too.
ancestors AS (
  SELECT t.part, pg_catalog.json_agg(pg_catalog.json_build_array(n.nspname, r.relname)) AS roots
  FROM tree AS t
  JOIN judged AS r ON r.oid = t.root AND r.relkind = 'p'
  JOIN schemas AS n ON n.oid = r.relnamespace
  GROUP BY 1
)
SELECT COALESCE(a.view_schema, n.nspname)::pg_catalog.text COLLATE "C" AS schema,
       COALESCE(a.view_name, j.relname)::pg_catalog.text COLLATE "C" AS name, j.relkind AS kind,
       CASE WHEN a.view_name IS NOT NULL THEN pg_catalog.json_build_array(n.nspname, j.relname) END AS relation,
       j.is_hypertable AS hypertable, j.is_catalog AS catalog, j.may, j.readable, j.looked_at AS analyzed,
       j.named AS columns, j.rows, COALESCE(j.changes, 0) AS changes, j.relpages AS pages, COALESCE(j.live, 0) AS live,
       j.threshold, j.scale_factor, j.missing, j.stale, j.bare AND COALESCE(t.bare, true) AS bare, j.lack_inherited,
       CASE WHEN t.root IS NOT NULL THEN pg_catalog.json_build_object(
         'parts', t.parts, 'missing', t.parts_missing, 'stale', t.parts_stale, 'denied', t.parts_denied,
         'rows', COALESCE(t.rows, 0), 'analyzed_rows', COALESCE(t.reltuples, 0), 'changes', COALESCE(t.changes, 0),
         'autoanalyzed_rows', COALESCE(t.autoanalyzed_rows, 0), 'pages', t.pages, 'live', COALESCE(t.live, 0),
         'apart', t.apart) END AS tree,
       up.roots AS ancestors
FROM judged AS j
JOIN schemas AS n ON n.oid = j.relnamespace
LEFT JOIN trees AS t ON t.root = j.oid
LEFT JOIN ancestors AS up ON up.part = j.oid
LEFT JOIN aggregates AS a ON a.materialization_oid = j.oid
WHERE NOT j.is_hidden AND (%(catalogs)s OR NOT j.is_catalog) AND (%(foreign)s OR j.relkind <> 'f')
ORDER BY 1, 2
"""


def read(
    database: Database,
    *,
    catalogs: bool = False,
    foreign: bool = False,
    columns: t.Sequence[str] = (),
    threshold: int | None = None,
    scale_factor: float | None = None,
) -> list[dict[str, t.Any]]:
    """Read what is known of every relation that can be analyzed, chunks folded into their hypertables.

    Missing means what ``vacuumdb --missing-stats-only`` (PostgreSQL 18) means: a column, an expression of an index or
    an extended statistics object has nothing. Stale is autovacuum's rule (PostgreSQL manual, 24.1.6).

    :param catalogs: also system catalogs, and the tables of the extension.
    :param foreign: also foreign tables.
    :param columns: only these columns count.
    :param threshold: rows, in place of autovacuum_analyze_threshold.
    :param scale_factor: share of the rows, in place of autovacuum_analyze_scale_factor.
    :returns: one entry per relation, by schema and name.
    """
    query = _RELATIONS.format(
        **_timescale_parts(database.timescale),
        **_postgres_parts(database.server_version),
        **_stats_parts(database.is_superuser()),
    )
    parameters = {
        "catalogs": catalogs,
        "foreign": foreign,
        "columns": list(columns) or None,
        "threshold": threshold,
        "scale_factor": scale_factor,
    }
    # The server takes what its own query gives for few rows, and would look through all relations once for each.
    with database.transaction("BEGIN; SET LOCAL enable_nestloop = off"):
        return database.records(query, parameters)


def _timescale_parts(version: Timescale | None) -> dict[str, str]:
    if version is None:
        return {
            "hypertables": _NO_HYPERTABLES,
            "aggregates": _NO_AGGREGATES,
            "chunks": _NO_CHUNKS,
            "companions": _NO_COMPANIONS,
            "compressed_hypertables": _NO_RELATIONS,
            "extension_schemas": EXTENSION_SCHEMAS,
        }
    return {
        "hypertables": HYPERTABLES,
        "aggregates": CONTINUOUS_AGGREGATES,
        "chunks": chunks(version),
        "companions": companions(version),
        "compressed_hypertables": COMPRESSED_HYPERTABLES,
        "extension_schemas": EXTENSION_SCHEMAS,
    }


def _stats_parts(superuser: bool) -> dict[str, str]:
    if superuser:
        return {"stats": _STATS_OF_SUPERUSER, "column": "a.attnum"}
    return {"stats": _STATS, "column": "a.attname"}


def _postgres_parts(version: int) -> dict[str, str]:
    inherited = version >= PG_EXTENDED_INHERITED
    return {
        "may": _MAY.format(maintain=_MAINTAIN if version >= PG_MAINTAIN else ""),
        "given": ", ".join(_GIVEN.format(name=name, option=option) for option, name in _LIMITS.items()),
        **{option: _LIMIT.format(name=name, option=option) for option, name in _LIMITS.items()},
        "inherited": "s.inherited" if inherited else "false",
        "inherited_exists": "true" if inherited else "false",
        # Before PostgreSQL 15 the view has a row for what was never gathered too. Only the kinds d (n_distinct) and f
        # (dependencies) always leave something.
        "built": "" if inherited else "WHERE s.n_distinct IS NOT NULL OR s.dependencies IS NOT NULL",
        "unless_silent": "" if inherited else "AND e.stxkind && '{d,f}'::\"char\"[]",
        # Before PostgreSQL 14 reltuples is 0 for what was never looked at, and nothing at all is kept of a look at a
        # partitioned table: there its statistics alone tell.
        "looked_at": "r.reltuples >= 0"
        if version >= PG_ANALYZED_EMPTY
        else "(r.reltuples > 0 OR r.analyzed IS NOT NULL OR r.relkind = 'p')",
        "spread_from": str(_SPREAD_FROM),
    }
