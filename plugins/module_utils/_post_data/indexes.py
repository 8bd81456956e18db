# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""How an index of a hypertable is built: in one statement, or chunk by chunk over all connections.

From TimescaleDB 2.22 on, a chunk's index belongs to the hypertable's by its definition, not by a catalog row
(chunk_index.c). So the chunks' indexes are built first, side by side, and the hypertable's own, ``ON ONLY``, last: it
never promises what the chunks do not hold, also when the run is killed.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from .._connection import Database
from .._sql import identifier, literal, quote_identifier, raw, statement
from .._timescale import HYPERTABLES, chunks
from .._versions import TS_INDEX_BY_DEFINITION, Timescale
from . import scanner
from .objects import Name, Relation, Thing

__all__ = [
    "Chunk",
    "ChunkBuild",
    "Chunks",
    "Strategy",
    "chunk_build",
    "chunk_done",
    "per_chunk",
    "read_chunks",
    "why_plain",
]

WORTHWHILE = 32 * 1024 * 1024  # bytes of a hypertable; below, one statement is as fast as many
_MAX_NAME = 63  # bytes (PostgreSQL manual, 4.1.1)

_CHUNKS = """
SELECT h.schema_name, h.table_name, n.nspname, c.relname, pg_catalog.pg_relation_size(c.oid),
       pg_catalog.has_schema_privilege(n.oid, 'CREATE'),
       (SELECT pg_catalog.json_agg(pg_catalog.pg_get_indexdef(x.indexrelid)) FROM pg_catalog.pg_index AS x
        WHERE x.indrelid = c.oid AND x.indisvalid)
FROM ({hypertables}) AS h
JOIN ({chunks}) AS k ON k.hypertable_id = h.id
JOIN pg_catalog.pg_class AS c ON c.oid = k.relid AND c.relkind = 'r'
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT EXISTS (SELECT FROM _timescaledb_catalog.tablespace AS s WHERE s.hypertable_id = h.id)
ORDER BY c.oid
"""
# Chunks of one hypertable without an index of these words; for what was made while the others were indexed.
_LACKING = """
SELECT n.nspname, c.relname FROM ({hypertables}) AS h
JOIN ({chunks}) AS k ON k.hypertable_id = h.id
JOIN pg_catalog.pg_class AS c ON c.oid = k.relid AND c.relkind = 'r'
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE h.schema_name = {schema} AND h.table_name = {table} AND NOT EXISTS (
  SELECT FROM pg_catalog.pg_index AS x WHERE x.indrelid = c.oid AND x.indisvalid AND x.indisunique = {unique}
  AND pg_catalog.strpos(pg_catalog.pg_get_indexdef(x.indexrelid), {method}) > 0)
ORDER BY c.oid
"""


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A chunk that could get an index of its own.

    :param creatable: whether the role may create in its schema.
    :param indexes: definitions of its valid indexes.
    """

    name: Name
    bytes: int
    creatable: bool
    indexes: tuple[str, ...]


Chunks = t.Mapping[Name, t.Sequence[Chunk]]


@dataclasses.dataclass(frozen=True)
class Strategy:
    """What was asked for, and what the target has.

    :param choice: auto, chunk, transaction_per_chunk or plain.
    :param chunks: by hypertable; those with attached tablespaces are left out, because the extension picks theirs.
    """

    choice: str = "plain"
    jobs: int = 1
    chunks: Chunks = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ChunkBuild:
    """The parts of an index: one statement per chunk that lacks it, then the hypertable's own."""

    parts: tuple[tuple[Chunk, str], ...]
    last: str
    work: t.Callable[[Database], None]


def read_chunks(database: Database) -> Chunks:
    """The target's chunks, where an index can be built on each of them. One statement."""
    if database.timescale is None or database.timescale < TS_INDEX_BY_DEFINITION:
        return {}
    found: dict[Name, list[Chunk]] = {}
    query = _CHUNKS.format(hypertables=HYPERTABLES, chunks=chunks(database.timescale))
    for schema, table, *chunk_name, size, creatable, indexes in database.rows(query):
        chunk = Chunk((chunk_name[0], chunk_name[1]), int(size), creatable, tuple(indexes or ()))
        found.setdefault((schema, table), []).append(chunk)
    return found


def why_plain(strategy: Strategy, table: Relation, thing: Thing) -> str | None:
    """None when the index is to be built chunk by chunk; else why it is not, empty when there is nothing to say."""
    if strategy.choice not in ("auto", "chunk") or not _can_split(thing.printed or thing.definition):
        return ""
    own = strategy.chunks.get(table.name, ())
    worthwhile = len(own) > 1 and strategy.jobs > 1 and sum(chunk.bytes for chunk in own) >= WORTHWHILE
    if not own or not (worthwhile or strategy.choice == "chunk"):
        return ""
    closed = sorted({chunk.name[0] for chunk in own if not chunk.creatable})
    if not closed:
        return None
    grant = statement("GRANT CREATE ON SCHEMA {} TO", raw(", ".join(quote_identifier(name) for name in closed)))
    return f"Built in one statement. With {grant} the role, all connections would share its chunks."


def _can_split(definition: str) -> bool:
    """Whether the definition reads the same on a chunk: a whole-row reference names the table."""
    return bool(_method(definition)) and ".*" not in definition


def chunk_build(table: Name, thing: Thing, strategy: Strategy, version: Timescale) -> ChunkBuild:
    """The statements of an index that is built chunk by chunk; chunks that have it are left alone."""
    # As the server prints it: the step's settings name the tablespace.
    definition = thing.printed or thing.definition
    index, method = thing.identity.name, _method(definition)
    unique = definition.startswith("CREATE UNIQUE ")
    last = _create(unique, index, table, method, only=True)
    parts = [
        (chunk, _create(unique, _name_on(chunk.name, index), chunk.name, method))
        for chunk in strategy.chunks[table]
        if not any(_method(text) == method and text.startswith("CREATE UNIQUE ") == unique for text in chunk.indexes)
    ]
    lacking = statement(
        _LACKING,
        hypertables=raw(HYPERTABLES),
        chunks=raw(chunks(version)),
        schema=literal(table[0]),
        table=literal(table[1]),
        unique=literal(unique),
        method=literal(method),
    )
    make = functools.partial(_create, unique, method=method)
    work = functools.partial(_finish, last=last, lacking=lacking, index=index, make=make)
    return ChunkBuild(tuple(parts), last, work)


def chunk_done(chunk: Name, text: str) -> str:
    """The query that tells whether a chunk has the index that a statement makes."""
    return statement(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS c ON c.oid = x.indrelid"
        " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = {} AND c.relname = {}"
        " AND x.indisvalid AND x.indisunique = {}"
        " AND pg_catalog.strpos(pg_catalog.pg_get_indexdef(x.indexrelid), {}) > 0)",
        *(literal(value) for value in (*chunk, text.startswith("CREATE UNIQUE "), _method(text))),
    )


def _finish(database: Database, *, last: str, lacking: str, index: str, make: t.Callable[..., str]) -> None:
    """Make the hypertable's own index, then those of chunks that came meanwhile; later ones get it by themselves."""
    database.execute(last)
    for schema, chunk in database.rows(lacking):
        database.execute(make(name=_name_on((schema, chunk), index), table=(schema, chunk)))


def _create(unique: bool, name: str, table: Name, method: str, *, only: bool = False) -> str:
    head = f"CREATE {'UNIQUE ' if unique else ''}INDEX {{}} ON {'ONLY ' if only else ''}{{}} {{}}"
    return statement(head, raw(quote_identifier(name) if name else ""), identifier(*table), raw(method))


def _name_on(chunk: Name, index: str) -> str:
    """The name that the extension would give, or none where that is too long: then the server picks one."""
    name = f"{chunk[1]}_{index}"
    return name if len(name.encode()) <= _MAX_NAME else ""


def _method(definition: str) -> str:
    """``USING btree (…) …`` of an index's definition."""
    for token in scanner.tokens(definition):
        if token.is_word("USING"):
            return definition[token.start :]
    return ""


def per_chunk(definition: str) -> str:
    """The statement with ``timescaledb.transaction_per_chunk``, which TimescaleDB has for indexes that are not unique.

    Its WITH stands where PostgreSQL's own would: after the columns, before TABLESPACE and WHERE.
    """
    if definition.startswith("CREATE UNIQUE "):
        return definition
    depth = 0
    words = list(scanner.tokens(definition))
    for number, token in enumerate(words):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.is_word("WITH"):
            at = words[number + 1].end
            return f"{definition[:at]}timescaledb.transaction_per_chunk, {definition[at:]}"
        if depth == 0 and token.is_word("WHERE", "TABLESPACE"):
            return f"{definition[: token.start]}WITH (timescaledb.transaction_per_chunk) {definition[token.start :]}"
    return f"{definition} WITH (timescaledb.transaction_per_chunk)"
