# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Compares what the source wants with what the target has, and plans what is missing. Pure: no database is asked."""

from __future__ import annotations

import collections
import dataclasses
import functools
import re
import typing as t

from .._connection import Facts
from .._plan import Finding, Identity, Plan, Step
from .._sql import quote_identifier
from .._versions import PG_OPERATOR_CLASS_PARAMETERS
from . import hypertables, keys, scanner
from .checks import done_when
from .exchange import OVERWRITES, removal, renaming
from .indexes import chunk_build, commit_by_chunk, dropping, per_chunk, why_plain, words_of
from .objects import CONSTRAINTS, Inventory, Name, Relation, Thing, shape
from .order import ancestors, dotted, locks, put_last, weight_of
from .selection import OPT_IN, Options, left_out
from .unnamed import differences
from .wanted import Item

__all__ = ["make_plan"]

# Bytes of a relation up to which a statement is small.
_SMALL = 1024 * 1024
_ALONE = ("refresh", "subscription")  # may take long whatever its size, or cannot run in a transaction block
_OPERATOR_CLASS_PARAMETERS = re.compile(r"(?<! WITH) \(\w+=")
_SECRET = re.compile(r"pass|://[^/]*:[^/]*@", re.IGNORECASE)  # of a subscription's connection string
# What stands on an object by its name, though it is an entry of its own in the archive.
_STAND_ON = ("comment", "index_attach")
_NAMED_ALIKE = ("index", "primary_key", "unique", "exclude", "foreign_key")
_WITH_INDEX = ("index", "primary_key", "unique", "exclude")
_PASSES_ON = ("unsupported", "pending", "skipped")
_COMPARE = "Compare both with --diff, then change or drop the target's."


def make_plan(
    items: t.Sequence[Item], source: Inventory, target: Inventory, target_facts: Facts, options: Options
) -> Plan:
    """Plan everything that the archive's items want and the target lacks.

    :param items: in the archive's order: an object stands after what it needs.
    """
    planner = _Planner(source, target, target_facts, options)
    for item in items:
        planner.look_at(item)
    planner.look_besides()
    put_last(planner.plan.steps)
    planner.plan.warnings += [
        f"The target's table {schema}.{table} carries the trigger {name}, which TimescaleDB made for another table or"
        f" no longer uses. Inserts may fail or aggregates go stale. Remove it: {remedy};"
        for (schema, table), name, remedy in target.strays
    ]
    return planner.plan


@dataclasses.dataclass
class _Verdict:
    """What an item came to; items that stand on it look here."""

    outcome: str
    label: str
    key: str = ""


class _Planner:
    def __init__(self, source: Inventory, target: Inventory, facts: Facts, options: Options) -> None:
        self.source = source
        self.target = target
        self.facts = facts
        self.options = options
        self.plan = Plan()
        self.verdicts: dict[int, list[_Verdict]] = {}
        self._shapes: dict[Name, dict[str, list[Thing]]] | None = None
        self._remade: set[int] = set()  # entries whose object is dropped and made again: what stands on it goes too
        self._elsewhere: dict[int, str] = {}  # entries whose object the target has under another name
        self._compared: set[Identity] = set()
        self._by_words: collections.Counter[tuple[Name, str]] = collections.Counter()  # indexes built chunk by chunk
        self._taken = _names_taken(target)

    def look_at(self, item: Item) -> None:
        """Give one item its step or its finding."""
        if item.thing is not None and item.thing.own:
            reason = "It belongs to TimescaleDB, which makes its own where it needs one."
            self.plan.findings.append(Finding(item.identity, "skipped", reason, aside=True))
            self._note(item, "skipped")
            return
        reason = left_out(item, self.options)
        if reason:
            self.plan.findings.append(Finding(item.identity, "skipped", reason, aside=True))
            self._note(item, "present" if item.identity in self.target.things else "skipped")
            return
        if item.thing is None:
            self._settle(
                item,
                "unsupported",
                f"What the archive calls {item.entry.desc} {item.entry.tag} is not known exactly.",
                "Give the source too, or a newer dump_file if the source has changed since.",
            )
            return
        self._compared.add(item.identity)
        self._compare(item, item.thing)

    def look_besides(self) -> None:
        """Give what the archive has no entry for its finding, or its step where it is to be replaced."""
        attached = {one.definition for identity, one in self.source.things.items() if _attaches(identity)}
        attached -= {self.source.things[step.object].definition for step in self.plan.steps if _attaches(step.object)}
        for finding in self.plan.of_outcome("present"):
            there, wanted = self.target.things.get(finding.object), self.source.things.get(finding.object)
            if there and wanted and wanted.whole and not there.whole and _part_of(there) in attached:
                finding.outcome, finding.before, finding.after = "drifted", "invalid", "valid"
                finding.reason = "It is invalid, although each partition has its own."
                finding.hint = "Drop it on the target and run this task again."
        for one in differences(self._compared, self.source, self.target):
            if self.options.kinds and one.identity.kind not in self.options.kinds:
                continue
            reason = "The target's definition differs from the source's." if one.after else "Only the target has it."
            if self.options.on_drift == "replace" and one.remedy:
                on = (dotted(one.relation),) if one.relation else ()
                step = Step(one.identity, "alter", one.remedy, reason, key=_key(one.identity), exclusive=on)
                step.before, step.depends_on = one.before, self._parents_triggers(one.identity)
                self.plan.steps.append(step)
                continue
            hint = "Take it back on the target, or set on_drift: replace." if not one.after else _COMPARE
            self.plan.findings.append(Finding(one.identity, "drifted", reason, hint, one.before, one.after))

    def _compare(self, item: Item, thing: Thing) -> None:
        there = self.target.things.get(item.identity)
        self._note_lost_parameters(thing)
        on = [number for number in self._needs(item) if item.identity.kind in _STAND_ON or not item.main]
        if any(number in self._remade for number in on):
            self._missing(item, thing, None)
        elif there is None and any(number in self._elsewhere for number in on):
            other = next(self._elsewhere[number] for number in on if number in self._elsewhere)
            self._drifted(item, thing, None, f"The target has what it stands on under the name {other}.")
        elif there is not None and there.lacking and item.identity.kind in (*CONSTRAINTS.values(), "trigger"):
            self._drifted(item, thing, there, f"{there.lacking} chunks lack it.")
        elif there is not None and self._state_differs(item):
            state = self.target.things[dataclasses.replace(item.identity, kind=f"{item.identity.kind}_state")]
            self._drifted(item, thing, there, f"On the target its state is {state.definition}.")
        elif there is not None and there.valid and there.definition == thing.definition:
            self._settle(item, "present")
        elif there is not None and there.valid and not self._is_placeholder(item, there):
            self._differs(item, thing, there)
        elif there is None and (taken := self._taken_by(item, thing)) is not None:
            self._drifted(item, thing, None, f"The name is taken: the target has {taken.label}.")
        else:
            self._missing(item, thing, there)

    def _taken_by(self, item: Item, thing: Thing) -> Identity | None:
        """What the target has of another kind, or on another table, under the name that only one of them can have."""
        names = _unique_names(item.identity)
        taken = next((self._taken[name] for name in names if name in self._taken), None)
        return None if taken is not None and self._first_half(item, thing, taken) else taken

    def _first_half(self, item: Item, thing: Thing, taken: Identity) -> bool:
        """Whether what has a key's name is the key's index, which a stopped run has built (see ``keys``)."""
        table = self.target.relations.get(thing.relation) if thing.relation else None
        if table is None or taken.kind != "index" or (taken.schema, taken.table) != table.name:
            return False
        if len(item.statements) != 1 or not keys.can_split(thing, table, ()):
            return False
        split = keys.index_first(item.statements[0], table.name, item.identity.name)
        return split is not None and split.is_made_by(self.target.things[taken])

    def _is_placeholder(self, item: Item, there: Thing) -> bool:
        """Whether it is only what stands there until the entry's statement has run.

        That is the empty body which pg_dump gives a view in pre-data when its real one must wait, and the state that a
        partition's trigger has from its parent's.
        """
        if item.identity.kind == "trigger_state":
            return there.inherited and there.definition == self._state_above(there)
        return (
            item.identity.kind == "rule"
            and item.identity.name == "_RETURN"
            and scanner.is_placeholder(there.definition)
        )

    def _state_above(self, there: Thing) -> str:
        """The state on the target of the trigger that a partition's is a copy of."""
        schema, table = (self.target.relations[there.relation].parent if there.relation else None) or ("", "")
        above = self.target.things.get(Identity("trigger_state", schema, there.identity.name, table))
        return above.definition if above is not None else "ENABLE"

    def _differs(self, item: Item, thing: Thing, there: Thing) -> None:
        if item.identity.kind in CONSTRAINTS.values() and there.definition == f"{thing.definition} NOT VALID":
            self._validate(item, thing, there)
            return
        self._drifted(item, thing, there, "The target's definition differs from the source's.")

    def _state_differs(self, item: Item) -> bool:
        """Whether a trigger or rule that is enabled on the source is not so on the target."""
        if item.identity.kind not in ("trigger", "rule"):
            return False
        state = dataclasses.replace(item.identity, kind=f"{item.identity.kind}_state")
        there = self.target.things.get(state)
        return there is not None and there.definition != "ENABLE" and state not in self.source.things

    def _drifted(self, item: Item, thing: Thing, there: Thing | None, reason: str) -> None:
        """Report what differs, or plan its exchange: the old goes and the new comes in one transaction."""
        before = there.definition if there is not None else ""
        drop = removal(item.identity, thing.relation) if there is not None else None
        if self.options.on_drift == "replace" and drop is not None:
            refused = self._blocked_by(item) or self._relations_missing(item, thing) or self._refused(item, thing)
            if refused is None:
                texts = (*drop, *(self._for_target(text, thing) for text in item.statements))
                action = "alter" if item.identity.kind in OVERWRITES else "rebuild"
                self._step(item, thing, texts, action, reason, before)
                self._remade.update([item.entry.dump_id] if drop else [])
                return
            reason = f"{reason} {refused[1]}"
        hint = _COMPARE if self.options.on_drift == "replace" else f"{_COMPARE} Or set on_drift: replace."
        self._settle(item, "drifted", reason, hint, before, thing.definition)

    def _validate(self, item: Item, thing: Thing, there: Thing) -> None:
        table = self.target.relations.get(thing.relation) if thing.relation else None
        if table is None or table.columnstore:
            reason = "It is not validated on the target, and VALIDATE CONSTRAINT is refused where columnstore is on."
            self._drifted(item, thing, there, reason)
            return
        text = keys.validation(table.name, item.identity.name)
        self._step(item, thing, (text,), "alter", "It is there but not validated.", there.definition)

    def _missing(self, item: Item, thing: Thing, there: Thing | None) -> None:
        if item.identity.kind == "index_attach":
            needed = [verdict for number in self._needs(item) for verdict in self.verdicts.get(number, ())]
            differs = next((verdict for verdict in needed if verdict.outcome == "drifted"), None)
            if differs is not None:
                self._drifted(item, thing, None, f"It needs {differs.label}, which differs.")
                return
        refused = self._blocked_by(item) or self._relations_missing(item, thing) or self._refused(item, thing)
        if refused is not None:
            self._settle(item, *refused)
            return
        damaged = there is not None and not there.valid
        drop = (dropping((item.identity.schema, item.identity.name)),) if damaged else ()
        twin = self._twin(item, thing)
        if twin is not None:
            self._other_name(item, thing, twin, drop)
            return
        if self._by_chunk(item, thing, there) or self._in_two(item, thing, there):
            return
        if there is not None and damaged:
            texts = (*drop, *(self._for_target(text, thing) for text in item.statements))
            self._commit_by_chunk(thing, self._step(item, thing, texts, "rebuild", _damage(there), there.definition))
            self._remade.add(item.entry.dump_id)
            return
        texts = tuple(self._for_target(text, thing) for text in item.statements)
        action = "refresh" if item.identity.kind == "refresh" else "create"
        self._commit_by_chunk(thing, self._step(item, thing, texts, action, self._why_plain(item, thing)))

    def _note_lost_parameters(self, thing: Thing) -> None:
        """Say what TimescaleDB (2.17 to 2.29, chunk_index.c) loses of an index where PostgreSQL is 17 or later."""
        table = self.target.relations.get(thing.relation) if thing.relation else None
        if table is None or not table.is_hypertable or self.facts.server_version < PG_OPERATOR_CLASS_PARAMETERS:
            return
        if thing.identity.kind == "index" and _OPERATOR_CLASS_PARAMETERS.search(thing.definition):
            self.plan.warnings.append(
                f"TimescaleDB makes the indexes of chunks without operator class parameters on PostgreSQL 17 and later:"
                f" {thing.identity.label} has them on the hypertable alone."
            )

    # -- why not ---------------------------------------------------------------------------------------------------

    def _blocked_by(self, item: Item) -> tuple[str, str] | None:
        """The outcome of something it needs that will not be there."""
        for verdict in (verdict for number in self._needs(item) for verdict in self.verdicts.get(number, ())[:1]):
            if verdict.outcome in _PASSES_ON:
                return verdict.outcome, f"It needs {verdict.label}, which is {verdict.outcome}."
        return None

    @staticmethod
    def _needs(item: Item) -> tuple[int, ...]:
        return item.entry.dependencies if item.main else (item.entry.dump_id,)

    def _relations_missing(self, item: Item, thing: Thing) -> tuple[str, ...] | None:
        names = [name for name in (thing.relation, *thing.reads) if name is not None]
        waits = [name for name in names if self._on_aggregate(name)]
        if waits and not self.options.dependents:
            return "pending", f"It stands on the continuous aggregate or view {dotted(waits[0])}."
        absent = [name for name in names if name not in self.target.relations]
        if not absent:
            return None
        if all(name in waits for name in absent):
            if self.options.check_mode:
                return None
            return "pending", f"It waits for {dotted(absent[0])}, which comes with the continuous aggregates."
        missing = next(name for name in absent if name not in waits)
        return (
            "unsupported",
            f"The target has no relation {dotted(missing)}.",
            "Repeat the pre-data step for it, or leave it out with the filters.",
        )

    def _on_aggregate(self, name: Name) -> bool:
        relation = self.source.relations.get(name)
        return relation is not None and relation.on_aggregate

    def _above_the_role(self, thing: Thing) -> tuple[str, ...] | None:
        """What only a superuser creates (PostgreSQL manual, CREATE EVENT TRIGGER, PUBLICATION and SUBSCRIPTION)."""
        kind, everything = thing.identity.kind, "puballtables" in thing.definition
        needs = kind in ("event_trigger", "publication_schema") or (kind == "publication" and everything)
        if not needs and (kind != "subscription" or self.target.may_subscribe):
            return None
        if needs and self.target.superuser:
            return None
        who = "a superuser" if needs else "a superuser or a member of pg_create_subscription (PostgreSQL 16 and later)"
        hint = f"Run this task once more as {who}, or leave {OPT_IN[kind]} out of include."
        return "unsupported", f"Only {who} can create it.", hint

    def _refused(self, item: Item, thing: Thing) -> tuple[str, ...] | None:
        if item.identity.kind == "subscription" and _SECRET.search("".join(item.statements)):
            return "unsupported", "Its connection string holds a password.", "Create it by hand."
        above = self._above_the_role(thing)
        if above is not None:
            return above
        found = hypertables.refusal(item.identity, thing, self.target.relations, self.facts.timescale)
        state = self.source.things.get(dataclasses.replace(item.identity, kind="trigger_state"))
        if found is None and item.identity.kind == "trigger" and state and state.definition != "ENABLE ALWAYS":
            # It must not arrive enabled: where the state is refused, so is the trigger.
            found = hypertables.refusal(state.identity, state, self.target.relations, self.facts.timescale)
        return ("unsupported", *found) if found else None

    def _twin(self, item: Item, thing: Thing) -> Thing | None:
        """What the target has with another name and the same definition; any primary key is one to another."""
        if item.identity.kind not in _NAMED_ALIKE or thing.relation is None:
            return None
        if self._shapes is None:
            self._shapes = {}
            for other in self.target.things.values():
                spare = other.identity.kind in _NAMED_ALIKE and other.valid and other.identity not in self.source.things
                if spare and other.relation is not None:
                    self._shapes.setdefault(other.relation, {}).setdefault(_shape(other), []).append(other)
        shapes = self._shapes.get(thing.relation)
        twins = shapes.get(_shape(thing)) if shapes else None
        return twins.pop() if twins else None  # one stands for one: the source may have two that are alike

    def _other_name(self, item: Item, thing: Thing, twin: Thing, drop: tuple[str, ...]) -> None:
        name, kind = twin.identity.name, item.identity.kind
        what = "another primary key" if kind == "primary_key" else f"the same {kind.replace('_', ' ')}"
        reason = f"The target has {what} under the name {name}; it is not built twice."
        reason += " One of that name is there too, invalid or incomplete." if drop else ""
        same = kind == "index" or twin.definition == thing.definition
        if same and self.options.on_drift == "replace":
            self._step(item, thing, (*drop, renaming(twin, item.identity.name)), "alter", reason, name)
            return
        self._elsewhere[item.entry.dump_id] = name
        self._settle(item, "drifted", reason, "Rename it, or set on_drift: replace.", name, thing.definition)

    # -- steps -----------------------------------------------------------------------------------------------------

    def _for_target(self, text: str, thing: Thing) -> str:
        table = self.target.relations.get(thing.relation) if thing.relation else None
        if table is None or not table.is_hypertable:
            return text
        return scanner.without_only(text)

    def _why_plain(self, item: Item, thing: Thing) -> str:
        """What would have let all connections build an index, for the result."""
        table = self.target.relations.get(thing.relation) if thing.relation else None
        if item.identity.kind != "index" or not item.main or table is None or not table.is_hypertable:
            return ""
        return why_plain(self.options.strategy, table, thing) or ""

    def _by_chunk(self, item: Item, thing: Thing, there: Thing | None) -> bool:
        """Plan an index of a hypertable as one step per chunk and a last one, where that can be done."""
        table = self.target.relations.get(thing.relation) if thing.relation else None
        version = self.facts.timescale
        if item.identity.kind != "index" or not item.main or table is None or not table.is_hypertable:
            return False
        if there is not None or version is None or why_plain(self.options.strategy, table, thing) is not None:
            return False
        if len(item.statements) > 1:  # DEPENDS ON EXTENSION
            return False
        alike = (table.name, words_of(thing.printed or thing.definition))
        divided = self.options.strategy.hypertables[table.name]
        build = chunk_build(table.name, thing, divided, version, self._by_words[alike])
        self._by_words[alike] += 1
        last = self._step(item, thing, (build.last,), "create")
        last.work, last.done_when, last.weight, last.size, last.batch = build.work, build.done, 0, 0, False
        parts = [
            dataclasses.replace(
                last,
                object=Identity("index", chunk.name[0], item.identity.name, chunk.name[1]),
                statements=(text,),
                key=f"{last.key} on {dotted(chunk.name)}",
                weight=chunk.bytes,
                size=chunk.bytes,
                done_when=made,
                part_of=last.key,
                work=None,
            )
            for chunk, text, made in build.parts
        ]
        last.depends_on = (*last.depends_on, *(part.key for part in parts))
        self.plan.steps[-1:] = [*parts, last]
        return True

    def _commit_by_chunk(self, thing: Thing, step: Step) -> None:
        """Let the server commit after each chunk of an index, where that is asked for and can be done."""
        table = self.target.relations.get(thing.relation) if thing.relation else None
        if self.options.strategy.choice != "transaction_per_chunk" or table is None or not table.is_hypertable:
            return
        *drop, text = step.statements
        if step.object.kind != "index" or len(drop) != (step.action == "rebuild") or text.startswith("CREATE UNIQUE "):
            return
        text, name = per_chunk(text), (step.object.schema, step.object.name)
        step.statements, step.batch = (*drop, text), False
        step.work = functools.partial(commit_by_chunk, name=name, text=text, rebuild=bool(drop))

    def _in_two(self, item: Item, thing: Thing, there: Thing | None) -> bool:
        """Plan a key of a large plain table as two steps, where the server allows it."""
        table = self.target.relations.get(thing.relation) if thing.relation else None
        if item.identity.kind not in keys.KINDS or table is None or there is not None or len(item.statements) != 1:
            return False
        index = self.target.things.get(dataclasses.replace(item.identity, kind="index"))
        if table.bytes <= _SMALL and index is None:
            return False
        if not keys.can_split(thing, table, [self.target.relations.get(name) for name in thing.reads]):
            return False
        if item.identity.kind == "foreign_key":
            return self._validated_later(item, thing, table)
        return self._index_first(item, thing, table, index)

    def _validated_later(self, item: Item, thing: Thing, table: Relation) -> bool:
        last = self._step(item, thing, (keys.validation(table.name, item.identity.name),), "create")
        # All are added before the first is validated: that takes long, and keeps others from the table.
        part = dataclasses.replace(last, weight=last.weight + 1, size=0)
        made = dataclasses.replace(thing, definition=f"{thing.definition} NOT VALID", printed="")
        self._put_before(last, part, "not valid", (keys.unvalidated(item.statements[0]),))
        part.done_when = functools.partial(done_when, made)
        last.exclusive = (dotted(table.name),)
        last.shared = tuple(name for name in (*part.exclusive, *part.shared) if name not in last.exclusive)
        return True

    def _index_first(self, item: Item, thing: Thing, table: Relation, there: Thing | None) -> bool:
        name = item.identity.name
        split = keys.index_first(item.statements[0], table.name, name)
        if split is None or (there is not None and not (there.valid and split.is_made_by(there))):
            return False
        last = self._step(item, thing, (split.attach,), "create", "Its index was there already." if there else "")
        if there is None:
            part = dataclasses.replace(last, object=dataclasses.replace(item.identity, kind="index"))
            self._put_before(last, part, "index", (split.create,))
            part.done_when = functools.partial(keys.index_done, (table.name[0], name), split.method)
            part.exclusive, part.shared = part.shared, part.exclusive
            last.size = 0
        last.settings = {}
        return True

    def _put_before(self, last: Step, part: Step, key: str, texts: tuple[str, ...]) -> None:
        """Plan a step as the first part of another."""
        part.key, part.part_of, part.statements = f"{last.key} {key}", last.key, texts
        last.depends_on = (*last.depends_on, part.key)
        self.plan.steps[-1:] = [part, last]

    def _step(
        self, item: Item, thing: Thing, texts: tuple[str, ...], action: str, reason: str = "", before: str = ""
    ) -> Step:
        exclusive, shared = locks(item, thing, self.target, rebuilds=action == "rebuild")
        names = [name for name in (thing.relation, *thing.reads) if name is not None]
        weight, tablespace = weight_of(item, thing, self.target), self._tablespace(item)
        small = weight <= _SMALL and item.identity.kind not in _ALONE and not tablespace
        step = Step(
            item.identity,
            action,
            texts,
            reason,
            key=_key(item.identity),
            depends_on=self._depends_on(item),
            weight=weight,
            size=weight,
            batch=small,
            exclusive=exclusive,
            shared=shared,
            # Thousands of queries of which hardly one is asked: each is written when it is. What is made again by the
            # same definition (chunks lack it) looks the same before and after: it is simply made again.
            done_when="" if before == thing.definition else functools.partial(done_when, thing),
            before=before,
            planned=any(name not in self.target.relations for name in names),
            settings=tablespace,
            tolerated=self.options.tolerated(item.identity),
        )
        self.plan.steps.append(step)
        self._note(item, "planned", step.key)
        return step

    def _depends_on(self, item: Item) -> tuple[str, ...]:
        keys = [verdict.key for number in self._needs(item) for verdict in self.verdicts.get(number, ())]
        keys += self._parents_triggers(item.identity)
        return tuple(dict.fromkeys(key for key in keys if key))

    def _parents_triggers(self, identity: Identity) -> tuple[str, ...]:
        """Steps of the trigger that a partition's is a copy of: it comes and is set with its parent's."""
        if identity.kind != "trigger_state":
            return ()
        above = ancestors((identity.schema, identity.table), self.target)
        kinds = ("trigger", "trigger_state")
        return tuple(_key(Identity(kind, *name[:1], identity.name, name[1])) for name in above for kind in kinds)

    def _tablespace(self, item: Item) -> dict[str, str]:
        wanted = item.entry.tablespace
        if not wanted or not item.main:
            return {}
        name = self.options.tablespaces.get(wanted, wanted)
        if name in self.target.tablespaces:
            return {"default_tablespace": name}  # the setting takes a name without quotes
        text = f"The target has no tablespace {name}: its objects are put into the default one (see tablespace_map)."
        if text not in self.plan.warnings:
            self.plan.warnings.append(text)
        return {}

    # -- findings --------------------------------------------------------------------------------------------------

    def _settle(
        self, item: Item, outcome: str, reason: str = "", hint: str = "", before: str = "", after: str = ""
    ) -> None:
        self.plan.findings.append(Finding(item.identity, outcome, reason, hint, before, after))
        self._note(item, outcome)

    def _note(self, item: Item, outcome: str, key: str = "") -> None:
        verdicts = self.verdicts.setdefault(item.entry.dump_id, [])
        verdicts.append(_Verdict(outcome, item.identity.label, key))


def _shape(thing: Thing) -> str:
    """What two objects of a table have in common when only their names differ."""
    kind, text = thing.identity.kind, thing.printed or thing.definition
    if kind == "primary_key":
        return kind
    return f"{kind} {shape(text) if kind == 'index' else text}"


def _unique_names(identity: Identity) -> t.Iterator[tuple[str, ...]]:
    """Names that no other object can have: an index's among the schema's relations, a constraint's on its table."""
    if identity.kind in _WITH_INDEX:
        yield (identity.schema, identity.name)
    if identity.kind in CONSTRAINTS.values():
        yield (identity.schema, identity.table, identity.name)


def _names_taken(target: Inventory) -> dict[tuple[str, ...], Identity]:
    taken: dict[tuple[str, ...], Identity] = {name: Identity("relation", *name) for name in target.relations}
    for identity in target.things:
        taken.update((name, identity) for name in _unique_names(identity))
    return taken


def _attaches(identity: Identity) -> bool:
    return identity.kind == "index_attach"


def _part_of(above: Thing) -> str:
    """How an index that is attached to this one is described."""
    return f"partition of {above.identity.schema}.{above.identity.name}"


def _damage(there: Thing) -> str:
    return f"{there.lacking} chunks lack it." if there.lacking else "A failed build left it invalid."


def _key(identity: Identity) -> str:
    parts = (identity.schema, identity.table, identity.name)
    return f"{identity.kind} " + ".".join(quote_identifier(part) for part in parts)
