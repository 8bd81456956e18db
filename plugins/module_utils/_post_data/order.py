# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What decides when a step runs: how large it is, what it locks, and what must come after everything else."""

from __future__ import annotations

import functools
import typing as t

from .._plan import Step
from .._sql import quote_identifier
from .objects import Inventory, Name, Relation, Thing
from .wanted import Item

__all__ = ["ancestors", "dotted", "locks", "put_last", "weight_of"]

_BUILDS = ("index", "primary_key", "unique", "exclude", "foreign_key", "check", "refresh")
# CREATE INDEX lets other index builds of its table run; everything else here does not (PostgreSQL manual, 13.3.1).
_SIDE_BY_SIDE = ("index",)


def weight_of(item: Item, thing: Thing, target: Inventory) -> int:
    """Bytes that a step reads: those of its table, or of what a materialized view reads; 0 for what only sets."""
    if item.identity.kind not in _BUILDS:
        return 0
    names = thing.reads if item.identity.kind == "refresh" else (thing.relation,)
    found = (target.relations.get(name) for name in names if name is not None)
    return sum(relation.bytes for relation in found if relation is not None)


def locks(item: Item, thing: Thing, target: Inventory, *, rebuilds: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names for the worker board: who must not run beside whom, so that no two steps wait for each other.

    :param rebuilds: whether the step drops what is there first, which locks the table against everybody.
    :returns: what the step holds alone, and what others may name at the same time.
    """
    own = [thing.relation] if thing.relation else []
    both = item.identity.kind == "foreign_key"
    held = [] if item.identity.kind in _SIDE_BY_SIDE and not rebuilds else own + list(thing.reads if both else ())
    others = [name for name in (*own, *thing.reads) if name not in held]
    above = [parent for name in (*held, *others) for parent in ancestors(name, target)]
    if item.identity.kind == "index_attach":
        # Two that run side by side can leave the parent's index invalid for ever: neither sees that the other's was the
        # last one (seen with PostgreSQL 15). So one at a time in each tree.
        held, others, above = [*own, *thing.reads, *above], [], []
    exclusive = tuple(dict.fromkeys(dotted(name) for name in held))
    shared = dict.fromkeys(dotted(name) for name in (*others, *above))
    return exclusive, tuple(name for name in shared if name not in exclusive)


def put_last(steps: t.Sequence[Step]) -> None:
    """Event triggers come after everything else, as pg_restore does it: they would fire on our own statements."""
    last = {step.key for step in steps if step.object.kind == "event_trigger"}
    others = [step.key for step in steps if step.key not in last and not last.intersection(step.depends_on)]
    for step in steps:
        if step.key in last:
            step.follows = tuple(others)


@functools.lru_cache(maxsize=1024)
def dotted(name: Name) -> str:
    """A relation's name as SQL writes it, without quotes where none are needed."""
    return ".".join(quote_identifier(part) for part in name)


def ancestors(name: Name, target: Inventory) -> t.Iterator[Name]:
    """The partitioned tables that a partition stands under, the nearest first."""
    relation: Relation | None = target.relations.get(name)
    while relation is not None and relation.parent is not None:
        yield relation.parent
        relation = target.relations.get(relation.parent)
