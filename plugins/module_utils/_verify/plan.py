# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Puts the comparisons together: what a scope asks for, as findings of one plan that has no steps."""

from __future__ import annotations

import fnmatch
import typing as t

from .._connection import Database
from .._plan import Finding
from . import catalog
from .aggregates import aggregate_checks, unmaterialized
from .estimates import compare_estimates
from .inventory import compare_inventories
from .readers import Readers
from .rows import compare_rows
from .sequences import compare_sequences
from .slices import table_checks

__all__ = ["compare_data"]

_NEEDS_ROWS = ("rows", "aggregates", "sequences")


def compare_data(source: Database, target: Database, options: t.Mapping[str, t.Any]) -> list[Finding]:
    """Everything but the planners' own comparison.

    :param options: scope, rows, jobs, schemas, exclude_schemas, owner_map.
    :raises Interrupted: the run was told to stop.
    """
    scope = options["scope"]
    wanted, existing = (_chosen(catalog.read(database), options) for database in (source, target))
    findings = compare_inventories(wanted, existing, scope, options["owner_map"])
    if not any(name in scope for name in _NEEDS_ROWS):
        return findings
    encodings = (wanted["encoding"], existing["encoding"])
    with Readers((source, target), options["jobs"]) as readers:
        if "rows" in scope:
            checks = table_checks(wanted, existing)
            if options["rows"] == "estimate":
                findings += compare_estimates(checks, readers, {"source": source, "target": target})
            else:
                findings += compare_rows(checks, readers, options["rows"], encodings)
        if "aggregates" in scope:
            findings += unmaterialized(wanted["aggregates"], existing["aggregates"])
            checks = aggregate_checks(wanted["aggregates"], existing["aggregates"])
            findings += compare_rows(checks, readers, "checksum", encodings)
        if "sequences" in scope:
            findings += compare_sequences(wanted, existing, readers)
    return findings


def _chosen(inventory: dict[str, t.Any], options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The inventory without what the schema options leave out."""

    def kept(one: dict[str, t.Any], key: str) -> bool:
        name = one[key]
        if options["schemas"] and not any(fnmatch.fnmatchcase(name, pattern) for pattern in options["schemas"]):
            return False
        return not any(fnmatch.fnmatchcase(name, pattern) for pattern in options["exclude_schemas"])

    keys = {"schemas": "name", "relations": "schema", "functions": "schema", "sequences": "schema"}
    chosen = {kind: [one for one in inventory[kind] if kept(one, key)] for kind, key in keys.items()}
    return {**inventory, **chosen, "aggregates": [one for one in inventory["aggregates"] if kept(one, "schema")]}
