# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What hangs on the views and functions of the target that stand on an aggregate, as statements that make it again.

Owner, grants, comments, options and defaults are in the document; here is what else a DROP takes along, and what a
DROP or an exchange of names could not take along.
"""

from __future__ import annotations

import json
import typing as t

from .._connection import Database
from .target import Key

__all__ = ["Held", "read_attached", "read_held"]

_ATTACHED = """
WITH relations AS (
  SELECT c.oid, c.relkind, c.relispopulated, c.reltablespace, n.nspname, c.relname,
    pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS name
  FROM pg_catalog.json_array_elements(%(names)s::pg_catalog.json) AS w
  JOIN pg_catalog.pg_namespace AS n ON n.nspname = w ->> 0
  JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w ->> 1 AND c.relkind IN ('v', 'm')
), pieces AS (
  SELECT r.oid, -1 AS rank, 0::pg_catalog.oid AS number,
    pg_catalog.format('ALTER MATERIALIZED VIEW %%s SET TABLESPACE %%I', r.name, p.spcname) AS text
  FROM relations AS r JOIN pg_catalog.pg_tablespace AS p ON p.oid = r.reltablespace
  UNION ALL SELECT r.oid, 0, 0::pg_catalog.oid,
    pg_catalog.format('REFRESH MATERIALIZED VIEW %%s', r.name)
  FROM relations AS r WHERE r.relkind = 'm' AND r.relispopulated
  UNION ALL SELECT r.oid, 1, x.indexrelid, pg_catalog.pg_get_indexdef(x.indexrelid)
  FROM relations AS r JOIN pg_catalog.pg_index AS x ON x.indrelid = r.oid
  UNION ALL SELECT r.oid, 2, x.indexrelid,
    pg_catalog.format('ALTER MATERIALIZED VIEW %%s CLUSTER ON %%I', r.name, i.relname)
  FROM relations AS r JOIN pg_catalog.pg_index AS x ON x.indrelid = r.oid AND x.indisclustered
  JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
  UNION ALL SELECT r.oid, 2, x.indexrelid,
    pg_catalog.format('ALTER INDEX %%I.%%I SET TABLESPACE %%I', r.nspname, i.relname, p.spcname)
  FROM relations AS r JOIN pg_catalog.pg_index AS x ON x.indrelid = r.oid
  JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
  JOIN pg_catalog.pg_tablespace AS p ON p.oid = i.reltablespace
  UNION ALL SELECT r.oid, 2, s.oid, pg_catalog.pg_get_statisticsobjdef(s.oid)
  FROM relations AS r JOIN pg_catalog.pg_statistic_ext AS s ON s.stxrelid = r.oid
  UNION ALL SELECT r.oid, 3, a.attnum::pg_catalog.int4::pg_catalog.oid, pg_catalog.format(
    'ALTER MATERIALIZED VIEW %%s ALTER COLUMN %%I SET STATISTICS %%s', r.name, a.attname, a.attstattarget)
  FROM relations AS r JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND r.relkind = 'm' AND a.attnum > 0
  WHERE a.attstattarget >= 0
  UNION ALL SELECT r.oid, 3, a.attnum::pg_catalog.int4::pg_catalog.oid, pg_catalog.format(
    'ALTER MATERIALIZED VIEW %%s ALTER COLUMN %%I SET (%%s)', r.name, a.attname,
    pg_catalog.array_to_string(a.attoptions, ', '))
  FROM relations AS r JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND r.relkind = 'm' AND a.attnum > 0
  WHERE a.attoptions IS NOT NULL
  UNION ALL SELECT r.oid, 4, w.oid, pg_catalog.pg_get_ruledef(w.oid)
  FROM relations AS r JOIN pg_catalog.pg_rewrite AS w ON w.ev_class = r.oid AND w.rulename <> '_RETURN'
  UNION ALL SELECT r.oid, 5, g.oid, pg_catalog.pg_get_triggerdef(g.oid)
  FROM relations AS r JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = r.oid AND NOT g.tgisinternal
), parts AS (
  SELECT r.oid, 'pg_catalog.pg_class'::pg_catalog.regclass AS classid, x.indexrelid AS objid
  FROM relations AS r JOIN pg_catalog.pg_index AS x ON x.indrelid = r.oid
  UNION ALL SELECT r.oid, 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, s.oid
  FROM relations AS r JOIN pg_catalog.pg_statistic_ext AS s ON s.stxrelid = r.oid
  UNION ALL SELECT r.oid, 'pg_catalog.pg_rewrite'::pg_catalog.regclass, w.oid
  FROM relations AS r JOIN pg_catalog.pg_rewrite AS w ON w.ev_class = r.oid AND w.rulename <> '_RETURN'
  UNION ALL SELECT r.oid, 'pg_catalog.pg_trigger'::pg_catalog.regclass, g.oid
  FROM relations AS r JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = r.oid AND NOT g.tgisinternal
), said AS (
  SELECT p.oid, 6 AS rank, p.objid AS number, pg_catalog.format('COMMENT ON %%s %%s IS %%L',
    pg_catalog.replace(pg_catalog.upper(i.type), ' OBJECT', ''), i.identity, d.description) AS text
  FROM parts AS p JOIN pg_catalog.pg_description AS d
    ON d.classoid = p.classid AND d.objoid = p.objid AND d.objsubid = 0
  CROSS JOIN LATERAL pg_catalog.pg_identify_object(p.classid, p.objid, 0) AS i
)
SELECT pg_catalog.json_agg(pg_catalog.json_build_array(r.nspname, r.relname, (
    SELECT pg_catalog.json_agg(p.text ORDER BY p.rank, p.number)
    FROM (SELECT * FROM pieces UNION ALL SELECT * FROM said) AS p WHERE p.oid = r.oid))
  )::pg_catalog.text
FROM relations AS r
"""

# Rules, policies and triggers of tables and the like read an aggregate, and would go on reading the old one. Those of
# views that are made again with it are not meant, nor the rule that makes a view of a query.
_HELD = """
WITH asked AS (
  SELECT w ->> 0 AS schema, w ->> 1 AS name, w ->> 2 AS arguments
  FROM pg_catalog.json_array_elements(%(names)s::pg_catalog.json) AS w
), members AS (
  SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid AS classid, c.oid, a.*
  FROM asked AS a JOIN pg_catalog.pg_namespace AS n ON n.nspname = a.schema
  JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = a.name WHERE a.arguments IS NULL
  UNION ALL SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, a.*
  FROM asked AS a JOIN pg_catalog.pg_namespace AS n ON n.nspname = a.schema
  JOIN pg_catalog.pg_proc AS p ON p.pronamespace = n.oid AND p.proname = a.name
    AND pg_catalog.pg_get_function_identity_arguments(p.oid) = a.arguments
), readers AS (
  SELECT m.oid, m.schema, m.name, m.arguments, d.classid, d.objid, d.refobjsubid, w.rulename,
    COALESCE(w.ev_class, p.polrelid, g.tgrelid, x.indrelid, s.stxrelid, 0) AS relation
  FROM members AS m
  JOIN pg_catalog.pg_depend AS d ON d.refclassid = m.classid AND d.refobjid = m.oid AND d.deptype = 'n'
  LEFT JOIN pg_catalog.pg_rewrite AS w ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND w.oid = d.objid
  LEFT JOIN pg_catalog.pg_policy AS p ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND p.oid = d.objid
  LEFT JOIN pg_catalog.pg_trigger AS g ON d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND g.oid = d.objid
  LEFT JOIN pg_catalog.pg_index AS x ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND x.indexrelid = d.objid
  LEFT JOIN pg_catalog.pg_statistic_ext AS s
    ON d.classid = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass AND s.oid = d.objid
)
SELECT pg_catalog.json_build_object(
  'held', (SELECT pg_catalog.json_agg(DISTINCT pg_catalog.jsonb_build_object('kind', i.type, 'identity', i.identity,
      'reads', pg_catalog.jsonb_build_array(r.schema, r.name, r.arguments)))
    FROM readers AS r CROSS JOIN LATERAL pg_catalog.pg_identify_object(r.classid, r.objid, 0) AS i
    WHERE r.relation <> 0 AND r.rulename IS DISTINCT FROM '_RETURN'
      AND r.relation NOT IN (SELECT m.oid FROM members AS m)),
  'columns', (SELECT pg_catalog.json_agg(DISTINCT pg_catalog.jsonb_build_array(
      r.schema, r.name, k.attname, m.schema, m.name, m.arguments))
    FROM readers AS r
    JOIN pg_catalog.pg_attribute AS k ON k.attrelid = r.oid AND k.attnum = r.refobjsubid AND r.arguments IS NULL
    JOIN members AS m ON m.oid <> r.oid AND (m.oid = r.relation OR (m.classid = r.classid AND m.oid = r.objid))
    WHERE r.refobjsubid > 0)
)::pg_catalog.text
"""


class Held(t.NamedTuple):
    """What could not go along when a new aggregate takes the place of an old one.

    :param others: as ``others`` of the document: kind, identity, and which aggregate or dependent it reads.
    :param columns: aggregate or dependent, name of a column, and the dependent that reads that column.
    """

    others: list[dict[str, t.Any]]
    columns: list[tuple[Key, str, Key]]


def read_held(database: Database, entries: t.Sequence[t.Mapping[str, t.Any]]) -> Held:
    """Find it on the target.

    :param entries: aggregates and all dependents.
    """
    names = [[entry["schema"], entry["name"], entry.get("arguments")] for entry in entries]
    found = database.document(_HELD, {"names": json.dumps(names)})
    columns = [
        ((schema, name, ""), column, (reader[0], reader[1], reader[2] or ""))
        for schema, name, column, *reader in found["columns"] or ()
    ]
    return Held(found["held"] or [], columns)


def read_attached(database: Database, keys: t.Sequence[Key]) -> dict[Key, list[str]]:
    """Statements for the rows, indexes, statistics objects, rules and triggers of views.

    :param keys: views and materialized views; functions have nothing of that kind.
    """
    if not keys:
        return {}
    found = database.document(_ATTACHED, {"names": json.dumps([key[:2] for key in keys])})
    return {(schema, name, ""): texts or [] for schema, name, texts in found or ()}
