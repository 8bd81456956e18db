# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""From two documents to a plan. No database is asked here."""

from __future__ import annotations

import fnmatch
import typing as t

from .._connection import Database, Facts
from .._errors import BadInput
from .._plan import Finding, Identity, Plan, Step
from .._sql import identifier, literal, raw, statement
from .._versions import TS_FIXED_SCHEDULES
from .attributes import FRESH, attributes, name_of, refused_attributes, storage, unmoved
from .copying import copy_buckets
from .history import Piece
from .refresh import Window, call, length_of, never_refreshed, stale, time_of, time_text, widest, window_of
from .target import Existing, Key, key_of

__all__ = ["make_plan"]

_KIND = "continuous aggregate"
_FIRST = 2**62  # creation goes before every refresh that could run instead
_RELATIONS = {"r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table"}


def make_plan(
    wanted: t.Mapping[str, t.Any],
    wanted_facts: Facts,
    existing: Existing,
    target_facts: Facts,
    options: t.Mapping[str, t.Any],
    history: t.Mapping[Key, t.Sequence[Piece]] | None = None,
    source: Database | None = None,
) -> Plan:
    """Compare and decide.

    :param wanted: the source's document.
    :param existing: the target, with both sides' definitions printed by it.
    :param options: the module's options: include, exclude, refresh and its bounds, history.
    :param history: what the target cannot recompute.
    :param source: the session that history is copied from; it is not used here.
    """
    planner = _Planner(wanted, wanted_facts, existing, target_facts, options)
    planner.history, planner.source = history or {}, source
    for entry in _parents_first(planner.selected):
        planner.aggregate(entry)
    for entry in planner.dependents():
        planner.dependent(entry)
    planner.left_over()
    planner.warn()
    return planner.plan


def _parents_first(entries: t.Sequence[t.Mapping[str, t.Any]]) -> list[t.Mapping[str, t.Any]]:
    """Order a hierarchy of any depth; a parent that is not among the entries counts as done."""
    by_name = {(entry["schema"], entry["name"]): entry for entry in entries}

    def depth(entry: t.Mapping[str, t.Any]) -> int:
        parent = by_name.get(tuple(entry["parent"])) if entry["parent"] else None
        return 1 + depth(parent) if parent is not None else 0

    return sorted(entries, key=lambda entry: (depth(entry), entry["schema"], entry["name"]))


class _Planner:
    """The plan while it grows: which objects will be there, and what has been refused."""

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
        self.selected = [entry for entry in wanted["aggregates"] if self._matches(entry)]
        self.available: set[Key] = set(self.there)
        self.windows: dict[Key, Window] = {}
        self.parts: dict[Key, list[tuple[int, int]]] = {}
        self.history: t.Mapping[Key, t.Sequence[Piece]] = {}
        self.source: Database | None = None
        self.copies: dict[Key, list[str]] = {}
        self.skipped: dict[str, list[str]] = {}

    def _matches(self, entry: t.Mapping[str, t.Any]) -> bool:
        name = f"{entry['schema']}.{entry['name']}"
        include, exclude = self.options.get("include") or ["*"], self.options.get("exclude") or []
        return any(fnmatch.fnmatchcase(name, p) for p in include) and not any(
            fnmatch.fnmatchcase(name, p) for p in exclude
        )

    # -- aggregates ------------------------------------------------------------------------------------------------

    def aggregate(self, entry: t.Mapping[str, t.Any]) -> None:
        """Create an aggregate, or bring one that is there to the wanted attributes, and refresh it."""
        found = self.there.get(key_of(entry))
        identity = Identity(_KIND, entry["schema"], entry["name"])
        if found is None:
            refusal = self._refusal(entry)
            if refusal is not None:
                self._refused(identity, *refusal)
                return
            self.plan.steps.append(self._creation(identity, entry))
            self.available.add(key_of(entry))
        elif not self._same(identity, entry, found):
            return
        else:
            self._attributes(identity, "aggregate", entry, found, self._alterations(entry, found))
        self._report_attributes(identity, entry, found)
        if self.options.get("refresh", "full") != "none":
            self._refresh(identity, entry, found)
        if self.options.get("history", "preserve") != "ignore":
            self._history(identity, entry)

    def _refusal(self, entry: t.Mapping[str, t.Any]) -> tuple[str, str, str] | None:
        """Why an aggregate cannot be created: outcome, reason, remedy."""
        blocked = self._in_the_way(entry)
        if blocked is not None:
            return blocked
        if entry["parent"] is not None:
            if (*entry["parent"], "") not in self.available:
                return ("skipped", f"It stands on {'.'.join(entry['parent'])}, which the target will not have.", "")
            if self.facts.timescale is not None and self.facts.timescale < TS_FIXED_SCHEDULES:
                return (
                    "unsupported",
                    "The target's TimescaleDB has no aggregates on aggregates.",
                    "Update it to 2.9 or later.",
                )
        else:
            refusal = self._hypertable_refusal(tuple(entry["hypertable"] or ("", "")))
            if refusal is not None:
                return refusal
        answer = self.existing.printed.get(key_of(entry), ({}, {}))[0]
        if "message" in answer:
            told = f"The target refuses its query: {answer['message']}" + (
                f" ({answer['detail']})" if answer.get("detail") else ""
            )
            return (
                "unsupported",
                told,
                answer.get("hint") or "Write it for the target's TimescaleDB and create it by hand.",
            )
        return None

    def _hypertable_refusal(self, name: tuple[str, ...]) -> tuple[str, str, str] | None:
        label = ".".join(name)
        if name not in self.relations:
            return ("unsupported", f"The target has no table {label}.", "Restore the tables before the aggregates.")
        if name not in self.hypertables:
            return ("unsupported", f"On the target, {label} is no hypertable.", "Make it one with create_hypertable.")
        if self.relations[name]["row_security"]:
            return (
                "unsupported",
                f"Row security is on for {label}, and TimescaleDB takes no aggregate of such a table.",
                f"ALTER TABLE {label} DISABLE ROW LEVEL SECURITY, create the aggregates, then enable it again.",
            )
        return None

    def _in_the_way(self, entry: t.Mapping[str, t.Any]) -> tuple[str, str, str] | None:
        relation = self.relations.get((entry["schema"], entry["name"]))
        if entry["schema"] not in self.existing.surroundings["schemas"]:
            return (
                "unsupported",
                f"The target has no schema {entry['schema']}.",
                "Restore the schemas before the aggregates.",
            )
        if relation is not None and entry.get("kind") != "function":
            kind = _RELATIONS.get(relation["kind"], "relation")
            label = f"{entry['schema']}.{entry['name']}"
            return (
                "unsupported",
                f"A {kind} {label} of the target is in the way.",
                "Look at it, then rename or drop it.",
            )
        return None

    def _same(self, identity: Identity, entry: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any]) -> bool:
        """Whether the target prints both definitions the same; a finding where not."""
        ours, theirs = self.existing.printed.get(key_of(entry), ({}, {}))
        if "printed" in ours and ours["printed"] == theirs.get("printed"):
            return True
        reason = "Its definition is another one than the source's."
        if "message" in ours:
            reason = f"The target cannot parse the source's definition: {ours['message']}"
        hint = "Drop it on the target and run the task again, or leave it."
        self.plan.findings.append(Finding(identity, "drifted", reason, hint, found["definition"], entry["definition"]))
        return False

    def _creation(self, identity: Identity, entry: t.Mapping[str, t.Any]) -> Step:
        create = statement(
            "CREATE MATERIALIZED VIEW {} WITH (timescaledb.continuous, timescaledb.materialized_only = {},"
            " timescaledb.create_group_indexes = false) AS\n{}\nWITH NO DATA",
            name_of(entry),
            literal(entry["materialized_only"]),
            raw(self.existing.texts[key_of(entry)].strip()),
        )
        fresh = {**FRESH, "owner": self.existing.surroundings["user"], "fresh": True, "columnstore": None}
        fresh.update(chunk_interval=None, indexes=[{"tail": _default_index(entry)}])
        texts = [create, *storage(entry, fresh, self.facts), *self._described("aggregate", entry, fresh)]
        return Step(
            identity,
            "create",
            tuple(texts),
            reason="The target does not have it.",
            depends_on=(Identity(_KIND, *entry["parent"]).label,) if entry["parent"] else (),
            weight=_FIRST,
            exclusive=(self._root(entry),),
            done_when=_aggregate_exists(entry),
        )

    def _described(self, kind: str, entry: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any]) -> list[str]:
        return attributes(kind, entry, found, self.existing.surroundings, self.facts)

    def _alterations(self, entry: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any]) -> list[str]:
        texts = []
        if entry["materialized_only"] != found["materialized_only"]:
            # In a statement of its own: with an unchanged value it ignores every other option (TimescaleDB 2.7 - 2.29).
            template = "ALTER MATERIALIZED VIEW {} SET (timescaledb.materialized_only = {})"
            texts.append(statement(template, name_of(entry), literal(entry["materialized_only"])))
        return texts + storage(entry, found, self.facts)

    def _attributes(
        self,
        identity: Identity,
        kind: str,
        entry: t.Mapping[str, t.Any],
        found: t.Mapping[str, t.Any],
        texts: list[str],
    ) -> None:
        texts = texts + self._described(kind, entry, found)
        if not texts:
            self.plan.findings.append(Finding(identity, "present"))
            return
        root = (self._root(entry),) if kind == "aggregate" else ()
        self.plan.steps.append(
            Step(identity, "alter", tuple(texts), reason="Its attributes differ.", exclusive=root, weight=_FIRST)
        )

    def _refused(self, identity: Identity, outcome: str, reason: str, hint: str) -> None:
        """An object that will not be there, or something of it; nobody warns of what is only skipped but this."""
        self.plan.findings.append(Finding(identity, outcome, reason, hint))
        if outcome == "skipped":
            self.skipped.setdefault(reason, []).append(f"{identity.schema}.{identity.name}")

    def _report_attributes(
        self, identity: Identity, entry: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any] | None
    ) -> None:
        """Name what the object will not have."""
        attribute = Identity("attribute", identity.schema, identity.name)
        owner = found["owner"] if found is not None else self.existing.surroundings["user"]
        refused = refused_attributes(entry, owner, self.existing.surroundings, self.facts)
        left_out = [("skipped", f"Not moved: {text}.", run) for text, run in unmoved(entry, found)]
        for outcome, reason, hint in [*refused, *left_out]:
            self._refused(attribute, outcome, reason, hint)

    def warn(self) -> None:
        """One warning for each reason, however many objects share it."""
        self.plan.warnings += [f"{', '.join(names)}: {reason}" for reason, names in self.skipped.items()]

    def _root(self, entry: t.Mapping[str, t.Any]) -> str:
        """The hypertable at the bottom of a hierarchy: creating an aggregate locks it."""
        by_name = {(e["schema"], e["name"]): e for e in self.wanted["aggregates"]}
        while entry["parent"] and tuple(entry["parent"]) in by_name:
            entry = by_name[tuple(entry["parent"])]
        return ".".join(entry["hypertable"] or entry["parent"] or ())

    # -- refresh ---------------------------------------------------------------------------------------------------

    def _refresh(self, identity: Identity, entry: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any] | None) -> None:
        key = key_of(entry)
        window = window_of(entry, self._input_first(entry), *self._bounds(entry))
        if window is None:
            return
        self.windows[key] = window
        batch = length_of(self.options["refresh_batch"], entry) if self.options.get("refresh_batch") else None
        invalid = None if found is None else [*(found["invalid"] or ()), *self._from_parent(entry)]
        parts = stale(entry, window, invalid, batch)
        self.parts[key] = parts
        if not parts:
            return
        self.plan.steps.append(
            Step(
                Identity("refresh", identity.schema, identity.name),
                "refresh",
                tuple(call(entry, low, high, self.facts) for low, high in parts),
                reason="Its materialization is not current.",
                depends_on=(identity.label, *self._parent_work(entry)),
                weight=parts[0][1] - parts[-1][0],
                atomic=False,
                shared=(self._root(entry),),
            )
        )

    def _parent_work(self, entry: t.Mapping[str, t.Any]) -> tuple[str, ...]:
        if not entry["parent"]:
            return ()
        return (Identity("refresh", *entry["parent"]).label, *self.copies.get((*entry["parent"], ""), ()))

    def _from_parent(self, entry: t.Mapping[str, t.Any]) -> list[tuple[int, int]]:
        """What the parent's refresh in this run may change, which no log tells yet."""
        parts = self.parts.get((*entry["parent"], ""), []) if entry["parent"] else []
        return [(low - widest(entry), high) for low, high in parts]

    def _input_first(self, entry: t.Mapping[str, t.Any]) -> int | None:
        """The first time value of what an aggregate reads."""
        if entry["parent"]:
            window = self.windows.get((*entry["parent"], ""))
            return window.first if window is not None else None
        name = tuple(entry["hypertable"])
        extent = self.hypertables.get(name, {}).get("extent") or self.source_hypertables.get(name, {}).get("extent")
        return int(extent[0]) if extent else None

    def _bounds(self, entry: t.Mapping[str, t.Any]) -> tuple[int | None, int | None]:
        label = f"{entry['schema']}.{entry['name']}"

        def bound(option: str) -> int | None:
            text = self.options.get(option)
            return time_of(text, entry["time_type"], option, label) if text else None

        if self.options.get("refresh") != "window":
            return None, bound("refresh_end")
        if not self.options.get("refresh_start") and not self.options.get("refresh_end"):
            raise BadInput(
                "refresh: window has neither refresh_start nor refresh_end.", hint="Give one of them, or both."
            )
        return bound("refresh_start"), bound("refresh_end")

    # -- history ---------------------------------------------------------------------------------------------------

    def _history(self, identity: Identity, entry: t.Mapping[str, t.Any]) -> None:
        """Copy what cannot be recomputed, after the refresh: before it, the next refresh would delete the copy."""
        history = Identity("history", identity.schema, identity.name)
        if not entry["finalized"] and not never_refreshed(entry):
            reason = "The source stores partials, which no query can copy. Buckets without raw rows would be lost."
            hint = "CALL cagg_migrate on the source first (TimescaleDB 2.8 and later), or set history: ignore."
            self.plan.findings.append(Finding(history, "unsupported", reason, hint))
        for piece in self.history.get(key_of(entry), ()):
            if piece.unseen and not entry["materialized_only"]:
                reason = "Old buckets lie behind what the target can materialize: real-time queries hide them."
                hint = "They are visible after the first refresh that finds a raw row behind them."
                self.plan.findings.append(Finding(history, "pending", reason, hint))
        rewritten = list(self.parts.get(key_of(entry), ()))
        pieces = [
            piece
            for piece in self.history.get(key_of(entry), ())
            if not piece.same or any(low < piece.high and high > piece.low for low, high in rewritten)
        ]
        if pieces and self.source is not None:
            refreshed = self._refresh_before(identity, entry, pieces)
            for piece in pieces:
                self._copy(identity, entry, piece, refreshed, copy_buckets(self.source, entry, piece.low, piece.high))

    def _refresh_before(self, identity: Identity, entry: t.Mapping[str, t.Any], pieces: t.Sequence[Piece]) -> str:
        """The key of the refresh that covers these pieces; where none is asked for, of one for them alone.

        What has never been refreshed with bounds of its own is deleted by the first refresh that comes across it.
        """
        refresh = Identity("refresh", identity.schema, identity.name)
        if self.options.get("refresh", "full") == "full":
            return refresh.label
        step = Step(
            refresh,
            "refresh",
            tuple(call(entry, piece.low, piece.high + widest(entry), self.facts) for piece in pieces),
            reason="Buckets are copied there.",
            key=f"{refresh.label} before history",
            depends_on=(identity.label, refresh.label, *self._parent_work(entry)),
            atomic=False,
            shared=(self._root(entry),),
        )
        self.plan.steps.append(step)
        return step.key

    def _copy(
        self,
        identity: Identity,
        entry: t.Mapping[str, t.Any],
        piece: Piece,
        refreshed: str,
        work: t.Callable[[Database], None],
    ) -> None:
        key, kind = key_of(entry), entry["time_type"]
        low, high = time_text(piece.low, kind).split("::")[0], time_text(piece.high, kind).split("::")[0]
        label = f"{identity.schema}.{identity.name}"
        told = (
            f"-- {piece.rows} rows of {piece.buckets} buckets of {label} from {low} to {high}: copied from the source"
        )
        step = Step(
            Identity("history", identity.schema, f"{low} to {high}", table=identity.name),
            "refresh",
            (told,),
            reason="The target has no rows to recompute these buckets from.",
            depends_on=(identity.label, refreshed, *self._parent_work(entry)),
            weight=piece.rows,
            shared=(self._root(entry),),
            details={"rows": piece.rows, "buckets": piece.buckets},
            work=work,
        )
        self.plan.steps.append(step)
        self.copies.setdefault(key, []).append(step.key)
        self.parts.setdefault(key, []).append((piece.low, piece.high))

    # -- what stands on aggregates ---------------------------------------------------------------------------------

    def dependents(self) -> list[t.Mapping[str, t.Any]]:
        """Views, materialized views and functions that stand on selected aggregates, in the order of creation."""
        entries = {key_of(entry): entry for entry in self.wanted["dependents"]}
        taken = {key_of(entry) for entry in self.selected}
        ordered: list[t.Mapping[str, t.Any]] = []
        waiting = dict(entries)
        while waiting:
            ready = [
                key
                for key, entry in waiting.items()
                if not any(read in waiting and read != key for read in _reads(entry))
            ]
            for key in ready or list(waiting):  # a circle cannot be; were there one, it would be refused by the server
                entry = waiting.pop(key)
                if any(read in taken for read in _reads(entry)):
                    taken.add(key)
                    ordered.append(entry)
        return ordered

    def dependent(self, entry: t.Mapping[str, t.Any]) -> None:
        """Create what stands on an aggregate, or compare it."""
        key, kind = key_of(entry), entry["kind"]
        name = entry["name"] + (f"({entry['arguments']})" if kind == "function" else "")
        identity = Identity(kind, entry["schema"], name)
        found = self.there.get(key)
        if found is not None:
            if found["kind"] != kind:
                self.plan.findings.append(
                    Finding(identity, "unsupported", f"A {found['kind']} of that name is in the way.")
                )
            elif self._same_dependent(identity, entry, found):
                self._attributes(identity, kind, entry, found, [])
                self._report_attributes(identity, entry, found)
            return
        missing = [read for read in _reads(entry) if read not in self.available]
        refusal = self._in_the_way(entry)
        if missing:
            refusal = ("skipped", f"It stands on {'.'.join(missing[0][:2])}, which the target will not have.", "")
        if refusal is not None:
            self._refused(identity, *refusal)
            return
        self.available.add(key)
        self.plan.steps.append(self._dependent_creation(identity, entry))
        self._report_attributes(identity, entry, None)

    def _same_dependent(self, identity: Identity, entry: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any]) -> bool:
        if entry["kind"] != "function":
            return self._same(identity, entry, found)
        if self.existing.texts[key_of(entry)].strip() == found["definition"].strip():
            return True
        reason, hint = "Its definition is another one than the source's.", "Replace it by hand, or leave it."
        self.plan.findings.append(Finding(identity, "drifted", reason, hint, found["definition"], entry["definition"]))
        return False

    def _dependent_creation(self, identity: Identity, entry: t.Mapping[str, t.Any]) -> Step:
        text = self.existing.texts[key_of(entry)].strip()
        fresh = {**FRESH, "owner": self.existing.surroundings["user"]}
        if entry["kind"] == "function":
            fresh["acl"] = [{"grantee": None, "privilege": "EXECUTE", "grantable": False}]
            create = text
        else:
            pairs = [option.split("=", 1) for option in entry["options"] or ()]
            options = ", ".join(statement("{} = {}", identifier(key), literal(value)) for key, value in pairs)
            create = statement(
                "CREATE {} {}{} AS\n{}{}",
                raw(entry["kind"].upper()),
                name_of(entry),
                raw(f" WITH ({options})" if options else ""),
                raw(text),
                raw("\nWITH NO DATA" if entry["kind"] == "materialized view" else ""),
            )
        reads = tuple(self._label(read) for read in _reads(entry))
        texts = [create, *self._described(entry["kind"], entry, fresh)]
        return Step(
            identity, "create", tuple(texts), reason="The target does not have it.", depends_on=reads, weight=_FIRST
        )

    def _label(self, key: Key) -> str:
        for entry in self.wanted["dependents"]:
            if key_of(entry) == key:
                name = entry["name"] + (f"({entry['arguments']})" if entry["kind"] == "function" else "")
                return Identity(entry["kind"], entry["schema"], name).label
        return Identity(_KIND, key[0], key[1]).label

    # -- what only the target has ----------------------------------------------------------------------------------

    def left_over(self) -> None:
        """Name the aggregates that the source does not have; they are left alone."""
        known = {key_of(entry) for entry in self.wanted["aggregates"]}
        for entry in self.existing.document["aggregates"]:
            if key_of(entry) not in known and self._matches(entry):
                identity = Identity(_KIND, entry["schema"], entry["name"])
                self.plan.findings.append(
                    Finding(identity, "skipped", "The source does not have it; it is left alone.")
                )


def _reads(entry: t.Mapping[str, t.Any]) -> list[Key]:
    return [(schema, name, arguments or "") for schema, name, arguments in entry["reads"] or ()]


def _default_index(entry: t.Mapping[str, t.Any]) -> str:
    """The index that creation makes on the bucket, as the server prints it; the name is quoted where it must be."""
    plain = f"USING btree ({entry['time_column']} DESC)"
    quoted = statement("USING btree ({} DESC)", identifier(entry["time_column"]))
    return plain if plain in [index["tail"] for index in entry["indexes"] or ()] else quoted


def _aggregate_exists(entry: t.Mapping[str, t.Any]) -> str:
    return statement(
        "SELECT EXISTS (SELECT FROM timescaledb_information.continuous_aggregates AS i"
        " WHERE i.view_schema = {} AND i.view_name = {})",
        literal(entry["schema"]),
        literal(entry["name"]),
    )
