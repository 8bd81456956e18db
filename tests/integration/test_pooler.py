# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PgBouncer before the target: session mode works, the other modes are refused before anything is changed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from tests.support import catalog
from tests.support.playbook import run_module, run_playbook
from tests.support.pool import PAIRS, Pool, Sample
from tests.support.pooler import PGBOUNCER, pgbouncer
from tests.support.servers import Server

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed: poolers were not tested")
WRITERS = ("timescale_post_data", "timescale_cagg_sync", "timescale_policy_sync", "postgres_analyze")
READERS = ("timescale_preflight", "timescale_verify", "timescale_info")
ONE_SIDED = ("postgres_analyze", "timescale_info")


@pytest.fixture(scope="module")
def sample(servers: Pool) -> Iterator[Sample]:
    made = servers.fresh(PAIRS[1] if len(PAIRS) > 1 else PAIRS[0])
    yield made
    made.drop()


def _options(sample: Sample, port: int, module: str = "", **more: Any) -> dict[str, Any]:
    options = {**sample.login(), "login_port": port, **more}
    return {key: value for key, value in options.items() if key != "source" or module not in ONE_SIDED}


@contextlib.contextmanager
def _application(server: Server, port: int, db: str, user: str) -> Iterator[None]:
    """An application's session of the pool, whose settings must stay as they are."""
    password = server.passwords[user]
    with contextlib.closing(
        psycopg2.connect(host="127.0.0.1", port=port, user=user, password=password, dbname=db)
    ) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            ask = "SELECT current_setting('search_path'), current_setting('statement_timeout')"
            cursor.execute(ask)
            before = cursor.fetchall()
            yield
            cursor.execute(ask)
            assert cursor.fetchall() == before


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_pools_of_transactions_are_refused(sample: Sample, mode: str) -> None:
    told = "pools transactions" if mode == "transaction" else "gives no second session with transactions"
    with (
        pgbouncer(sample.target, mode, default_pool_size="8") as port,
        _application(sample.target, port, sample.target_db, sample.user),
    ):
        for module in (*WRITERS, *READERS) if mode == "transaction" else WRITERS[:1]:
            for check in (True, False):
                result = run_module(module, _options(sample, port, module), check=check)
                assert result.get("failed"), module
                assert result["changed"] is False
                assert result["queries"] == []
                assert f"The pooler before the target {told}" in result["msg"], result["msg"]
                assert "pool_mode = session" in result["hint"]
        swapped = {**sample.login(), "source": {**sample.source_login(), "login_port": port}}
        if sample.source is sample.target:
            assert f"The pooler before the source {told}" in run_module("timescale_preflight", swapped)["msg"]


def test_round_robin_does_not_hide_it(sample: Sample) -> None:
    with pgbouncer(sample.target, "transaction", default_pool_size="4", server_round_robin="1") as port:
        parameters = sample.target.parameters(sample.target_db, sample.user)
        with contextlib.ExitStack() as stack:  # four server sessions stand ready
            for _number in range(4):
                one = stack.enter_context(contextlib.closing(psycopg2.connect(**{**parameters, "port": port})))
                one.cursor().execute("SELECT 1")
        result = run_module("timescale_cagg_sync", _options(sample, port))
    assert "pools transactions" in result["msg"]


def test_a_pool_without_room_for_a_second_session(sample: Sample) -> None:
    with pgbouncer(sample.target, "session", default_pool_size="1", query_wait_timeout="1") as port:
        result = run_module("timescale_cagg_sync", _options(sample, port))
    assert result["failed"]
    assert result["changed"] is False
    assert "The pooler before the target gives no second session" in result["msg"]


def test_a_pool_with_fewer_sessions_than_jobs(sample: Sample) -> None:
    """What can be done is done, or the rest is told; and the next run finishes it."""
    with pgbouncer(sample.target, "session", default_pool_size="3", query_wait_timeout="1") as port:
        options = _options(sample, port, kinds=["index"], on_unsupported="skip", jobs=8)
        result = run_module("timescale_post_data", options)
        assert "traceback" not in str(result).lower()
        if result.get("failed"):
            assert "The connection to the target was lost" in result["msg"]
        again = run_module("timescale_post_data", {**options, "jobs": 1})
        assert not again.get("failed"), again["msg"]
        assert run_module("timescale_post_data", {**options, "jobs": 1})["changed"] is False


def test_sessions_of_a_pool_work(sample: Sample) -> None:
    """The whole playbook, with PgBouncer's own defaults; a session goes back clean."""
    with pgbouncer(sample.target, "session") as port:
        target = {**sample.target.login_vars(sample.target_db, sample.user), "login_port": port}
        variables = {
            "timescale_migrate_hosts": "localhost",
            "timescale_migrate_target": target,
            "timescale_migrate_source": sample.source_login(),
            "timescale_migrate_include": ["publications", "default_privileges", "event_triggers"],
        }
        run = run_playbook("dbops.timescale.migrate", variables=variables)
        assert run.rc == 0, [(event.task, event.result.get("msg")) for event in run.failures()]
        assert run_playbook("dbops.timescale.migrate", variables=variables).changed == 0
        with _application(sample.target, port, sample.target_db, sample.user):
            pass
    with (
        contextlib.closing(sample.source.connect(sample.source_db)) as source,
        contextlib.closing(sample.target.connect(sample.target_db)) as opened,
    ):
        assert catalog.compare(source, opened) == []
