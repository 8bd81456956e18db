# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Views, materialized views and functions that stand on aggregates."""

from __future__ import annotations

import typing as t

from .._plan import Finding, Identity, Step
from .._sql import identifier, literal, raw, statement
from .attributes import FRESH, name_of
from .draft import FIRST, KIND, Draft
from .target import Key, key_of

__all__ = ["Dependents", "creation", "fresh_dependent", "label_of", "reached_from", "reads_of"]


class Dependents:
    """Plans them after the aggregates."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft

    def ordered(self) -> list[t.Mapping[str, t.Any]]:
        """Views, materialized views and functions that stand on selected aggregates, in the order of creation."""
        entries = {key_of(entry): entry for entry in self.draft.wanted["dependents"]}
        taken = {key_of(entry) for entry in self.draft.selected}
        ordered: list[t.Mapping[str, t.Any]] = []
        waiting = dict(entries)
        while waiting:
            ready = [
                key
                for key, entry in waiting.items()
                if not any(read in waiting and read != key for read in reads_of(entry))
            ]
            for key in ready or list(waiting):  # a circle cannot be; were there one, it would be refused by the server
                entry = waiting.pop(key)
                if any(read in taken for read in reads_of(entry)):
                    taken.add(key)
                    ordered.append(entry)
        return ordered

    def plan(self, entry: t.Mapping[str, t.Any]) -> None:
        """Create what stands on an aggregate, or compare it."""
        key, kind = key_of(entry), entry["kind"]
        name = entry["name"] + (f"({entry['arguments']})" if kind == "function" else "")
        identity = Identity(kind, entry["schema"], name)
        found = self.draft.there.get(key)
        if key in self.draft.moved:
            self.draft.report(identity, entry, found)
        elif found is not None:
            if found["kind"] != kind:
                self.draft.plan.findings.append(
                    Finding(identity, "unsupported", f"A {found['kind']} of that name is in the way.")
                )
            elif self.draft.same(identity, entry, found):
                self.draft.alter(identity, kind, entry, found, [])
                self.draft.report(identity, entry, found)
        else:
            self._plan_creation(identity, key, entry)

    def _plan_creation(self, identity: Identity, key: Key, entry: t.Mapping[str, t.Any]) -> None:
        missing = [read for read in reads_of(entry) if read not in self.draft.available]
        refusal = self.draft.in_the_way(entry)
        if entry.get("storage"):
            reason = "It reads an aggregate's materialization by its internal name, which is another one on the target."
            refusal = (
                "unsupported",
                reason,
                "Let it read the aggregate itself, on the source or by hand on the target.",
            )
        elif missing:
            refusal = ("skipped", f"It stands on {'.'.join(missing[0][:2])}, which the target will not have.", "")
        if refusal is not None:
            self.draft.refused(identity, *refusal)
            return
        self.draft.available.add(key)
        self.draft.plan.steps.append(self._dependent_creation(identity, entry))
        self.draft.report(identity, entry, None)

    def tell_others(self) -> None:
        """Name what stands on chosen objects and is not brought over, such as types of their row types."""
        there = {(one["kind"], one["identity"]) for one in self.draft.existing.document.get("others") or ()}
        chosen = {key_of(entry) for entry in [*self.draft.selected, *self.ordered()]}
        told: set[tuple[str, str]] = set()
        for one in self.draft.wanted.get("others") or ():
            schema, name, arguments = one["reads"]
            key = (one["kind"], one["identity"])
            if key in there or key in told or (schema, name, arguments or "") not in chosen:
                continue
            told.add(key)
            reason = f"It stands on {schema}.{name} and is not moved."
            hint = "Create it by hand behind the aggregates; a dump of the source has its definition."
            self.draft.refused(Identity(one["kind"], "", one["identity"]), "skipped", reason, hint)

    def _dependent_creation(self, identity: Identity, entry: t.Mapping[str, t.Any]) -> Step:
        fresh = fresh_dependent(entry, self.draft.existing.surroundings["user"])
        create = creation(entry, self.draft.existing.texts[key_of(entry)])
        reads = tuple(self._label(read) for read in reads_of(entry))
        texts = [create, *self.draft.described(entry["kind"], entry, fresh)]
        return Step(
            identity, "create", tuple(texts), reason="The target does not have it.", depends_on=reads, weight=FIRST
        )

    def _label(self, key: Key) -> str:
        for entry in self.draft.wanted["dependents"]:
            if key_of(entry) == key:
                name = entry["name"] + (f"({entry['arguments']})" if entry["kind"] == "function" else "")
                return Identity(entry["kind"], entry["schema"], name).label
        return Identity(KIND, key[0], key[1]).label


def fresh_dependent(entry: t.Mapping[str, t.Any], user: str) -> dict[str, t.Any]:
    """What creation gives a view or a function."""
    public = {"grantee": None, "privilege": "EXECUTE", "grantable": False}
    return {**FRESH, "owner": user, "acl": [public] if entry["kind"] == "function" else None}


def creation(entry: t.Mapping[str, t.Any], text: str) -> str:
    """The statement that creates a view, a materialized view without rows, or a function.

    :param text: its definition, written for the target.
    """
    if entry["kind"] == "function":
        return text.strip()
    pairs = [option.split("=", 1) for option in entry["options"] or ()]
    options = ", ".join(statement("{} = {}", identifier(key), literal(value)) for key, value in pairs)
    return statement(
        "CREATE {} {}{} AS\n{}{}",
        raw(entry["kind"].upper()),
        name_of(entry),
        raw(f" WITH ({options})" if options else ""),
        raw(text.strip()),
        raw("\nWITH NO DATA" if entry["kind"] == "materialized view" else ""),
    )


def label_of(entry: t.Mapping[str, t.Any]) -> str:
    """What a dependent is called, for people."""
    arguments = f"({entry['arguments']})" if entry["kind"] == "function" else ""
    return f"{entry['kind']} {entry['schema']}.{entry['name']}{arguments}"


def reached_from(key: Key, dependents: t.Mapping[Key, t.Mapping[str, t.Any]]) -> set[Key]:
    """An aggregate's name, and those of the dependents that read it themselves or through others."""
    reached = {key}
    while True:
        more = {name for name, entry in dependents.items() if reached & set(reads_of(entry))} - reached
        if not more:
            return reached
        reached |= more


def reads_of(entry: t.Mapping[str, t.Any]) -> list[Key]:
    """The aggregates and dependents that one names itself."""
    return [(schema, name, arguments or "") for schema, name, arguments in entry["reads"] or ()]
