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
_NAME = 60  # characters of an object's label in a line
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@dataclasses.dataclass
class Running:
    """A step that runs: since when, on which backend, how far (0 to 1, None when nobody can tell), doing what."""

    step: Step
    began: float
    pid: int = 0
    fraction: float | None = None
    doing: str = ""


class Meter:
    """Counts what the steps of one plan have done.

    Time left is estimated by kind: its work done (bytes, or statements where a step has no bytes) by the time that it
    took. A kind that has not run yet counts as fast as the others.

    :param jobs: connections that work side by side.
    """

    def __init__(self, steps: t.Sequence[Step], jobs: int) -> None:
        self.steps = steps
        self.jobs = max(1, jobs)
        self.began = time.monotonic()
        self.running: dict[str, Running] = {}
        self.done: dict[str, float] = {}  # seconds that each step took
        self._told = 0.0

    def figures(self) -> dict[str, t.Any]:
        """What can be told now, as plain data."""
        now = time.monotonic()
        running = list(self.running.values())  # a copy at once: workers go on meanwhile
        shares = {one.step.key: self._share(one, now) for one in running}
        left = self._left(shares, now)
        total = sum(step.size for step in self.steps)
        moved = sum(step.size * (1.0 if step.key in self.done else shares.get(step.key, 0.0)) for step in self.steps)
        elapsed = now - self.began
        return {
            "steps": len(self.steps),
            "done": len(self.done),
            "elapsed": round(elapsed, 1),
            "left": None if left is None else round(left, 1),
            "fraction": round(self._rising(self._fraction(shares, left, elapsed)), 4),
            "bytes": total,
            "bytes_done": int(moved),
            "bytes_per_second": int(moved / elapsed) if elapsed > 0 else 0,
            "running": [_running_figures(one, now) for one in running],
        }

    def _rising(self, fraction: float) -> float:
        """What is told never falls, and is a whole only when every step is done."""
        most = 1.0 if len(self.done) == len(self.steps) else 0.99
        self._told = max(self._told, min(fraction, most))
        return self._told

    def _fraction(self, shares: t.Mapping[str, float], left: float | None, elapsed: float) -> float:
        if left is not None and elapsed + left > 0:
            return elapsed / (elapsed + left)
        return (len(self.done) + sum(shares.values())) / max(1, len(self.steps))

    def _left(self, shares: t.Mapping[str, float], now: float) -> float | None:
        """Seconds left, None while nothing has been measured."""
        speeds = self._speeds(shares, now)
        if not speeds:
            return None
        work, seconds = (sum(pair[place] for pair in speeds.values()) for place in (0, 1))
        needs = []
        for step in self.steps:
            if step.key in self.done:
                continue
            done, took = speeds.get(_kind(step), (work, seconds))
            whole = _work(step) * took / done
            one = self.running.get(step.key)
            needs.append(_rest(one, whole, now) if one is not None else whole)
        return max(sum(needs) / min(self.jobs, len(needs)), *needs) if needs else 0.0

    def _speeds(self, shares: t.Mapping[str, float], now: float) -> dict[t.Any, tuple[float, float]]:
        """Work and seconds so far, by kind."""
        found: dict[t.Any, tuple[float, float]] = {}
        for step in self.steps:
            if step.key in self.done:
                work, seconds = float(_work(step)), self.done[step.key]
            elif shares.get(step.key, 0.0) >= _ENOUGH:
                one = self.running.get(step.key)
                work, seconds = _work(step) * shares[step.key], (now - one.began if one else 0.0)
            else:
                continue
            before = found.get(_kind(step), (0.0, 0.0))
            found[_kind(step)] = (before[0] + work, before[1] + seconds)
        return {kind: pair for kind, pair in found.items() if pair[0] > 0}

    @staticmethod
    def _share(one: Running, _now: float) -> float:
        return min(1.0, max(0.0, one.fraction or 0.0))


def _kind(step: Step) -> tuple[str, bool]:
    return step.object.kind, step.size > 0


def _work(step: Step) -> int:
    return step.size or len(step.statements) or 1


def _rest(one: Running, whole: float, now: float) -> float:
    """Seconds left of a step: from its own share if that is known; one that is late needs a tenth of its time more."""
    spent = now - one.began
    if one.fraction is not None and one.fraction >= _ENOUGH:
        return spent * (1 - min(1.0, one.fraction)) / one.fraction
    return max(whole - spent, spent / 10)


def _running_figures(one: Running, now: float) -> dict[str, t.Any]:
    share = None if one.fraction is None else round(min(1.0, one.fraction), 4)
    seconds = round(now - one.began, 1)
    return {"pid": one.pid, "object": one.step.object.label, "seconds": seconds, "fraction": share, "doing": one.doing}


def line_of(figures: t.Mapping[str, t.Any]) -> str:
    """One line for a terminal."""
    if not figures.get("steps"):
        return str(figures.get("phase", ""))
    head = [f"{figures['done']} of {figures['steps']} steps done", f"{figures['fraction']:.0%}"]
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
    return f"{figures['done']}/{figures['steps']} {figures['fraction']:.0%}{left}"


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
