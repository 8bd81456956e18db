# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook itself: killed at any moment and started again, by two controllers at once, beside an operator."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support import catalog
from tests.support.playbook import LOCALHOST, ROOT, PlaybookRun, environment, run_playbook
from tests.support.pool import Sample

PLAYBOOK = "dbops.timescale.migrate"
SEED = int(os.environ.get("FAULTS_SEED", "20261128"))
KILLS = 3


@pytest.fixture
def variables(plain_sample: Sample) -> dict[str, Any]:
    return {
        "timescale_migrate_hosts": "localhost",
        "timescale_migrate_target": plain_sample.target.login_vars(plain_sample.target_db, plain_sample.user),
        "timescale_migrate_source": plain_sample.source_login(),
        "timescale_migrate_include": ["publications", "default_privileges", "event_triggers"],
        "timescale_migrate_lock_timeout": 1,
    }


def _arrived(sample: Sample, variables: dict[str, Any]) -> None:
    """A run completes, the next one changes nothing, and nothing is missing."""
    run = run_playbook(PLAYBOOK, variables=variables)
    assert run.rc == 0, [event.result.get("msg") for event in run.failures()]
    assert run_playbook(PLAYBOOK, variables=variables).changed == 0
    with (
        contextlib.closing(sample.source.connect(sample.source_db)) as source,
        contextlib.closing(sample.target.connect(sample.target_db)) as target,
    ):
        assert catalog.compare(source, target) == []


@contextlib.contextmanager
def _started(folder: Path, variables: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    """The playbook in a session of its own."""
    for name, content in (("inventory.json", LOCALHOST), ("variables.json", variables)):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    argv = [program, "-i", str(folder / "inventory.json"), "-e", f"@{folder / 'variables.json'}", PLAYBOOK]
    env = environment({"JSONL_PATH": str(folder / "events")})
    with (folder / "output").open("wb") as output:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=ROOT, start_new_session=True
        )
        try:
            yield child
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _statements(sample: Sample) -> int:
    """How many objects of post-data the target has: a clock that goes with the work, not with the machine."""
    ask = """SELECT (SELECT count(*) FROM pg_index) + (SELECT count(*) FROM pg_constraint)
        + (SELECT count(*) FROM pg_trigger) + (SELECT count(*) FROM pg_policy)"""
    return int(sample.target.execute(sample.target_db, ask)[0][0])


def test_a_playbook_that_is_killed_again_and_again(
    plain_sample: Sample, variables: dict[str, Any], tmp_path: Path
) -> None:
    """SIGKILL to ansible-playbook and all its children, each time after some more of the work was done."""
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    for number in range(KILLS):
        folder = tmp_path / str(number)
        folder.mkdir()
        with _started(folder, variables) as child:
            goal = _statements(plain_sample) + chance.randint(1, 12)
            until = time.monotonic() + 200
            while child.poll() is None and _statements(plain_sample) < goal and time.monotonic() < until:
                time.sleep(0.02)
        assert b"Traceback" not in (folder / "output").read_bytes()
    _arrived(plain_sample, variables)


def test_a_second_controller_and_an_operators_locks(plain_sample: Sample, variables: dict[str, Any]) -> None:
    """An operator holds a lock; of two playbooks started meanwhile at most one works at a time; nothing is doubled."""
    operator = plain_sample.target.connect(plain_sample.target_db, autocommit=False)
    try:
        operator.cursor().execute("LOCK TABLE public.sensors IN ROW EXCLUSIVE MODE")
        with ThreadPoolExecutor(max_workers=2) as pool:
            runs = [pool.submit(run_playbook, PLAYBOOK, variables=variables) for _controller in range(2)]
            ended = [run.result() for run in runs]
    finally:
        operator.close()
    assert [run.rc for run in ended] != [0, 0], "nobody was stopped by the lock"
    for run in ended:
        for message in _messages(run):
            assert "Another run of" in message or "lock timeout" in message or "steps failed" in message, message
            assert "Traceback" not in message
    _arrived(plain_sample, variables)


def _messages(run: PlaybookRun) -> list[str]:
    return [str(event.result.get("msg")) for event in run.failures()]
