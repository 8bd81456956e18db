# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Queries that tell whether a step's object is there as wanted; asked before a retry, and when it is said to exist."""

from __future__ import annotations

from .._sql import literal, raw, statement
from .catalog import POLICY
from .objects import CONSTRAINTS, Thing

__all__ = ["done_when"]

_IN_TABLE = """SELECT EXISTS (SELECT FROM {catalog} AS o
JOIN pg_catalog.pg_class AS c ON c.oid = o.{relation}
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = {schema} AND c.relname = {table} AND o.{name_column} = {name} AND {definition_of} = {definition})"""
_ON_DOMAIN = """SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint AS o
JOIN pg_catalog.pg_type AS t ON t.oid = o.contypid
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
WHERE n.nspname = {schema} AND t.typname = {table} AND o.conname = {name}
  AND pg_get_constraintdef(o.oid) = {definition})"""
_INDEX = """SELECT EXISTS (SELECT FROM pg_catalog.pg_index AS x
JOIN pg_catalog.pg_class AS c ON c.oid = x.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = {schema} AND c.relname = {name} AND (x.indisvalid OR c.relkind = 'I')
  AND pg_get_indexdef(c.oid) = {definition})"""
_STATISTICS = """SELECT EXISTS (SELECT FROM pg_catalog.pg_statistic_ext AS s
JOIN pg_catalog.pg_namespace AS n ON n.oid = s.stxnamespace
WHERE n.nspname = {schema} AND s.stxname = {name} AND pg_get_statisticsobjdef(s.oid) = {definition})"""

_CATALOG = {
    "constraint": ("pg_catalog.pg_constraint", "conrelid", "conname", "pg_get_constraintdef(o.oid)"),
    "trigger": ("pg_catalog.pg_trigger", "tgrelid", "tgname", "pg_get_triggerdef(o.oid, false)"),
    "policy": ("pg_catalog.pg_policy", "polrelid", "polname", POLICY.format(row="o")),
    "rule": ("pg_catalog.pg_rewrite", "ev_class", "rulename", "rtrim(pg_get_ruledef(o.oid), ';')"),
}


def done_when(thing: Thing) -> str:
    """The query for one object, empty for a statement that may simply run twice (comments, states, REFRESH)."""
    identity = thing.identity
    values = {
        "schema": literal(identity.schema),
        "name": literal(identity.name),
        "definition": literal(thing.printed or thing.definition),
    }
    if identity.kind == "index":
        return statement(_INDEX, **values)
    if identity.kind == "statistics":
        return statement(_STATISTICS, **values)
    kind = "constraint" if identity.kind in CONSTRAINTS.values() else identity.kind
    if kind == "constraint" and thing.relation is None:
        return statement(_ON_DOMAIN, table=literal(identity.table), **values)
    if kind not in _CATALOG or thing.relation is None:
        return ""
    catalog, relation, name_column, definition_of = (raw(text) for text in _CATALOG[kind])
    return statement(
        _IN_TABLE,
        catalog=catalog,
        relation=relation,
        name_column=name_column,
        definition_of=definition_of,
        table=literal(identity.table),
        **values,
    )
