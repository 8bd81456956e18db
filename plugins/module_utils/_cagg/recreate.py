# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""on_drift: recreate. Which aggregates are made anew, what earlier runs left of that, and what of the old ones is kept.

The new aggregate is built under a name of its own and takes the old one's place by renaming; the old one goes last. The
two names and a comment are all there is to know of a run that was interrupted:

- ``NAME_dbops_new``, marked: being filled; continued if its definition is the wanted one, else dropped and built again;
- ``NAME_dbops_old``, marked: replaced already; dropped.

Children read their parent, whatever it is called: those of a parent that is made anew are made anew after it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t

from .._connection import Database
from .._plan import Finding, Identity
from .attached import Held, read_attached, read_held
from .definition import print_definitions
from .dependents import label_of, reached_from
from .draft import KIND, is_chosen
from .extents import read_extents
from .lost import NO_BUCKETS, LostBuckets, Stored, find_lost
from .meaning import Changed, carried_columns, changed_columns, column_names, same_bucket
from .target import Existing, Key, is_same, key_of, parents_first

__all__ = [
    "NEW_MARK",
    "NOTHING",
    "OLD_MARK",
    "KeptJobs",
    "Recreation",
    "Recreations",
    "find_recreations",
    "is_left_over",
    "new_name",
    "old_name",
]

_NAME_BYTES = 63  # PostgreSQL's NAMEDATALEN - 1; names are stored in UTF-8 or shorter
_IN_USE = """
SELECT pg_catalog.json_agg(w)::pg_catalog.text FROM pg_catalog.json_array_elements(%(names)s::pg_catalog.json) AS w
JOIN pg_catalog.pg_namespace AS n ON n.nspname = w ->> 0
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w ->> 1
"""
_SUSPEND = "Set row_security: suspend, or disable it for the time of the run."
_MARK = "dbops.timescale: "
NEW_MARK = _MARK + "is going to take the place of {}"
OLD_MARK = _MARK + "has been replaced by {}"

Entry = t.Mapping[str, t.Any]


def new_name(name: str) -> str:
    """What the new aggregate is called until it is filled."""
    return _with_suffix(name, "_dbops_new")


def old_name(name: str) -> str:
    """What the old aggregate is called until it is dropped."""
    return _with_suffix(name, "_dbops_old")


def _with_suffix(name: str, suffix: str) -> str:
    if len((name + suffix).encode()) <= _NAME_BYTES:
        return name + suffix
    ending = "_" + hashlib.sha256(name.encode()).hexdigest()[:8] + suffix
    return name.encode()[: _NAME_BYTES - len(ending)].decode(errors="ignore") + ending


def is_left_over(entry: Entry) -> bool:
    """Whether an aggregate of the target is what an interrupted run left."""
    return entry["name"].endswith(("_dbops_new", "_dbops_old")) and (entry["comment"] or "").startswith(_MARK)


class KeptJobs(t.NamedTuple):
    """The jobs of an aggregate: the statements that make them again, by name, and what they are called.

    :param problem: why one of them cannot be made again.
    """

    statements: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    problem: str = ""


NO_JOBS = KeptJobs()


@dataclasses.dataclass(frozen=True)
class Recreation:
    """One aggregate that is made anew.

    :param wanted: the source's aggregate.
    :param old: the target's; None when somebody dropped it while the new one was waiting.
    :param built: what an interrupted run left of the new one.
    :param because: why, for the result.
    :param columns: new column -> old column, where all of them mean the same; None where that cannot be proved.
    :param same_bucket: the buckets of both begin at the same times.
    :param lost: buckets of the old one that neither the target's rows nor the source give.
    :param jobs: of the old one.
    """

    wanted: Entry
    old: Entry | None
    built: Entry | None
    because: str
    columns: t.Mapping[str, str] | None = None
    same_bucket: bool = False
    lost: LostBuckets = NO_BUCKETS
    jobs: KeptJobs = NO_JOBS

    @property
    def key(self) -> Key:
        return key_of(self.wanted)


@dataclasses.dataclass
class Recreations:
    """What on_drift: recreate does in this run.

    :param chosen: by the wanted name.
    :param stale: leftovers that fit nothing, to be dropped, by their own name.
    :param replaced: old ones that wait for being dropped, by the name that they had.
    :param refused: what cannot be made anew.
    :param attached: what hangs on views of the target that stand on aggregates, as statements.
    """

    chosen: dict[Key, Recreation] = dataclasses.field(default_factory=dict)
    stale: dict[Key, Entry] = dataclasses.field(default_factory=dict)
    replaced: dict[Key, Entry] = dataclasses.field(default_factory=dict)
    refused: dict[Key, Finding] = dataclasses.field(default_factory=dict)
    attached: dict[Key, list[str]] = dataclasses.field(default_factory=dict)


NOTHING = Recreations()


def find_recreations(
    source: Database | None,
    target: Database,
    wanted: t.Mapping[str, t.Any],
    existing: Existing,
    options: t.Mapping[str, t.Any],
    jobs_of: t.Callable[[Database, t.Sequence[Key]], t.Mapping[Key, KeptJobs]],
) -> tuple[Recreations, Existing]:
    """Find what differs, what stands on it, and what an interrupted run left.

    :param source: where lost buckets are looked for; None with source_file.
    :param jobs_of: reads the jobs of aggregates of the target; asked only when something is made anew.
    :returns: the recreations, and the target without the old aggregates: a new one that is half built stands under the
        wanted name.
    """
    search = _Search(source, target, wanted, existing, options)
    search.search(jobs_of)
    return search.found, search.without_old()


class _Search:
    def __init__(
        self,
        source: Database | None,
        target: Database,
        wanted: t.Mapping[str, t.Any],
        existing: Existing,
        options: t.Mapping[str, t.Any],
    ) -> None:
        self.source, self.target, self.wanted, self.existing, self.options = source, target, wanted, existing, options
        self.there: dict[Key, dict[str, t.Any]] = {key_of(entry): entry for entry in existing.document["aggregates"]}
        self.entries: dict[Key, Entry] = {key_of(entry): entry for entry in wanted["aggregates"]}
        self.found = Recreations()
        left = {key: entry for key, entry in self.there.items() if is_left_over(entry) and key not in self.entries}
        self.dependents: dict[Key, Entry] = {key_of(entry): entry for entry in existing.document["dependents"]}
        self.olds = {key: left[_at(key, old_name)] for key in self.entries if _at(key, old_name) in left}
        self.renamed = {old["name"]: key[1] for key, old in self.olds.items()}
        mine = [key for key, entry in self.entries.items() if is_chosen(entry, options)]
        self.halves = {key: left[_at(key, new_name)] for key in mine if _at(key, new_name) in left}
        self.found.replaced = {key: self.olds[key] for key in mine if key in self.olds}
        self.changed: dict[Key, Changed] = {}
        self.held = Held([], [])
        self.answers: dict[Key, dict[str, str]] = {}
        self.taken: set[Key] = set()

    def search(self, jobs_of: t.Callable[[Database, t.Sequence[Key]], t.Mapping[Key, KeptJobs]]) -> None:
        """A fixed number of statements, and none when nothing is to be made anew."""
        found = self.found
        found.chosen = self._chosen()
        if found.chosen:
            self._read_extents()
            self.answers, self.taken = self._validated(), self._names_in_use()
            olds = [one.old for one in found.chosen.values() if one.old is not None]
            self.held = read_held(self.target, [*olds, *self.dependents.values()])
            jobs = jobs_of(self.target, [key for key, one in found.chosen.items() if one.old is not None])
            found.chosen = {
                key: dataclasses.replace(one, jobs=jobs.get(key, NO_JOBS)) for key, one in found.chosen.items()
            }
            self._refuse()
            found.chosen = {key: self._with_halves(key, one) for key, one in found.chosen.items()}
            views = [key for key, entry in self.dependents.items() if entry["kind"] != "function"]
            found.attached = read_attached(self.target, views) if found.chosen else {}
        self._judge_halves()

    # -- which ones ------------------------------------------------------------------------------------------------

    def _chosen(self) -> dict[Key, Recreation]:
        """What differs, and what stands on it; what nothing but a half is there of."""
        chosen: dict[Key, Recreation] = {}
        self._compare_replaced()
        for entry in parents_first([entry for entry in self.entries.values() if is_chosen(entry, self.options)]):
            key, parent = key_of(entry), _parent_of(entry)
            old = self.there.get(key)
            if old is None and key not in self.halves:
                continue
            reason = ""
            if old is None:
                reason = "An interrupted run left it under another name."
            elif parent in chosen:
                reason = f"It stands on {'.'.join(entry['parent'])}, which is made anew."
            elif not is_same(self.existing, key):
                reason = "Its definition was another one than the source's."
            if reason:
                chosen[key] = self._recreation(key, old, reason)
        return chosen

    def _compare_replaced(self) -> None:
        """What has been replaced by an earlier run, and may still be read by what stood on it."""
        for entry in parents_first(list(self.entries.values())):
            key = key_of(entry)
            if key in self.olds and key in self.there:
                texts = (self.there[key]["definition"], self.olds[key]["definition"])
                self.changed[key] = changed_columns(*texts, self.renamed, self._changed_below(entry))

    def _changed_below(self, entry: Entry) -> Changed:
        parent = _parent_of(entry)
        return self.changed.get(parent, frozenset()) if parent is not None else frozenset()

    def _recreation(self, key: Key, old: Entry | None, reason: str) -> Recreation:
        entry = self.entries[key]
        ours, theirs = self.existing.printed.get(key, ({}, {}))
        if old is None:
            return Recreation(entry, None, None, reason)
        texts = (ours.get("printed", ""), theirs.get("printed", ""))
        below = self._changed_below(entry)
        self.changed[key] = changed_columns(*texts, self.renamed, below)
        columns = carried_columns(*texts, self.renamed, below) if old["finalized"] else None
        if columns is not None and not set(entry["materialized"]) <= set(columns):
            columns = None
        same = same_bucket(*texts, entry["time_column"], old["time_column"], self.renamed)
        return Recreation(entry, old, None, reason, columns, same)

    def _read_extents(self) -> None:
        """How far the old ones reach, and those that stay and are read by them."""
        asked = [key for key, e in self.entries.items() if key in self.found.chosen or not is_chosen(e, self.options)]
        read_extents(self.target, [self.there[key] for key in asked if key in self.there])

    def _validated(self) -> dict[Key, dict[str, str]]:
        """What the target says about each wanted query; not about those that stand on what is made anew too."""
        parents = {key: _parent_of(one.wanted) for key, one in self.found.chosen.items()}
        known = self.there.keys() - self.found.chosen.keys()
        asked = [key for key, parent in parents.items() if parent is None or parent in known]
        return dict(zip(asked, print_definitions(self.target, [(self.existing.texts[key], True) for key in asked])))

    def _names_in_use(self) -> set[Key]:
        """Relations that have a name which is needed here."""
        names = [_at(key, name)[:2] for key in self.found.chosen for name in (new_name, old_name)]
        found = self.target.document(_IN_USE, {"names": json.dumps(names)}) if names else None
        return {(schema, name, "") for schema, name in found or ()}

    @staticmethod
    def _stands_on(one: Recreation, keys: t.Container[Key]) -> bool:
        return _parent_of(one.wanted) in keys

    # -- what cannot be --------------------------------------------------------------------------------------------

    def _refuse(self) -> None:
        """Take out what cannot be made anew, and what cannot be because of that."""
        self._find_lost()
        while True:
            refused = {key: told for key, one in self.found.chosen.items() if (told := self._refusal(key, one))}
            if not refused:
                return
            for key, (reason, hint) in refused.items():
                one = self.found.chosen.pop(key)
                before, after = (one.old or {}).get("definition", ""), one.wanted["definition"]
                identity = Identity(KIND, *key[:2])
                self.found.refused[key] = Finding(identity, "unsupported", reason, hint, before, after)

    def _find_lost(self) -> None:
        if self.options.get("history", "preserve") == "ignore":
            return
        olds = {
            key: Stored(one.old, one.same_bucket)
            for key, one in self.found.chosen.items()
            if one.old and one.old.get("extent")
        }
        lost = find_lost(self.source, self.target, self.wanted, self.existing, olds, self._is_chosen)
        for key, buckets in lost.items():
            self.found.chosen[key] = dataclasses.replace(self.found.chosen[key], lost=buckets)

    def _is_chosen(self, entry: Entry) -> bool:
        return is_chosen(entry, self.options)

    def _refusal(self, key: Key, one: Recreation) -> tuple[str, str] | None:
        """Why an aggregate stays as it is: reason and remedy."""
        if self._stands_on(one, self.found.refused) and is_same(self.existing, key):
            parent = ".".join(one.wanted["parent"])
            return (f"It stands on {parent}, which cannot be made anew.", "Settle that first.")
        below = _parent_of(one.wanted)
        if below is not None and below not in self.found.chosen and below not in self.there:
            reason = f"It differs, and {'.'.join(below[:2])}, on which the source's stands, is not there yet."
            return (reason, "Run the task with on_unsupported: skip, which creates that, and then again.")
        answer = self.answers.get(key, {})
        if "message" in answer:
            said = answer["message"].rstrip(".")
            hint = answer.get("hint") or "Write it for the target's TimescaleDB and create it by hand."
            return (f"It differs, and the target refuses the source's query: {said}.", hint)
        taken = self._taken(key)
        if taken:
            return taken
        table = ".".join(one.wanted["hypertable"] or ())
        if table in self._secured() and self.options.get("row_security") != "suspend":
            return (f"It differs, and row security is on for {table}: nothing new can stand on it.", _SUSPEND)
        if one.jobs.problem:
            return (f"It differs and cannot be made anew with its jobs: {one.jobs.problem}", "Remove that job first.")
        return self._loss(key, one) if one.old is not None else None

    def _loss(self, key: Key, one: Recreation) -> tuple[str, str] | None:
        """Why what stands on the old one, or its rows, would suffer."""
        label = ".".join(key[:2])
        held = self._held(key, one)
        if held is not None:
            return (f"It differs and cannot be made anew: {held[0]}.", held[1])
        names = [name for name in self._children(one.old or {}) if name not in self.found.chosen]
        if names:
            told = ", ".join(f"{schema}.{name}" for schema, name, _arguments in names)
            return (
                f"It differs and cannot be made anew: {told} stands on it and would go on reading the old one.",
                f"Drop {told}, or let include and exclude choose it too if the source has it.",
            )
        if not one.lost.buckets:
            return None
        told = f"{one.lost.buckets} buckets of {label} ({one.lost.rows} rows, {one.lost.begin} to {one.lost.end})"
        if self.options.get("history") == "fail":
            return (f"{told} would have to be carried over from the old aggregate.", "Set history: preserve to do so.")
        if one.columns is not None:
            return None
        return (
            f"It differs, and making it anew would lose {told}: their rows are gone, the source does not have them, and"
            " the columns of the two definitions do not mean the same.",
            f"Keep a copy (CREATE TABLE … AS SELECT … FROM {label}) and set history: ignore, then run again without"
            " it for what only the source has; or leave it as it is.",
        )

    def _held(self, key: Key, one: Recreation) -> tuple[str, str] | None:
        """What could not go along with the exchange: reason and remedy."""
        reached = reached_from(key, self.dependents)
        along = [self.dependents[name] for name in self.dependents if name in reached]
        for label, entry in [(f"{KIND} {'.'.join(key[:2])}", one.old or {}), *((label_of(e), e) for e in along)]:
            owner = entry["owner"]
            if not self.existing.surroundings["roles"].get(owner):
                told = f"{label} belongs to {owner}, of which the connecting role is no member"
                return (told, "Grant the membership, or connect as a role that has it.")
            if entry.get("storage"):
                told = f"{label} reads its materialization by its internal name, and the new one's is another"
                return (told, f"Drop {label} for the time of the run, or let it read the aggregate itself.")
        for other in [*(self.existing.document.get("others") or ()), *self.held.others]:
            if (other["reads"][0], other["reads"][1], other["reads"][2] or "") in reached:
                told = f"{other['kind']} {other['identity']}"
                return (f"{told} stands on it", f"Drop {told} for the time of the run.")
        for read, column, reader in self.held.columns:
            if read == key and column not in self._new_columns(key, column) and not self._comes_anew(reader, key):
                label = label_of(self.dependents[reader])
                told = f"{label} reads its column {column}, which the new one does not have"
                return (told, f"Change or drop {label} for the time of the run.")
        return None

    def _new_columns(self, key: Key, otherwise: str) -> t.Collection[str]:
        """The columns of the new one, as far as the target could print its definition."""
        answer = self.answers.get(key) or self.existing.printed.get(key, ({}, {}))[0]
        return column_names(answer.get("printed", "")) or {otherwise}

    def _comes_anew(self, name: Key, key: Key) -> bool:
        """Whether a dependent is made as the source has it when this aggregate is replaced, not as it was."""
        if name not in self.dependents:
            return True  # an aggregate that is made anew itself
        standing = [one for one in self.found.chosen if name in reached_from(one, self.dependents)]
        return name in {key_of(entry) for entry in self.wanted["dependents"]} and standing[-1] == key

    def _taken(self, key: Key) -> tuple[str, str] | None:
        """What has one of the two names and is not what an earlier run left, or is still needed: reason and remedy."""
        old = self.found.replaced.get(key)
        for place, half in ((_at(key, new_name), self.halves.get(key)), (_at(key, old_name), old)):
            if half is None and place in self.taken:
                label = ".".join(place[:2])
                return (f"It differs and cannot be made anew: {label} is in the way.", f"Rename or drop {label}.")
        readers = self._children(old) if old is not None else []
        if old is None or not readers:
            return None
        reader = ".".join(readers[0][:2])
        reason = f"It differs once more, and {reader} still reads {old['schema']}.{old['name']}, which it has replaced."
        return (reason, f"Drop {reader} and {old['schema']}.{old['name']}, then run the task again.")

    def _secured(self) -> set[str]:
        """Tables whose row security is on."""
        relations = self.existing.surroundings["relations"]
        return {f"{r['schema']}.{r['name']}" for r in relations if r["row_security"]}

    def _children(self, old: Entry) -> list[Key]:
        name = [old.get("schema"), old.get("name")]
        return [key for key, entry in self.there.items() if list(entry["parent"] or ()) == name]

    # -- what is half built ----------------------------------------------------------------------------------------

    def _with_halves(self, key: Key, one: Recreation) -> Recreation:
        """With the half-built new aggregate, as far as it stands on what will be there."""
        if self._stands_on(one, self.found.chosen):
            return one
        return dataclasses.replace(one, built=self.halves.get(key))

    def _judge_halves(self) -> None:
        """A half whose definition is no longer the wanted one is dropped; so is one that nobody waits for."""
        chosen = self.found.chosen
        asked = [key for key, one in chosen.items() if one.built is not None]
        texts = [(self.existing.texts[key], False) for key in asked]
        texts += [(self.halves[key]["definition"], False) for key in asked]
        answers = print_definitions(self.target, texts)
        for place, key in enumerate(asked):
            ours, theirs = answers[place], answers[place + len(asked)]
            if "printed" not in ours or ours["printed"] != theirs.get("printed"):
                chosen[key] = dataclasses.replace(chosen[key], built=None)
        for key, half in self.halves.items():
            if key not in self.found.refused and (key not in chosen or chosen[key].built is None):
                self.found.stale[key_of(half)] = half
        for key in [key for key, one in chosen.items() if one.old is None and one.built is None]:
            del chosen[key]

    # -- the target without them -----------------------------------------------------------------------------------

    def without_old(self) -> Existing:
        """The target as the rest of the planning shall see it."""
        found, existing = self.found, self.existing
        if not (found.chosen or found.stale or found.replaced):
            return existing
        gone = set(found.chosen) | set(found.stale) | {key_of(old) for old in found.replaced.values()}
        gone |= {key_of(one.built) for one in found.chosen.values() if one.built is not None}
        kept = [entry for entry in existing.document["aggregates"] if key_of(entry) not in gone]
        kept += [{**one.built, "name": one.wanted["name"]} for one in found.chosen.values() if one.built is not None]
        standing = existing.surroundings["relations"]
        relations = [r for r in standing if (r["schema"], r["name"], "") not in found.chosen]
        # What the target said of something that is not there yet and reads what is made anew, it said of the old one.
        unasked = set(found.chosen) | {
            key for key, entry in self.entries.items() if key not in self.there and _parent_of(entry) in found.chosen
        }
        printed = {key: answer for key, answer in existing.printed.items() if key not in unasked}
        printed.update(
            {_at(key, new_name): (answer, {}) for key, answer in self.answers.items() if key in found.chosen}
        )
        for key, one in found.chosen.items():
            if one.built is not None:
                printed[key] = ({"printed": "as wanted"}, {"printed": "as wanted"})
        return dataclasses.replace(
            existing,
            document={**existing.document, "aggregates": kept},
            surroundings={**existing.surroundings, "relations": relations},
            printed=printed,
            texts={**existing.texts, **{_at(key, new_name): existing.texts[key] for key in found.chosen}},
        )


def _parent_of(entry: Entry) -> Key | None:
    return (*entry["parent"], "") if entry["parent"] else None


def _at(key: Key, name: t.Callable[[str], str]) -> Key:
    return (key[0], name(key[1]), "")
