# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Indexes of hypertables, built in one statement or chunk by chunk, by a plain owner: the same objects in the end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.installations import version_key
from tests.support.playbook import run_module
from tests.support.pool import PAIRS, Pair, Pool, Sample

TABLE = """
CREATE TABLE public.big (at timestamptz NOT NULL, k int, v float, note text);
SELECT create_hypertable('public.big', 'at', create_default_indexes => false, chunk_time_interval => interval '1 day');
INSERT INTO public.big SELECT '2026-01-01 00:00+00'::timestamptz + n * interval '2 hours', n, n, 'n' || n
FROM generate_series(0, 71) n;
"""
INDEXES = (
    "CREATE INDEX big_v ON public.big (v DESC) INCLUDE (k) WITH (fillfactor = 70) WHERE k > 3",
    "CREATE INDEX big_note ON public.big (lower(note), at)",
    "CREATE UNIQUE INDEX big_key ON public.big (k, at)",
    "COMMENT ON INDEX public.big_key IS 'the key'",
)
ON_CHUNKS = """
SELECT k.chunk_name, regexp_replace(pg_get_indexdef(x.indexrelid), '^.* USING ', ''), x.indisunique, x.indisvalid
FROM timescaledb_information.chunks k
JOIN pg_index x ON x.indrelid = format('%I.%I', k.chunk_schema, k.chunk_name)::regclass
WHERE k.hypertable_name = 'big' ORDER BY 1, 2
"""
ON_ROOT = (
    "SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid = 'public.big'::regclass ORDER BY 1"
)
ONLY: dict[str, Any] = {"objects": ["public.big"]}
CHUNK: dict[str, Any] = {**ONLY, "index_strategy": "chunk"}


HOLD = "LOCK TABLE {} IN ROW EXCLUSIVE MODE"
NEWEST_CHUNK = "SELECT c::text FROM show_chunks('public.big') c ORDER BY c DESC LIMIT 1"


def _with_table(made: Sample) -> Sample:
    for server, db in ((made.source, made.source_db), (made.target, made.target_db)):
        server.execute(db, TABLE, user=made.user)
    return made


@pytest.fixture
def big(servers: Pool, pair: Pair) -> Iterator[Sample]:
    """A sample with one more hypertable of six chunks on both sides, and indexes on the source alone."""
    made = _with_table(servers.fresh(pair))
    for text in INDEXES:
        made.source.execute(made.source_db, text, user=made.user)
    yield made
    made.drop()


@pytest.fixture
def newest(servers: Pool) -> Iterator[Sample]:
    """As ``big``, on the newest servers and without indexes, for a role that may build chunk by chunk."""
    if not _by_chunk(PAIRS[-1]):
        pytest.skip("chunk by chunk needs TimescaleDB 2.22")
    made = _with_table(servers.fresh(PAIRS[-1]))
    _grant(made)
    yield made
    made.drop()


@contextlib.contextmanager
def _held(sample: Sample, table: str, seconds: float, before: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Keep a table locked that long against whatever builds an index, and do something just before it is let go."""
    with contextlib.closing(sample.target.connect(sample.target_db, autocommit=False)) as holder:
        holder.cursor().execute(HOLD.format(table))

        def let_go() -> None:
            before()
            holder.rollback()

        timer = threading.Timer(seconds, let_go)
        timer.start()
        yield
        timer.join()


def _on_source(sample: Sample, *indexes: str) -> None:
    for text in indexes:
        sample.source.execute(sample.source_db, text, user=sample.user)


def _newest_chunk(sample: Sample) -> str:
    return str(sample.target.execute(sample.target_db, NEWEST_CHUNK)[0][0])


def _run(sample: Sample, *, check: bool = False, **more: Any) -> dict[str, Any]:
    return run_module("timescale_post_data", {**sample.login(), **more}, check=check)


def _by_chunk(pair: Pair) -> bool:
    return version_key(pair.target.timescaledb or "99") >= (2, 22)


def _grant(sample: Sample) -> None:
    sample.target.execute(sample.target_db, f"GRANT CREATE ON SCHEMA _timescaledb_internal TO {sample.user}")


def _reference(sample: Sample) -> list[Any]:
    """What the extension itself makes of the same statements, in a transaction that is rolled back."""
    connection = sample.target.connect(sample.target_db, sample.user, autocommit=False)
    with contextlib.closing(connection), connection.cursor() as cursor:
        for text in INDEXES:
            cursor.execute(text)
        cursor.execute(ON_CHUNKS)
        return list(cursor.fetchall())


def test_chunk_by_chunk(big: Sample, pair: Pair) -> None:
    expected = _reference(big)
    without = _run(big, check=True, **CHUNK)
    told = [one["reason"] for one in without["objects"] if one["kind"] == "index" and one["outcome"] == "created"]
    assert ["GRANT CREATE ON SCHEMA" in reason for reason in told] == [_by_chunk(pair)] * 3
    _grant(big)
    checked = _run(big, check=True, **CHUNK)
    ran = _run(big, **CHUNK)
    assert (ran.get("msg"), checked["queries"]) == (None, ran["queries"])
    assert sum("_chunk" in text for text in ran["queries"]) == (18 if _by_chunk(pair) else 0)
    assert ran["summary"]["created"] == 4
    target, db = big.target, big.target_db
    assert target.execute(db, ON_CHUNKS) == expected
    assert target.execute(db, ON_ROOT) == [("big_key", True), ("big_note", True), ("big_v", True)]
    for again in (_run(big, check=True, **CHUNK), _run(big, **CHUNK)):
        assert (again["changed"], again["queries"]) == (False, [])
    # A new chunk gets them, and RENAME and DROP follow.
    target.execute(db, "INSERT INTO public.big VALUES ('2026-06-01', 1, 2, 'x')", user=big.user)
    assert len(target.execute(db, ON_CHUNKS)) == len(expected) + 3
    target.execute(db, "ALTER INDEX public.big_key RENAME TO other_key", user=big.user)
    renamed = target.execute(db, "SELECT count(*) FROM pg_class WHERE relname LIKE '%chunk_other_key'")
    assert renamed == [(7,)]
    target.execute(db, "DROP INDEX public.other_key, public.big_v", user=big.user)
    assert len(target.execute(db, ON_CHUNKS)) == 7


def test_a_chunk_that_refuses_is_named_and_done_later(big: Sample, pair: Pair) -> None:
    if not _by_chunk(pair):
        pytest.skip("chunk by chunk needs TimescaleDB 2.22")
    _grant(big)
    target, db = big.target, big.target_db
    target.execute(db, "INSERT INTO public.big VALUES ('2026-01-03 00:00+00', 24, 0, 'twice')", user=big.user)
    ran = _run(big, **CHUNK)
    assert ran["failed"]
    assert "_chunk" in ran["msg"]
    assert "(k, at)=(24, 2026-01-03" in ran["msg"]
    assert ran["sqlstate"] == "23505"
    assert ("big_key", True) not in target.execute(db, ON_ROOT)
    target.execute(db, "DELETE FROM public.big WHERE note = 'twice'", user=big.user)
    again = _run(big, **CHUNK)
    assert (again.get("msg"), len(again["queries"])) == (None, 3)  # the chunk, the hypertable, the comment
    assert _run(big, **CHUNK)["changed"] is False


def test_a_transaction_per_chunk(big: Sample) -> None:
    expected = _reference(big)
    options: dict[str, Any] = {**ONLY, "index_strategy": "transaction_per_chunk"}
    checked, ran = _run(big, check=True, **options), _run(big, **options)
    assert (ran.get("msg"), checked["queries"]) == (None, ran["queries"])
    assert sum("timescaledb.transaction_per_chunk" in text for text in ran["queries"]) == 2
    assert big.target.execute(big.target_db, ON_CHUNKS) == expected
    assert _run(big, **options)["changed"] is False


def test_a_transaction_per_chunk_again(big: Sample) -> None:
    """What an interrupted build left is built again, what differs is exchanged, a locked chunk is waited for."""
    target, db = big.target, big.target_db
    for text in ("CREATE INDEX big_note ON public.big (lower(note), at)", "CREATE INDEX big_v ON public.big (v)"):
        target.execute(db, text, user=big.user)
    # As TimescaleDB leaves it between its transactions.
    target.execute(db, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.big_note'::regclass")
    expected = _reference_without(big, "big_note", "big_v")
    options: dict[str, Any] = {**ONLY, "index_strategy": "transaction_per_chunk", "on_drift": "replace"}
    checked = _run(big, check=True, **options)
    with _held(big, _newest_chunk(big), 2.5):
        ran = _run(big, **options, lock_timeout=1)
    assert (ran.get("msg"), checked["queries"]) == (None, ran["queries"])
    assert target.execute(db, ON_CHUNKS) == expected
    assert target.execute(db, ON_ROOT) == [("big_key", True), ("big_note", True), ("big_v", True)]
    assert _run(big, **options)["changed"] is False


def _reference_without(sample: Sample, *names: str) -> list[Any]:
    """The same as ``_reference``, where the target has other indexes of these names."""
    connection = sample.target.connect(sample.target_db, sample.user, autocommit=False)
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("DROP INDEX " + ", ".join(f"public.{name}" for name in names))
        for text in INDEXES:
            cursor.execute(text)
        cursor.execute(ON_CHUNKS)
        return list(cursor.fetchall())


def test_an_index_that_is_a_part_of_another(newest: Sample) -> None:
    """A retry must not take the longer definition that the chunk has for the shorter one that it lacks."""
    part = "CREATE INDEX big_part ON public.big (v) WHERE (k > 3)"
    _on_source(newest, part, "CREATE INDEX big_whole ON public.big (v)")
    newest.target.execute(newest.target_db, part, user=newest.user)
    with _held(newest, _newest_chunk(newest), 2.5):
        ran = _run(newest, **CHUNK, lock_timeout=1)
    assert ran.get("msg") is None
    assert len(newest.target.execute(newest.target_db, ON_CHUNKS)) == 2 * 6
    assert _run(newest, **CHUNK)["changed"] is False


def test_two_indexes_of_one_definition(newest: Sample) -> None:
    """Each chunk gets as many as the hypertable has, also when one of them is there before."""
    _on_source(newest, *(f"CREATE INDEX {name} ON public.big (v)" for name in ("one", "two", "three")))
    target, db = newest.target, newest.target_db
    target.execute(db, "CREATE INDEX one ON public.big (v)", user=newest.user)
    ran = _run(newest, **CHUNK)
    assert (ran.get("msg"), len(target.execute(db, ON_CHUNKS))) == (None, 3 * 6)
    assert _run(newest, **CHUNK)["changed"] is False


def test_a_chunk_that_comes_meanwhile(newest: Sample) -> None:
    """It gets the index before the hypertable promises it: where it refuses, the hypertable does not get it."""
    _on_source(newest, "CREATE UNIQUE INDEX big_key ON public.big (k, at)")
    target, db = newest.target, newest.target_db

    def twice() -> None:
        target.execute(db, "INSERT INTO public.big SELECT '2026-06-01', 1, 2, 'x' FROM generate_series(1, 2)")

    with _held(newest, _newest_chunk(newest), 3, twice):
        ran = _run(newest, **CHUNK, lock_timeout=20)
    assert (ran["failed"], ran["sqlstate"], "(1, 2026-06-01" in ran["msg"]) == (True, "23505", True)
    assert target.execute(db, ON_ROOT) == []
    target.execute(db, "DELETE FROM public.big WHERE at = '2026-06-01'")
    other = target.connect(db, autocommit=False)

    def hold_another() -> None:
        target.execute(db, "INSERT INTO public.big VALUES ('2026-07-01', 1, 2, 'x')")
        other.cursor().execute(HOLD.format(_newest_chunk(newest)))
        threading.Timer(5, other.rollback).start()

    chunk = target.execute(db, "SELECT show_chunks('public.big', newer_than => '2026-05-01'::timestamptz)::text")[0][0]
    with contextlib.closing(other), _held(newest, chunk, 3, hold_another):
        ran = _run(newest, **CHUNK, lock_timeout=1, lock_retries=6)
    assert (ran.get("msg"), len(target.execute(db, ON_CHUNKS))) == (None, 8)
    assert _run(newest, **CHUNK)["changed"] is False


def test_a_chunk_may_refuse(newest: Sample) -> None:
    """Tolerated: the one entry of the index says which chunk refused and why."""
    _on_source(newest, "CREATE UNIQUE INDEX big_key ON public.big (k, at)")
    newest.target.execute(newest.target_db, "INSERT INTO public.big VALUES ('2026-01-03 00:00+00', 24, 0, 'twice')")
    for changed in (True, False):
        ran = _run(newest, **CHUNK, tolerate=[{"sqlstate": "23505", "object": "public.big"}])
        assert (ran.get("msg"), ran["changed"]) == (None, changed)
        (reason,) = [one["reason"] for one in ran["objects"] if (one["kind"], one["name"]) == ("index", "big_key")]
        assert "_chunk.big_key: Tolerated (23505): " in reason
        assert "(k, at)=(24, 2026-01-03" in reason
