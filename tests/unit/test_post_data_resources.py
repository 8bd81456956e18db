# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory and workers of a run's sessions, and what runs side by side in a small lock table."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.dbops.timescale.plugins.module_utils._plan import Identity, Plan, Step
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.objects import Inventory, Relation
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.resources import (
    Resources,
    keep_within,
    session_settings,
    share_processors,
)

GIB = 1024**3
SERVER = Resources(8 * GIB, GIB // 16, 0, 2, 64, 100)  # room for 6400 locks


@pytest.mark.parametrize(
    ("jobs", "processors", "given", "memory", "workers"),
    [
        (4, 0, {}, "1048576kB", "0"),
        (1, 0, {}, "2097152kB", "1"),  # never more than 2 GiB; nobody has one processor only
        (4, 8, {}, "1048576kB", "1"),
        (4, 32, {}, "1048576kB", "2"),  # never more than the server's own
        (100, 8, {}, "65536kB", "0"),  # never less than the server's own
        (6, 0, {"Maintenance_Work_Mem": "1GB"}, "1GB", "0"),
        (4, 0, {"max_parallel_maintenance_workers": 4}, "1048576kB", "4"),
    ],
)
def test_settings_follow_from_the_server(
    jobs: int, processors: int, given: dict[str, Any], memory: str, workers: str
) -> None:
    assert session_settings(dataclasses.replace(SERVER, processors=processors), jobs, given) == {
        "maintenance_work_mem": memory,
        "max_parallel_maintenance_workers": workers,
    }


@pytest.mark.parametrize(
    ("sizes", "jobs", "given", "workers"),
    [
        ((100,), 2, {}, ["1"]),
        ((100,), 4, {}, ["2"]),  # the server's own
        ((100, 100), 2, {}, ["-", "-"]),
        ((300, 100), 2, {}, ["1", "-"]),  # the other connection has nothing to do for half of the time
        ((100,) * 100, 4, {}, ["-"] * 100),
        ((100,), 2, {"MAX_parallel_maintenance_workers": 0}, ["-"]),
    ],
)
def test_workers_go_to_what_is_much_of_the_work(
    sizes: tuple[int, ...], jobs: int, given: dict[str, Any], workers: list[str]
) -> None:
    steps = [Step(Identity("index", "p", "i", "h"), "create", ("CREATE INDEX",), size=size) for size in sizes]
    share_processors(Plan(steps), SERVER, jobs, given)
    assert [step.settings.get("max_parallel_maintenance_workers", "-") for step in steps] == workers


def _plan(chunks: int, **more: Any) -> tuple[Plan, Inventory]:
    """Two indexes and a key on one hypertable, an index on another table."""
    steps = [
        Step(Identity("index", "p", "one", "h"), "create", ("CREATE INDEX",), shared=('"p"."h"',), **more),
        Step(Identity("index", "p", "two", "h"), "create", ("CREATE INDEX",), shared=('"p"."h"',), **more),
        Step(Identity("primary_key", "p", "key", "h"), "create", ("ALTER TABLE",), exclusive=('"p"."h"',), **more),
        Step(Identity("index", "p", "three", "plain"), "create", ("CREATE INDEX",), shared=('"p"."plain"',)),
    ]
    target = Inventory.__new__(Inventory)
    tables = (Relation(("p", "h"), dimensions=("at",), chunks=chunks), Relation(("p", "plain")))
    target.relations = {table.name: table for table in tables}
    return Plan(steps), target


def _alone(plan: Plan) -> list[str]:
    return [step.object.name for step in plan.steps if "the server's lock table" in step.exclusive]


def test_with_room_for_all_nothing_is_held_back() -> None:
    plan, target = _plan(1000)
    keep_within(plan, target, SERVER, 2)
    assert (_alone(plan), plan.warnings) == ([], [])


def test_what_has_no_room_together_runs_one_after_the_other() -> None:
    plan, target = _plan(2000)
    keep_within(plan, target, SERVER, 2)
    assert (_alone(plan), plan.warnings) == (["one", "two", "key"], [])


def test_what_has_no_room_alone_is_warned_of() -> None:
    plan, target = _plan(3000)
    keep_within(plan, target, SERVER, 1)
    (text,) = plan.warnings
    assert "1 statements" in text
    assert "primary_key p.h.key needs about 9000 locks" in text
    assert "max_locks_per_transaction = 64). Set it to 154 or more" in text


@pytest.mark.parametrize("how", [{"part_of": "whole"}, {"work": lambda _database: None}])
def test_parts_of_an_index_lock_little(how: dict[str, Any]) -> None:
    plan, target = _plan(100_000, **how)
    keep_within(plan, target, dataclasses.replace(SERVER, per_transaction=10), 4)
    assert (_alone(plan), plan.warnings) == ([], [])
