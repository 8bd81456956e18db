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
from .._progress_report import Reporter
from . import catalog
from .aggregates import aggregate_checks, unmaterialized
from .estimates import compare_estimates
from .inventory import compare_inventories
from .readers import Readers
from .rows import compare_rows
from .sequences import compare_sequences
from .slices import SIDES, Check, step_of, table_checks

__all__ = ["compare_data"]

_NEEDS_ROWS = ("rows", "aggregates", "sequences")

# A hypertable's bytes are its chunks'.
_SIZES = """
SELECT n.nspname, c.relname, (pg_catalog.pg_relation_size(c.oid) + coalesce((
  SELECT pg_catalog.sum(pg_catalog.pg_relation_size(i.inhrelid)) FROM pg_catalog.pg_inherits AS i
  WHERE i.inhparent = c.oid), 0))::pg_catalog.int8
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm')
"""


def compare_data(
    source: Database, target: Database, options: t.Mapping[str, t.Any], progress: Reporter
) -> list[Finding]:
    """Everything but the planners' own comparison.

    :param options: scope, rows, jobs, schemas, exclude_schemas, owner_map.
    :param progress: where to tell how far it is.
    :raises Interrupted: the run was told to stop.
    """
    scope = options["scope"]
    wanted, existing = (_chosen(catalog.read(database), options) for database in (source, target))
    findings = compare_inventories(wanted, existing, scope, options["owner_map"])
    if not any(name in scope for name in _NEEDS_ROWS):
        return findings
    encodings = (wanted["encoding"], existing["encoding"])
    tables = table_checks(wanted, existing) if "rows" in scope else []
    aggregates = aggregate_checks(wanted["aggregates"], existing["aggregates"]) if "aggregates" in scope else []
    estimated = options["rows"] == "estimate"
    _begin(progress, aggregates if estimated else tables + aggregates, source, options["jobs"])
    with Readers((source, target), options["jobs"], progress) as readers:
        if estimated:
            findings += compare_estimates(tables, readers, {"source": source, "target": target})
            tables = []
        findings += compare_rows(tables + aggregates, readers, options["rows"], encodings)
        if "aggregates" in scope:
            findings += unmaterialized(wanted["aggregates"], existing["aggregates"])
        if "sequences" in scope:
            findings += compare_sequences(wanted, existing, readers)
    return findings


def _begin(progress: Reporter, checks: list[Check], source: Database, jobs: int) -> None:
    """Count the queries to come. Their bytes are asked for only where somebody looks."""
    if progress.folder and progress.wanted:
        sizes = {(schema, table): size for schema, table, size in source.rows(_SIZES)}
        for check in checks:
            check.bytes = sizes.get(check.relations["source"], 0)
    steps = [step_of(check, part, side) for check in checks for part in check.slices for side in SIDES]
    progress.begin_steps(steps, jobs)


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
