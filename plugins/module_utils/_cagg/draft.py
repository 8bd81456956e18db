# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What all parts of the planning share: both sides, the plan while it grows, and how an object is judged."""

from __future__ import annotations

import fnmatch
import typing as t

from .._connection import Facts
from .._plan import Finding, Identity, Plan, Step
from .._sql import identifier, statement
from .attributes import attributes, name_of, refused_attributes, unbuildable, unmoved
from .target import Existing, Key, is_same, key_of

__all__ = ["FIRST", "KIND", "Draft", "filled", "is_chosen"]

KIND = "continuous aggregate"
FIRST = 2**62  # creation goes before every refresh that could run instead
_RELATIONS = {"r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table"}


def is_chosen(entry: t.Mapping[str, t.Any], options: t.Mapping[str, t.Any]) -> bool:
    """Whether include and exclude choose an aggregate."""
    name = f"{entry['schema']}.{entry['name']}"
    include, exclude = options.get("include") or ["*"], options.get("exclude") or []
    return any(fnmatch.fnmatchcase(name, p) for p in include) and not any(fnmatch.fnmatchcase(name, p) for p in exclude)


def filled(wanted: t.Mapping[str, t.Any], existing: Existing, options: t.Mapping[str, t.Any]) -> set[Key]:
    """The aggregates that a run fills: those that are chosen, but for others of that name that are left alone."""
    there = {key_of(entry) for entry in existing.document["aggregates"]}
    chosen = {key_of(entry) for entry in wanted["aggregates"] if is_chosen(entry, options)}
    return {key for key in chosen if key not in there or is_same(existing, key)}


class Draft:
    """The plan while it grows: which objects will be there, and what has been refused.

    :param wanted: the source's document.
    :param existing: the target, with both sides' definitions printed by it.
    :param options: the module's options.
    """

    def __init__(
        self,
        wanted: t.Mapping[str, t.Any],
        wanted_facts: Facts,
        existing: Existing,
        target_facts: Facts,
        options: t.Mapping[str, t.Any],
    ) -> None:
        self.wanted, self.wanted_facts = wanted, wanted_facts
        self.existing, self.facts, self.options = existing, target_facts, options
        self.plan = Plan()
        self.there = {key_of(e): e for e in existing.document["aggregates"] + existing.document["dependents"]}
        self.relations = {(r["schema"], r["name"]): r for r in existing.surroundings["relations"]}
        self.hypertables = {(h["schema"], h["name"]): h for h in existing.document["hypertables"]}
        self.source_hypertables = {(h["schema"], h["name"]): h for h in wanted["hypertables"]}
        self.by_name = {(e["schema"], e["name"]): e for e in wanted["aggregates"]}
        self.selected = [self._buildable(entry) for entry in wanted["aggregates"] if self.matches(entry)]
        self.available: set[Key] = set(self.there)
        self.skipped: dict[str, list[str]] = {}
        self.moved: set[Key] = set()  # dependents that are made again with the aggregate they stand on

    def matches(self, entry: t.Mapping[str, t.Any]) -> bool:
        """Whether include and exclude choose an aggregate."""
        return is_chosen(entry, self.options)

    def _buildable(self, entry: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any]:
        """Without the indexes that the connecting role may not create; report() names them."""
        left_out = unbuildable(entry, self.existing.surroundings)
        kept = [index for index in entry["indexes"] or () if index not in left_out]
        return {**entry, "indexes": kept, "unbuildable": left_out}

    def in_the_way(self, entry: t.Mapping[str, t.Any]) -> tuple[str, str, str] | None:
        """Why nothing of that name can be created: outcome, reason, remedy."""
        function = entry.get("kind") == "function"
        relation = None if function else self.relations.get((entry["schema"], entry["name"]))
        routine = [entry["schema"], entry["name"], entry.get("arguments")]
        if entry["schema"] not in self.existing.surroundings["schemas"]:
            return (
                "unsupported",
                f"The target has no schema {entry['schema']}.",
                "Restore the schemas before the aggregates.",
            )
        if relation is not None or (function and routine in self.existing.surroundings.get("routines", ())):
            kind = _RELATIONS.get(relation["kind"], "relation") if relation is not None else "function"
            label = f"{entry['schema']}.{entry['name']}"
            return (
                "unsupported",
                f"A {kind} {label} of the target is in the way.",
                "Look at it, then rename or drop it.",
            )
        return None

    def same(self, identity: Identity, entry: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any]) -> bool:
        """Whether the target prints both definitions the same; a finding where not."""
        if is_same(self.existing, key_of(entry)):
            return True
        ours = self.existing.printed.get(key_of(entry), ({}, {}))[0]
        reason = "Its definition is another one than the source's."
        if "message" in ours:
            reason = f"The target cannot parse the source's definition: {ours['message']}"
        hint = "Drop it on the target and run the task again, or leave it."
        self.plan.findings.append(Finding(identity, "drifted", reason, hint, found["definition"], entry["definition"]))
        return False

    def described(self, kind: str, entry: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any]) -> list[str]:
        """Statements for comments, owner and grants."""
        return attributes(kind, entry, found, self.existing.surroundings, self.facts)

    def alter(
        self,
        identity: Identity,
        kind: str,
        entry: t.Mapping[str, t.Any],
        found: t.Mapping[str, t.Any],
        texts: list[str],
    ) -> None:
        """A step for what differs, the given statements first; present when nothing does."""
        texts = texts + self.described(kind, entry, found)
        if not texts:
            self.plan.findings.append(Finding(identity, "present"))
            return
        root = (self.root(entry),) if kind == "aggregate" else ()
        self.plan.steps.append(
            Step(identity, "alter", tuple(texts), reason="Its attributes differ.", exclusive=root, weight=FIRST)
        )

    def refused(self, identity: Identity, outcome: str, reason: str, hint: str) -> None:
        """An object that will not be there, or something of it; nobody warns of what is only skipped but this."""
        self.plan.findings.append(Finding(identity, outcome, reason, hint))
        if outcome == "skipped":
            self.skipped.setdefault(reason, []).append(f"{identity.schema}.{identity.name}")

    def report(self, identity: Identity, entry: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any] | None) -> None:
        """Name what the object will not have."""
        attribute = Identity("attribute", identity.schema, identity.name)
        owner = found["owner"] if found is not None else self.existing.surroundings["user"]
        refused = refused_attributes(entry, owner, self.existing.surroundings, self.facts)
        left_out = [("skipped", f"Not moved: {text}.", run) for text, run in unmoved(entry, found)]
        there = [(index.get("unique"), index["tail"]) for index in (found or {}).get("indexes") or ()]
        for index in entry.get("unbuildable") or ():
            if (True, index["tail"]) not in there:
                reason = f"Not moved: its unique index {index['name']}, as the connecting role may not create there."
                hint = f"Grant it CREATE on schema {entry['materialization'][0]} of the target and run the task again."
                left_out.append(("skipped", reason, hint))
        place = entry.get("tablespace")
        if place not in (None, (found or {}).get("tablespace")):
            move = statement("ALTER MATERIALIZED VIEW {} SET TABLESPACE {}", name_of(entry), identifier(place))
            left_out.append(("skipped", f"Not moved: its tablespace {place}.", f"{move}, where the target has it."))
        for outcome, reason, hint in [*refused, *left_out]:
            self.refused(attribute, outcome, reason, hint)

    def warn(self) -> None:
        """One warning for each reason, however many objects share it."""
        self.plan.warnings += [f"{', '.join(names)}: {reason}" for reason, names in self.skipped.items()]

    def root(self, entry: t.Mapping[str, t.Any]) -> str:
        """The hypertable at the bottom of a hierarchy: creating an aggregate locks it."""
        while entry["parent"] and tuple(entry["parent"]) in self.by_name:
            entry = self.by_name[tuple(entry["parent"])]
        return ".".join(entry["hypertable"] or entry["parent"] or ())
