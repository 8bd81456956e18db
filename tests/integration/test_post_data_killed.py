# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module, a backend of its, or the whole server killed: the next run completes, the one after changes nothing."""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support import catalog
from tests.support.installations import available
from tests.support.playbook import run_module
from tests.support.pool import Pool, Sample
from tests.support.servers import ThrowawayServer, start

MOMENTS = 20
HOW = ("module", "backend", "server")
# What the run is doing when it is killed: reading, or one of these statements, which is done but not committed.
PHASES: tuple[str, ...] = (
    "",
    "CREATE INDEX",
    "ALTER TABLE",
    "CREATE TRIGGER",
    "CREATE RULE",
    "CREATE POLICY",
    "CREATE STATISTICS",
)
PHASES += ("COMMENT", "REFRESH MATERIALIZED VIEW", "ALTER INDEX")
BACKENDS = """SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'dbops.timescale/%%'
    AND (%s = '' OR wait_event = 'PgSleep')"""
HOLD = """
CREATE FUNCTION public.hold() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2); END';
CREATE EVENT TRIGGER hold ON ddl_command_end WHEN tag IN ('{tag}') EXECUTE FUNCTION public.hold();
"""
LET_GO = "DROP EVENT TRIGGER hold; DROP FUNCTION public.hold()"
INVALID = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT (indisvalid AND indisready)"


def _interrupt(server: ThrowawayServer, db: str, arguments: dict[str, Any], how: str, phase: str) -> None:
    """Run the module and kill something while it is in that phase."""
    if phase:
        server.execute(db, HOLD.format(tag=phase))
    with ThreadPoolExecutor(1) as beside:
        running = beside.submit(_run, arguments, how == "module")
        pids = _wait_for(server, db, phase)
        if how == "server":
            server.restart("immediate")
        elif how == "backend":
            server.execute("postgres", "SELECT pg_terminate_backend(%s)", (pids[0],))
        if how != "module" and phase:
            server.execute(db, LET_GO)
        result = running.result()  # there is one in any case, no traceback
    assert "exception" not in result
    if how == "module" and phase:
        server.execute(db, LET_GO)


def _run(arguments: dict[str, Any], killed: bool) -> dict[str, Any]:
    """With a phase that holds it for two seconds, no run ends within the time given here."""
    try:
        return run_module("timescale_post_data", arguments, timeout=2.0 if killed else 120)
    except subprocess.TimeoutExpired:
        return {}


def _wait_for(server: ThrowawayServer, db: str, phase: str) -> list[int]:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        pids = [pid for (pid,) in server.execute("postgres", BACKENDS, (db, phase))]
        if pids:
            return pids
        time.sleep(0.02)
    raise AssertionError(f"the run never came to {phase or 'reading'}")


def _complete(server: ThrowawayServer, sample: Sample, arguments: dict[str, Any]) -> None:
    second = run_module("timescale_post_data", arguments)
    assert not second.get("failed"), second["msg"]
    third = run_module("timescale_post_data", arguments)
    assert (third.get("msg"), third["changed"]) == (None, False)
    assert server.execute(sample.target_db, INVALID) == []
    with (
        contextlib.closing(server.connect(sample.source_db)) as source,
        contextlib.closing(server.connect(sample.target_db)) as target,
    ):
        assert catalog.compare(source, target) == []
    server.drop_database(sample.target_db)


def test_killed_in_any_way_in_any_phase(servers: Pool) -> None:
    """As a plain owner, who is no superuser anywhere."""
    if not available():
        pytest.skip("PostgreSQL is not installed")
    ways = [HOW[number % len(HOW)] for number in range(MOMENTS)]
    random.SystemRandom().shuffle(ways)
    with start(available()[-1], scheduler=False, autovacuum="off") as server:
        assert isinstance(server, ThrowawayServer)
        sample = servers.plain_pair(server)
        template = sample.target_db
        for number, how in enumerate(ways):
            phase = PHASES[number % len(PHASES)]
            print(f"{how} in {phase or 'reading'}")
            sample.target_db = f"killed_{number}"
            server.create_database(sample.target_db, owner=sample.user, template=template)
            arguments = {**sample.login(), "include": ["publications", "default_privileges"]}
            _interrupt(server, sample.target_db, arguments, how, phase)
            _complete(server, sample, arguments)
