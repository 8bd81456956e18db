# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""How a key of a large plain table is added: in two statements, of which the long one locks little.

A primary key or unique constraint gets its index first, beside other indexes of the table, and takes it over. A foreign
key is added NOT VALID and then validated, beside others of the same referenced table. Killed in between, the next run
finds the index, or the key that is not valid, and goes on there.

Source of the rules: PostgreSQL manual, ALTER TABLE (12 to 18). USING INDEX is refused on partitioned tables and by
TimescaleDB on hypertables; NOT VALID on partitioned tables before 18, and VALIDATE where columnstore is on.
"""

from __future__ import annotations

import typing as t

from .._sql import identifier, literal, quote_identifier, raw, statement
from . import scanner
from .objects import Name, Relation, Thing

__all__ = ["KINDS", "IndexFirst", "can_split", "index_done", "index_first", "unvalidated", "validation"]

KINDS = ("primary_key", "unique", "foreign_key")
_HEAD = ("PRIMARY", "KEY", "UNIQUE", "NULLS", "NOT", "DISTINCT")  # what stands before a key's columns
_TAIL = ("DEFERRABLE", "NOT", "INITIALLY")  # what begins the part that is the constraint's, not its index's

_INDEX_DONE = """SELECT EXISTS (SELECT FROM pg_catalog.pg_index AS x
JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = i.relnamespace
WHERE n.nspname = {schema} AND i.relname = {name} AND x.indisvalid AND x.indisunique
  AND pg_catalog.right(pg_catalog.pg_get_indexdef(i.oid), pg_catalog.length({method})) = {method})"""


class IndexFirst(t.NamedTuple):
    """The index of a key, the statement that makes it the key's, and ``USING …`` of its definition."""

    create: str
    attach: str
    method: str

    def is_made_by(self, index: Thing) -> bool:
        """Whether an index is the one that would be built."""
        text = index.printed or index.definition
        unique, begin = text.startswith("CREATE UNIQUE "), _start_of(text, "USING")
        return unique and begin >= 0 and _words(text[begin:]) == _words(self.method)


def can_split(thing: Thing, table: Relation | None, others: t.Sequence[Relation | None]) -> bool:
    """Whether the server lets a key be added in two statements.

    :param others: the referenced tables.
    """
    plain = all(one is not None and one.kind == "r" and not one.is_hypertable for one in (table, *others))
    whole = not scanner.holds(thing.definition, "NOT", ("VALID", "ENFORCED"))
    return plain and whole


def index_first(text: str, table: Name, name: str) -> IndexFirst | None:
    """Take ``ALTER TABLE … ADD CONSTRAINT … UNIQUE (…)`` apart; None where the index would be of another kind.

    :param text: as pg_dump writes it.
    """
    head = scanner.on_table(text)
    words = list(scanner.tokens(head.rest))[3:] if head is not None else []  # after ADD CONSTRAINT name
    opening = next((number for number, word in enumerate(words) if word.text == "("), 0)
    before = [word.text.upper() for word in words[:opening]]
    if head is None or not before or not set(before).issubset(_HEAD) or scanner.holds(head.rest, "WITHOUT", "OVERLAPS"):
        return None
    depth, end = 0, len(head.rest)
    options = len(head.rest)
    for word in words[opening:]:
        depth += {"(": 1, ")": -1}.get(word.text, 0)
        if depth == 0 and word.is_word("WITH"):
            options = min(options, word.start)
        if depth == 0 and word.is_word(*_TAIL):
            end = word.start
            break
    columns, rest = head.rest[words[opening].start : min(options, end)].strip(), head.rest[options:end].strip()
    nulls = "NULLS NOT DISTINCT" if "DISTINCT" in before and "NOT" in before else ""
    method = " ".join(part for part in ("USING btree", columns, nulls, rest) if part)
    kind = "PRIMARY KEY" if "PRIMARY" in before else "UNIQUE"
    named = {"table": identifier(*table), "name": identifier(name)}
    tail = head.rest[end:].strip()
    return IndexFirst(
        statement("CREATE UNIQUE INDEX {name} ON {table} {method}", **named, method=raw(method)),
        statement(f"ALTER TABLE {{table}} ADD CONSTRAINT {{name}} {kind} USING INDEX {{name}}", **named)
        + (f" {tail}" if tail else ""),
        method,
    )


def index_done(index: Name, method: str) -> str:
    """The query that tells whether a key's index is there."""
    values = {"schema": literal(index[0]), "name": literal(index[1]), "method": literal(method)}
    return statement(_INDEX_DONE, **values)


def unvalidated(text: str) -> str:
    """The statement that adds a foreign key without looking at the rows that are there."""
    return f"{text} NOT VALID"


def validation(table: Name, name: str) -> str:
    """The statement that makes up for it."""
    return statement("ALTER TABLE {} VALIDATE CONSTRAINT {}", identifier(*table), raw(quote_identifier(name)))


def _start_of(text: str, word: str) -> int:
    return next((token.start for token in scanner.tokens(text) if token.is_word(word)), -1)


def _words(text: str) -> list[str]:
    return [token.text for token in scanner.tokens(text)]
