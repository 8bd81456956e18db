# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""timescale_cagg_sync killed at random moments of every phase: no bucket is doubled or missing, no job or view lost."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.test_cagg_history import LEVELS, RETENTION, SETUP, contents, sync
from tests.support.playbook import ROOT, environment, module_command
from tests.support.pool import PAIRS, Pool, Sample

# How often a run is killed in a phase. What creates the aggregates knows no swap.
CREATIONS = {"create": 3, "refresh": 3, "copy": 3}
RECREATIONS = {"create": 2, "refresh": 2, "copy": 3, "swap": 5}
# What the module's sessions are at, by their statement and those before it in their transaction.
AT = {
    "create": ("CREATE MATERIALIZED VIEW", "SELECT%set_chunk_time_interval", "CREATE INDEX"),
    "refresh": ("CALL",),
    "copy": ("COPY", "DELETE", "DO '%INSERT"),
    "swap": (
        "DO '%RAISE",
        "DROP VIEW",
        "ALTER MATERIALIZED VIEW",
        "CREATE VIEW",
        "SELECT done.job_id",
        "DROP MATERIALIZED",
    ),
}
BUSY = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND application_name LIKE 'dbops.timescale/%%' AND state <> 'idle' AND query LIKE ANY (%s)"""
# Makes the statements of a swap take a while, so that a kill hits the middle of one and not what comes after.
SLOW = (
    """CREATE FUNCTION public.wait_a_little() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
       IF pg_catalog.current_query() ~ 'RENAME|latest' THEN PERFORM pg_catalog.pg_sleep(0.2); END IF; END $$""",
    "CREATE EVENT TRIGGER slow ON ddl_command_end EXECUTE FUNCTION public.wait_a_little()",
    "ALTER EVENT TRIGGER slow DISABLE",
)
STANDING = (
    "CREATE VIEW public.latest AS SELECT device, max(bucket) AS bucket FROM public.hourly GROUP BY 1",
    "SELECT add_continuous_aggregate_policy('public.hourly', interval '9 days', interval '1 hour', interval '3 hours')",
)
STANDS = """SELECT view_definition FROM timescaledb_information.continuous_aggregates
    UNION ALL SELECT pg_get_viewdef('public.latest'::regclass)
    UNION ALL SELECT concat_ws(' ', hypertable_name, proc_name, schedule_interval, scheduled)
    FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY 1"""


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
        " FROM generate_series(0, 999) AS n, generate_series(0, 29) AS d"
    )
    for statement in (*SETUP[:2], rows, *SETUP[3:], *RETENTION):
        source.execute(made.source_db, statement)
    for statement in (*SETUP[:2], rows, RETENTION[0], *SLOW):
        target.execute(made.target_db, statement)
    yield made
    made.drop()


class Killer:
    """Runs the module and kills it at a random moment of a phase."""

    def __init__(self, moved: Sample) -> None:
        self.moved = moved
        self.seed = random.SystemRandom().randrange(2**32)
        self.random = random.Random(self.seed)

    def options(self) -> dict[str, Any]:
        login = self.moved.login("postgres", "postgres")
        return {**login, "jobs": 2, "refresh_batch": "4 days", "on_drift": "recreate"}

    def strike(self, phase: str) -> bool:
        """Whether the run was killed in that phase; it may have come to its end before."""
        self.slow(phase == "swap")
        argv, text = module_command("timescale_cagg_sync", self.options())
        child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
            cwd=ROOT,
            start_new_session=True,
        )
        try:
            assert child.stdin is not None
            child.stdin.write(text.encode())
            child.stdin.close()
            seen = self.await_phase(phase, child)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        self.slow(False)
        return seen

    def slow(self, on: bool) -> None:
        change = f"ALTER EVENT TRIGGER slow {'ENABLE' if on else 'DISABLE'}"
        self.moved.target.execute(self.moved.target_db, change)

    def await_phase(self, phase: str, child: subprocess.Popen[bytes]) -> bool:
        """Wait until the module is seen in a phase, and a little more."""
        connection = self.moved.target.connect(self.moved.target_db)
        try:
            with connection.cursor() as cursor:
                while child.poll() is None:
                    cursor.execute(BUSY, ([f"{begin}%" for begin in AT[phase]],))
                    row = cursor.fetchone()
                    if row and row[0]:
                        time.sleep(self.random.uniform(0, 1 if phase == "swap" else 0.05))
                        return child.poll() is None
                    time.sleep(0.003)
        finally:
            connection.close()
        return False


def kill_in_each(killer: Killer, wanted: dict[str, int], prepare: Any, check: Any) -> int:
    """Kill so often in each phase; after each the next run completes."""
    kills = 0
    for phase, count in wanted.items():
        left = count
        for number in range(3 * count):
            prepare()
            struck = killer.strike(phase)
            kills, left = kills + struck, left - struck
            completed = sync(killer.moved, refresh_batch="4 days", on_drift="recreate")
            assert not completed.get("failed"), (completed["msg"], killer.seed, phase, number)
            check((killer.seed, phase, number))
            if not left:
                break
        assert not left, f"no run was seen in {phase} often enough (seed {killer.seed})"
    return kills


def test_killed_in_every_phase(large: Sample) -> None:
    killer = Killer(large)
    print(f"seed {killer.seed}")
    wanted = contents(large.source, large.source_db)
    drops = [f"DROP MATERIALIZED VIEW IF EXISTS public.{level}" for level in reversed(LEVELS)]

    def on_target(*statements: str) -> None:
        for statement in statements:
            large.target.execute(large.target_db, statement)

    def same(when: tuple[int, str, int]) -> None:
        assert contents(large.target, large.target_db) == wanted, when

    kills = kill_in_each(killer, CREATIONS, lambda: on_target(*drops), same)
    on_target(*STANDING)
    standing = large.target.execute(large.target_db, STANDS)
    # From here on two days of the first level are the target's alone.
    stored = "SELECT format('%I.%I', h.schema_name, h.table_name) FROM _timescaledb_catalog.hypertable AS h" + (
        " JOIN _timescaledb_catalog.continuous_agg AS a ON a.mat_hypertable_id = h.id WHERE user_view_name = 'hourly'"
    )
    ((table,),) = large.source.execute(large.source_db, stored)
    large.source.execute(large.source_db, f"DELETE FROM {table} WHERE bucket >= '2026-01-18' AND bucket < '2026-01-20'")

    def same_and_standing(when: tuple[int, str, int]) -> None:
        same(when)
        assert large.target.execute(large.target_db, STANDS) == standing, when

    drift = "ALTER MATERIALIZED VIEW public.hourly RENAME COLUMN total TO amount"
    kills += kill_in_each(killer, RECREATIONS, lambda: on_target(drift), same_and_standing)
    assert not sync(large, refresh_batch="4 days", on_drift="recreate")["changed"]
    assert kills >= 20
