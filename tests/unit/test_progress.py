# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a run is: what is told never falls, and the estimate follows what was measured."""

from __future__ import annotations

import time

import pytest

from ansible_collections.dbops.timescale.plugins.module_utils._plan import Identity, Step
from ansible_collections.dbops.timescale.plugins.module_utils._progress import Meter, Running, line_of, short_of


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    made = _Clock()
    monkeypatch.setattr(time, "monotonic", made.monotonic)
    return made


def _step(number: int, size: int) -> Step:
    return Step(Identity("index", "public", f"i{number}"), "create", ("CREATE",), size=size)


def _run(meter: Meter, clock: _Clock, step: Step, seconds: float) -> None:
    meter.running[step.key] = Running(step, clock.now)
    clock.now += seconds
    del meter.running[step.key]
    meter.done[step.key] = seconds


def test_what_is_told_never_falls_when_a_step_is_slower(clock: _Clock) -> None:
    steps = [_step(number, 1000) for number in range(4)]
    meter = Meter(steps, jobs=1)
    _run(meter, clock, steps[0], 1)
    first = meter.figures()
    assert (first["fraction"], first["left"]) == (0.25, 3.0)
    _run(meter, clock, steps[1], 30)
    second = meter.figures()
    assert second["left"] == 31.0
    assert second["fraction"] == 0.5
    _run(meter, clock, steps[2], 300)
    assert meter.figures()["fraction"] >= second["fraction"]


def test_a_whole_is_told_only_when_all_is_done(clock: _Clock) -> None:
    steps = [_step(0, 10**9), _step(1, 1)]
    meter = Meter(steps, jobs=1)
    _run(meter, clock, steps[0], 1000)
    assert meter.figures()["fraction"] == 0.99
    assert "99%" in line_of(meter.figures())
    _run(meter, clock, steps[1], 1)
    assert (meter.figures()["fraction"], meter.figures()["left"]) == (1.0, 0.0)
    assert short_of(meter.figures()) == "2/2 100% 0:00 left"


def test_a_step_that_runs_counts_by_its_own_share(clock: _Clock) -> None:
    steps = [_step(0, 500), _step(1, 500)]
    meter = Meter(steps, jobs=2)
    for step in steps:
        meter.running[step.key] = Running(step, clock.now)
    clock.now += 10
    meter.running[steps[0].key].fraction = 0.5
    meter.running[steps[1].key].fraction = 0.25
    figures = meter.figures()
    assert figures["left"] == 30.0
    assert figures["bytes_done"] == 375
