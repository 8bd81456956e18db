# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Steps that fill aggregates: refreshes, and copies of what no refresh can bring back."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connection import Database
from .._errors import BadInput
from .._plan import Finding, Identity, Step
from .._versions import TS_WINDOWS_TOGETHER, TS_WINDOWS_TOGETHER_IN_HIERARCHIES
from .copying import copy_buckets
from .draft import Draft
from .history import Piece
from .refresh import Window, call, length_of, never_refreshed, stale, time_of, widest, window_of
from .target import Key, key_of
from .times import time_text

__all__ = ["Refill"]

_OF_PARENT = 0.1  # an aggregate's bytes, as a part of those that it reads; only for telling how long a refresh may take


def _side_by_side(whole: Step, sizes: t.Sequence[int]) -> list[Step]:
    """A step for each call, newest first, and one that is done when all of them are."""
    parts = [
        dataclasses.replace(whole, key=f"{whole.key} {number}", statements=(text,), part_of=whole.key, size=size)
        for number, (text, size) in enumerate(zip(whole.statements, sizes))
    ]
    last = dataclasses.replace(whole, statements=(), depends_on=tuple(part.key for part in parts), size=0)
    return [*parts, last]


class Refill:
    """What is filled so far, parents before children: an aggregate's part depends on its parent's.

    :param history: what the target cannot recompute.
    :param source: the session that history is copied from; it is not used here.
    """

    def __init__(self, draft: Draft, history: t.Mapping[Key, t.Sequence[Piece]], source: Database | None) -> None:
        self.draft, self.history, self.source = draft, history, source
        self.windows: dict[Key, Window] = {}
        self.parts: dict[Key, list[tuple[int, int]]] = {}
        self.copies: dict[Key, list[str]] = {}
        self.whole: set[Key] = set()

    def fill(self, identity: Identity, entry: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any] | None) -> None:
        """Refresh an aggregate and copy its history, as far as the options want it."""
        if self._extent(entry) != "none":
            self._refresh(identity, entry, found)
        if self.draft.options.get("history", "preserve") != "ignore":
            self._history(identity, entry)

    def fill_whole(
        self, identity: Identity, entry: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any] | None, key: Key
    ) -> tuple[str, ...]:
        """Fill what is going to take another one's place, whatever the options say of refreshing.

        :param key: the name that it is going to have; what stands on it looks for that.
        :returns: the keys of the steps.
        """
        own = key_of(entry)
        self.whole.add(own)
        self.history = {**self.history, own: self.history.get(key, ())}
        known = len(self.draft.plan.steps)
        self.fill(identity, entry, found)
        if own in self.windows:
            self.windows[key] = self.windows[own]
        self.parts[key], self.copies[key] = self.parts.get(own, []), self.copies.get(own, [])
        return tuple(step.key for step in self.draft.plan.steps[known:])

    def _extent(self, entry: t.Mapping[str, t.Any]) -> str:
        return "full" if key_of(entry) in self.whole else str(self.draft.options.get("refresh", "full"))

    def _refresh(self, identity: Identity, entry: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any] | None) -> None:
        key = key_of(entry)
        window = window_of(entry, self._input_first(entry), *self._bounds(entry))
        if window is None:
            return
        self.windows[key] = window
        batch = (
            length_of(self.draft.options["refresh_batch"], entry) if self.draft.options.get("refresh_batch") else None
        )
        invalid = None if found is None else [*(found["invalid"] or ()), *self._from_parent(entry)]
        density = self._density(entry)
        parts = stale(entry, window, invalid, batch, density)
        self.parts[key] = parts
        if not parts:
            return
        calls = tuple(call(entry, low, high, self.draft.facts) for low, high in parts)
        sizes = [int(density * (high - max(low, window.first))) for low, high in parts]
        whole = Step(
            Identity("refresh", identity.schema, identity.name),
            "refresh",
            calls,
            reason="Its materialization is not current.",
            depends_on=(identity.label, *self._parent_work(entry)),
            weight=parts[0][1] - parts[-1][0],
            size=sum(sizes),
            atomic=False,
            shared=(self.draft.root(entry),),
        )
        self.draft.plan.steps += _side_by_side(whole, sizes) if self._may_run_together(entry, calls) else [whole]

    def _may_run_together(self, entry: t.Mapping[str, t.Any], calls: t.Sequence[str]) -> bool:
        """Whether windows of one aggregate may be refreshed at the same time: where they do not overlap, by version."""
        version = self.draft.facts.timescale
        stacked = entry["parent"] or any(e["parent"] == [entry["schema"], entry["name"]] for e in self.draft.selected)
        floor = TS_WINDOWS_TOGETHER_IN_HIERARCHIES if stacked else TS_WINDOWS_TOGETHER
        apart = bool(entry["bucket_fixed"] and entry["extent"])
        return len(calls) > 1 and apart and version is not None and version >= floor

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
        extent = self.draft.hypertables.get(name, {}).get("extent") or self.draft.source_hypertables.get(name, {}).get(
            "extent"
        )
        return int(extent[0]) if extent else None

    def _density(self, entry: t.Mapping[str, t.Any]) -> float:
        """Bytes of rows in a unit of internal time of what an aggregate reads.

        A parent is not filled yet: the source's counts, or, where its chunks are compressed, a guess.
        """
        read = self.draft.hypertables.get(tuple(entry["hypertable"] or ()), {})
        guess = 0.0
        if entry["parent"]:
            read = self.draft.by_name.get(tuple(entry["parent"]), {})
            guess = self._density(read) * _OF_PARENT if read else 0.0
        first, last = read.get("extent") or (0, 0)
        return int(read.get("bytes") or 0) / (int(last) - int(first) + 1) or guess

    def _bounds(self, entry: t.Mapping[str, t.Any]) -> tuple[int | None, int | None]:
        label = f"{entry['schema']}.{entry['name']}"

        def bound(option: str) -> int | None:
            text = self.draft.options.get(option)
            return time_of(text, entry["time_type"], option, label) if text else None

        if key_of(entry) in self.whole:
            return None, None
        if self.draft.options.get("refresh") != "window":
            return None, bound("refresh_end")
        if not self.draft.options.get("refresh_start") and not self.draft.options.get("refresh_end"):
            raise BadInput(
                "refresh: window has neither refresh_start nor refresh_end.", hint="Give one of them, or both."
            )
        return bound("refresh_start"), bound("refresh_end")

    def _history(self, identity: Identity, entry: t.Mapping[str, t.Any]) -> None:
        """Copy what cannot be recomputed, after the refresh: before it, the next refresh would delete the copy."""
        history = Identity("history", identity.schema, identity.name)
        if not entry["finalized"] and not never_refreshed(entry):
            reason = "The source stores partials, which no query can copy. Buckets without raw rows would be lost."
            hint = "CALL cagg_migrate on the source first (TimescaleDB 2.8 and later), or set history: ignore."
            self.draft.plan.findings.append(Finding(history, "unsupported", reason, hint))
        for piece in self.history.get(key_of(entry), ()):
            if piece.unseen and not entry["materialized_only"]:
                reason = "Old buckets lie behind what the target can materialize: real-time queries hide them."
                hint = "They are visible after the first refresh that finds a raw row behind them."
                self.draft.plan.findings.append(Finding(history, "pending", reason, hint))
        rewritten = list(self.parts.get(key_of(entry), ()))
        pieces = [
            piece
            for piece in self.history.get(key_of(entry), ())
            if not piece.same or any(low < piece.high and high > piece.low for low, high in rewritten)
        ]
        if pieces and self.source is not None:
            bare = [piece for piece in pieces if not self._is_refreshed(entry, piece)]
            refreshed = self._refresh_before(identity, entry, bare)
            for piece in pieces:
                work = copy_buckets(self.source, entry, piece.low, piece.high, piece.shared)
                self._copy(identity, entry, piece, refreshed, work)

    def _is_refreshed(self, entry: t.Mapping[str, t.Any], piece: Piece) -> bool:
        """Whether the refresh of this run covers the range of a copy, or finds it current."""
        window = self.windows.get(key_of(entry))
        return (
            self._extent(entry) == "full"
            and window is not None
            and window.start <= piece.low
            and piece.high <= window.end
        )

    def _refresh_before(self, identity: Identity, entry: t.Mapping[str, t.Any], pieces: t.Sequence[Piece]) -> str:
        """The key of the refresh that covers these pieces; where none is asked for, of one for them alone.

        What has never been refreshed with bounds of its own is deleted by the first refresh that comes across it.
        """
        refresh = Identity("refresh", identity.schema, identity.name)
        if not pieces:
            return refresh.label
        step = Step(
            refresh,
            "refresh",
            tuple(call(entry, piece.low, piece.high + widest(entry), self.draft.facts) for piece in pieces),
            reason="Buckets are copied there.",
            key=f"{refresh.label} before history",
            depends_on=(identity.label, refresh.label, *self._parent_work(entry)),
            atomic=False,
            shared=(self.draft.root(entry),),
        )
        self.draft.plan.steps.append(step)
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
            shared=(self.draft.root(entry),),
            details={"rows": piece.rows, "buckets": piece.buckets},
            work=work,
        )
        self.draft.plan.steps.append(step)
        self.copies.setdefault(key, []).append(step.key)
        self.parts.setdefault(key, []).append((piece.low, piece.high))
