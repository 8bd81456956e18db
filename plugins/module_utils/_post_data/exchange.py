# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Statements that take away what differs, or rename it. Each runs in one transaction with what follows it.

Source of the rule: DDL of these kinds is transactional in all versions of PostgreSQL and TimescaleDB; where something
else needs the old object, the DROP is refused (2BP01) and nothing is lost.
"""

from __future__ import annotations

from .._plan import Identity
from .._sql import identifier, statement
from .objects import CONSTRAINTS, Name, Thing

__all__ = ["OVERWRITES", "removal", "renaming"]

# What a second statement simply overwrites. A view's body (_RETURN) is overwritten too, see ``removal``.
OVERWRITES = (
    *("comment", "trigger_state", "rule_state", "cluster", "replica_identity"),
    *("index_statistics", "statistics_target"),
)
_ON_TABLE = {"trigger": "DROP TRIGGER {} ON {}", "rule": "DROP RULE {} ON {}", "policy": "DROP POLICY {} ON {}"}


def removal(identity: Identity, relation: Name | None) -> tuple[str, ...] | None:
    """What must be run before the wanted statements, None when the object cannot be exchanged."""
    kind, name = identity.kind, identifier(identity.name)
    if kind in OVERWRITES or identity.name == "_RETURN":
        return ()
    if kind == "event_trigger":
        return (statement("DROP EVENT TRIGGER {}", name),)
    if relation is None and kind == "check":
        return (statement("ALTER DOMAIN {} DROP CONSTRAINT {}", identifier(identity.schema, identity.table), name),)
    if relation is None:
        return None
    table = identifier(*relation)
    if kind in CONSTRAINTS.values():
        return (statement("ALTER TABLE {} DROP CONSTRAINT {}", table, name),)
    if kind in _ON_TABLE:
        return (statement(_ON_TABLE[kind], name, table),)
    if kind in ("index", "statistics"):
        return (statement(f"DROP {kind.upper()} {{}}", identifier(identity.schema, identity.name)),)
    if kind == "publication_table":
        return (statement("ALTER PUBLICATION {} DROP TABLE {}", name, table),)
    return None


def renaming(there: Thing, name: str) -> str:
    """Give an index or a constraint the source's name."""
    old = there.identity
    if old.kind == "index" or there.relation is None:
        return statement("ALTER INDEX {} RENAME TO {}", identifier(old.schema, old.name), identifier(name))
    table = identifier(*there.relation)
    return statement("ALTER TABLE {} RENAME CONSTRAINT {} TO {}", table, identifier(old.name), identifier(name))
