# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans on a real server: dependencies, locks, retries, lost connections, interruption."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.dbops.timescale.plugins.module_utils import _apply
from ansible_collections.dbops.timescale.plugins.module_utils._apply import apply_plan
from ansible_collections.dbops.timescale.plugins.module_utils._connection import Database, connect, libpq_parameters
from ansible_collections.dbops.timescale.plugins.module_utils._errors import BadInput, ConnectionFailed, Interrupted
from ansible_collections.dbops.timescale.plugins.module_utils._plan import Identity, Outcome, Plan, Step
from ansible_collections.dbops.timescale.plugins.module_utils._progress_report import Reporter
from tests.support.servers import Server


@pytest.fixture
def options(plain_server: Server) -> Iterator[dict[str, Any]]:
    plain_server.create_database("ground")
    yield plain_server.login_vars("ground")
    plain_server.drop_database("ground")


@pytest.fixture
def database(options: dict[str, Any]) -> Iterator[Database]:
    opened = connect("target", libpq_parameters(options), application="dbops.timescale/test", lock_timeout=1.5)
    yield opened
    opened.close()


def _table(name: str, *, needs: str = "", body: str = "(x int)", **more: Any) -> Step:
    text = f"CREATE TABLE public.{name} {body}"
    return Step(Identity("table", "public", name), "create", (text,), key=name, depends_on=(needs,), **more)


def _run(database: Database, *steps: Step, jobs: int = 3, retries: int = 2) -> dict[str, Outcome]:
    return {o.step.key: o for o in apply_plan(Plan(list(steps)), database, jobs=jobs, retries=retries)}


def test_a_failure_stops_only_what_needs_it(database: Database) -> None:
    steps = [_table("a", body="(broken"), _table("b", needs="a"), _table("c", needs="b"), _table("d")]
    outcomes = _run(database, *steps)
    assert {key: o.outcome for key, o in outcomes.items()} == {
        "a": "failed",
        "b": "skipped",
        "c": "skipped",
        "d": "created",
    }
    assert outcomes["a"].error["sqlstate"] == "42601"
    assert "table public.a, which failed" in outcomes["b"].reason
    assert "table public.b, which was left out" in outcomes["c"].reason
    assert database.value("SELECT pg_catalog.count(*) FROM pg_catalog.pg_tables WHERE schemaname = 'public'") == 1


def test_steps_that_need_each_other_fail_instead_of_waiting(database: Database) -> None:
    outcomes = _run(database, _table("egg", needs="hen"), _table("hen", needs="egg"), _table("free"))
    assert {key: o.outcome for key, o in outcomes.items()} == {"egg": "failed", "hen": "failed", "free": "created"}
    assert "each other" in outcomes["egg"].reason


def test_an_atomic_step_leaves_nothing_when_it_fails(database: Database) -> None:
    texts = ("CREATE TABLE public.half (x int)", "SELECT 1/0")
    outcome = _run(database, Step(Identity("table", "public", "half"), "create", texts, key="half"))["half"]
    assert (outcome.outcome, outcome.error["sqlstate"], outcome.executed) == ("failed", "22012", ())
    assert database.value("SELECT pg_catalog.to_regclass('public.half')") is None


def test_exclusive_steps_never_run_side_by_side(database: Database) -> None:
    database.execute("CREATE TABLE public.log (t timestamptz, what text)")
    body = "DO $$ BEGIN PERFORM pg_catalog.pg_sleep(0.1); END $$"
    note = "INSERT INTO public.log VALUES (pg_catalog.clock_timestamp(), '{}')"
    steps = [
        Step(
            Identity("x", "", str(n)),
            "alter",
            (note.format("in"), body, note.format("out")),
            atomic=False,
            exclusive=("r",),
        )
        for n in range(6)
    ]
    _run(database, *steps, jobs=4)
    order = [what for (what,) in database.rows("SELECT what FROM public.log ORDER BY t")]
    assert order == ["in", "out"] * 6


def test_a_lock_timeout_names_the_blocker_and_lets_the_others_finish(
    database: Database, options: dict[str, Any]
) -> None:
    database.execute("CREATE TABLE public.locked (x int)")
    other = connect("target", libpq_parameters(options), application="somebody")
    other.execute("BEGIN")
    other.execute("LOCK TABLE public.locked")
    pid = other.backend_pid()
    blocked = Step(Identity("index", "public", "i"), "create", ("CREATE INDEX i ON public.locked (x)",), key="i")
    try:
        outcomes = _run(database, blocked, _table("free"), retries=1)
    finally:
        other.close()
    assert outcomes["free"].outcome == "created"
    assert outcomes["i"].error["sqlstate"] == "55P03"
    assert f"Blocked by pid {pid} of user postgres" in outcomes["i"].reason
    assert "2 tries" in outcomes["i"].reason


def test_a_step_whose_backend_is_ended_is_asked_about_and_run_again(
    database: Database, options: dict[str, Any]
) -> None:
    slow = Step(
        Identity("table", "public", "late"),
        "create",
        ("SELECT pg_catalog.pg_sleep(1)", "CREATE TABLE public.late (x int)"),
        key="late",
        done_when="SELECT pg_catalog.to_regclass('public.late') IS NOT NULL",
    )
    killer = connect("target", libpq_parameters(options), application="killer")

    def kill() -> None:
        time.sleep(0.5)
        killer.value(
            "SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity"
            " WHERE query LIKE 'SELECT pg_catalog.pg_sleep%%' AND state = 'active'",
            {},
        )

    thread = threading.Thread(target=kill)
    thread.start()
    outcome = _run(database, slow)["late"]
    thread.join()
    killer.close()
    assert outcome.outcome == "created"
    assert database.value("SELECT pg_catalog.to_regclass('public.late') IS NOT NULL")


def test_somebody_else_was_faster(database: Database) -> None:
    database.execute("CREATE TABLE public.twin (x int)")
    twin = _table("twin", done_when="SELECT pg_catalog.to_regclass('public.twin') IS NOT NULL")
    assert _run(database, twin)["twin"].outcome == "present"
    other = _table("twin", done_when="SELECT false")
    assert _run(database, other)["twin"].error["sqlstate"] == "42P07"


def test_sigterm_cancels_the_server_too(database: Database) -> None:
    slow = Step(Identity("x", "", "slow"), "alter", ("SELECT pg_catalog.pg_sleep(60)",), key="slow")
    threading.Timer(0.7, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    before = time.monotonic()
    with pytest.raises(Interrupted):
        _run(database, slow, _table("never", needs="slow"))
    assert time.monotonic() - before < 10
    running = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE query LIKE %(q)s AND state = 'active'"
    assert database.value(running, {"q": "SELECT pg_catalog.pg_sleep(60)%"}) == 0
    assert database.value("SELECT pg_catalog.to_regclass('public.never')") is None


def test_a_worker_outlives_what_its_step_raises(database: Database) -> None:
    def work(_own: Database) -> None:
        raise LookupError("nothing there")

    broken = Step(Identity("x", "", "broken"), "alter", ("SELECT 1",), key="broken", work=work, weight=1)
    outcomes = _run(database, broken, _table("after"), jobs=1)
    assert {key: (o.outcome, o.reason) for key, o in outcomes.items()} == {
        "broken": ("failed", "LookupError: nothing there"),
        "after": ("created", ""),
    }


def test_sigterm_between_two_statements(database: Database) -> None:
    """What begins just after the first cancel is cancelled too."""

    def work(own: Database) -> None:
        time.sleep(1.5)
        own.execute("SELECT pg_catalog.pg_sleep(60)")

    threading.Timer(0.7, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    before = time.monotonic()
    with pytest.raises(Interrupted):
        _run(database, Step(Identity("x", "", "slow"), "alter", ("SELECT 1",), key="slow", work=work))
    assert time.monotonic() - before < 10


def test_small_steps_that_exclude_each_other_share_transactions(database: Database) -> None:
    database.execute("CREATE TABLE public.seen (transaction bigint, step int)")
    note = "INSERT INTO public.seen SELECT pg_catalog.txid_current(), {}"
    steps = [
        Step(Identity("x", "", str(n)), "alter", (note.format(n),), key=str(n), batch=True, exclusive=("r", str(n)))
        for n in range(200)
    ]
    _run(database, *steps)
    counted = "SELECT pg_catalog.count(*), pg_catalog.count(DISTINCT transaction) FROM public.seen"
    ((number, transactions),) = database.rows(counted)
    assert number == 200
    assert transactions < 30


def test_a_server_that_lets_nobody_in_is_not_waited_for_by_each_step(
    plain_server: Server, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_apply, "_PATIENCE", 2.0)
    plain_server.create_role("alone")
    control = connect("target", libpq_parameters(plain_server.login_vars("ground", "alone")), application="x")
    plain_server.execute("ground", "ALTER ROLE alone CONNECTION LIMIT 1")
    began = time.monotonic()
    outcomes = list(_run(control, *(_table(f"t{number}") for number in range(50))).values())
    assert time.monotonic() - began < 15
    assert {one.outcome for one in outcomes} == {"failed"}
    assert "too many connections" in outcomes[-1].reason
    control.close()


def test_progress_that_a_role_may_not_see(plain_server: Server, options: dict[str, Any]) -> None:
    """A backend's figures belong to the role that logged in; after session_role the server hides them."""
    if plain_server.version < 140000:
        pytest.skip("pg_stat_progress_copy needs PostgreSQL 14")
    for role in ("walker", "wearer"):
        plain_server.create_role(role)
    plain_server.execute("ground", "GRANT wearer TO walker; CREATE TABLE public.taken (x int)")
    plain_server.execute("ground", "ALTER TABLE public.taken OWNER TO wearer")
    login = libpq_parameters(plain_server.login_vars("ground", "walker"))
    control = connect("target", login, application="x", session_role="wearer")
    worker = control.another()
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as taken, os.fdopen(writing, "wb", buffering=0) as given:
        thread = threading.Thread(target=worker.copy_in, args=("COPY public.taken FROM STDIN", taken))
        thread.start()
        given.write(b"1\n")
        active = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_progress_copy"
        while not control.value(active):
            time.sleep(0.05)
        step = Step(Identity("x", "", "copy"), "alter", ("COPY",), key="copy", details={"rows": 5})
        reporter = Reporter("", wanted=True)
        reporter.begin_steps([step], 1)
        reporter.begin(step)
        reporter.look({worker.backend_pid(): step}, control)
        assert reporter.meter is not None
        assert (reporter.meter.running["copy"].fraction, reporter.meter.running["copy"].doing) == (None, "copying")
        given.close()
        thread.join()
    for one in (worker, control):
        one.close()


@pytest.mark.parametrize(("action", "fraction"), [("create", 0.5), ("refresh", None)])
def test_only_an_index_is_as_far_as_its_chunks(
    database: Database, options: dict[str, Any], action: str, fraction: float | None
) -> None:
    """A refresh makes chunks and their indexes too, first of all: that says nothing of the rows that come then."""
    database.execute("CREATE TABLE public.h (x int); CREATE TABLE public.c1 () INHERITS (public.h)")
    database.execute("CREATE TABLE public.c2 () INHERITS (public.h)")
    worker = connect("target", libpq_parameters(options), application="x")
    step = Step(Identity("x", "", "x"), action, ("SELECT 1",), key="x")
    reporter = Reporter("", wanted=True)
    reporter.begin_steps([step], 1)
    reporter.begin(step)
    with worker.transaction():
        worker.execute("LOCK TABLE public.h; CREATE TABLE public.not_seen_yet (x int)")
        worker.execute("CREATE TABLE public.nor_this (x int)")
        reporter.look({worker.backend_pid(): step}, database)
    worker.close()
    assert reporter.meter is not None
    assert reporter.meter.running["x"].fraction == fraction


def test_sigterm_cancels_what_runs_in_a_session_apart(database: Database) -> None:
    text = "SELECT pg_catalog.pg_sleep(61)"

    def work(own: Database) -> None:
        own.execute_apart("SET LOCAL jit = off", text)

    threading.Timer(0.7, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    before = time.monotonic()
    with pytest.raises(Interrupted):
        _run(database, Step(Identity("x", "", "apart"), "alter", (text,), key="apart", work=work))
    assert time.monotonic() - before < 10


def test_settings_of_a_step_do_not_outlive_it(database: Database) -> None:
    database.execute("CREATE TABLE public.seen (n int, v text)")
    note = "INSERT INTO public.seen SELECT {}, pg_catalog.current_setting('work_mem')"
    steps = [
        Step(Identity("x", "", "1"), "alter", (note.format(1),), key="1", settings={"work_mem": "7MB"}),
        Step(Identity("x", "", "2"), "alter", (note.format(2),), key="2", depends_on=("1",)),
    ]
    _run(database, *steps, jobs=1)
    seen = dict(database.rows("SELECT n, v FROM public.seen"))
    assert seen[1] == "7MB"
    assert seen[2] != "7MB"


def test_sessions_are_safe(database: Database) -> None:
    shown = {
        name: database.value("SELECT pg_catalog.current_setting(%(n)s)", {"n": name})
        for name in ("search_path", "statement_timeout", "row_security", "lock_timeout", "application_name")
    }
    assert shown == {
        "search_path": "",
        "statement_timeout": "0",
        "row_security": "off",
        "lock_timeout": "1500ms",
        "application_name": "dbops.timescale/test",
    }


def test_the_source_is_not_filled_from_the_environment(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", options["login_password"])
    bare = libpq_parameters({**options, "login_password": ""})
    connect("target", bare, application="x").close()
    with pytest.raises(ConnectionFailed, match="Cannot connect to the source"):
        connect("source", bare, application="x")
    assert os.environ["PGPASSWORD"] == options["login_password"]


def test_a_wrong_session_role_is_one_clear_line(options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="refuses session_role nobody_there"):
        connect("target", libpq_parameters(options), application="x", session_role="nobody_there")


def test_source_sessions_cannot_write(options: dict[str, Any]) -> None:
    source = connect("source", libpq_parameters(options), application="x", read_only=True)
    with pytest.raises(Exception, match="read-only"):
        source.execute("CREATE TABLE public.no (x int)")
    source.close()
