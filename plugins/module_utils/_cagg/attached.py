# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What hangs on the views and functions of the target that stand on an aggregate, as statements that make it again.

Owner, grants, comments, options and defaults are in the document; here is what else a DROP takes along.
"""

from __future__ import annotations

import json
import typing as t

from .._connection import Database
from .target import Key

__all__ = ["read_attached"]

_ATTACHED = """
WITH relations AS (
  SELECT c.oid, c.relkind, c.relispopulated, n.nspname, c.relname,
    pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS name
  FROM pg_catalog.json_array_elements(%(names)s::pg_catalog.json) AS w
  JOIN pg_catalog.pg_namespace AS n ON n.nspname = w ->> 0
  JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w ->> 1 AND c.relkind IN ('v', 'm')
), pieces AS (
  SELECT r.oid, 0 AS rank, 0::pg_catalog.oid AS number,
    pg_catalog.format('REFRESH MATERIALIZED VIEW %%s', r.name) AS text
  FROM relations AS r WHERE r.relkind = 'm' AND r.relispopulated
  UNION ALL SELECT r.oid, 1, x.indexrelid, pg_catalog.pg_get_indexdef(x.indexrelid)
  FROM relations AS r JOIN pg_catalog.pg_index AS x ON x.indrelid = r.oid
  UNION ALL SELECT r.oid, 2, x.indexrelid,
    pg_catalog.format('ALTER MATERIALIZED VIEW %%s CLUSTER ON %%I', r.name, i.relname)
  FROM relations AS r JOIN pg_catalog.pg_index AS x ON x.indrelid = r.oid AND x.indisclustered
  JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
  UNION ALL SELECT r.oid, 2, x.indexrelid, pg_catalog.format('COMMENT ON INDEX %%I.%%I IS %%L', r.nspname, i.relname,
    pg_catalog.obj_description(x.indexrelid, 'pg_class'))
  FROM relations AS r JOIN pg_catalog.pg_index AS x ON x.indrelid = r.oid
  JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
  WHERE pg_catalog.obj_description(x.indexrelid, 'pg_class') IS NOT NULL
  UNION ALL SELECT r.oid, 2, s.oid, pg_catalog.pg_get_statisticsobjdef(s.oid)
  FROM relations AS r JOIN pg_catalog.pg_statistic_ext AS s ON s.stxrelid = r.oid
  UNION ALL SELECT r.oid, 3, a.attnum::pg_catalog.int4::pg_catalog.oid, pg_catalog.format(
    'ALTER MATERIALIZED VIEW %%s ALTER COLUMN %%I SET STATISTICS %%s', r.name, a.attname, a.attstattarget)
  FROM relations AS r JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND r.relkind = 'm' AND a.attnum > 0
  WHERE a.attstattarget >= 0
  UNION ALL SELECT r.oid, 4, w.oid, pg_catalog.pg_get_ruledef(w.oid)
  FROM relations AS r JOIN pg_catalog.pg_rewrite AS w ON w.ev_class = r.oid AND w.rulename <> '_RETURN'
  UNION ALL SELECT r.oid, 5, g.oid, pg_catalog.pg_get_triggerdef(g.oid)
  FROM relations AS r JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = r.oid AND NOT g.tgisinternal
)
SELECT pg_catalog.json_agg(pg_catalog.json_build_array(r.nspname, r.relname, (
    SELECT pg_catalog.json_agg(p.text ORDER BY p.rank, p.number) FROM pieces AS p WHERE p.oid = r.oid))
  )::pg_catalog.text
FROM relations AS r
"""


def read_attached(database: Database, keys: t.Sequence[Key]) -> dict[Key, list[str]]:
    """Statements for the rows, indexes, statistics objects, rules and triggers of views.

    :param keys: views and materialized views; functions have nothing of that kind.
    """
    if not keys:
        return {}
    found = database.document(_ATTACHED, {"names": json.dumps([key[:2] for key in keys])})
    return {(schema, name, ""): texts or [] for schema, name, texts in found or ()}
