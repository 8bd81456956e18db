# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults: each is a context around one run of one stage that arms a trigger or changes the surroundings."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from psycopg2 import sql

from tests.support.playbook import run_module
from tests.support.samples import OWNER

from .world import Stage, World, small_folder

Strike = Callable[[], None]


@dataclass
class Moment:
    """When a fault strikes.

    Args:
        planned: the statements that the stage will run; all statements count when there are none.
        number: at which of them.
        after: after the server got it, or before.
    """

    planned: set[str]
    number: int
    after: bool


Fault = Callable[[World, Stage, Moment, random.Random], contextlib.AbstractContextManager[dict[str, str]]]
KINDS: dict[str, Fault] = {}
ONLY: dict[str, tuple[str, ...]] = {}  # stages that a kind makes sense for; all where it is not named
_DUMPING = ("post_data", "post_data_rest")
_WRITING = ("post_data", "aggregates", "post_data_rest", "policies")


def _at_a_statement(name: str, *stages: str) -> Callable[[Callable[[World, random.Random], None]], None]:
    """Make a kind of a function that strikes at the moment on the target's line."""

    def add(strike: Callable[[World, random.Random], None]) -> None:
        @contextlib.contextmanager
        def fault(world: World, _stage: Stage, moment: Moment, chance: random.Random) -> Iterator[dict[str, str]]:
            world.target_trigger.arm(moment.planned, moment.number, moment.after, lambda: strike(world, chance))
            yield {}

        KINDS[name] = fault
        if stages:
            ONLY[name] = stages

    return add


def _around(name: str, *stages: str) -> Callable[[Fault], Fault]:
    def add(fault: Fault) -> Fault:
        KINDS[name] = fault
        if stages:
            ONLY[name] = stages
        return fault

    return add


@_at_a_statement("module killed (SIGKILL)")
def _killed(world: World, _chance: random.Random) -> None:
    if world.run is not None:
        world.run.process.send_signal(signal.SIGKILL)


@_at_a_statement("module told to stop (SIGTERM)")
def _terminated(world: World, _chance: random.Random) -> None:
    if world.run is not None:
        world.run.process.send_signal(signal.SIGTERM)


@_at_a_statement("a worker's backend terminated")
def _backend(world: World, chance: random.Random) -> None:
    ask = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'dbops%%'"
    pids = [pid for (pid,) in world.target.execute("postgres", ask, (world.sample.target_db,))]
    if pids:
        world.target.execute("postgres", "SELECT pg_terminate_backend(%s)", (chance.choice(pids),))


@_at_a_statement("target restarted (immediate)")
def _target_restarted(world: World, _chance: random.Random) -> None:
    world.aside(lambda: world.target.restart("immediate"))


@_at_a_statement("target's line cut")
def _target_cut(world: World, chance: random.Random) -> None:
    world.target_proxy.cut(chance.uniform(0.1, 3))


@_at_a_statement("target's line stalled")
def _target_stalled(world: World, chance: random.Random) -> None:
    world.target_proxy.stall(chance.uniform(0.5, 4))


def _on_source(name: str) -> Callable[[Callable[[World, random.Random], None]], None]:
    """A kind that strikes at one of the first statements on the source's line; a stage makes few of them."""

    def add(strike: Callable[[World, random.Random], None]) -> None:
        @contextlib.contextmanager
        def fault(world: World, _stage: Stage, moment: Moment, chance: random.Random) -> Iterator[dict[str, str]]:
            world.source_trigger.arm(set(), chance.randint(1, 6), moment.after, lambda: strike(world, chance))
            yield {}

        KINDS[name] = fault
        ONLY[name] = ("preflight", *_WRITING, "verify", "activation")

    return add


@_on_source("source restarted (immediate)")
def _source_restarted(world: World, _chance: random.Random) -> None:
    world.aside(lambda: world.source.restart("immediate"))


@_on_source("source's line cut")
def _source_cut(world: World, chance: random.Random) -> None:
    world.source_proxy.cut(chance.uniform(0.1, 3))


@_around("disk full where the module runs", *_DUMPING)
@contextlib.contextmanager
def _runner_disk_full(
    _world: World, _stage: Stage, _moment: Moment, _chance: random.Random
) -> Iterator[dict[str, str]]:
    with small_folder(1) as folder:
        if not folder:
            raise NotImplementedError("only root can mount a small file system")
        _fill(Path(folder, "filler"), leave=4096)
        yield {"TMPDIR": folder}


@_around("disk full on the target", *_WRITING)
@contextlib.contextmanager
def _target_disk_full(world: World, _stage: Stage, moment: Moment, _chance: random.Random) -> Iterator[dict[str, str]]:
    if not world.small:
        raise NotImplementedError("only root can mount a small file system")
    filler = Path(world.small).parent / "filler"
    world.target_trigger.arm(moment.planned, moment.number, False, lambda: _fill(filler, leave=0))
    try:
        yield {}
    finally:
        filler.unlink(missing_ok=True)


def _fill(path: Path, leave: int) -> None:
    """Use up the space of a file system but for some bytes."""
    block = b"\0" * 4096
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(block)
    if leave:
        os.truncate(path, max(0, path.stat().st_size - leave))


@_around("timeouts set on the role and the database")
@contextlib.contextmanager
def _timeouts(world: World, _stage: Stage, _moment: Moment, _chance: random.Random) -> Iterator[dict[str, str]]:
    names = ("statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout", "lock_timeout")
    role, db = sql.Identifier(OWNER), sql.Identifier(world.sample.target_db)
    for name in names:
        world.target.execute("postgres", sql.SQL("ALTER ROLE {} SET {} = '20ms'").format(role, sql.Identifier(name)))
        world.target.execute("postgres", sql.SQL("ALTER DATABASE {} SET {} = '20ms'").format(db, sql.Identifier(name)))
    try:
        yield {}
    finally:
        world.target.execute("postgres", sql.SQL("ALTER ROLE {} RESET ALL").format(role))
        world.target.execute("postgres", sql.SQL("ALTER DATABASE {} RESET ALL").format(db))


@_around("lock table exhausted")
@contextlib.contextmanager
def _locks(world: World, _stage: Stage, moment: Moment, _chance: random.Random) -> Iterator[dict[str, str]]:
    greedy = world.target.connect("postgres")

    def strike() -> None:
        with contextlib.suppress(psycopg2.Error), greedy.cursor() as cursor:
            cursor.execute("SELECT count(pg_advisory_lock(n)) FROM generate_series(1, 10000000) AS n")

    world.target_trigger.arm(moment.planned, moment.number, False, strike)
    try:
        yield {}
    finally:
        greedy.close()


@_around("too few connections")
@contextlib.contextmanager
def _connections(world: World, _stage: Stage, _moment: Moment, chance: random.Random) -> Iterator[dict[str, str]]:
    role = sql.Identifier(OWNER)
    limit = sql.Literal(chance.randint(0, 2))
    world.target.execute("postgres", sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(role, limit))
    try:
        yield {}
    finally:
        world.target.execute("postgres", sql.SQL("ALTER ROLE {} CONNECTION LIMIT -1").format(role))


@contextlib.contextmanager
def _meanwhile(work: Callable[[], None]) -> Iterator[None]:
    """Do something again and again while the run lasts."""
    over = threading.Event()

    def loop() -> None:
        while not over.is_set():
            with contextlib.suppress(psycopg2.Error):
                work()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@_around("vacuum and analyze going on")
@contextlib.contextmanager
def _vacuum(world: World, _stage: Stage, _moment: Moment, _chance: random.Random) -> Iterator[dict[str, str]]:
    with _meanwhile(lambda: world.target.execute(world.sample.target_db, "VACUUM (ANALYZE)")):
        yield {}


@_around("application at work on the target")
@contextlib.contextmanager
def _application(world: World, _stage: Stage, _moment: Moment, _chance: random.Random) -> Iterator[dict[str, str]]:
    statements = (
        "CREATE TABLE public.of_the_application (id int PRIMARY KEY, note text)",
        "INSERT INTO public.of_the_application SELECT g, 'x' FROM generate_series(1, 100) AS g",
        "ALTER TABLE public.of_the_application ADD COLUMN more int DEFAULT 1",
        "CREATE INDEX ON public.of_the_application (note)",
        "UPDATE public.of_the_application SET note = 'y'",
    )
    gone = "DROP TABLE IF EXISTS public.of_the_application"

    def work() -> None:
        for statement in (*statements, gone):
            world.target.execute(world.sample.target_db, statement, user=OWNER)

    try:
        with _meanwhile(work):
            yield {}
    finally:
        world.target.execute(world.sample.target_db, gone)


@_around("an operator's lock")
@contextlib.contextmanager
def _operator(world: World, _stage: Stage, moment: Moment, chance: random.Random) -> Iterator[dict[str, str]]:
    tables = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    table = chance.choice(world.target.execute(world.sample.target_db, tables + " ORDER BY 1"))[0]
    seconds = chance.uniform(0.5, 5)

    def hold() -> None:
        connection = world.target.connect(world.sample.target_db, autocommit=False)
        with contextlib.suppress(psycopg2.Error), connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '5s'; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            time.sleep(seconds)
        connection.close()

    world.target_trigger.arm(moment.planned, moment.number, False, lambda: world.aside(hold))
    yield {}


@_around("the same started twice", *_WRITING, "statistics", "activation")
@contextlib.contextmanager
def _twice(world: World, stage: Stage, moment: Moment, _chance: random.Random) -> Iterator[dict[str, str]]:
    results: list[dict[str, object]] = []

    def second() -> None:
        results.append(run_module(stage.module, world.options(stage)))

    world.target_trigger.arm(moment.planned, moment.number, False, lambda: world.aside(second))
    yield {}
    for thread in world.strikes:
        thread.join()
    for result in results:
        if "Traceback" in str(result):
            raise AssertionError(f"the second of two: {result}")
