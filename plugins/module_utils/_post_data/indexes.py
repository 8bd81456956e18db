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
from .checks import done_when
from .objects import Name, Relation, Thing

__all__ = [
    "Chunk",
    "ChunkBuild",
    "Divided",
    "Hypertables",
    "Strategy",
    "chunk_build",
    "commit_by_chunk",
    "dropping",
    "per_chunk",
    "read_hypertables",
    "why_plain",
    "words_of",
]

WORTHWHILE = 32 * 1024 * 1024  # bytes of a hypertable; below, one statement is as fast as many
_MAX_NAME = 63  # bytes (PostgreSQL manual, 4.1.1)

# The chunks of all hypertables; each hypertable is among its own.
_CHUNKS = """
WITH hypertable AS ({hypertables}), chunk AS ({chunks})
SELECT h.schema_name, h.table_name, n.nspname, c.relname, pg_catalog.pg_relation_size(c.oid),
       pg_catalog.has_schema_privilege(n.oid, 'CREATE'),
       (SELECT pg_catalog.json_agg(pg_catalog.pg_get_indexdef(x.indexrelid)) FROM pg_catalog.pg_index AS x
        WHERE x.indrelid = c.oid AND x.indisvalid)
FROM hypertable AS h
JOIN (SELECT hypertable_id, relid FROM chunk UNION ALL SELECT id, relid FROM hypertable) AS k ON k.hypertable_id = h.id
JOIN pg_catalog.pg_class AS c ON c.oid = k.relid AND c.relkind = 'r'
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT EXISTS (SELECT FROM _timescaledb_catalog.tablespace AS s WHERE s.hypertable_id = h.id)
ORDER BY c.oid
"""
# How many valid indexes of these words a relation has. A server prints the same words on a chunk.
_ALIKE = """(
  SELECT pg_catalog.count(*) FROM pg_catalog.pg_index AS x
  WHERE x.indrelid = {relation} AND x.indisvalid AND x.indisunique = {{unique}}
  AND pg_catalog.right(pg_catalog.pg_get_indexdef(x.indexrelid), pg_catalog.length({{method}})) = {{method}}
)"""
# Chunks of one hypertable with fewer of them than it has itself, or will have: what came while others were indexed.
_LACKING = f"""
SELECT n.nspname, c.relname FROM ({{hypertables}}) AS h
JOIN ({{chunks}}) AS k ON k.hypertable_id = h.id
JOIN pg_catalog.pg_class AS c ON c.oid = k.relid AND c.relkind = 'r'
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE h.schema_name = {{schema}} AND h.table_name = {{table}}
  AND {_ALIKE.format(relation="c.oid")} < {_ALIKE.format(relation="h.relid")} + {{more}}
ORDER BY c.oid
"""
_ON_CHUNK = f"""
SELECT {_ALIKE.format(relation="c.oid")} > 0 AND ({{name}} = '' OR EXISTS (
  SELECT FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
  WHERE x.indrelid = c.oid AND x.indisvalid AND i.relname = {{name}}))
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = {{schema}} AND c.relname = {{chunk}}
"""
_NAMED = """
SELECT x.indisvalid FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = i.relnamespace WHERE n.nspname = {} AND i.relname = {}
"""


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A chunk that could get an index of its own.

    :param creatable: whether the role may create in its schema.
    :param indexes: its valid indexes, each by its ``words_of``.
    """

    name: Name
    bytes: int
    creatable: bool
    indexes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Divided:
    """A hypertable whose indexes could be built chunk by chunk.

    :param indexes: its own valid indexes, as those of a chunk.
    """

    chunks: list[Chunk] = dataclasses.field(default_factory=list)
    indexes: list[str] = dataclasses.field(default_factory=list)


Hypertables = t.Mapping[Name, Divided]


@dataclasses.dataclass(frozen=True)
class Strategy:
    """What was asked for, and what the target has.

    :param choice: auto, chunk, transaction_per_chunk or plain.
    :param hypertables: without those that have attached tablespaces, because there the extension picks a chunk's.
    """

    choice: str = "plain"
    jobs: int = 1
    hypertables: Hypertables = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ChunkBuild:
    """The parts of an index: one statement per chunk that lacks it, then the hypertable's own.

    :param parts: chunk, statement, and what makes the query that tells whether it has been run.
    :param done: the query that tells whether hypertable and chunks have the index.
    """

    parts: tuple[tuple[Chunk, str, t.Callable[[], str]], ...]
    last: str
    done: str
    work: t.Callable[[Database], None]


def read_hypertables(database: Database) -> Hypertables:
    """The target's hypertables and chunks, where an index can be built on each of them. One statement."""
    if database.timescale is None or database.timescale < TS_INDEX_BY_DEFINITION:
        return {}
    found: dict[Name, Divided] = {}
    query = _CHUNKS.format(hypertables=HYPERTABLES, chunks=chunks(database.timescale))
    for schema, table, of_schema, name, size, creatable, indexes in database.rows(query):
        divided, words = found.setdefault((schema, table), Divided()), [words_of(text) for text in indexes or ()]
        if (of_schema, name) == (schema, table):
            divided.indexes.extend(words)
        else:
            divided.chunks.append(Chunk((of_schema, name), int(size), creatable, tuple(words)))
    return found


def why_plain(strategy: Strategy, table: Relation, thing: Thing) -> str | None:
    """None when the index is to be built chunk by chunk; else why it is not, empty when there is nothing to say."""
    if strategy.choice not in ("auto", "chunk") or not _can_split(thing.printed or thing.definition):
        return ""
    own = strategy.hypertables.get(table.name, Divided()).chunks
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


def words_of(definition: str) -> str:
    """What indexes of one hypertable and its chunks have in common when only their names differ."""
    return ("UNIQUE " if definition.startswith("CREATE UNIQUE ") else "") + _method(definition)


def chunk_build(table: Name, thing: Thing, divided: Divided, version: Timescale, planned: int) -> ChunkBuild:
    """The statements of an index that is built chunk by chunk; chunks that have it are left alone.

    A hypertable may have several indexes of the same words: then a chunk needs as many.

    :param planned: how many of the same words are to be made besides.
    """
    # As the server prints it: the step's settings name the tablespace.
    definition = thing.printed or thing.definition
    index, method, words = thing.identity.name, _method(definition), words_of(definition)
    unique = definition.startswith("CREATE UNIQUE ")
    named = {"unique": literal(unique), "method": literal(method)}
    before = divided.indexes.count(words) + planned
    parts = []
    for chunk in divided.chunks:
        if chunk.indexes.count(words) <= before:
            name = _name_on(chunk.name, index)
            values = {"schema": literal(chunk.name[0]), "chunk": literal(chunk.name[1]), "name": literal(name)}
            made = functools.partial(statement, _ON_CHUNK, **values, **named)
            parts.append((chunk, _create(unique, name, chunk.name, method), made))
    lacking = functools.partial(
        statement,
        _LACKING,
        hypertables=raw(HYPERTABLES),
        chunks=raw(chunks(version)),
        schema=literal(table[0]),
        table=literal(table[1]),
        **named,
    )
    last, there = _create(unique, index, table, method, only=True), done_when(thing)
    before_last, after_last = lacking(more=raw("1")), lacking(more=raw("0"))
    make = functools.partial(_create, unique, method=method)
    work = functools.partial(_finish, index=index, last=last, there=there, lacking=(before_last, after_last), make=make)
    done = statement("SELECT ({}) AND NOT EXISTS ({})", raw(there), raw(after_last))
    return ChunkBuild(tuple(parts), last, done, work)


def _finish(
    database: Database, *, index: str, last: str, there: str, lacking: tuple[str, str], make: t.Callable[..., str]
) -> None:
    """Make the hypertable's own index, and those of chunks that came meanwhile; later ones get it by themselves.

    Theirs first: where one refuses, the hypertable does not promise it. And once more, for one that came just then.
    """
    if not database.value(there):
        _complete(database, index, lacking[0], make)
        database.execute(last)
    _complete(database, index, lacking[1], make)


def _complete(database: Database, index: str, lacking: str, make: t.Callable[..., str]) -> None:
    for schema, chunk in database.rows(lacking):
        database.execute(make(name=_name_on((schema, chunk), index), table=(schema, chunk)))


def commit_by_chunk(database: Database, *, name: Name, text: str, rebuild: bool) -> None:
    """Run a statement that commits after each chunk, and so leaves an invalid index when it fails.

    What an earlier try has left is dropped, of a damaged index (``rebuild``) whatever is there.
    """
    schema, index = name
    found = database.rows(statement(_NAMED, literal(schema), literal(index)))
    if any(rebuild or not valid for (valid,) in found):
        database.execute(dropping(name))
    database.execute(text)


def dropping(name: Name) -> str:
    """The statement that drops an index."""
    return statement("DROP INDEX {}", identifier(*name))


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
