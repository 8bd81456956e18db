# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What a hypertable refuses, by TimescaleDB version: found while planning, so that nothing is half done.

Source of the rules: what the servers answer (TimescaleDB 2.0 to 2.29); each one names the object, and a way out.
"""

from __future__ import annotations

import typing as t

from .._plan import Identity
from .._versions import (
    TS_CONSTRAINT_ON_COMPRESSED,
    TS_FK_TO_HYPERTABLE,
    TS_REPLICA_IDENTITY,
    TS_REPLICA_IDENTITY_COLUMNSTORE,
    TS_TRANSITION_TABLES,
    TS_TRIGGER_STATE,
    TS_TRIGGER_STATE_COLUMNSTORE,
    TS_UNIQUE_ON_COMPRESSED,
    Timescale,
)
from . import scanner
from .objects import CONSTRAINTS, Name, Relation, Thing

__all__ = ["Refusal", "refusal"]

_KEYS = ("primary_key", "unique", "exclude")
_COLUMNSTORE_HINT = (
    "Switch columnstore (compression) off on the target's hypertable, run this task, and switch it on afterwards."
)


class Refusal(t.NamedTuple):
    """Why the target would refuse an object, and what to do."""

    reason: str
    hint: str


class _Case(t.NamedTuple):
    """An object, the hypertable it is for, and the target's version."""

    identity: Identity
    thing: Thing
    table: Relation
    version: Timescale
    words: frozenset[str]

    @property
    def is_key(self) -> bool:
        return self.identity.kind in _KEYS or self.is_unique_index

    @property
    def is_unique_index(self) -> bool:
        return self.identity.kind == "index" and "UNIQUE" in self.words


def refusal(
    identity: Identity, thing: Thing, relations: t.Mapping[Name, Relation], version: Timescale | None
) -> Refusal | None:
    """Tell why the target's TimescaleDB would refuse an object, None when it would not.

    :param relations: the target's.
    :param version: of TimescaleDB on the target.
    """
    table = relations.get(thing.relation) if thing.relation else None
    if table is None or version is None:
        return None
    if identity.kind == "foreign_key":
        found = _foreign_key(thing, table, relations, version)
        if found or not table.is_hypertable:
            return found
    if not table.is_hypertable:
        return None
    words = frozenset(token.text.upper() for token in scanner.tokens(thing.definition) if token.kind == "word")
    case = _Case(identity, thing, table, version, words)
    return next((found for found in (rule(case) for rule in _RULES) if found), None)


def _foreign_key(
    thing: Thing, table: Relation, relations: t.Mapping[Name, Relation], version: Timescale
) -> Refusal | None:
    referenced = relations.get(thing.reads[0]) if thing.reads else table
    if referenced is None or not referenced.is_hypertable:
        return None
    if table.is_hypertable:
        return Refusal(
            "A hypertable cannot reference a hypertable.", "Drop the key on the source, or make one of them plain."
        )
    if version < TS_FK_TO_HYPERTABLE:
        return Refusal(
            f"TimescaleDB {version} has no foreign keys to a hypertable.",
            f"Use TimescaleDB {TS_FK_TO_HYPERTABLE} or later on the target.",
        )
    return None


def _partition_columns(case: _Case) -> Refusal | None:
    if not case.is_key:
        return None
    missing = [name for name in case.table.dimensions if name not in scanner.columns(case.thing.definition)]
    if not missing:
        return None
    return Refusal(
        f"A unique index of a hypertable must hold its partition columns; {', '.join(missing)} is not among them.",
        "Add the column to the key, or make the index not unique.",
    )


def _rule(case: _Case) -> Refusal | None:
    if case.identity.kind not in ("rule", "rule_state"):
        return None
    return Refusal("Hypertables have no rules.", "Use a trigger in its place.")


def _no_inherit(case: _Case) -> Refusal | None:
    if case.identity.kind != "check" or not case.thing.definition.rstrip().endswith(
        ("NO INHERIT", "INHERIT NOT VALID")
    ):
        return None
    return Refusal("A hypertable's check cannot be NO INHERIT.", "Create it without NO INHERIT.")


def _transition_tables(case: _Case) -> Refusal | None:
    events = scanner.before(case.thing.definition, "ON")
    if case.identity.kind != "trigger" or not scanner.holds(
        case.thing.definition, "REFERENCING", ("NEW", "OLD"), "TABLE"
    ):
        return None
    if case.version < TS_TRANSITION_TABLES:
        return Refusal(
            f"TimescaleDB {case.version} has no transition tables in a hypertable's triggers.",
            f"Use TimescaleDB {TS_TRANSITION_TABLES} or later on the target.",
        )
    if scanner.holds(case.thing.definition, "FOR", "EACH", "ROW"):
        return Refusal("A hypertable's row trigger has no transition tables.", "Make it a statement trigger.")
    if "DELETE" in events and case.table.columnstore:
        return Refusal("With columnstore, a trigger on DELETE has no transition tables.", _COLUMNSTORE_HINT)
    return None


def _trigger_state(case: _Case) -> Refusal | None:
    if case.identity.kind != "trigger_state":
        return None
    if case.version < TS_TRIGGER_STATE:
        return Refusal(
            f"TimescaleDB {case.version} cannot enable or disable a hypertable's triggers: here it would fire.",
            f"Leave it out: without it nothing fires either. Or use TimescaleDB {TS_TRIGGER_STATE} or later there.",
        )
    if case.table.columnstore and case.version < TS_TRIGGER_STATE_COLUMNSTORE:
        return Refusal(
            f"TimescaleDB {case.version} cannot enable or disable triggers where columnstore is on.", _COLUMNSTORE_HINT
        )
    return None


def _row_security(case: _Case) -> Refusal | None:
    # A policy is taken, and does nothing until row security is enabled.
    if case.identity.kind != "row_security" or not case.table.columnstore:
        return None
    return Refusal("Row security and columnstore (compression) exclude each other on a hypertable.", _COLUMNSTORE_HINT)


def _replica_identity(case: _Case) -> Refusal | None:
    if case.identity.kind != "replica_identity":
        return None
    floor = TS_REPLICA_IDENTITY_COLUMNSTORE if case.table.columnstore else TS_REPLICA_IDENTITY
    if case.version >= floor:
        return None
    return Refusal(
        f"TimescaleDB {case.version} cannot set the replica identity of this hypertable.",
        f"Use TimescaleDB {floor} or later on the target.",
    )


def _columnstore(case: _Case) -> Refusal | None:
    if not case.table.columnstore:
        return None
    constraint = case.identity.kind in CONSTRAINTS.values() and case.version < TS_CONSTRAINT_ON_COMPRESSED
    unique = case.is_unique_index and case.version < TS_UNIQUE_ON_COMPRESSED
    if not (constraint or unique):
        return None
    return Refusal(f"TimescaleDB {case.version} adds no such object while compression is enabled.", _COLUMNSTORE_HINT)


_RULES: tuple[t.Callable[[_Case], Refusal | None], ...] = (
    _partition_columns,
    _rule,
    _no_inherit,
    _transition_tables,
    _trigger_state,
    _row_security,
    _replica_identity,
    _columnstore,
)
