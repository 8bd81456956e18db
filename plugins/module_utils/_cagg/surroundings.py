# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What a target has around the wanted aggregates: relations of those names, schemas, roles, functions."""

from __future__ import annotations

import json
import typing as t

from .._connection import Database

__all__ = ["read_surroundings"]

_SURROUNDINGS = """
SELECT pg_catalog.json_build_object(
  'user', current_user,
  'relations', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('schema', n.nspname, 'name', c.relname,
      'kind', c.relkind, 'row_security', c.relrowsecurity, 'forced', c.relforcerowsecurity))
    FROM pg_catalog.json_array_elements(%(relations)s::pg_catalog.json) AS w
    JOIN pg_catalog.pg_namespace AS n ON n.nspname = w ->> 0
    JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w ->> 1),
  'routines', (SELECT pg_catalog.json_agg(w)
    FROM pg_catalog.json_array_elements(%(routines)s::pg_catalog.json) AS w
    JOIN pg_catalog.pg_namespace AS n ON n.nspname = w ->> 0
    JOIN pg_catalog.pg_proc AS p ON p.pronamespace = n.oid AND p.proname = w ->> 1
      AND pg_catalog.pg_get_function_identity_arguments(p.oid) = w ->> 2),
  'schemas', (SELECT pg_catalog.json_agg(n.nspname) FROM pg_catalog.pg_namespace AS n),
  'roles', (SELECT pg_catalog.json_object_agg(r.rolname, pg_catalog.pg_has_role(r.oid, CASE
      WHEN pg_catalog.current_setting('server_version_num')::pg_catalog.int4 >= 160000 THEN 'SET' ELSE 'MEMBER' END))
    FROM pg_catalog.pg_roles AS r),
  'barred', (SELECT pg_catalog.json_agg(w)
    FROM pg_catalog.json_array_elements(%(owners)s::pg_catalog.json) AS w
    JOIN pg_catalog.pg_namespace AS n ON n.nspname = w ->> 0 JOIN pg_catalog.pg_roles AS r ON r.rolname = w ->> 1
    WHERE NOT pg_catalog.has_schema_privilege(r.oid, n.oid, 'CREATE')
    AND NOT (SELECT s.rolsuper FROM pg_catalog.pg_roles AS s WHERE s.rolname = current_user)),
  'creatable', (SELECT pg_catalog.json_agg(n.nspname) FROM pg_catalog.pg_namespace AS n
    WHERE pg_catalog.has_schema_privilege(n.oid, 'CREATE')),
  'extension_functions', (SELECT pg_catalog.json_agg(DISTINCT p.proname) FROM pg_catalog.pg_depend AS d
    JOIN pg_catalog.pg_extension AS e
      ON e.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
    JOIN pg_catalog.pg_proc AS p ON p.oid = d.objid AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    WHERE e.extname = 'timescaledb' AND d.deptype = 'e' AND p.pronamespace = e.extnamespace)
)::pg_catalog.text
"""


def read_surroundings(database: Database, wanted: dict[str, t.Any]) -> dict[str, t.Any]:
    """What the target has around the wanted objects: relations of those names, schemas, roles, extension functions.

    ``roles`` tells which the connecting role may make an owner; ``barred`` pairs schemas with wanted owners that may
    not create there, and so cannot be given anything in it (ALTER ... OWNER TO, PostgreSQL manual). ``creatable`` are
    the schemas in which the connecting role itself may create.

    :param wanted: the source's document.
    """
    names = [
        [entry["schema"], entry["name"]] for key in ("aggregates", "hypertables", "dependents") for entry in wanted[key]
    ]
    owned = sorted({(entry["schema"], entry["owner"]) for key in ("aggregates", "dependents") for entry in wanted[key]})
    stored = sorted({(entry["materialization"][0], entry["owner"]) for entry in wanted["aggregates"]})
    functions = [entry for entry in wanted["dependents"] if entry["kind"] == "function"]
    routines = [[entry["schema"], entry["name"], entry["arguments"]] for entry in functions]
    parameters = {
        "relations": json.dumps(names),
        "routines": json.dumps(routines),
        "owners": json.dumps(owned + stored),
    }
    found: dict[str, t.Any] = database.document(_SURROUNDINGS, parameters)
    return {key: value or ([] if key != "roles" else {}) for key, value in found.items()}
