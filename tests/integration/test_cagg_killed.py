# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""timescale_cagg_sync killed at random moments, at least once in every phase: no bucket is doubled or missing."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.test_cagg_history import LEVELS, RETENTION, SETUP, contents, sync
from tests.support.playbook import run_module
from tests.support.pool import PAIRS, Pool, Sample

KILLS = 20
# How far the target is, by what it holds: the phase that a kill has interrupted.
PHASE = """
SELECT count(*), coalesce(sum((watermark > '2026-01-01'::timestamptz)::int), 0) FROM (
  SELECT _timescaledb_functions.to_timestamp(w.watermark) AS watermark
  FROM _timescaledb_catalog.continuous_aggs_watermark AS w) AS x
"""


@pytest.fixture
def large(servers: Pool) -> Iterator[Sample]:
    """Levels with history, with enough rows that each phase takes a while."""
    pair = PAIRS[1] if len(PAIRS) > 1 else PAIRS[0]
    for one in pair.missing():
        pytest.skip(f"{one} is not installed")
    (source, source_version), (target, target_version) = servers.side(pair.source), servers.side(pair.target)
    made = Sample(source, "killed_source", target, "killed_target", user="postgres")
    source.create_database(made.source_db, extension_version=source_version)
    target.create_database(made.target_db, extension_version=target_version)
    rows = "INSERT INTO public.raw SELECT '2026-01-01 00:20+00'::timestamptz + n * interval '1 hour', d, n" + (
        " FROM generate_series(0, 999) AS n, generate_series(0, 199) AS d"
    )
    for statement in (*SETUP[:2], rows, *SETUP[3:], *RETENTION):
        source.execute(made.source_db, statement)
    for statement in (*SETUP[:2], rows, RETENTION[0]):
        target.execute(made.target_db, statement)
    yield made
    made.drop()


def phase(moved: Sample) -> str:
    """What a killed run was at: nothing made yet, creating, refreshing, or copying and behind it."""
    made, filled = moved.target.execute(moved.target_db, PHASE)[0]
    if made < len(LEVELS):
        return "create"
    daily = moved.target.execute(moved.target_db, "SELECT min(bucket) FROM public.daily")[0][0]
    if filled == 0 or daily is None:
        return "refresh"
    return "copy"


def killed(moved: Sample, moment: float) -> bool:
    options: dict[str, Any] = {**moved.login("postgres", "postgres"), "jobs": 2, "refresh_batch": "2 days"}
    try:
        result = run_module("timescale_cagg_sync", options, timeout=moment)
    except subprocess.TimeoutExpired:
        return True
    assert not result.get("failed"), result["msg"]
    return False


def begin_again(moved: Sample) -> None:
    """Drop what the target has, the children first; a killed run's backends may still be at work."""
    for level in reversed(LEVELS):
        moved.target.execute(moved.target_db, f"DROP MATERIALIZED VIEW IF EXISTS public.{level}")


def test_killed_in_every_phase(large: Sample) -> None:
    wanted = contents(large.source, large.source_db)
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    began = time.monotonic()
    sync(large, check=True)
    start, began = time.monotonic() - began, time.monotonic()
    assert not sync(large, refresh_batch="2 days").get("failed")
    whole = time.monotonic() - began
    kills, phases = 0, set()
    for number in range(KILLS):
        begin_again(large)
        share = (number % 10 + moments.random()) / 10
        if killed(large, 0.6 * start + share * (whole - 0.6 * start)):
            kills += 1
            phases.add(phase(large))
        completed = sync(large, refresh_batch="2 days")
        assert not completed.get("failed"), completed["msg"]
        assert contents(large.target, large.target_db) == wanted, (seed, number)
    assert not sync(large, refresh_batch="2 days")["changed"]
    assert kills >= KILLS * 3 // 4
    assert phases == {"create", "refresh", "copy"}
