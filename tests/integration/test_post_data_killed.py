# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module, a backend of its, or the whole server killed: the next run completes, the one after changes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.support import catalog
from tests.support.installations import available, find
from tests.support.playbook import ROOT, environment, module_command, run_module
from tests.support.pool import PAIRS, Pool, Sample
from tests.support.prepare import prepare_target
from tests.support.samples import create_roles, create_tablespaces
from tests.support.servers import ThrowawayServer, start

MOMENTS = 20
HOW = ("SIGKILL", "SIGTERM", "backend", "server")
RENAMED = {"kinds_here": "kinds_there"}
BACKENDS = """SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'dbops.timescale/%%'
    AND (%s = '' OR wait_event = 'PgSleep')"""
HOLD = """
CREATE FUNCTION public.hold() RETURNS event_trigger LANGUAGE plpgsql
    AS 'BEGIN IF position({words} IN current_query()) > 0 THEN PERFORM pg_sleep(2); END IF; END';
CREATE EVENT TRIGGER hold ON ddl_command_end WHEN tag IN ('{tag}') EXECUTE FUNCTION public.hold();
"""
LET_GO = "DROP EVENT TRIGGER hold; DROP FUNCTION public.hold()"
INVALID = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT (indisvalid AND indisready)"


class Phase(NamedTuple):
    """What the run is doing when it is killed: reading, or a statement that is done but not committed."""

    tag: str = ""
    words: str = ""


# What tells phases of one command tag apart; the first that a statement holds.
WORDS = {
    "CREATE INDEX": ("_chunk",),
    "ALTER TABLE": ("VALIDATE CONSTRAINT", "UNIQUE USING INDEX", "KEY USING INDEX", "FOREIGN KEY", "ADD CONSTRAINT"),
}
# Tags of statements whose first two words are not their tag.
TAGS = {
    "CREATE UNIQUE": "CREATE INDEX",
    "CREATE CONSTRAINT": "CREATE TRIGGER",
    "CREATE OR": "CREATE VIEW",
    "COMMENT ON": "COMMENT",
    "REFRESH MATERIALIZED": "REFRESH MATERIALIZED VIEW",
    "ALTER DEFAULT": "ALTER DEFAULT PRIVILEGES",
}


def _phase(statement: str) -> Phase:
    first = " ".join(statement.split()[:2])
    tag = TAGS.get(first, first)
    return Phase(tag, next((words for words in WORDS.get(tag, ()) if words in statement), ""))


def _interrupt(server: ThrowawayServer, db: str, arguments: dict[str, Any], how: str, phase: Phase) -> None:
    """Run the module and kill something while it is in that phase."""
    if phase.tag:
        words = f"''{phase.words}''" if phase.words else "current_query()"  # inside a literal
        server.execute(db, HOLD.format(tag=phase.tag, words=words))
    argv, text = module_command("timescale_post_data", arguments)
    pipe = subprocess.PIPE
    child = subprocess.Popen(
        argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment(), cwd=ROOT, start_new_session=True
    )
    assert child.stdin is not None
    child.stdin.write(text)
    child.stdin.close()
    child.stdin = None
    try:
        pids = _wait_for(server, db, phase)
        if how == "server":
            server.restart("immediate")
        elif how == "backend":
            server.execute("postgres", "SELECT pg_terminate_backend(%s)", (pids[0],))
        elif how == "SIGTERM":
            child.terminate()
        else:
            os.killpg(child.pid, signal.SIGKILL)
    finally:
        if phase.tag:  # or each of the statements that are left would be held, too
            server.execute(db, LET_GO)
    try:
        stdout, stderr = child.communicate(timeout=120)
    finally:
        child.kill()
    if how != "SIGKILL":  # there is a result in any case, no traceback
        result = json.loads(stdout)
        assert "exception" not in result, stderr


def _wait_for(server: ThrowawayServer, db: str, phase: Phase) -> list[int]:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        pids = [pid for (pid,) in server.execute("postgres", BACKENDS, (db, phase.tag))]
        if pids:
            return pids
        time.sleep(0.02)
    raise AssertionError(f"the run never came to {phase}")


def _complete(server: ThrowawayServer, sample: Sample, arguments: dict[str, Any]) -> None:
    second = run_module("timescale_post_data", arguments)
    assert not second.get("failed"), second["msg"]
    third = run_module("timescale_post_data", arguments)
    assert (third.get("msg"), third["changed"]) == (None, False)
    invalid = {name for (name,) in server.execute(sample.target_db, INVALID)}
    assert invalid == {name for (name,) in sample.source.execute(sample.source_db, INVALID)}
    with (
        contextlib.closing(sample.source.connect(sample.source_db)) as source,
        contextlib.closing(server.connect(sample.target_db)) as target,
    ):
        assert catalog.compare(source, target, tablespaces=RENAMED) == []
    server.drop_database(sample.target_db)


@contextlib.contextmanager
def _standing(servers: Pool) -> Iterator[tuple[ThrowawayServer, Sample]]:
    """A server that may be killed, with a template of the target; TimescaleDB builds indexes there chunk by chunk."""
    pair = next((one for one in PAIRS if one.source == one.target and not one.missing()), None)
    installation = find(pair.target.major, pair.target.timescaledb) if pair else available()[-1]
    assert installation is not None
    with start(installation, scheduler=False, autovacuum="off") as server:
        if pair is None:
            yield server, servers.plain_pair(server)
            return
        sample = servers.fresh(pair, "every_kind")
        template = Sample(sample.source, sample.source_db, server, "template_of_target")
        create_roles(server)
        create_tablespaces(server)
        prepare_target(sample.source, sample.source_db, server, template.target_db, pair.target.timescaledb)
        grant = f"GRANT CREATE ON SCHEMA _timescaledb_internal, kinds_chunks TO {sample.user}"
        server.execute(template.target_db, grant)
        yield server, template
        sample.drop()


def test_killed_in_any_way_in_any_phase(servers: Pool) -> None:
    """As a plain owner, who is no superuser anywhere."""
    if not available():
        pytest.skip("PostgreSQL is not installed")
    seed = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(2**32))
    print(f"KILL_SEED={seed}")
    chance = random.Random(seed)
    with _standing(servers) as (server, sample):
        template = sample.target_db
        options = {"include": ["publications", "default_privileges"], "tablespace_map": RENAMED}
        options["index_strategy"] = "chunk"
        planned = run_module("timescale_post_data", {**sample.login(), **options}, check=True)
        phases = [Phase(), *sorted({_phase(text) for text in planned["queries"]})]
        ways = [HOW[number % len(HOW)] for number in range(max(MOMENTS, len(phases)))]
        chance.shuffle(ways)
        for number, how in enumerate(ways):
            phase = phases[number] if number < len(phases) else chance.choice(phases)
            print(f"{how} in {phase}")
            sample.target_db = f"killed_{number}"
            server.create_database(sample.target_db, owner=sample.user, template=template)
            arguments = {**sample.login(), **options}
            _interrupt(server, sample.target_db, arguments, how, phase)
            _complete(server, sample, arguments)
