# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Plans what on_drift: recreate does: build, fill, carry over, swap, drop; and what an interrupted run left to do."""

from __future__ import annotations

import typing as t

from .._plan import Finding, Identity, Step
from .._sql import identifier, literal, raw, statement
from .._timescale import job_table
from .attributes import name_of, owner_refusal
from .dependents import creation, fresh_dependent, label_of, reached_from, reads_of
from .draft import FIRST, KIND, Draft
from .recreate import NEW_MARK, Recreation, Recreations, new_name, old_name
from .refill import Refill
from .refresh import widest
from .swap import carry, exchange_names, guard, own_index_names
from .target import Key, key_of

__all__ = ["Replacements"]

Entry = t.Mapping[str, t.Any]


class Replacements:
    """Makes aggregates anew, parents first.

    :param found: what is made anew, and what is left of earlier runs.
    :param build: plans the creation of an aggregate, or brings one that is there to the wanted attributes.
    """

    def __init__(
        self,
        draft: Draft,
        refill: Refill,
        found: Recreations,
        build: t.Callable[[Identity, Entry, Entry | None], None],
    ) -> None:
        self.draft, self.refill, self.found, self.build = draft, refill, found, build
        self.dependents = {key_of(entry): entry for entry in draft.existing.document["dependents"]}
        self.sources = {key_of(entry): entry for entry in draft.wanted["dependents"]}
        self.along = {key: self._closure(key) for key in found.chosen}
        self.last_swap: tuple[str, ...] = ()
        draft.moved = {one for keys in self.along.values() for one in keys}

    def plan(self, one: Recreation) -> None:
        """All steps for one aggregate."""
        wanted = _with_the_olds(one, self.draft.existing.surroundings)
        half = _half(one, wanted)
        identity = Identity(KIND, half["schema"], half["name"])
        known = len(self.draft.plan.steps)
        dropped = self._drop_stale(key_of(half))
        self.build(identity, half, one.built)
        if one.built is None:
            creation_of = self.draft.plan.steps[-1]
            creation_of.reason = f"It is going to take the place of {'.'.join(one.key[:2])}."
            creation_of.depends_on += dropped
        self._report(one, wanted)
        filled = self.refill.fill_whole(identity, _filled_as_far(one, half), one.built, one.key)
        self._carry_over(one, half, (identity.label, *filled))
        self._swap(one, tuple(step.key for step in self.draft.plan.steps[known:]))
        self.draft.available.add(one.key)
        self._drop_old(one)

    # -- the steps ---------------------------------------------------------------------------------------------------

    def _report(self, one: Recreation, wanted: Entry) -> None:
        """Name what the new one will not have, of what the source's has and of what the old one had."""
        surroundings = self.draft.existing.surroundings
        made = {"indexes": (), "unmoved": (), "owner": surroundings["user"], **(one.built or {})}
        if not owner_refusal(wanted, surroundings):
            made["owner"] = wanted["owner"]
        self.draft.report(Identity(KIND, *one.key[:2]), {**wanted, "owner": one.wanted["owner"]}, made)

    def _drop_stale(self, key: Key) -> tuple[str, ...]:
        """What an interrupted run left, when it is no longer what is wanted; its name is needed.

        :returns: the key of the step, if there is one.
        """
        entry = self.found.stale.pop(key, None)
        if entry is None:
            return ()
        self._drop(entry, "An interrupted run left it, and it no longer fits.", ())
        return (self.draft.plan.steps[-1].key,)

    def _carry_over(self, one: Recreation, half: Entry, needs: tuple[str, ...]) -> None:
        texts = carry(one) if self.draft.options.get("history", "preserve") != "ignore" else ()
        if not texts or one.old is None:
            return
        history = Identity("history", half["schema"], "of the old aggregate", table=half["name"])
        if one.lost.unseen and not half["materialized_only"]:
            reason = "Old buckets lie behind what the target can materialize: real-time queries hide them."
            hint = "They are visible after the first refresh that finds a raw row behind them."
            self.draft.plan.findings.append(Finding(history, "pending", reason, hint))
        self.draft.plan.steps.append(
            Step(
                history,
                "refresh",
                texts,
                reason="What neither the target's rows nor the source give comes from the old aggregate.",
                depends_on=needs,
                weight=one.lost.rows,
                atomic=False,
                shared=(self.draft.root(one.wanted),),
                details={"rows": one.lost.rows, "buckets": one.lost.buckets},
            )
        )

    def _swap(self, one: Recreation, needs: tuple[str, ...]) -> None:
        old, key, label = one.old, one.key, ".".join(one.key[:2])
        moved = self.along[key]
        texts: list[str] = []
        if old is not None and self.draft.options.get("history", "preserve") != "ignore":
            texts.append(guard(one))
        texts += [_removal(self.dependents[name]) for name in reversed(moved)]
        texts += self._jobs_removed(one)
        texts += exchange_names(one)
        for name in moved:
            texts += self._made_again(name, key)
        texts += one.jobs.statements
        told = [label_of(self.dependents[name]) for name in moved] + list(one.jobs.told)
        step = Step(
            Identity(KIND, *key[:2]),
            "rebuild",
            tuple(texts),
            reason=one.because,
            depends_on=needs,
            follows=self.last_swap,
            weight=FIRST,
            exclusive=(self.draft.root(one.wanted),),
            done_when=_swapped(one),
            before=old["definition"] if old is not None else "",
            after=one.wanted["definition"],
            details={"along": told},
        )
        self.draft.plan.steps.append(step)
        self.last_swap = (step.key,)
        if one.jobs.told:
            self.draft.plan.warnings.append(f"{label}: its jobs are made again and get new numbers.")

    def _drop_old(self, one: Recreation) -> None:
        if one.old is None:
            return
        children = [
            Identity(KIND, key[0], old_name(key[1])).label
            for key, other in self.found.chosen.items()
            if other.old is not None and list(other.old["parent"] or ()) == [one.old["schema"], one.old["name"]]
        ]
        old = {**one.old, "name": old_name(one.old["name"])}
        swapped = Identity(KIND, *one.key[:2]).label
        self._drop(
            old, "It has been replaced.", (swapped, *children), key=Identity(KIND, old["schema"], old["name"]).label
        )

    def _drop(self, entry: Entry, reason: str, needs: tuple[str, ...], key: str = "") -> None:
        identity = Identity(KIND, entry["schema"], entry["name"])
        self.draft.plan.steps.append(
            Step(
                identity,
                "drop",
                (statement("DROP MATERIALIZED VIEW {}", name_of(entry)),),
                reason=reason,
                key=key or f"{identity.label} of an earlier run",
                depends_on=needs,
                weight=FIRST,
                exclusive=(self.draft.root(self._root_of(entry)),),
                before=entry["definition"],
            )
        )

    # -- what earlier runs left --------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Drop old ones that have been replaced, before anything else; and new ones that nobody waits for."""
        for key, entry in self.found.replaced.items():
            self._clear(key, entry)
        needed = {(key[0], new_name(key[1]), "") for key in self.found.chosen}
        for key in [key for key in self.found.stale if key not in needed]:
            self._drop_stale(key)

    def _clear(self, key: Key, entry: Entry) -> None:
        """An old one goes when what replaced it is there, and when nothing reads it any more at that time."""
        identity = Identity(KIND, entry["schema"], entry["name"])
        name = [entry["schema"], entry["name"]]
        children = [k for k, one in self.found.chosen.items() if one.old and list(one.old["parent"] or ()) == name]
        others = [e for e in self.draft.existing.document["aggregates"] if list(e["parent"] or ()) == name]
        others += [e for e in self.dependents.values() if tuple(name) in [read[:2] for read in reads_of(e)]]
        if key not in self.found.chosen and key not in self.draft.there:
            reason = f"It was replaced by {'.'.join(key[:2])}, which is not there: it is left alone."
            self.draft.refused(identity, "skipped", reason, "Look at both, then rename or drop it.")
        elif others:
            reason = f"It has been replaced, but {others[0]['schema']}.{others[0]['name']} reads it: it is left alone."
            self.draft.refused(identity, "skipped", reason, "Drop that first.")
        else:
            needs = tuple(Identity(KIND, child[0], old_name(child[1])).label for child in children)
            self._drop(entry, "An interrupted run left it. It has been replaced.", needs)
            if key in self.found.chosen:
                self.last_swap = (f"{identity.label} of an earlier run",)

    def _root_of(self, entry: Entry) -> Entry:
        """An aggregate of the target as one whose parents have their wanted names."""
        names = {old["name"]: key[1] for key, old in self.found.replaced.items()}
        if entry["parent"]:
            schema, name = entry["parent"]
            return {**entry, "parent": [schema, names.get(name, name)]}
        return entry

    # -- what stands on it -------------------------------------------------------------------------------------------

    def _closure(self, key: Key) -> list[Key]:
        """Views and functions of the target that read an aggregate, themselves or through others, in order of creation.

        What stands on it through another aggregate is not among them: that aggregate is made anew too.
        """
        reached = reached_from(key, self.dependents)
        waiting = [name for name in self.dependents if name in reached]
        ordered: list[Key] = []
        while waiting:
            ready = [n for n in waiting if not any(r in waiting and r != n for r in self._read(n))] or waiting
            ordered += ready
            waiting = [name for name in waiting if name not in ready]
        return ordered

    def _read(self, key: Key) -> list[Key]:
        return reads_of(self.dependents[key]) + (reads_of(self.sources[key]) if key in self.sources else [])

    def _made_again(self, name: Key, key: Key) -> list[str]:
        """A dependent as the source has it, once all that it reads is new; until then as it was."""
        found, wanted = self.dependents[name], self.sources.get(name)
        last = [one for one in self.found.chosen if name in self.along[one]][-1] == key
        entry, text = found, found["definition"]
        if wanted is not None and last and wanted["kind"] == found["kind"] and self._has_all(wanted):
            entry, text = wanted, self.draft.existing.texts[name]
        alike = entry is found or text.strip() == found["definition"].strip()
        entry = _with_attributes(entry, found, [column["name"] for column in found["columns"] or () if alike])
        if owner_refusal(entry, self.draft.existing.surroundings):
            entry = {**entry, "owner": found["owner"]}
        fresh = fresh_dependent(entry, self.draft.existing.surroundings["user"])
        texts = [creation(entry, text), *self.found.attached.get(name, ())]
        return texts + self.draft.described(entry["kind"], entry, fresh)

    def _has_all(self, wanted: Entry) -> bool:
        return all(read in self.draft.there or read in self.found.chosen for read in reads_of(wanted))

    def _jobs_removed(self, one: Recreation) -> list[str]:
        """The old aggregate's jobs, before the new one gets the same."""
        if not one.jobs.told or one.old is None or self.draft.facts.timescale is None:
            return []
        return [
            statement(
                "SELECT {}(j.id) FROM {} AS j JOIN _timescaledb_catalog.continuous_agg AS a"
                " ON a.mat_hypertable_id = j.hypertable_id WHERE a.user_view_schema = {} AND a.user_view_name = {}",
                identifier(self.draft.facts.extension_schema, "delete_job"),
                raw(job_table(self.draft.facts.timescale)),
                literal(one.old["schema"]),
                literal(one.old["name"]),
            )
        ]


def _removal(entry: Entry) -> str:
    kind = "ROUTINE" if entry["kind"] == "function" else entry["kind"].upper()
    return statement(f"DROP {kind} {{}}", name_of(entry))


def _swapped(one: Recreation) -> str:
    return statement(
        "SELECT pg_catalog.count(*) FILTER (WHERE i.view_name = {}) = 0 AND pg_catalog.count(*) FILTER (WHERE"
        " i.view_name = {}) = 1 FROM timescaledb_information.continuous_aggregates AS i WHERE i.view_schema = {}",
        literal(new_name(one.wanted["name"])),
        literal(old_name(one.wanted["name"]) if one.old is not None else one.wanted["name"]),
        literal(one.wanted["schema"]),
    )


def _with_attributes(entry: Entry, old: Entry, known: t.Collection[str]) -> dict[str, t.Any]:
    """An entry with the grants and comments that the target's has besides: they are left alone, here too.

    :param known: columns that the entry has, whether or not it says something of them.
    """
    there = {column["name"]: column for column in old["columns"] or ()}
    columns = []
    named = [column["name"] for column in entry["columns"] or ()]
    silent = [{**column, "acl": None} for column in old["columns"] or () if column["name"] in set(known) - set(named)]
    for column in [*(entry["columns"] or ()), *silent]:
        have = there.get(column["name"], {"acl": None, "comment": None})
        comment = column["comment"] if column["comment"] is not None else have["comment"]
        default = column.get("default") if column.get("default") is not None else have.get("default")
        acl = _both(column["acl"], have["acl"])
        columns.append({**column, "acl": acl, "comment": comment, "default": default})
    comment = entry["comment"] if entry["comment"] is not None else old["comment"]
    kept = old["acl"]
    if entry.get("kind") == "function":
        kept = [item for item in kept or () if item["grantee"] is not None]  # PUBLIC may run it by default
    return {**entry, "acl": _both(entry["acl"], kept), "columns": columns, "comment": comment}


def _both(wanted: t.Sequence[t.Any] | None, old: t.Sequence[t.Any] | None) -> list[t.Any]:
    return [*(wanted or ()), *(item for item in old or () if item not in (wanted or ()))]


def _with_the_olds(one: Recreation, surroundings: t.Mapping[str, t.Any]) -> Entry:
    """The wanted aggregate, with what the old one has besides and keeps when only its attributes differ."""
    old = one.old
    if old is None:
        return one.wanted
    entry = _with_attributes(one.wanted, old, one.wanted["materialized"])
    if owner_refusal(entry, surroundings):
        entry["owner"] = old["owner"]
    entry["unmoved"] = _both(one.wanted["unmoved"], [*(old["unmoved"] or ()), *_indexes_of_the_old(one.wanted, old)])
    if entry["columnstore"] is None and old["columnstore"] is not None:
        named = [*(old["columnstore"]["segmentby"] or ()), *(item[0] for item in old["columnstore"]["orderby"] or ())]
        fits = set(named) <= set(entry["materialized"])
        entry["columnstore"] = {**old["columnstore"], **({} if fits else {"segmentby": None, "orderby": None})}
    return entry


def _indexes_of_the_old(wanted: Entry, old: Entry) -> list[str]:
    """Indexes that somebody made on the old one alone, as templates like those of ``unmoved``."""
    there = [(index["unique"], index["tail"]) for index in [*(wanted["indexes"] or ()), *wanted["unbuildable"]]]
    return [
        f"CREATE {'UNIQUE ' if index['unique'] else ''}INDEX "
        + statement("{}", identifier(index["name"])).replace("%", "%%")
        + f" ON %1$I.%2$I {index['tail'].replace('%', '%%')}"
        for index in old["indexes"] or ()
        if (index["unique"], index["tail"]) not in there and not index["name"].startswith(old["materialization"][1])
    ]


def _half(one: Recreation, wanted: Entry) -> dict[str, t.Any]:
    """The new aggregate while it is being filled: names of its own, for the old one still has the others."""
    named = own_index_names(one.wanted)
    indexes = [
        {**index, "name": new_name(index["name"])} if index["name"] in named else index
        for index in wanted["indexes"] or ()
    ]
    mark = NEW_MARK.format(".".join(one.key[:2]))
    return {**wanted, "name": new_name(wanted["name"]), "comment": mark, "indexes": indexes}


def _filled_as_far(one: Recreation, half: Entry) -> Entry:
    """The half with the reach of both aggregates: as far as the source's, and as far as the old one's."""
    old = one.old
    if old is None:
        return half
    # Where the old buckets begin is no border of the new ones: calls of a refresh overlap then.
    reach = {**half, "bucket_fixed": half["bucket_fixed"] and one.same_bucket}
    if old["watermark"] is not None and (half["watermark"] is None or old["watermark"] > half["watermark"]):
        reach["watermark"] = old["watermark"]
    if old["extent"]:
        first = old["extent"][0] - (0 if one.same_bucket else widest(half))
        reach["extent"] = [min(first, half["extent"][0]), half["extent"][1]] if half["extent"] else [first, first]
    return reach
