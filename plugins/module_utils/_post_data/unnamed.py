# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Differences that no entry of the archive speaks of: what the target has set besides, and copies of parents' objects.

pg_dump writes what differs from a default. Where the source has the default and the target has not, there is no entry
to compare; nor is there one for a partition's trigger or check that the source has as its parent has it.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._plan import Identity
from .._sql import identifier, raw, statement
from .objects import CONSTRAINTS, Inventory, Name, Thing

__all__ = ["Unnamed", "differences"]

_INDEXES = ("index", "primary_key", "unique", "exclude")


@dataclasses.dataclass(frozen=True)
class Unnamed:
    """A difference: what the target has, what the source has (empty for none), and what would settle it."""

    identity: Identity
    relation: Name | None
    before: str
    after: str
    remedy: tuple[str, ...]


def differences(named: set[Identity], source: Inventory, target: Inventory) -> t.Iterator[Unnamed]:
    """Find the differences of what was compared.

    :param named: the objects that were compared by their entries.
    """
    tables = {(one.schema, one.table or one.name) for one in named}
    for identity, there in target.things.items():
        if identity in source.things:
            continue
        whole = identity.kind == "row_security"
        whole = whole or (there.definition.startswith("REPLICA IDENTITY ") and not source.from_archive)
        if (whole and there.relation in tables) or named.intersection(_stands_on(identity, there)):
            yield Unnamed(identity, there.relation, there.definition, "", _taken_back(identity, there))
    copied = {(one.kind, one.name) for one in named}
    for identity, thing in source.things.items():
        found = target.things.get(identity)
        kind = identity.kind.partition("_")[0]
        if not thing.inherited or found is None or identity in named or (kind, identity.name) not in copied:
            continue
        if found.definition != thing.definition and identity.kind != "trigger":
            remedy = _as_on_source(identity, thing, found)
            yield Unnamed(identity, thing.relation, found.definition, thing.definition, remedy)


def _stands_on(identity: Identity, thing: Thing) -> set[Identity]:
    """What an attribute belongs to, under each kind that it may have."""
    kind, name = identity.kind, identity.name
    kinds: tuple[str, ...] = _INDEXES
    if kind in ("cluster", "replica_identity"):
        return {Identity(one, identity.schema, thing.definition, name) for one in kinds}
    if kind == "comment":
        word, _blank, name = identity.name.partition(" ")
        kinds = {"constraint": tuple(CONSTRAINTS.values()), "index": _INDEXES}.get(word, (word,))
    elif kind == "statistics_target":
        kinds = ("statistics",)
    elif kind in ("publication_table", "publication_schema"):
        return {Identity("publication", "", name)}
    elif kind not in ("index_statistics", "index_attach"):
        return set()
    return {dataclasses.replace(identity, kind=one, name=name) for one in kinds}


def _taken_back(identity: Identity, there: Thing) -> tuple[str, ...]:
    """What sets an attribute back to the default; nothing for a comment on what COMMENT has other words for."""
    name, table = identifier(identity.schema, identity.name), identifier(identity.schema, identity.table)
    if identity.kind == "cluster":
        return (statement("ALTER TABLE {} SET WITHOUT CLUSTER", name),)
    if identity.kind == "row_security":
        return (statement("ALTER TABLE {} DISABLE ROW LEVEL SECURITY", name),)
    if identity.kind == "replica_identity":
        return (statement("ALTER TABLE {} REPLICA IDENTITY DEFAULT", name),)
    if identity.kind == "index_statistics":
        columns = [part.split()[1].rstrip(":") for part in there.definition.split(", ")]
        return tuple(statement("ALTER INDEX {} ALTER COLUMN {} SET STATISTICS -1", name, raw(one)) for one in columns)
    if identity.kind == "statistics_target":
        return (statement("ALTER STATISTICS {} SET STATISTICS -1", name),)
    if identity.kind == "publication_table":
        return (statement("ALTER PUBLICATION {} DROP TABLE {}", identifier(identity.name), table),)
    if identity.kind == "publication_schema":
        schema = identifier(identity.schema)
        return (statement("ALTER PUBLICATION {} DROP TABLES IN SCHEMA {}", identifier(identity.name), schema),)
    return _comment_taken(identity) if identity.kind == "comment" else ()


def _comment_taken(identity: Identity) -> tuple[str, ...]:
    word, _blank, name = identity.name.partition(" ")
    if word in ("constraint", "trigger", "rule", "policy") and identity.table:
        on = identifier(identity.schema, identity.table)
        return (statement("COMMENT ON {} {} ON {} IS NULL", raw(word.upper()), identifier(name), on),)
    if word in ("index", "statistics"):
        return (statement("COMMENT ON {} {} IS NULL", raw(word.upper()), identifier(identity.schema, name)),)
    if word in ("publication", "subscription", "event_trigger"):
        return (statement("COMMENT ON {} {} IS NULL", raw(word.upper().replace("_", " ")), identifier(name)),)
    return ()


def _as_on_source(identity: Identity, thing: Thing, there: Thing) -> tuple[str, ...]:
    table, name = identifier(identity.schema, identity.table), identifier(identity.name)
    if identity.kind == "trigger_state":
        return (statement("ALTER TABLE ONLY {} {} TRIGGER {}", table, raw(thing.definition), name),)
    if there.definition == f"{thing.definition} NOT VALID":
        return (statement("ALTER TABLE {} VALIDATE CONSTRAINT {}", table, name),)
    return ()
