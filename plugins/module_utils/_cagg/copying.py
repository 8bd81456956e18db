# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Copies buckets from the source's materialization into the target's: COPY to COPY, no file, constant memory."""

from __future__ import annotations

import contextlib
import os
import threading
import typing as t

from .._connection import Database
from .._errors import StatementFailed, TimescaleError
from .._sql import identifier, literal, raw, statement
from .times import time_text

__all__ = ["copy_buckets"]

_MATERIALIZATION = """
SELECT i.materialization_hypertable_schema, i.materialization_hypertable_name,
  (SELECT pg_catalog.json_agg(k.attname) FROM pg_catalog.pg_attribute AS k
   JOIN pg_catalog.pg_class AS c ON c.oid = k.attrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
   WHERE n.nspname = i.materialization_hypertable_schema AND c.relname = i.materialization_hypertable_name
   AND k.attnum > 0 AND NOT k.attisdropped AND k.attgenerated = '')
FROM timescaledb_information.continuous_aggregates AS i WHERE i.view_schema = {} AND i.view_name = {}
"""

# A range may hold more compressed rows than one transaction may touch by default; a refresh does the same.
_WITHOUT_LIMIT = """
SELECT pg_catalog.set_config(s.name, '0', true) FROM pg_catalog.pg_settings AS s
WHERE s.name = 'timescaledb.max_tuples_decompressed_per_dml_transaction'
"""

_ASIDE = """CREATE TEMPORARY TABLE dbops_timescale_history ON COMMIT DROP AS SELECT {} FROM {} WHERE {} LIMIT 0"""
_REPLACED = "DELETE FROM {} WHERE {} AND {} IN (SELECT h.{} FROM pg_temp.dbops_timescale_history AS h)"
_TAKEN_OVER = "INSERT INTO {} ({}) SELECT {} FROM pg_temp.dbops_timescale_history"


def copy_buckets(
    source: Database, entry: t.Mapping[str, t.Any], low: int, high: int, shared: bool = False
) -> t.Callable[[Database], None]:
    """The work of one history step: replace the target's buckets of one range by the source's, in one transaction.

    One contiguous range per transaction: an insert over two would make aggregates above recompute what lies between.

    :param source: a session whose like is opened for the copy.
    :param entry: the source's aggregate, under the name that the target's has.
    :param shared: the target has buckets there that the source does not have; they stay.
    :returns: what ``Step.work`` takes; it raises StatementFailed, or TimescaleError when the two sides' columns differ.
    """

    def work(target: Database) -> None:
        lookup = statement(_MATERIALIZATION, literal(entry["schema"]), literal(entry["name"]))
        schema, table, columns = target.rows(lookup)[0]
        if sorted(columns) != sorted(entry["materialized"]):
            raise TimescaleError(
                f"The materializations of {entry['schema']}.{entry['name']} have different columns on the two sides.",
                hint="Compare the two definitions; with history: ignore the task goes on without the old buckets.",
            )
        listed = raw(", ".join(statement("{}", identifier(column)) for column in entry["materialized"]))
        where = statement(
            "{column} >= {low} AND {column} < {high}",
            column=identifier(entry["time_column"]),
            low=raw(time_text(low, entry["time_type"])),
            high=raw(time_text(high, entry["time_type"])),
        )
        take = statement(
            "COPY (SELECT {} FROM {} WHERE {}) TO STDOUT", listed, identifier(*entry["materialization"]), raw(where)
        )
        with target.transaction():
            target.rows(_WITHOUT_LIMIT)
            stored, column = identifier(schema, table), identifier(entry["time_column"])
            if shared:
                # Which buckets the source has is known once they are here.
                target.execute(statement(_ASIDE, listed, stored, raw(where)))
                _stream(source, take, target, statement("COPY pg_temp.dbops_timescale_history ({}) FROM STDIN", listed))
                target.execute(statement(_REPLACED, stored, raw(where), column, column))
                target.execute(statement(_TAKEN_OVER, stored, listed, listed))
                return
            target.execute(statement("DELETE FROM {} WHERE {}", stored, raw(where)))
            _stream(source, take, target, statement("COPY {} ({}) FROM STDIN", stored, listed))

    return work


def _stream(source: Database, take: str, target: Database, give: str) -> None:
    """Connect the two COPY statements by a pipe. An error of either side is raised, so that nothing is committed."""
    reading, writing = os.pipe()
    failed: list[BaseException] = []

    def send() -> None:
        try:
            with os.fdopen(writing, "wb") as file, contextlib.closing(source.another()) as reader:
                reader.copy_out(take, file)
        except BrokenPipeError:
            pass  # the target's error is the one to tell
        except BaseException as error:
            failed.append(error)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    try:
        with os.fdopen(reading, "rb") as file:
            target.copy_in(give, file)
    except StatementFailed:
        failed.clear()
        raise
    finally:
        sender.join()
    if failed:
        raise failed[0]
