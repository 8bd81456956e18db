# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases whose owners laid traps: twins of what is built in, overloads of TimescaleDB's functions, nasty names."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import html5lib
import psycopg2
import pytest
from psycopg2 import sql

from ansible_collections.dbops.timescale.plugins.module_utils._timescale import CALLED_FUNCTIONS
from tests.support import catalog, samples
from tests.support.hostile import MARK, NASTY, load_nasty, plant
from tests.support.playbook import PlaybookRun, run_module, run_playbook
from tests.support.pool import PAIRS, Pool, Sample
from tests.support.prepare import prepare_target
from tests.support.servers import Server, ThrowawayServer

PLAYBOOK = "dbops.timescale.migrate"
ALL_MODULES = (
    "timescale_preflight",
    "timescale_post_data",
    "timescale_cagg_sync",
    "timescale_policy_sync",
    "postgres_analyze",
    "timescale_verify",
    "timescale_info",
)
ONE_SIDED = ("postgres_analyze", "timescale_info")


def _migrate(sample: Sample, user: str, *arguments: str, **more: Any) -> PlaybookRun:
    variables = {
        "timescale_migrate_hosts": "localhost",
        "timescale_migrate_target": sample.target.login_vars(sample.target_db, user),
        "timescale_migrate_source": sample.source_login(user),
        **more,
    }
    run = run_playbook(PLAYBOOK, *arguments, variables=variables)
    assert run.rc == 0, [(event.task, event.result.get("msg")) for event in run.failures()] or run.stderr
    return run


def _differences(sample: Sample) -> list[str]:
    with (
        contextlib.closing(sample.source.connect(sample.source_db)) as source,
        contextlib.closing(sample.target.connect(sample.target_db)) as target,
    ):
        return catalog.compare(source, target)


# -- search_path -----------------------------------------------------------------------------------------------------


class _Logs:
    """What the servers' logs say of planted things since this was made."""

    def __init__(self, *servers: Server) -> None:
        self._began = {one.logfile: one.logfile.stat().st_size for one in servers if isinstance(one, ThrowawayServer)}

    def reached(self) -> list[str]:
        texts = [path.read_bytes()[begin:].decode(errors="replace") for path, begin in self._began.items()]
        return [line for text in texts for line in text.splitlines() if MARK in line]


@pytest.fixture(scope="module")
def planted(servers: Pool) -> Iterator[Sample]:
    """Both databases are full of twins, and superusers connect to them."""
    made = servers.fresh(PAIRS[1] if len(PAIRS) > 1 else PAIRS[0])
    plant(made.source, made.source_db, made.source.user, source=True)
    plant(made.target, made.target_db, made.target.user, source=False)
    yield made
    made.drop()


def test_the_traps_work(planted: Sample) -> None:
    for server, db in ((planted.source, planted.source_db), (planted.target, planted.target_db)):
        logs = _Logs(server)
        for query in ("SELECT lower('A')", "SELECT 'a'::text = 'b'::text", "SELECT oid FROM pg_class", "SELECT 1 + 1"):
            with pytest.raises(psycopg2.Error, match=MARK):
                server.execute(db, query)
        assert len(logs.reached()) >= 4


def test_no_twin_of_anything_built_in_is_called(planted: Sample) -> None:
    """Check and run, with every stage, as superusers; the servers' logs tell every call."""
    logs = _Logs(planted.source, planted.target)
    user = planted.target.user
    _migrate(planted, user, "--check", "--diff")
    run = _migrate(planted, user, timescale_migrate_scope="all")
    assert [one["equal"] for one in run.results("timescale_verify")] == [True]
    for module in ONE_SIDED:
        ran = run_module(module, planted.target.login_vars(planted.target_db, user))
        assert not ran.get("failed"), ran["msg"]
    assert logs.reached() == []
    made = planted.target.execute(
        planted.target_db,
        "SELECT pg_catalog.array_agg(tgname) FROM pg_catalog.pg_trigger"
        " WHERE tgrelid OPERATOR(pg_catalog.=) 'public.painted'::pg_catalog.regclass",
    )
    assert made == [(["painted_any"],)]


# -- overloads of TimescaleDB's functions ----------------------------------------------------------------------------

TRAP = "LANGUAGE plpgsql AS $$ BEGIN RAISE LOG 'PLANTED: overload'; RETURN 1; END $$"
OVERLOADS = {
    "add_retention_policy": f"""CREATE FUNCTION public.add_retention_policy(
        relation regclass, drop_after interval, if_not_exists bool DEFAULT false,
        schedule_interval interval DEFAULT NULL, initial_start timestamptz DEFAULT NULL,
        timezone text DEFAULT NULL) RETURNS int {TRAP}""",
    "alter_job": f"CREATE FUNCTION public.alter_job(job_id int, scheduled bool) RETURNS int {TRAP}",
}
HARMLESS = "CREATE FUNCTION public.add_job(queue text, priority int) RETURNS int LANGUAGE sql AS 'SELECT 1'"


@pytest.fixture(scope="module")
def kept(servers: Pool) -> Iterator[Sample]:
    made = servers.fresh(PAIRS[1] if len(PAIRS) > 1 else PAIRS[0])
    made.target.execute(made.target_db, HARMLESS)
    yield made
    made.drop()


@pytest.mark.parametrize("name", OVERLOADS)
def test_an_overload_of_a_function_that_is_called_is_refused(kept: Sample, name: str) -> None:
    logs = _Logs(kept.source, kept.target)
    kept.target.execute(kept.target_db, OVERLOADS[name])
    try:
        for module in ALL_MODULES if name == "alter_job" else ("timescale_policy_sync",):
            options = kept.login("postgres", "postgres")
            if module in ONE_SIDED:
                del options["source"]
            for check in (True, False):
                result = run_module(module, options, check=check)
                assert result.get("failed"), module
                assert result["changed"] is False
                told = "The target has functions that would be called instead of TimescaleDB's own of the same name: "
                assert f"{told}public.{name}(" in result["msg"]
                assert "add_job" not in result["msg"]
    finally:
        kept.target.execute(kept.target_db, f"DROP FUNCTION public.{name}({_arguments(kept, name)})")
    assert logs.reached() == []


def _arguments(sample: Sample, name: str) -> str:
    """The types of the overload that is no member of the extension."""
    ask = """SELECT pg_get_function_identity_arguments(oid) FROM pg_proc WHERE proname = %s AND NOT EXISTS
        (SELECT FROM pg_depend d WHERE d.objid = pg_proc.oid AND d.deptype = 'e')"""
    return str(sample.target.execute(sample.target_db, ask, (name,))[0][0])


def test_every_function_that_is_called_is_looked_after(kept: Sample) -> None:
    """A move that uses them all is told in statements; each function in them is one of those that are looked after."""
    called: set[str] = set()
    for module in ("timescale_post_data", "timescale_cagg_sync", "timescale_policy_sync"):
        ran = run_module(module, kept.login("postgres", "postgres"))
        assert not ran.get("failed"), ran["msg"]
        called |= set(re.findall(r'"public"\."(\w+)"\(', " ".join(ran["queries"])))
    members = {
        row[0]
        for row in kept.target.execute(
            kept.target_db,
            "SELECT proname FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'"
            " WHERE pronamespace = 'public'::regnamespace",
        )
    }
    assert called & members
    assert called & members <= set(CALLED_FUNCTIONS)


# -- names, comments, defaults, configs ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nasty(servers: Pool) -> Iterator[Sample]:
    """Every kind of object under every nasty name, from the oldest version to the newest that are installed."""
    pair = [one for one in PAIRS if not one.missing()][-1:] or pytest.skip("no pair of versions is installed")
    (source, version), (target, target_version) = servers.side(pair[0].source), servers.side(pair[0].target)
    made = Sample(source, 'it\'s "50 %" of\\it', target, "$$ target; --", samples.OWNER)
    samples.create_roles(source)
    source.create_database(made.source_db, extension_version=version, owner=samples.OWNER)
    load_nasty(source, made.source_db)
    prepare_target(source, made.source_db, target, made.target_db, target_version)
    yield made
    made.drop()


def test_nasty_names_go_through_the_whole_playbook(nasty: Sample, tmp_path: Path) -> None:
    """Each arrives as it is: in the database, in results, in the summary and in the report."""
    reports = {"timescale_migrate_report_dir": str(tmp_path)}
    foreseen = _migrate(nasty, "postgres", "--check", "--diff", **reports)
    run = _migrate(nasty, "postgres", "-v", **reports)
    assert _differences(nasty) == []
    assert [one["equal"] for one in run.results("timescale_verify")] == [True]
    for event, real in zip(foreseen.of("timescale_post_data"), run.of("timescale_post_data")):
        assert event.result["queries"] == real.result["queries"]
    names = {entry["name"] for one in run.results() for entry in one.get("objects", [])}
    assert [name for name in NASTY if not any(name in seen for seen in names)] == []
    assert _migrate(nasty, "postgres", **reports).changed == 0
    for page in tmp_path.glob("*.html"):
        _is_harmless(page.read_text(encoding="utf-8"))


def _is_harmless(page: str) -> None:
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    tree = parser.parse(page)
    assert [tag.tag for tag in tree.iter() if tag.tag in ("script", "img", "iframe", "object")] == []
    assert "{{" not in page
    assert "{%" not in page


def test_a_difference_under_a_nasty_name_is_told(nasty: Sample, tmp_path: Path) -> None:
    """Its name goes through the task that fails too, with Jinja's braces in it."""
    name = next(name for name in NASTY if "{{" in name)
    nasty.target.execute(
        nasty.target_db, sql.SQL("COMMENT ON TABLE {} IS 'another'").format(sql.Identifier(name, name))
    )
    variables = {
        "timescale_migrate_hosts": "localhost",
        "timescale_migrate_target": nasty.target.login_vars(nasty.target_db, "postgres"),
        "timescale_migrate_source": nasty.source_login("postgres"),
        "timescale_migrate_report_dir": str(tmp_path),
        "timescale_migrate_on_drift": "fail",
    }
    run = run_playbook(PLAYBOOK, "--tags=verify", variables=variables)
    (failure,) = run.failures()
    assert name in failure.result["msg"]
    assert "49" not in failure.result["msg"]
