# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole move by its playbook, as a user runs it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg2 import sql

from tests.support import catalog
from tests.support.playbook import PlaybookRun, environment, run_module, run_playbook
from tests.support.pool import PAIRS, Pair, Pool, Sample
from tests.support.servers import Server, ThrowawayServer
from tests.tooling.stage import build

PLAYBOOK = "dbops.timescale.migrate"
EVERYTHING = ["publications", "default_privileges", "event_triggers"]
SECRET = "Xq7-never-shown-Zk2"
# The one task whose statements check mode cannot foresee all: statistics of what this very run creates.
OF_NEW_RELATIONS = "dbops.timescale.timescale_migrate : Collect statistics"
NOT_COMPARED = ["rows public.tenant_notes"]  # forced row security holds for the owner of the sample too


def _variables(sample: Sample, **more: Any) -> dict[str, Any]:
    return {
        "timescale_migrate_hosts": "localhost",
        "timescale_migrate_target": sample.target.login_vars(sample.target_db, sample.user),
        "timescale_migrate_source": sample.source_login(),
        "timescale_migrate_include": EVERYTHING,
        **more,
    }


def _migrate(sample: Sample, *arguments: str, **more: Any) -> PlaybookRun:
    run = run_playbook(PLAYBOOK, *arguments, variables=_variables(sample, **more))
    assert run.rc == 0, [(event.task, event.result.get("msg")) for event in run.failures()] or run.stderr
    return run


def _statements(run: PlaybookRun) -> dict[str, list[str]]:
    """The statements of each task that may change something, in their order."""
    tasks = [event for event in run.events if "queries" in event.result]
    return {event.task: event.result["queries"] for event in tasks if not event.action.endswith("verify")}


def _differences(sample: Sample) -> list[str]:
    with (
        contextlib.closing(sample.source.connect(sample.source_db)) as source,
        contextlib.closing(sample.target.connect(sample.target_db)) as target,
    ):
        return catalog.compare(source, target)


def _of_new_relations(sample: Sample) -> set[str]:
    """ANALYZE for relations that only the move makes, and which hold rows: aggregates, materialized views on them."""
    if not sample.target.execute(sample.target_db, "SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'"):
        return set()
    views = sample.target.execute(
        sample.target_db, "SELECT view_schema, view_name FROM timescaledb_information.continuous_aggregates"
    )
    return {f'ANALYZE "{schema}"."{name}"' for schema, name in [*views, ("reports", "fill_summary")]}


def _same_statements(sample: Sample, foreseen: dict[str, list[str]], real: dict[str, list[str]]) -> None:
    """Task by task and in order; the one exception is ``OF_NEW_RELATIONS``."""
    assert list(foreseen) == list(real)
    for task, statements in real.items():
        new = _of_new_relations(sample) if task == OF_NEW_RELATIONS else set()
        assert new <= set(statements)
        assert foreseen[task] == [text for text in statements if text not in new], task
    assert sum(len(queries) for queries in real.values()) > 20


def _four_beats(sample: Sample) -> None:
    """Check, run, check again, run again."""
    foreseen = _statements(_migrate(sample, "--check", "--diff"))
    first = _migrate(sample)
    assert _compared(first) == (True, NOT_COMPARED)
    _same_statements(sample, foreseen, _statements(first))
    assert _differences(sample) == []
    for arguments in (["--check"], []):
        again = _migrate(sample, *arguments)
        assert again.changed == 0
        assert not any(_statements(again).values())
    assert _differences(sample) == []


def _compared(run: PlaybookRun) -> tuple[bool, list[str]]:
    (told,) = run.results("timescale_verify")
    return told["equal"], told["not_compared"]


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
    assert any("tenant_notes" in line and "It was not compared" in line for line in lines)


def test_stages_have_tags_and_a_switch(plain_sample: Sample) -> None:
    by_tag = _migrate(plain_sample, "--tags=statistics")
    assert _ran(by_tag) == ["validate_argument_spec", "postgres_analyze", "debug"]
    by_switch = _migrate(plain_sample, timescale_migrate_stages=["preflight"])
    assert _ran(by_switch) == ["validate_argument_spec", "timescale_preflight", "debug"]


def _ran(run: PlaybookRun) -> list[str]:
    return [event.action.split(".")[-1] for event in run.events if event.outcome != "skipped"]


def test_jobs_can_wait_for_the_activation(servers: Pool) -> None:
    sample = servers.fresh(PAIRS[0])
    _migrate(sample, timescale_migrate_activate="none")
    question = "SELECT count(*) FROM timescaledb_information.jobs WHERE job_id >= 1000 AND scheduled"
    assert sample.target.execute(sample.target_db, question)[0][0] == 0
    # The inventory's choice counts; "none" there was for the migration.
    host = {"ansible_connection": "local"}
    inventories = [
        {"all": {"hosts": {"localhost": {**host, "timescale_migrate_activate": choice}}}}
        for choice in (["reports.rebuild_summary"], "none")
    ]
    chosen = run_playbook("dbops.timescale.activate", variables=_variables(sample), inventory=inventories[0])
    assert chosen.rc == 0, chosen.stdout
    assert sample.target.execute(sample.target_db, question)[0][0] == 3
    run = run_playbook("dbops.timescale.activate", variables=_variables(sample), inventory=inventories[1])
    assert run.rc == 0
    active = sample.source.execute(sample.source_db, question)
    assert sample.target.execute(sample.target_db, question)[0][0] == active[0][0] + 2, "two of the three were paused"
    assert active[0][0] > 0
    assert run_playbook("dbops.timescale.activate", variables=_variables(sample)).changed == 0
    sample.drop()


def test_the_day_of_the_cut_over(servers: Pool, tmp_path: Path) -> None:
    """The source's jobs were stopped for the move: what starts is chosen by patterns, by a file, or is all of it."""
    sample = servers.fresh(PAIRS[0])
    file = str(tmp_path / "before.json")
    login = sample.source.login_vars(sample.source_db)
    assert "failed" not in run_module("timescale_info", {**login, "write_to": file})
    active = "SELECT count(*) FROM timescaledb_information.jobs WHERE job_id >= 1000 AND scheduled"
    wanted = sample.source.execute(sample.source_db, active)
    stop = "SELECT public.alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE job_id >= 1000"
    sample.source.execute(sample.source_db, stop)

    def activate(**more: Any) -> list[tuple[int]]:
        run = run_playbook("dbops.timescale.activate", variables={**_variables(sample), **more})
        assert run.rc == 0, run.stdout
        found: list[tuple[int]] = sample.target.execute(sample.target_db, active)
        return found

    refused = run_playbook(PLAYBOOK, variables=_variables(sample, timescale_migrate_activate="some"))
    (failure,) = refused.failures()
    assert "Give source, all, none or a list of patterns" in failure.result["msg"]
    _migrate(sample, timescale_migrate_activate="none", timescale_migrate_verify="none")
    assert activate(timescale_migrate_verify="none") == [(0,)]
    assert activate(timescale_migrate_activate=["reports.rebuild_summary"]) == [(3,)]
    assert activate(timescale_migrate_activate_file=file) == [(wanted[0][0] + 2,)], "two of the three were paused"
    # The application writes to the target before the jobs start, as the guide has it.
    sample.target.execute(sample.target_db, "INSERT INTO public.deliveries (sensor_id, during) VALUES (1, 'empty')")
    everything = {"timescale_migrate_activate": "all", "timescale_migrate_guard": "none"}
    assert activate(**everything, timescale_migrate_verify="none", timescale_migrate_watch=1) == [(15,)]
    sample.drop()


def test_a_move_by_file_with_the_source_gone(servers: Pool, pair: Pair, tmp_path: Path) -> None:
    """The same target as a move with both sides up."""
    sample = servers.fresh(pair)
    wanted, dump = tmp_path / "wanted.json", tmp_path / "post-data.dump"
    told = run_module("timescale_info", {**sample.source_login(), "write_to": str(wanted)})
    assert not told.get("failed"), told
    made = run_module("timescale_post_data", {**sample.login(), "dump_file": str(dump), "kinds": ["rule"]})
    assert not made.get("failed"), made
    files = {"timescale_migrate_source_file": str(wanted), "timescale_migrate_dump_file": str(dump)}
    with _gone(sample):
        _migrate(sample, timescale_migrate_source={}, **files)
        assert _migrate(sample, timescale_migrate_source={}, **files).changed == 0
    assert _differences(sample) == []
    assert _migrate(sample).changed == 0
    sample.drop()


@contextlib.contextmanager
def _gone(sample: Sample) -> Iterator[None]:
    """The source's server is stopped. Where the target lives on it too, the source's database has another name."""
    source = sample.source
    if source is not sample.target and isinstance(source, ThrowawayServer):
        source.halt()
        try:
            yield
        finally:
            source.start()
        return
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    names = sql.Identifier(sample.source_db), sql.Identifier(f"{sample.source_db}_away")
    source.execute(source.maintenance_db, rename.format(*names))
    try:
        yield
    finally:
        source.execute(source.maintenance_db, rename.format(*reversed(names)))


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


@contextlib.contextmanager
def _password(server: Server, role: str, password: str) -> Iterator[None]:
    """The role has that password for a while."""
    before = server.passwords[role]
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
    for_now = statement.format(sql.Identifier(role), sql.Literal(password))
    server.execute(server.maintenance_db, for_now)
    server.passwords[role] = password
    try:
        yield
    finally:
        server.execute(server.maintenance_db, statement.format(sql.Identifier(role), sql.Literal(before)))
        server.passwords[role] = before


def test_no_password_is_shown_anywhere(plain_sample: Sample) -> None:
    """The source's and the target's, one role of one server: not in arguments, output, results or files."""
    began = time.time()
    watch = _Watch()
    watch.start()
    try:
        with _password(plain_sample.target, "sensor_admin", SECRET):
            run = _migrate(plain_sample, "-vvv", "--diff")
    finally:
        watch.done.set()
        watch.join()
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


@pytest.mark.parametrize("name", ["sensors", "sensor_admin"])
def test_a_password_that_equals_a_name_leaves_results_usable(plain_sample: Sample, name: str) -> None:
    """A table's name, and the role's own."""
    with _password(plain_sample.target, "sensor_admin", name):
        run = _migrate(plain_sample, "-vvv")
    statements = [text for queries in _statements(run).values() for text in queries]
    assert any('"public"."sensors"' in text or "public.sensors " in text for text in statements)
    assert not any("********" in text for text in statements)
    owners = [entry for one in run.results("timescale_preflight") for entry in one["cautions"]]
    assert [entry["object"] for entry in owners] == ["role sensor_admin"]
    assert f'"login_password": "{name}"' not in run.stdout
    assert _differences(plain_sample) == []


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collections path that holds the built tarball and nothing else."""
    built, path = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("installed collections")
    build(built)
    (tarball,) = built.glob("dbops-timescale-*.tar.gz")
    galaxy = str(Path(sys.executable).with_name("ansible-galaxy"))
    argv = [galaxy, "collection", "install", "--offline", "-p", str(path), str(tarball)]
    env = environment({"ANSIBLE_COLLECTIONS_PATH": str(path), "PYTHONPATH": ""})
    subprocess.run(argv, check=True, capture_output=True, stdin=subprocess.DEVNULL, cwd=path, env=env)
    return path


@pytest.mark.parametrize("kind", ["plain", "fill_levels"])
def test_the_installed_collection_moves_a_database_by_its_name(
    servers: Pool, installed: Path, tmp_path: Path, kind: str
) -> None:
    """As a user runs it: installed from the tarball, an inventory, a folder of the user's own; no checkout in sight."""
    sample = servers.plain_pair() if kind == "plain" else servers.fresh(PAIRS[0])
    inventory = tmp_path / "inventory.yml"
    inventory.touch(mode=0o600)
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, **_variables(sample)}
    del host["timescale_migrate_hosts"]
    inventory.write_text(json.dumps({"timescale_databases": {"hosts": {"shop": host}}}), encoding="utf-8")
    env = {key: value for key, value in environment().items() if not key.startswith(("ANSIBLE_", "PYTHONPATH"))}
    env.update(ANSIBLE_COLLECTIONS_PATH=str(installed), ANSIBLE_HOME=str(tmp_path / "home"), ANSIBLE_NOCOLOR="1")
    argv = [str(Path(sys.executable).with_name("ansible-playbook")), PLAYBOOK, "-i", str(inventory)]
    for changed in (True, False):
        run = subprocess.run(
            argv,
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        assert ("changed=0 " not in run.stdout) is changed, run.stdout
        assert _differences(sample) == []
    sample.drop()
