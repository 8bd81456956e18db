# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole move by its playbook, as a user runs it."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from psycopg2 import sql

from tests.support import catalog
from tests.support.playbook import PlaybookRun, run_module, run_playbook
from tests.support.pool import PAIRS, Pool, Sample

PLAYBOOK = "dbops.timescale.migrate"
EVERYTHING = ["publications", "default_privileges", "event_triggers"]
SECRET = "Xq7-never-shown-Zk2"
# What depends on rows: which relations have stale statistics is only known once aggregates are filled.
DATA_DEPENDS = "statistics"


def _variables(sample: Sample, **more: Any) -> dict[str, Any]:
    return {
        "timescale_migrate_hosts": "localhost",
        "timescale_migrate_target": sample.target.login_vars(sample.target_db, sample.user),
        "timescale_migrate_source": sample.source_login(),
        "timescale_migrate_include": EVERYTHING,
        # The owner of the sample cannot read all rows of its tables with forced row security.
        "timescale_migrate_verify": "report",
        **more,
    }


def _migrate(sample: Sample, *arguments: str, **more: Any) -> PlaybookRun:
    run = run_playbook(PLAYBOOK, *arguments, variables=_variables(sample, **more))
    assert run.rc == 0, [(event.task, event.result.get("msg")) for event in run.failures()] or run.stderr
    return run


def _statements(run: PlaybookRun) -> dict[str, list[str]]:
    """The statements of each task; the order among several connections is nobody's promise."""
    tasks = [event for event in run.events if "queries" in event.result]
    return {event.task: sorted(event.result["queries"]) for event in tasks}


def _differences(sample: Sample) -> list[str]:
    with (
        contextlib.closing(sample.source.connect(sample.source_db)) as source,
        contextlib.closing(sample.target.connect(sample.target_db)) as target,
    ):
        return catalog.compare(source, target)


def _four_beats(sample: Sample) -> None:
    """Check, run, check again, run again."""
    foreseen, real = _statements(_migrate(sample, "--check", "--diff")), _statements(_migrate(sample))
    assert foreseen.keys() == real.keys()
    for task in real:
        if DATA_DEPENDS in task:
            assert set(foreseen[task]) <= set(real[task])
        else:
            assert foreseen[task] == real[task], task
    assert sum(len(queries) for queries in real.values()) > 20
    assert _differences(sample) == []
    assert _migrate(sample, "--check").changed == 0
    second = _migrate(sample)
    assert second.changed == 0
    assert not any(_statements(second).values())
    assert _differences(sample) == []


def test_the_sample_arrives_whole(sample: Sample) -> None:
    _four_beats(sample)


def test_the_plain_sample_arrives_whole(plain_sample: Sample) -> None:
    _four_beats(plain_sample)


def test_the_summary_tells_what_was_not_made_and_why(plain_sample: Sample) -> None:
    run = _migrate(plain_sample, timescale_migrate_include=[])
    (told,) = run.results(task="Tell what became of every object")
    lines = told["msg"]
    assert lines[0] == "Done on localhost"
    assert any("publication" in line and "Not asked for (include: publications)" in line for line in lines)


def test_stages_have_tags_and_a_switch(plain_sample: Sample) -> None:
    by_tag = _migrate(plain_sample, "--tags=statistics")
    assert {event.action.split(".")[-1] for event in by_tag.events} == {"postgres_analyze", "debug"}
    by_switch = _migrate(plain_sample, timescale_migrate_stages=["preflight"])
    ran = [event.action.split(".")[-1] for event in by_switch.events if event.outcome != "skipped"]
    assert ran == ["validate_argument_spec", "timescale_preflight", "debug"]


def test_jobs_can_wait_for_the_activation(servers: Pool) -> None:
    sample = servers.fresh(PAIRS[0])
    _migrate(sample, timescale_migrate_activate="none")
    question = "SELECT count(*) FROM timescaledb_information.jobs WHERE job_id >= 1000 AND scheduled"
    assert sample.target.execute(sample.target_db, question)[0][0] == 0
    run = run_playbook("dbops.timescale.activate", variables=_variables(sample))
    assert run.rc == 0
    active = sample.source.execute(sample.source_db, question)
    assert sample.target.execute(sample.target_db, question) == active
    assert active[0][0] > 0
    assert run_playbook("dbops.timescale.activate", variables=_variables(sample)).changed == 0
    sample.drop()


def test_a_move_by_file_with_the_source_stopped(servers: Pool, tmp_path: Path) -> None:
    """The same target as a move with both sides up."""
    pair = PAIRS[-1]
    sample = servers.fresh(pair)
    wanted, dump = tmp_path / "wanted.json", tmp_path / "post-data.dump"
    told = run_module("timescale_info", {**sample.source_login(), "write_to": str(wanted)})
    assert not told.get("failed"), told
    made = run_module("timescale_post_data", {**sample.login(), "dump_file": str(dump), "kinds": ["rule"]})
    assert not made.get("failed"), made
    gone = Sample(sample.source, sample.source_db, sample.target, sample.target_db)
    with _unreachable(sample):
        files = {"timescale_migrate_source_file": str(wanted), "timescale_migrate_dump_file": str(dump)}
        _migrate(gone, timescale_migrate_source={}, **files)
        assert _migrate(gone, timescale_migrate_source={}, **files).changed == 0
    assert _differences(sample) == []
    assert _migrate(sample, timescale_migrate_stages=["post_data", "policies", "activation"]).changed == 0
    sample.drop()


@contextlib.contextmanager
def _unreachable(sample: Sample) -> Any:
    """The source's database takes no connection, as if its server were stopped (other tests share that server)."""
    name = sql.Identifier(sample.source_db)
    sample.source.execute("postgres", sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
    try:
        yield
    finally:
        sample.source.execute("postgres", sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))


class _Watch(threading.Thread):
    """Takes samples of every process's arguments and environment-free command line."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[str] = set()
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.01):
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    self.seen.add(place.read_bytes().replace(b"\0", b" ").decode(errors="replace"))


def test_no_password_is_shown_anywhere(plain_sample: Sample) -> None:
    for role in ("sensor_admin",):
        plain_sample.target.execute(
            "postgres", sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(SECRET))
        )
    before, plain_sample.target.passwords["sensor_admin"] = plain_sample.target.passwords["sensor_admin"], SECRET
    began = time.time()
    watch = _Watch()
    watch.start()
    try:
        run = _migrate(plain_sample, "-vvv", "--diff")
    finally:
        watch.done.set()
        watch.join()
        plain_sample.target.execute(
            "postgres", sql.SQL("ALTER ROLE sensor_admin PASSWORD {}").format(sql.Literal(before))
        )
        plain_sample.target.passwords["sensor_admin"] = before
    assert SECRET not in run.stdout + run.stderr
    assert SECRET not in repr(run.events)
    assert any("pg_dump" in line for line in watch.seen), "the samples were too coarse to see anything"
    assert [line for line in watch.seen if SECRET in line] == []
    assert [str(path) for path in _files_since(began) if SECRET in _content(path)] == []


def _files_since(began: float) -> list[Path]:
    """Files in the temporary folder that the run left behind."""
    found = []
    for folder, _folders, names in os.walk(tempfile.gettempdir()):
        found += [Path(folder, name) for name in names]
    return [
        path for path in found if path.is_file() and path.stat().st_mtime >= began and path.stat().st_size < 1 << 22
    ]


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def test_a_password_that_equals_a_name_leaves_results_usable(plain_sample: Sample) -> None:
    before = plain_sample.target.passwords["sensor_admin"]
    plain_sample.target.execute("postgres", "ALTER ROLE sensor_admin PASSWORD 'sensors'")
    plain_sample.target.passwords["sensor_admin"] = "sensors"
    try:
        run = _migrate(plain_sample, "-vvv")
    finally:
        plain_sample.target.execute(
            "postgres", sql.SQL("ALTER ROLE sensor_admin PASSWORD {}").format(sql.Literal(before))
        )
        plain_sample.target.passwords["sensor_admin"] = before
    statements = [text for queries in _statements(run).values() for text in queries]
    assert any("sensors_name_key" in text for text in statements)
    assert '"login_password": "sensors"' not in run.stdout
    assert _differences(plain_sample) == []


@pytest.mark.parametrize("beside", ["a folder with a blank"])
def test_the_installed_collection_runs_by_its_name(beside: str) -> None:
    """The playbook is found by its FQCN from any folder."""
    with tempfile.TemporaryDirectory(prefix=beside) as folder:
        run = run_playbook(
            PLAYBOOK, "--list-tasks", variables={"timescale_migrate_hosts": "localhost"}, env={"PWD": folder}
        )
    assert run.rc == 0
    assert "Create policies and jobs, paused" in run.stdout
