# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which windows of one aggregate are refreshed at the same time, by version and kind of bucket; how large they are."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from ansible_collections.dbops.timescale.plugins.module_utils._cagg.plan import make_plan
from ansible_collections.dbops.timescale.plugins.module_utils._cagg.target import Existing
from ansible_collections.dbops.timescale.plugins.module_utils._plan import Plan, foreseen, result_of, whole_of
from ansible_collections.dbops.timescale.plugins.module_utils._versions import Timescale
from tests.support import snapshots

PAIR = "2.28.3-to-2.28.3"
OPTIONS = {**snapshots.AGGREGATE_OPTIONS, "refresh_batch": "10"}


def documents() -> tuple[dict[str, Any], Existing]:
    """The recorded pair."""
    wanted = snapshots.load("2.28.3", "aggregates")
    return wanted, snapshots.existing_from_json(snapshots.load(PAIR, "aggregates"))


def planned(version: str, wanted: dict[str, Any] | None = None, existing: Existing | None = None) -> Plan:
    """Both sides, the recorded ones by default, with a target of that version."""
    if wanted is None or existing is None:
        wanted, existing = documents()
    target = dataclasses.replace(snapshots.facts_of(PAIR, "target"), timescale=Timescale.parse(version))
    return make_plan(wanted, snapshots.facts_of("2.28.3", "source"), existing, target, OPTIONS)


def split(plan: Plan) -> set[str]:
    """The aggregates whose windows are steps of their own."""
    return {step.object.name for step in plan.steps if step.part_of}


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ("2.26.2", set()),
        ("2.28.3", {"counters_by_100"}),
        ("2.29.0", {"counters_by_100", "avg_fill_levels"}),
    ],
)
def test_by_version(version: str, wanted: set[str]) -> None:
    found = split(planned(version))
    assert found >= wanted
    assert ("avg_fill_levels" in found) == ("avg_fill_levels" in wanted)
    assert bool(found) == bool(wanted)
    assert "fill_levels_berlin" not in found


def test_windows_are_newest_first_and_one_entry_of_the_result() -> None:
    plan = planned("2.28.3")
    parts = [step for step in plan.steps if step.part_of and step.object.name == "counters_by_100"]
    (last,) = [step for step in plan.steps if step.key == parts[0].part_of]
    assert set(last.depends_on) == {part.key for part in parts}
    ends = [int(re.findall(r"(\d+)::pg_catalog.int8", part.statements[0])[-1]) for part in parts]
    assert len(ends) > 1
    assert ends == sorted(ends, reverse=True)
    result = result_of(plan, whole_of(foreseen(plan)))
    told = [one for one in result["objects"] if one["kind"] == "refresh" and one["name"] == "counters_by_100"]
    assert len(told) == 1
    assert [text for text in result["queries"] if text in {part.statements[0] for part in parts}] == [
        part.statements[0] for part in parts
    ]


@pytest.mark.parametrize(("of_parent", "size"), [(5_000_000, 5_000_000), (0, 8_000_000)])
def test_a_level_of_a_hierarchy_has_a_size(of_parent: int, size: int) -> None:
    """It is that of its parent on the source, or a part of what the parent reads; so a run has an estimate."""
    wanted, existing = documents()
    hourly, raw = ("public", "avg_fill_levels"), ("public", "fill_measurements")
    for entries, name, amount in (
        (wanted["aggregates"], hourly, of_parent),
        (existing.document["hypertables"], raw, 80_000_000),
    ):
        (entry,) = [one for one in entries if (one["schema"], one["name"]) == name]
        entry["bytes"] = amount
    steps = {step.key: step for step in planned("2.26.2", wanted, existing).steps}
    assert steps["refresh public.avg_fill_levels"].size == pytest.approx(80_000_000, rel=0.1)
    assert steps["refresh reports.avg_fill_levels_daily"].size == pytest.approx(size, rel=0.1)
