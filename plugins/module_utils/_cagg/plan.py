# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""From two documents to a plan. No database is asked here."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connection import INSUFFICIENT_PRIVILEGE, Database, Facts
from .._plan import Identity, Plan, Step
from .._sql import identifier, literal, raw, statement
from .._versions import TS_FIXED_SCHEDULES
from .attributes import FRESH, default_index, name_of, storage
from .dependents import Dependents
from .draft import FIRST, KIND, Draft
from .history import Piece
from .prune import left_over
from .recreate import NOTHING, Recreations
from .refill import Refill
from .replace import Replacements
from .target import Existing, Key, key_of, parents_first

__all__ = ["make_plan"]

_UNPROVED = "It will be created; whether the target takes its query is known when what it stands on is there."


def make_plan(
    wanted: t.Mapping[str, t.Any],
    wanted_facts: Facts,
    existing: Existing,
    target_facts: Facts,
    options: t.Mapping[str, t.Any],
    history: t.Mapping[Key, t.Sequence[Piece]] | None = None,
    source: Database | None = None,
    recreations: Recreations = NOTHING,
) -> Plan:
    """Compare and decide.

    :param wanted: the source's document.
    :param existing: the target, with both sides' definitions printed by it.
    :param options: the module's options: include, exclude, refresh and its bounds, history.
    :param history: what the target cannot recompute.
    :param source: the session that history is copied from; it is not used here.
    :param recreations: which aggregates are made anew; ``existing`` is without their old ones then.
    """
    draft = Draft(wanted, wanted_facts, existing, target_facts, options)
    aggregates = _Aggregates(draft, Refill(draft, history or {}, source), recreations)
    aggregates.replacements.clear()
    for entry in parents_first(draft.selected):
        aggregates.plan(entry)
    dependents = Dependents(draft)
    for entry in dependents.ordered():
        dependents.plan(entry)
    dependents.tell_others()
    left_over(draft)
    draft.warn()
    return draft.plan


class _Aggregates:
    """Plans the aggregates themselves, parents first."""

    def __init__(self, draft: Draft, refill: Refill, recreations: Recreations) -> None:
        self.draft, self.refill, self.recreations = draft, refill, recreations
        self.replacements = Replacements(draft, refill, recreations, self._build)

    def plan(self, entry: t.Mapping[str, t.Any]) -> None:
        """Create an aggregate, or bring one that is there to the wanted attributes, and refresh it."""
        found = self.draft.there.get(key_of(entry))
        identity = Identity(KIND, entry["schema"], entry["name"])
        if key_of(entry) in self.recreations.chosen:
            one = self.recreations.chosen[key_of(entry)]
            self.replacements.plan(dataclasses.replace(one, wanted=entry))
            return
        if key_of(entry) in self.recreations.refused:
            self.draft.plan.findings.append(self.recreations.refused[key_of(entry)])
            return
        if found is None:
            refusal = self._refusal(entry)
            if refusal is not None:
                self.draft.refused(identity, *refusal)
                return
            self.draft.available.add(key_of(entry))
        elif not self.draft.same(identity, entry, found):
            return
        self._build(identity, entry, found)
        self.draft.report(identity, entry, found)
        self.refill.fill(identity, entry, found)

    def _build(self, identity: Identity, entry: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any] | None) -> None:
        if found is None:
            self.draft.plan.steps.append(self._creation(identity, entry))
        else:
            self.draft.alter(identity, "aggregate", entry, found, self._alterations(entry, found))

    def _refusal(self, entry: t.Mapping[str, t.Any]) -> tuple[str, str, str] | None:
        """Why an aggregate cannot be created: outcome, reason, remedy."""
        blocked = self.draft.in_the_way(entry)
        if blocked is not None:
            return blocked
        if entry["parent"] is not None:
            if (*entry["parent"], "") not in self.draft.available:
                return ("skipped", f"It stands on {'.'.join(entry['parent'])}, which the target will not have.", "")
            if self.draft.facts.timescale is not None and self.draft.facts.timescale < TS_FIXED_SCHEDULES:
                return (
                    "unsupported",
                    "The target's TimescaleDB has no aggregates on aggregates.",
                    "Update it to 2.9 or later.",
                )
        else:
            refusal = self._hypertable_refusal(tuple(entry["hypertable"] or ("", "")))
            if refusal is not None:
                return refusal
        answer = self.draft.existing.printed.get(key_of(entry), ({}, {}))[0]
        return _query_refusal(answer) if "message" in answer else None

    def _hypertable_refusal(self, name: tuple[str, ...]) -> tuple[str, str, str] | None:
        label = ".".join(name)
        if name not in self.draft.relations:
            return ("unsupported", f"The target has no table {label}.", "Restore the tables before the aggregates.")
        if name not in self.draft.hypertables:
            return ("unsupported", f"On the target, {label} is no hypertable.", "Make it one with create_hypertable.")
        if self.draft.relations[name]["row_security"] and not self._suspends():
            return (
                "unsupported",
                f"Row security is on for {label}, and TimescaleDB takes no aggregate of such a table.",
                f"ALTER TABLE {label} DISABLE ROW LEVEL SECURITY, create the aggregates, then enable it again;"
                " or set row_security: suspend.",
            )
        return None

    def _suspends(self) -> bool:
        return bool(self.draft.options.get("row_security") == "suspend")

    def _without_row_security(self, entry: t.Mapping[str, t.Any], texts: list[str]) -> list[str]:
        """Nobody sees the table without: all of it is one transaction, and the first statement locks everybody out."""
        name = tuple(entry["hypertable"] or ())
        if not self._suspends() or not self.draft.relations.get(name, {}).get("row_security"):
            return texts
        forced = self.draft.relations[name].get("forced")  # TimescaleDB looks at this mark too
        off = "DISABLE ROW LEVEL SECURITY" + (", NO FORCE ROW LEVEL SECURITY" if forced else "")
        on = "ENABLE ROW LEVEL SECURITY" + (", FORCE ROW LEVEL SECURITY" if forced else "")
        table = identifier(*name)
        return [statement(f"ALTER TABLE {{}} {off}", table), *texts, statement(f"ALTER TABLE {{}} {on}", table)]

    def _creation(self, identity: Identity, entry: t.Mapping[str, t.Any]) -> Step:
        create = statement(
            "CREATE MATERIALIZED VIEW {} WITH (timescaledb.continuous, timescaledb.materialized_only = {},"
            " timescaledb.create_group_indexes = false) AS\n{}\nWITH NO DATA",
            name_of(entry),
            literal(entry["materialized_only"]),
            raw(self.draft.existing.texts[key_of(entry)].strip()),
        )
        fresh = {**FRESH, "owner": self.draft.existing.surroundings["user"], "fresh": True, "columnstore": None}
        fresh.update(chunk_interval=None, indexes=[{"tail": default_index(entry), "unique": False}])
        asked = key_of(entry) in self.draft.existing.printed
        texts = [create, *storage(entry, fresh, self.draft.facts), *self.draft.described("aggregate", entry, fresh)]
        return Step(
            identity,
            "create",
            tuple(self._without_row_security(entry, texts)),
            reason="The target does not have it.",
            depends_on=(Identity(KIND, *entry["parent"]).label,) if entry["parent"] else (),
            weight=FIRST,
            exclusive=(self.draft.root(entry),),
            done_when=_aggregate_exists(entry),
            unproved="" if asked else _UNPROVED,
        )

    def _alterations(self, entry: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any]) -> list[str]:
        texts = []
        if entry["materialized_only"] != found["materialized_only"]:
            # In a statement of its own: with an unchanged value it ignores every other option (TimescaleDB 2.7 - 2.29).
            template = "ALTER MATERIALIZED VIEW {} SET (timescaledb.materialized_only = {})"
            texts.append(statement(template, name_of(entry), literal(entry["materialized_only"])))
        return texts + storage(entry, found, self.draft.facts)


def _query_refusal(answer: t.Mapping[str, str]) -> tuple[str, str, str]:
    """What the target said about a query, with a remedy that fits it."""
    said = answer["message"] + (f" ({answer['detail']})" if answer.get("detail") else "")
    if answer.get("sqlstate") == INSUFFICIENT_PRIVILEGE:
        remedy = "Give the role that connects to the target that right, or connect as one that has it."
    else:
        remedy = answer.get("hint") or "Write it for the target's TimescaleDB and create it by hand."
    return ("unsupported", f"The target refuses its query: {said.rstrip('.')}.", remedy)


def _aggregate_exists(entry: t.Mapping[str, t.Any]) -> str:
    return statement(
        "SELECT EXISTS (SELECT FROM timescaledb_information.continuous_aggregates AS i"
        " WHERE i.view_schema = {} AND i.view_name = {})",
        literal(entry["schema"]),
        literal(entry["name"]),
    )
