# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Indexes of hypertables, built in one statement or chunk by chunk, by a plain owner: the same objects in the end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.installations import version_key
from tests.support.playbook import run_module
from tests.support.pool import Pair, Pool, Sample

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


@pytest.fixture
def big(servers: Pool, pair: Pair) -> Iterator[Sample]:
    """A sample with one more hypertable of seven chunks on both sides, and indexes on the source alone."""
    made = servers.fresh(pair)
    for server, db in ((made.source, made.source_db), (made.target, made.target_db)):
        server.execute(db, TABLE, user=made.user)
    for text in INDEXES:
        made.source.execute(made.source_db, text, user=made.user)
    yield made
    made.drop()


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
