# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""How far a run is: figures from the steps that are done and that run, an estimate, and the text for people. Pure."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ._plan import Step

__all__ = ["Meter", "Running", "line_of", "short_of"]

_ENOUGH = 0.02  # a smaller part of a step tells nothing of its length
_MOST = 0.95  # of a statement that takes longer than those before
_SMALL = 0.05  # seconds of a statement that moves no rows, until one has run
_OF_OTHERS = {"foreign_key": 0.5, "check": 0.5}  # these read and write nothing: half the time of an index, about
_NAME = 60  # characters of an object's label in a line
_INTERNAL = "_timescaledb_internal"  # where chunks lie
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")

_Kind = tuple[str, bool]
_Speed = tuple[float, float]  # work, seconds
_ALL: _Kind = ("", True)  # everything that has bytes


@dataclasses.dataclass
class Running:
    """A step that runs: since when, on which backend, how far (0 to 1, None when nobody can tell), doing what.

    :param statement: which of the step's statements runs, counted from 0, and since when (None for a step that runs as
        a whole).
    """

    step: Step
    began: float
    pid: int = 0
    fraction: float | None = None
    doing: str = ""
    statement: int = 0
    statement_began: float | None = None


class Meter:
    """Counts what the steps of one plan have done.

    Time left is estimated by kind: its work done (bytes, or statements where a step has no bytes) by the time that it
    took. A kind with bytes that has not run yet counts as fast as the others. Nothing is like a refresh whose bytes are
    not known: until one of its statements is done, nobody can tell.

    :param jobs: connections that work side by side, in each lane.
    """

    def __init__(self, steps: t.Sequence[Step], jobs: int) -> None:
        self.steps = list(steps)
        self.jobs = max(1, jobs)
        self.began = time.monotonic()
        self.running: dict[str, Running] = {}
        self.done: dict[str, float] = {}  # seconds that each step took
        self._told = 0.0

    def more(self, steps: t.Sequence[Step]) -> None:
        """Count steps that turn out to be needed."""
        self.steps = [*self.steps, *steps]

    def figures(self) -> dict[str, t.Any]:
        """What can be told now, as plain data."""
        now = time.monotonic()
        running = list(self.running.values())  # a copy at once: workers go on meanwhile
        speeds = self._speeds(running, now)
        shares = {one.step.key: _share(one, _whole(one.step, speeds), now) for one in running}
        left = self._left(running, speeds, now)
        total = sum(step.size for step in self.steps)
        moved = sum(step.size * (1.0 if step.key in self.done else shares.get(step.key) or 0.0) for step in self.steps)
        elapsed = now - self.began
        fraction = self._fraction(speeds, left, elapsed, moved / total if total else None)
        return {
            "steps": len(self.steps),
            "done": len(self.done),
            "elapsed": round(elapsed, 1),
            "left": None if left is None else round(left, 1),
            "fraction": self._rising(fraction),
            "bytes": total,
            "bytes_done": int(moved),
            "bytes_per_second": int(moved / elapsed) if elapsed > 0 else 0,
            "running": [_running_figures(one, shares[one.step.key], now) for one in running],
        }

    def _rising(self, fraction: float | None) -> float | None:
        """What is told never falls, and is a whole only when every step is done."""
        most = 1.0 if len(self.done) == len(self.steps) else 0.99
        self._told = max(self._told, min(fraction or 0.0, most))
        return round(self._told, 4) if fraction is not None or self._told else None

    def _fraction(
        self, speeds: t.Mapping[_Kind, _Speed], left: float | None, elapsed: float, by_bytes: float | None
    ) -> float | None:
        """By time. While a kind has not run yet, its time is a guess: then not more than the bytes say."""
        by_time = elapsed / (elapsed + left) if left is not None and elapsed + left > 0 else None
        if all(_kind(step) in speeds for step in self.steps if step.key not in self.done and step.size):
            return by_time
        known = [share for share in (by_time, by_bytes) if share is not None]
        return min(known) if known else None

    def _left(self, running: t.Sequence[Running], speeds: t.Mapping[_Kind, _Speed], now: float) -> float | None:
        """Seconds left, None while that cannot be told. Lanes go on side by side."""
        by_key = {one.step.key: one for one in running}
        lanes: dict[str, list[float]] = {}
        for step in self.steps:
            if step.key in self.done:
                continue
            one, whole = by_key.get(step.key), _whole(step, speeds)
            need = whole if one is None else _rest(one, whole, now)
            if need is None:
                return None
            lanes.setdefault(step.lane, []).append(need)
        return max((max(sum(needs) / min(self.jobs, len(needs)), *needs) for needs in lanes.values()), default=0.0)

    def _speeds(self, running: t.Sequence[Running], now: float) -> dict[_Kind, _Speed]:
        """Work and seconds so far, by kind, and of everything that has bytes."""
        found: dict[_Kind, _Speed] = {}
        by_key = {one.step.key: one for one in running}
        for step in self.steps:
            if step.key in self.done:
                share, seconds = 1.0, self.done[step.key]
            elif step.key in by_key:
                share, seconds = _measured(by_key[step.key], now)
            else:
                continue
            for kind in (_kind(step), _ALL) if step.size else (_kind(step),):
                before = found.get(kind, (0.0, 0.0))
                found[kind] = (before[0] + _work(step) * share, before[1] + seconds)
        return {kind: speed for kind, speed in found.items() if speed[0] > 0}


def _kind(step: Step) -> _Kind:
    return step.object.kind, step.size > 0


def _work(step: Step) -> int:
    """Bytes, or statements. A step that has neither only stands for others, and costs nothing."""
    return step.size or len(step.statements) or (0 if step.work is None else 1)


def _whole(step: Step, speeds: t.Mapping[_Kind, _Speed]) -> float | None:
    """Seconds that a step takes as a whole, by what its kind took so far."""
    if not _work(step):
        return 0.0
    own, others = speeds.get(_kind(step)), speeds.get(_ALL) if step.size else None
    if own is not None:
        return _work(step) * own[1] / own[0]
    if others is not None:
        return _work(step) * others[1] / others[0] * _OF_OTHERS.get(step.object.kind, 1.0)
    return None if step.size or step.action == "refresh" else _work(step) * _SMALL


def _measured(one: Running, now: float) -> tuple[float, float]:
    """The share of a running step that is surely done, and the seconds that it took."""
    if one.statement_began is not None:
        return one.statement / len(one.step.statements), one.statement_began - one.began
    if one.fraction is not None and one.fraction >= _ENOUGH:
        return min(1.0, one.fraction), now - one.began
    return 0.0, 0.0


def _rest(one: Running, whole: float | None, now: float) -> float | None:
    """Seconds left of a step: by its own share if that is known; one that is late needs a quarter of its time more."""
    spent = now - one.began
    if one.statement_began is not None:
        each = _each(one, whole, now)
        after = len(one.step.statements) - one.statement - 1
        this = now - one.statement_began
        return None if each is None else after * each + max(each - this, this / 4)
    if one.fraction is not None and one.fraction >= _ENOUGH:
        return spent * (1 - min(1.0, one.fraction)) / one.fraction
    return None if whole is None else max(whole - spent, spent / 4)


def _each(one: Running, whole: float | None, now: float) -> float | None:
    """Seconds of one of a step's statements: as those before took, at least what the one that runs has taken."""
    began = one.statement_began or one.began
    if one.statement:
        before, this = began - one.began, now - began
        each = before / one.statement
        return each if this <= each else (before + this) / (one.statement + 1)
    return None if whole is None else max(whole / len(one.step.statements), now - began)


def _share(one: Running, whole: float | None, now: float) -> float | None:
    """How much of a running step is done, None when nobody can tell."""
    if one.statement_began is None:
        return None if one.fraction is None else min(1.0, max(0.0, one.fraction))
    each, this = _each(one, whole, now), now - one.statement_began
    part = min(_MOST, this / each) if each else 0.0
    return (one.statement + part) / len(one.step.statements)


def _running_figures(one: Running, share: float | None, now: float) -> dict[str, t.Any]:
    share = None if share is None else round(share, 4)
    seconds = round(now - one.began, 1)
    return {"pid": one.pid, "object": _label(one.step), "seconds": seconds, "fraction": share, "doing": one.doing}


def _label(step: Step) -> str:
    """An object's name; TimescaleDB's own schema, where all chunks lie, is left out."""
    return step.object.label.replace(f" {_INTERNAL}.", " ", 1)


def line_of(figures: t.Mapping[str, t.Any]) -> str:
    """One line for a terminal."""
    if not figures.get("steps"):
        return str(figures.get("phase", ""))
    head = [f"{figures['done']} of {figures['steps']} steps done"]
    if figures["fraction"] is not None:
        head.append(f"{figures['fraction']:.0%}")
    if figures["bytes"]:
        head.append(f"{_size(figures['bytes_done'])} of {_size(figures['bytes'])}")
        head.append(f"{_size(figures['bytes_per_second'])}/s")
    if figures["left"] is not None:
        ends = time.strftime("%H:%M:%S", time.localtime(time.time() + figures["left"]))
        head.append(f"{_clock(figures['left'])} left (ends {ends})")
    return " | ".join([", ".join(head), *(_running_text(one) for one in figures["running"])])


def short_of(figures: t.Mapping[str, t.Any]) -> str:
    """The same for application_name, which holds 63 bytes."""
    left = "" if figures["left"] is None else f" {_clock(figures['left'])} left"
    share = "" if figures["fraction"] is None else f" {figures['fraction']:.0%}"
    return f"{figures['done']}/{figures['steps']}{share}{left}"


def _running_text(one: t.Mapping[str, t.Any]) -> str:
    label = one["object"] if len(one["object"]) <= _NAME else one["object"][: _NAME - 3] + "..."
    share = "" if one["fraction"] is None else f" {one['fraction']:.0%}"
    doing = f" ({one['doing']})" if one["doing"] else ""
    return f"{label}{share}{doing} {_clock(one['seconds'])}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _size(number: float) -> str:
    place = 0
    while number >= 1000 and place < len(_UNITS) - 1:
        number, place = number / 1000, place + 1
    return f"{number:.3g} {_UNITS[place]}"
