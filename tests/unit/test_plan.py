# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one result shape."""

from __future__ import annotations

from ansible_collections.dbops.timescale.plugins.module_utils._plan import (
    Finding,
    Identity,
    Outcome,
    Plan,
    Step,
    diff_of,
    foreseen,
    result_of,
)

INDEX = Identity("index", "public", "a_idx", "a")
VIEW = Identity("view", "public", "v")


def test_check_mode_and_a_run_without_failures_give_the_same_result() -> None:
    plan = Plan([Step(INDEX, "create", ("CREATE INDEX a_idx ON public.a (x)",))], [Finding(VIEW, "present")])
    ran = [Outcome(plan.steps[0], "created", plan.steps[0].statements)]
    assert result_of(plan, foreseen(plan)) == result_of(plan, ran)
    assert result_of(plan, ran)["summary"] == {"present": 1, "created": 1}
    assert result_of(plan, ran)["changed"] is True


def test_nothing_to_do_is_no_change() -> None:
    result = result_of(Plan([], [Finding(VIEW, "drifted", "differs")]), [])
    assert (result["changed"], result["queries"]) == (False, [])
    assert result["objects"][0] == {
        "kind": "view",
        "schema": "public",
        "name": "v",
        "outcome": "drifted",
        "reason": "differs",
        "hint": "",
        "duration_ms": 0,
    }


def test_a_failed_step_executed_nothing() -> None:
    step = Step(INDEX, "create", ("CREATE INDEX",))
    result = result_of(Plan([step]), [Outcome(step, "failed", reason="no")])
    assert (result["changed"], result["summary"]) == (False, {"failed": 1})


def test_diff_shows_steps_and_drift() -> None:
    plan = Plan(
        [Step(INDEX, "create", ("CREATE INDEX a_idx ON public.a (x)",))],
        [Finding(VIEW, "drifted", before="SELECT 1", after="SELECT 2"), Finding(VIEW, "present", before="SELECT 3")],
    )
    assert diff_of(plan) == {
        "before": "-- view public.v\nSELECT 1\n",
        "after": "-- index public.a.a_idx\nCREATE INDEX a_idx ON public.a (x)\n-- view public.v\nSELECT 2\n",
    }
