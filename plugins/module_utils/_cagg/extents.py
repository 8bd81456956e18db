# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""How far the data of aggregates and hypertables reaches, first and last time value, and how large hypertables are."""

from __future__ import annotations

import contextlib
import json
import typing as t

from .._connection import Database
from .._errors import StatementFailed
from .._sql import literal, quote_identifier, statement
from .times import LOWEST, TIME_TYPES, time_text

__all__ = ["ask_all", "read_extents", "read_sizes"]

# Each group of expressions is planned by itself; as one query, the time to plan grows with the square of their number.
_ASK = """
DECLARE
  query pg_catalog.text;
  answer pg_catalog.text;
  answers pg_catalog.text[];
BEGIN
  FOR query IN SELECT e FROM pg_catalog.json_array_elements_text({queries}) AS e LOOP
    EXECUTE query INTO answer;
    answers := answers || answer;
  END LOOP;
  PERFORM pg_catalog.set_config('dbops_timescale.answers', pg_catalog.array_to_string(answers, ','), true);
END
"""
_GROUP = 20

_SIZES = """
SELECT pg_catalog.json_agg(pg_catalog.json_build_array(n.nspname, c.relname, (
  SELECT pg_catalog.sum(pg_catalog.pg_relation_size(i.inhrelid)) FROM pg_catalog.pg_inherits AS i
  WHERE i.inhparent = c.oid)))::pg_catalog.text
FROM pg_catalog.json_array_elements({names}) AS w
JOIN pg_catalog.pg_namespace AS n ON n.nspname = w ->> 0
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w ->> 1
"""


def read_extents(database: Database, entries: t.Sequence[dict[str, t.Any]]) -> None:
    """Put ``extent`` into every entry, None where there is no data: two values of internal time.

    The first chunk and the last one are asked. Only where rows of these are gone, all chunks are: planning a query over
    them takes several times as long.

    :param entries: aggregates or hypertables of a document.
    :raises StatementFailed: the server refuses to be read.
    """
    asked = []
    for entry in entries:
        entry["extent"] = None
        if entry["readable"] and entry["slices"] and entry["time_type"] in TIME_TYPES:
            asked.append(entry)
    for entry, extent in zip(asked, ask_all(database, [_of_outer_chunks(entry) for entry in asked])):
        entry["extent"] = extent
    unsure = [entry for entry in asked if None in entry["extent"]]
    for entry, extent in zip(unsure, ask_all(database, [_of_all_chunks(entry) for entry in unsure])):
        entry["extent"] = None if None in extent else extent


def read_sizes(database: Database, entries: t.Sequence[dict[str, t.Any]]) -> None:
    """Put ``bytes`` into every entry: of the rows in its chunks, without indexes and without what is compressed.

    :param entries: hypertables of a document, or aggregates, whose materialization is meant.
    :raises StatementFailed: the server refuses to be read.
    """
    if not entries:
        return
    names = json.dumps([_table(entry) for entry in entries])
    found = database.document(statement(_SIZES, names=literal(names))) or []
    sizes = {(schema, name): int(size or 0) for schema, name, size in found}
    for entry in entries:
        entry["bytes"] = sizes.get(_table(entry), 0)


def ask_all(database: Database, queries: t.Sequence[str]) -> list[t.Any]:
    """Run scalar expressions that give JSON, in one statement, or in one transaction when there are many.

    :raises StatementFailed: one of them is refused.
    """
    if len(queries) > _GROUP:
        with contextlib.suppress(StatementFailed):  # plpgsql may be missing, or its use not be granted
            return _ask_in_groups(database, queries)
    return list(database.document(_as_array(queries))) if queries else []


def _ask_in_groups(database: Database, queries: t.Sequence[str]) -> list[t.Any]:
    texts = [_as_array(queries[at : at + _GROUP]) for at in range(0, len(queries), _GROUP)]
    with database.transaction():  # one, so that a pooler does not part the two statements
        database.execute(statement("DO {}", literal(statement(_ASK, queries=literal(json.dumps(texts))))))
        answers = database.value("SELECT pg_catalog.current_setting('dbops_timescale.answers')")
    return [answer for group in json.loads(f"[{answers}]") for answer in group]


def _as_array(queries: t.Sequence[str]) -> str:
    return f"SELECT pg_catalog.array_to_json(ARRAY[{', '.join(queries)}]::pg_catalog.json[])::pg_catalog.text"


def _of_outer_chunks(entry: t.Mapping[str, t.Any]) -> str:
    first = min(entry["slices"])
    last = max(entry["slices"], key=lambda bounds: t.cast("int", bounds[1]))
    return f"pg_catalog.json_build_array({_end_value(entry, 'ASC', first)}, {_end_value(entry, 'DESC', last)})"


def _of_all_chunks(entry: t.Mapping[str, t.Any]) -> str:
    return f"pg_catalog.json_build_array({_end_value(entry, 'ASC')}, {_end_value(entry, 'DESC')})"


def _end_value(entry: t.Mapping[str, t.Any], direction: str, bounds: t.Sequence[int] | None = None) -> str:
    """The first or last time value within bounds. Rows at infinity have no place in internal time."""
    column = quote_identifier(entry["time_column"])
    integer = entry["time_type"] in LOWEST
    limits = [time_text(at, entry["time_type"]) for at in bounds or ()]
    above = ">="
    if not limits or any("infinity" in limit for limit in limits):
        kind = TIME_TYPES[entry["time_type"]]
        limits = [] if integer else [f"'{end}'::pg_catalog.{kind}" for end in ("-infinity", "infinity")]
        above = ">"
    within = f"WHERE {column} {above} {limits[0]} AND {column} < {limits[1]}" if limits else ""
    table = ".".join(quote_identifier(name) for name in _table(entry))
    query = f"(SELECT {column} FROM {table} {within} ORDER BY {column} {direction} LIMIT 1)"
    return query if integer else f"(EXTRACT(epoch FROM {query}) * 1000000)::pg_catalog.int8"


def _table(entry: t.Mapping[str, t.Any]) -> tuple[str, str]:
    schema, name = entry.get("materialization") or (entry["schema"], entry["name"])
    return schema, name
