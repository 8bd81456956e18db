# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules killed at random moments: the next run completes, the one after changes nothing, nothing is lost."""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
from typing import Any

from tests.support import catalog
from tests.support.playbook import run_module
from tests.support.pool import Sample

KILLS = 4  # of each stage
FIRST = {"row_security": "none", "dependents_of_aggregates": False, "refresh_materialized_views": False}
ALL = {"include": ["publications", "default_privileges", "event_triggers"]}
STAGES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("timescale_post_data", {**FIRST, **ALL}),
    ("timescale_cagg_sync", {}),
    ("timescale_post_data", ALL),
    ("timescale_policy_sync", {}),
)


def _killed(module: str, arguments: dict[str, Any], moment: float) -> bool:
    """Run a module and kill it after so many seconds; False when it ended before."""
    try:
        result = run_module(module, arguments, timeout=moment)
    except subprocess.TimeoutExpired:
        return True
    assert not result.get("failed"), result["msg"]
    return False


def test_killed_at_any_moment(sample: Sample) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    kills = 0
    for module, more in STAGES:
        arguments = {**sample.login(), **more}
        began = time.monotonic()
        run_module(module, arguments, check=True)
        whole = time.monotonic() - began
        for _number in range(KILLS):
            kills += _killed(module, arguments, moments.uniform(0.3, 0.95) * whole)
        completed = run_module(module, arguments)
        assert not completed.get("failed"), completed["msg"]
        again = run_module(module, arguments)
        assert (again.get("failed", False), again["changed"]) == (False, False), again
    assert kills >= len(STAGES)
    with (
        contextlib.closing(sample.source.connect(sample.source_db)) as source,
        contextlib.closing(sample.target.connect(sample.target_db)) as target,
    ):
        assert catalog.compare(source, target) == []
