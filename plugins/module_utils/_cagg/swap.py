# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Statements that keep the old aggregate's buckets and let a new one take its place by renaming.

ALTER MATERIALIZED VIEW … RENAME works on aggregates in every TimescaleDB 2.x, in a transaction with other statements;
what reads an aggregate goes on reading the old one under its new name, so it is dropped and made again there too.
"""

from __future__ import annotations

import typing as t

from .._sql import identifier, literal, raw, statement
from .attributes import default_index, name_of
from .recreate import OLD_MARK, Recreation, new_name, old_name
from .refresh import widest
from .times import time_text

__all__ = ["carry", "exchange_names", "guard", "own_index_names"]

_NAMES = """SELECT pg_catalog.format('%I.%I', i.materialization_hypertable_schema, i.materialization_hypertable_name)
  INTO STRICT {variable} FROM timescaledb_information.continuous_aggregates AS i
  WHERE i.view_schema = {schema} AND i.view_name = {name};"""
_INTEGERS = ("bigint", "integer", "smallint")
_UNACCOUNTED = "DB002"
# Places of the two materializations' names in a text; no name of PostgreSQL holds a NUL.
_OLD, _NEW = "\0old\0", "\0new\0"


def carry(one: Recreation) -> tuple[str, ...]:
    """Statements that bring over the old aggregate's buckets, for definitions whose columns mean the same.

    What nothing else gives is taken as it is, a range each. The last one brings what the old one has and the new one
    lacks for any other reason, such as rows that were deleted one by one.
    """
    if one.old is None or one.columns is None:
        return ()
    ours, theirs = one.wanted["time_column"], one.old["time_column"]
    listed = raw(", ".join(statement("{}", identifier(name)) for name in one.wanted["materialized"]))
    taken = raw(", ".join(statement("o.{}", identifier(one.columns[name])) for name in one.wanted["materialized"]))
    texts = []
    for low, high in one.lost.spans:
        span = {"low": raw(time_text(low, one.old["time_type"])), "high": raw(time_text(high, one.old["time_type"]))}
        texts.append(
            _on_both(
                one,
                [
                    ("DELETE FROM {new} AS n", " WHERE n.{ours} >= {low} AND n.{ours} < {high}"),
                    (
                        "INSERT INTO {new} ({listed}) SELECT {taken} FROM {old} AS o",
                        " WHERE o.{theirs} >= {low} AND o.{theirs} < {high}",
                    ),
                ],
                ours=identifier(ours),
                theirs=identifier(theirs),
                listed=listed,
                taken=taken,
                **span,
            )
        )
    missing = [
        (
            "INSERT INTO {new} ({listed}) SELECT {taken} FROM {old} AS o",
            " WHERE NOT EXISTS (SELECT FROM {new} AS n WHERE n.{ours} = o.{theirs})",
        )
    ]
    texts.append(_on_both(one, missing, ours=identifier(ours), theirs=identifier(theirs), listed=listed, taken=taken))
    return tuple(texts)


def guard(one: Recreation) -> str:
    """A statement that fails when a bucket of the old aggregate has no counterpart in the new one.

    What lies behind the new one's last bucket is not asked for, unless all was carried over: its rows are there, and
    the next refresh takes them in.
    """
    old = one.old or {}
    ours, theirs = statement("n.{}", identifier(one.wanted["time_column"])), "o.bucket"
    if one.same_bucket:
        touches = f"{ours} = {theirs}"
    else:
        before, behind = _length(one.wanted), _length(old)
        touches = f"{ours} > {theirs} - {before} AND {ours} < {theirs} + {behind}"
    asked = f" WHERE NOT EXISTS (SELECT FROM {_NEW} AS n WHERE {touches})"
    if one.columns is None:
        asked += f" AND NOT COALESCE({theirs} > (SELECT pg_catalog.max({ours}) FROM {_NEW} AS n), false)"
    buckets = statement("SELECT DISTINCT o.{} AS bucket FROM {} AS o", identifier(old["time_column"]), raw(_OLD))
    query = f"SELECT pg_catalog.count(*), pg_catalog.min({theirs})::pg_catalog.text,"
    query += f" pg_catalog.max({theirs})::pg_catalog.text FROM ({buckets}) AS o{asked}"
    label = f"{old['schema']}.{old['name']}"
    body = statement(
        """
DECLARE old pg_catalog.text; new pg_catalog.text; lost pg_catalog.int8; low pg_catalog.text; high pg_catalog.text;
BEGIN
  {names}
  EXECUTE {query} INTO lost, low, high;
  IF lost > 0 THEN
    RAISE EXCEPTION USING ERRCODE = {state}, MESSAGE = pg_catalog.format({told}, lost, low, high), HINT = {hint};
  END IF;
END
""",
        names=raw(_both_names(one)),
        query=raw(_concatenated(query)),
        state=literal(_UNACCOUNTED),
        told=literal(
            "%s buckets of " + label.replace("%", "%%") + " (%s to %s) are not in the aggregate that is to replace it"
        ),
        hint=literal(
            "Nothing was replaced. With history: ignore they are left behind; run again without it then, for what only"
            " the source has."
        ),
    )
    return statement("DO {}", literal(body))


def _length(entry: t.Mapping[str, t.Any]) -> str:
    if entry["time_type"] in _INTEGERS:
        return str(int(entry["bucket_width"]))
    return f"'{widest(entry)} microseconds'::pg_catalog.interval"


def _on_both(one: Recreation, parts: t.Sequence[tuple[str, str]], **values: t.Any) -> str:
    """A block that runs statements over both materializations, whose names only the server knows."""
    runs = []
    for parts_of in parts:
        text = statement("".join(parts_of), **values, new=raw(_NEW), old=raw(_OLD))
        runs.append(f"  EXECUTE {_concatenated(text)};")
    body = statement(
        "\nDECLARE old pg_catalog.text; new pg_catalog.text;\nBEGIN\n  {}\n{}\nEND\n",
        raw(_both_names(one)),
        raw("\n".join(runs)),
    )
    return statement("DO {}", literal(body))


def _both_names(one: Recreation) -> str:
    schema, name = one.wanted["schema"], one.wanted["name"]
    found = [
        statement(_NAMES, variable=raw(variable), schema=literal(schema), name=literal(called))
        for variable, called in (("old", name), ("new", new_name(name)))
    ]
    return "\n  ".join(found)


def _concatenated(text: str) -> str:
    """A statement's text as an expression in which the two names are variables."""
    parts = text.split("\0")  # every second one is a place
    return " || ".join(
        part if place % 2 else statement("{}", literal(part)) for place, part in enumerate(parts) if part
    )


def own_index_names(entry: t.Mapping[str, t.Any]) -> list[str]:
    """Indexes that are created under the name that somebody gave them.

    The others are called after the materialization, or are like the one that comes with every aggregate.
    """
    tail = default_index(entry)
    there = next((index for index in entry["indexes"] or () if not index["unique"] and index["tail"] == tail), None)
    named = [index for index in entry["indexes"] or () if not index["name"].startswith(entry["materialization"][1])]
    return [index["name"] for index in named if index is not there]


def exchange_names(one: Recreation) -> list[str]:
    """The old aggregate goes aside and the new one takes its name, and the names of the indexes with it."""
    wanted, old = one.wanted, one.old
    schema, name = wanted["schema"], wanted["name"]
    rename = "ALTER MATERIALIZED VIEW {} RENAME TO {}"
    texts = []
    if old is not None:
        aside = identifier(schema, old_name(name))
        texts.append(statement(rename, name_of(old), identifier(old_name(name))))
        texts.append(statement("COMMENT ON VIEW {} IS {}", aside, literal(OLD_MARK.format(f"{schema}.{name}"))))
        taken = set(own_index_names(wanted)) & {index["name"] for index in old["indexes"] or ()}
        texts += [_renamed_index(old, index, old_name(index)) for index in sorted(taken)]
    texts.append(statement(rename, identifier(schema, new_name(name)), identifier(name)))
    texts.append(statement("COMMENT ON VIEW {} IS {}", name_of(wanted), literal(_comment(one))))
    texts += [_renamed_index(wanted, new_name(index), index) for index in own_index_names(wanted)]
    return texts


def _renamed_index(entry: t.Mapping[str, t.Any], name: str, called: str) -> str:
    return statement("ALTER INDEX {} RENAME TO {}", identifier(entry["materialization"][0], name), identifier(called))


def _comment(one: Recreation) -> t.Any:
    return one.wanted["comment"] if one.wanted["comment"] is not None else (one.old or {}).get("comment")
