# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases, roles and files that do not fit: one clear message each, and nothing is changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from psycopg2 import sql

from tests.support import samples
from tests.support.playbook import run_module
from tests.support.pool import PAIRS, Pool, Sample
from tests.support.servers import Server, ThrowawayServer, find, start
from tests.support.standby import Standby

WRITERS = ("timescale_post_data", "timescale_cagg_sync", "timescale_policy_sync")
AFTER_TABLES = WRITERS[1:]
TWO_SIDED = (*WRITERS, "timescale_preflight", "timescale_verify")
ONE_SIDED = ("postgres_analyze", "timescale_info")
CATALOGS = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND (n.nspname LIKE '\\_timescaledb\\_c%'
    AND c.relname IN ('bgw_job', 'chunk', 'compression_settings', 'continuous_agg', 'hypertable')
    OR n.nspname = 'pg_catalog' AND c.relname IN ('pg_class', 'pg_constraint', 'pg_depend', 'pg_description',
    'pg_index', 'pg_namespace', 'pg_policy', 'pg_proc', 'pg_rewrite', 'pg_statistic_ext', 'pg_trigger'))
"""
Result = dict[str, Any]
Options = dict[str, Any]


def state(server: Server, db: str) -> list[tuple[Any, ...]]:
    """Whatever is created, altered or dropped changes the number or the newest transaction of a catalog's rows."""
    ask = " UNION ALL ".join(
        f"SELECT '{name}', count(*), max(xmin::text::bigint) FROM {name}" for (name,) in server.execute(db, CATALOGS)
    )
    return sorted(server.execute(db, ask))


def refused(sample: Sample, module: str, options: Options, *told: str, check: bool = False) -> Result:
    """Run a module that must refuse: what it says, and that both databases are as they were."""
    sides = ((sample.source, sample.source_db), (sample.target, sample.target_db))
    before = [state(*side) for side in sides]
    result = run_module(module, options, check=check)
    assert result.get("failed"), result
    assert result["changed"] is False
    for text in told:
        assert text in result["msg"], result["msg"]
    assert result["hint"] in result["msg"]
    assert "traceback" not in str(result).lower()
    assert not [p for server, _db in sides for p in server.passwords.values() if p and p in str(result)]
    assert [state(*side) for side in sides] == before
    return result


def with_source(options: Options, **changed: Any) -> Options:
    return {**options, "source": {**options["source"], **changed}}


@pytest.fixture(scope="module")
def kept(servers: Pool) -> Iterator[Sample]:
    """A source and a prepared target of the same versions, for all tests that see that nothing is changed."""
    made = servers.fresh(PAIRS[1] if len(PAIRS) > 1 else PAIRS[0])
    yield made
    made.drop()


@pytest.fixture
def moved(servers: Pool) -> Iterator[Sample]:
    """As ``kept``, for one test that changes it."""
    made = servers.fresh(PAIRS[1] if len(PAIRS) > 1 else PAIRS[0])
    yield made
    made.drop()


# -- connections -----------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Options, str]] = {
    "password": ({"login_password": "not-the-one"}, "password authentication failed for user"),
    "user": ({"login_user": "no_such_role"}, "no_such_role"),
    "host": ({"login_host": "no-such-host.invalid"}, "host no-such-host.invalid"),
    "port": ({"login_host": "127.0.0.1", "login_port": 1}, "port 1"),
    "database": ({"login_db": "no_such_database"}, 'database "no_such_database" does not exist'),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("module", TWO_SIDED)
def test_a_side_that_cannot_be_reached(kept: Sample, module: str, what: str) -> None:
    changed, told = WRONG[what]
    login = kept.login()
    target = refused(kept, module, {**login, **changed}, "Cannot connect to the target (", told)
    assert "login_* options" in target["hint"]
    source = refused(kept, module, with_source(login, **changed), "Cannot connect to the source (", told)
    assert "options under source" in source["hint"]


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("module", ONE_SIDED)
def test_a_database_that_cannot_be_reached(kept: Sample, module: str, what: str) -> None:
    changed, told = WRONG[what]
    login = {**kept.target.login_vars(kept.target_db, kept.user), **changed}
    assert refused(kept, module, login, "Cannot connect to the target (", told)["hint"]


@pytest.mark.parametrize("module", TWO_SIDED)
def test_a_source_whose_host_is_empty(kept: Sample, module: str) -> None:
    """As an undefined inventory variable gives it: it must not become the local server."""
    empty = with_source(kept.login(), login_host="")
    refused(kept, module, empty, "source names no server", "source.login_host")


@pytest.mark.parametrize("module", TWO_SIDED)
def test_both_sides_are_one_database(kept: Sample, module: str) -> None:
    target = kept.target.login_vars(kept.target_db, kept.user)
    by_tcp = {**target, "source": target}
    told = "Source and target are the same database.", "login_db of both sides"
    refused(kept, module, by_tcp, *told)
    if kept.target.socket_dir:  # a server that was given has none that we know
        by_socket = {**target, "login_unix_socket": kept.target.socket_dir}
        del by_socket["login_host"]
        refused(kept, module, {**target, "source": by_socket}, *told)
        refused(kept, module, {**by_socket, "source": target}, *told)


# -- what the target is ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", WRITERS)
def test_a_target_without_the_extension(kept: Sample, module: str) -> None:
    kept.target.create_database("no_extension", owner=kept.user)
    try:
        for table in ("sensors", "fill_measurements"):
            kept.target.execute("no_extension", f"CREATE TABLE public.{table} (id int)", user=kept.user)
        other = Sample(kept.source, kept.source_db, kept.target, "no_extension")
        for check in (True, False):
            refused(other, module, other.login(), "target", "no extension timescaledb", "CREATE EXTENSION", check=check)
        told = "target, extension timescaledb: It is missing, the source has it.", "run CREATE EXTENSION timescaledb"
        refused(other, "timescale_preflight", other.login(), *told)
    finally:
        kept.target.drop_database("no_extension")


@pytest.mark.parametrize("module", [*WRITERS, "postgres_analyze"])
def test_a_target_that_is_being_restored(kept: Sample, module: str) -> None:
    """With the hooks off, an index of a hypertable would leave its chunks out."""
    alter = sql.SQL("ALTER DATABASE {} ").format(sql.Identifier(kept.target_db))
    kept.target.execute("postgres", alter + sql.SQL("SET timescaledb.restoring = on"))
    login = kept.login()
    if module in ONE_SIDED:
        del login["source"]
    try:
        for check in (True, False):
            told = ("target", "timescaledb.restoring is on", "timescaledb_post_restore")
            refused(kept, module, login, *told, check=check)
    finally:
        kept.target.execute("postgres", alter + sql.SQL("RESET timescaledb.restoring"))


@pytest.mark.parametrize("module", [*TWO_SIDED, *ONE_SIDED])
def test_a_database_without_a_name(kept: Sample, module: str) -> None:
    """It must not become the database that is called like the user."""
    login = kept.login("postgres", "postgres")
    for empty in ("", None):
        if module in TWO_SIDED:
            refused(kept, module, with_source(login, login_db=empty), "source.login_db is empty")
        else:
            login = kept.target.login_vars(kept.target_db)
        refused(kept, module, {**login, "login_db": empty}, "login_db is empty: it names no database")


def test_numbers_beyond_what_a_server_takes(kept: Sample) -> None:
    usual = run_module("timescale_post_data", kept.login(), check=True)
    odd = run_module("timescale_post_data", {**kept.login(), "jobs": 0, "lock_timeout": "inf"}, check=True)
    assert (odd.get("msg"), odd["queries"]) == (None, usual["queries"])


@pytest.fixture(scope="module")
def apache() -> Iterator[ThrowawayServer]:
    """A server of the Apache edition, with an empty database."""
    installation = find(15, "2.28.3")
    if installation is None:
        pytest.skip("TimescaleDB 2.28.3 on PostgreSQL 15 is not installed")
    with start(installation, scheduler=False, **{"timescaledb.license": "apache"}) as server:
        assert isinstance(server, ThrowawayServer)
        samples.create_roles(server)
        server.create_database("fill_levels", extension_version="2.28.3", owner=samples.OWNER)
        yield server


@pytest.mark.parametrize("module", [*AFTER_TABLES, "timescale_preflight"])
def test_a_target_of_the_apache_edition(kept: Sample, apache: ThrowawayServer, module: str) -> None:
    other = Sample(kept.source, kept.source_db, apache, "fill_levels")
    remedy = "Set timescaledb.license = timescale"
    refused(other, module, other.login(), "target", "Apache edition", remedy)


@pytest.mark.parametrize("module", [*WRITERS, "timescale_preflight"])
def test_a_target_that_is_read_only(kept: Sample, module: str) -> None:
    alter = sql.SQL("ALTER DATABASE {} ").format(sql.Identifier(kept.target_db))
    kept.target.execute("postgres", alter + sql.SQL("SET default_transaction_read_only = on"))
    try:
        for check in (True, False):
            told = ("target", "read-only (default_transaction_read_only)", "ake the database writable")
            refused(kept, module, kept.login(), *told, check=check)
    finally:
        kept.target.execute("postgres", alter + sql.SQL("RESET default_transaction_read_only"))


@pytest.fixture(scope="module")
def standby() -> Iterator[Standby]:
    """A standby of a server that holds the sample."""
    installation = find(15, "2.28.3")
    if installation is None:
        pytest.skip("TimescaleDB 2.28.3 on PostgreSQL 15 is not installed")
    with start(installation, scheduler=False, autovacuum="off") as primary:
        assert isinstance(primary, ThrowawayServer)
        samples.load(primary, "fill_levels", "fill_levels", "2.28.3")
        copy = Standby(primary)
        try:
            yield copy
        finally:
            copy.stop()


@pytest.mark.parametrize("module", [*WRITERS, "timescale_preflight"])
def test_a_target_that_is_a_standby(kept: Sample, standby: Standby, module: str) -> None:
    other = Sample(kept.source, kept.source_db, standby, "fill_levels")
    refused(other, module, other.login(), "target", "is a standby", "Name the primary", check=True)
    refused(other, module, other.login(), "target", "is a standby", "Name the primary")


def test_a_source_that_is_a_standby(moved: Sample, standby: Standby) -> None:
    """Nothing is written to a source, so it may be one; what arrives is what its primary has."""
    other = Sample(standby, "fill_levels", moved.target, moved.target_db)
    for module in ("timescale_preflight", *WRITERS, "timescale_verify"):
        ran = run_module(module, other.login())
        assert not ran.get("failed"), ran["msg"]
    for module in WRITERS[1:]:
        assert run_module(module, other.login())["changed"] is False


# -- roles -----------------------------------------------------------------------------------------------------------


def test_a_role_that_owns_nothing_on_the_target(kept: Sample) -> None:
    login = kept.target.login_vars(kept.target_db, "sensor_reader")
    told = refused(kept, "timescale_post_data", {**login, "source": kept.source_login()}, "does not own 20 relations")
    assert "Connect as their owner" in told["hint"]


ON_TARGET = {
    "timescale_cagg_sync": ("The target refuses its query: permission denied for table",),
    "timescale_policy_sync": ("Role sensor_reader may not act as sensor_admin", "Grant sensor_admin to sensor_reader"),
    "timescale_preflight": ("target, role sensor_reader: It is not the owner of", "Log in as a role that is a member"),
}
ON_SOURCE = {
    "timescale_post_data": ("pg_dump of the source failed", "permission denied for", "pg_read_all_data"),
    "timescale_cagg_sync": ("connects to the source may not read any continuous aggregate", "pg_read_all_data"),
    "timescale_verify": ("source", "permission denied for"),
    "timescale_preflight": ("source, role may_nothing: It may not read", "Grant it pg_read_all_data"),
}


@pytest.mark.parametrize("module", ON_TARGET)
def test_a_role_without_rights_on_the_target(kept: Sample, module: str) -> None:
    login = kept.target.login_vars(kept.target_db, "sensor_reader")
    refused(kept, module, {**login, "source": kept.source_login()}, *ON_TARGET[module])


@pytest.mark.parametrize("module", ON_SOURCE)
def test_a_role_that_may_not_read_the_source(kept: Sample, module: str) -> None:
    kept.source.create_role("may_nothing")
    refused(kept, module, {**kept.login(), "source": kept.source_login("may_nothing")}, *ON_SOURCE[module])


# -- files and programs ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(kept: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source's post-data as pg_dump writes it."""
    file = tmp_path_factory.mktemp("archive") / "whole.dump"
    made = run_module("timescale_post_data", {**kept.login(), "dump_file": str(file), "schemas": ["no_such_schema"]})
    assert not made.get("failed"), made["msg"]
    return file


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "plain text": (lambda _whole: b"CREATE INDEX i ON t (x);", "is no archive of pg_dump in custom format"),
    "empty": (lambda _whole: b"", "is no archive of pg_dump in custom format"),
    "newer": (lambda whole: whole[:6] + b"\x2a" + whole[7:], "has archive version 1.42; versions 1.14 to 1.16"),
    "half": (lambda whole: whole[: len(whole) // 2], "is cut off"),
    "without its last byte": (lambda whole: whole[:-1], "is cut off"),
    "only a name": (lambda whole: whole[:5], "is cut off"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_dump_file_that_is_broken(kept: Sample, archive: Path, tmp_path: Path, how: str) -> None:
    change, told = BROKEN[how]
    file = tmp_path / "broken.dump"
    file.write_bytes(change(archive.read_bytes()))
    options = {**kept.login(), "dump_file": str(file)}
    assert refused(kept, "timescale_post_data", options, f"dump_file {file} {told}")["hint"]
    refused(kept, "timescale_post_data", options, told, check=True)
    refused(kept, "timescale_preflight", options, f"client, dump file {file}: It {told}", "Make it with pg_dump")


@pytest.mark.parametrize("module", ["timescale_post_data", "timescale_preflight"])
def test_client_programs_older_than_the_source(kept: Sample, tmp_path: Path, module: str) -> None:
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 11.22'\n", encoding="utf-8")
    program.chmod(0o755)
    major = kept.source.version // 10000
    told = f"pg_dump of PostgreSQL {major} or later is needed", f"{program} (11)", f"postgresql-client-{major}"
    refused(kept, module, {**kept.login(), "client_path": str(tmp_path)}, *told)


# -- runs ------------------------------------------------------------------------------------------------------------


def _waits(sample: Sample) -> bool:
    """Whether a run holds its lock on the target and waits for another one."""
    ask = """SELECT bool_or(l.locktype = 'advisory' AND l.granted) AND bool_or(NOT l.granted) FROM pg_locks l
        JOIN pg_database d ON d.oid = l.database WHERE d.datname = current_database()"""
    return bool(sample.target.execute(sample.target_db, ask)[0][0])


@pytest.mark.parametrize("module", WRITERS)
def test_two_runs_at_once(moved: Sample, module: str) -> None:
    """The second one is refused, in whatever the first one waits; afterwards it finds nothing left to do."""
    options = {**moved.login(), "lock_timeout": 60, "on_unsupported": "skip"}
    holder = moved.target.connect(moved.target_db, autocommit=False)
    with ThreadPoolExecutor(max_workers=1) as pool:
        holder.cursor().execute("LOCK TABLE public.fill_measurements IN ACCESS EXCLUSIVE MODE")
        first = pool.submit(run_module, module, options)
        until = time.monotonic() + 30
        while not _waits(moved):
            assert time.monotonic() < until, "the first run does not wait"
            time.sleep(0.05)
        second = run_module(module, options)
        holder.close()
        done = first.result()
    assert second["failed"]
    assert second["changed"] is False
    assert f"Another run of {module} works on this target: pid " in second["msg"]
    assert "Wait for it to end" in second["hint"]
    assert not done.get("failed"), done["msg"]
    assert done["changed"] is True
    assert run_module(module, options)["changed"] is False


@pytest.mark.parametrize(
    ("module", "password"),
    [
        ("timescale_post_data", "fill_measurements"),
        ("timescale_cagg_sync", "avg_fill_levels"),
        ("timescale_policy_sync", "sensor_admin"),
    ],
)
def test_a_password_that_is_also_a_name(kept: Sample, module: str, password: str) -> None:
    """Results name the object all the same; the password itself is only in the arguments, hidden."""
    for server in (kept.source, kept.target):
        server.create_role("careless", "LOGIN SUPERUSER")
        alter = sql.SQL("ALTER ROLE careless PASSWORD {}").format(sql.Literal(password))
        server.execute("postgres", alter)
        server.passwords["careless"] = password
    login = kept.login("careless", "careless")
    result = run_module(module, login, check=True)
    assert not result.get("failed"), result["msg"]
    assert password in str(result["queries"])
    told = str({key: value for key, value in result.items() if key != "invocation"})
    assert "VALUE_SPECIFIED" not in told
    assert "****" not in told
    given = result["invocation"]["module_args"]
    assert password not in str(given)
    assert given["login_password"] == given["source"]["login_password"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
