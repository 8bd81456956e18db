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


def _refresh(name: str, calls: int) -> Step:
    return Step(Identity("refresh", "public", name), "refresh", ("CALL",) * calls)


def _calls(meter: Meter, clock: _Clock, step: Step, number: int) -> Running:
    """A step that has just begun the call of that number."""
    one = meter.running.setdefault(step.key, Running(step, clock.now))
    one.statement, one.statement_began = number, clock.now
    return one


def test_a_refresh_is_not_foretold_by_what_it_is_not_like(clock: _Clock) -> None:
    create, refresh = Step(Identity("continuous aggregate", "public", "a"), "create", ("CREATE",)), _refresh("a", 4)
    meter = Meter([create, refresh], jobs=1)
    _run(meter, clock, create, 0.1)
    _calls(meter, clock, refresh, 0)
    clock.now += 5
    figures = meter.figures()
    assert (figures["fraction"], figures["left"]) == (None, None)
    assert line_of(figures) == "1 of 2 steps done | refresh public.a 0% 0:05"
    assert short_of(figures) == "1/2"


def test_a_call_counts_while_it_runs_and_is_at_least_as_long_as_it_has_taken(clock: _Clock) -> None:
    fast, slow, end = _refresh("fast", 2), _refresh("slow", 4), clock.now + 4 * 40
    meter = Meter([fast, slow], jobs=2)
    _calls(meter, clock, slow, 0)
    _run(meter, clock, fast, 10)
    clock.now += 30
    assert meter.figures()["left"] == 3 * 40 + 10  # none of its calls took less than 40 s
    told = meter.figures()["fraction"]
    for number in (1, 2, 3):
        _calls(meter, clock, slow, number)
        for _second in range(40):
            clock.now += 1
            figures = meter.figures()
            assert figures["fraction"] >= told
            told = figures["fraction"]
            assert (end - clock.now) / 2 <= figures["left"] <= 2 * (end - clock.now) + 10
    assert 0.9 < told < 1


def test_windows_foretell_each_other_and_what_stands_for_them_costs_nothing(clock: _Clock) -> None:
    windows = [
        Step(Identity("refresh", "public", "a"), "refresh", ("CALL",), key=f"a {number}", part_of="a")
        for number in range(4)
    ]
    meter = Meter([*windows, Step(Identity("refresh", "public", "a"), "refresh", (), key="a")], jobs=2)
    meter.running[windows[1].key] = Running(windows[1], clock.now)
    _run(meter, clock, windows[0], 20)
    assert meter.figures()["left"] == (20 / 4 + 2 * 20) / 2  # the one that runs is as late as it can be told
    _run(meter, clock, windows[2], 20)
    _run(meter, clock, windows[3], 20)
    del meter.running[windows[1].key]
    meter.done[windows[1].key] = 60.0
    assert meter.figures()["left"] == 0.0


def test_lanes_do_not_help_each_other(clock: _Clock) -> None:
    here = [
        Step(Identity("rows", "public", f"t{n}"), "analyze", (), key=f"here{n}", size=10, lane="a") for n in range(5)
    ]
    meter = Meter([*here, Step(here[0].object, "analyze", (), key="there", size=10, lane="b")], jobs=2)
    _run(meter, clock, here[0], 4)
    assert meter.figures()["left"] == 8.0  # four steps of 4 s on two connections


def test_a_kind_that_has_not_run_makes_the_share_no_larger_than_the_bytes_say(clock: _Clock) -> None:
    rows, contents = (Step(Identity(kind, "public", "t"), "analyze", (), size=500) for kind in ("rows", "contents"))
    small = [Step(Identity("rows", "public", f"s{n}"), "analyze", (), size=500) for n in range(8)]
    meter = Meter([rows, *small, contents], jobs=10)
    _run(meter, clock, rows, 10)
    assert meter.figures()["fraction"] == 0.1
    assert meter.figures()["left"] == 10.0


def test_steps_that_turn_out_to_be_needed_are_counted(clock: _Clock) -> None:
    steps = [_step(0, 1000), _step(1, 1000)]
    meter = Meter(steps[:1], jobs=1)
    _run(meter, clock, steps[0], 10)
    meter.more(steps[1:])
    figures = meter.figures()
    assert (figures["steps"], figures["done"], figures["left"]) == (2, 1, 10.0)
