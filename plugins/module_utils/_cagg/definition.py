# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Definitions: carried from one version to another, and printed by one server so that they can be compared."""

from __future__ import annotations

import json
import re
import typing as t

from .._connection import Database, Facts
from .._errors import StatementFailed
from .._sql import quote_identifier
from .._versions import TS_VALIDATE_QUERY

__all__ = ["PIECES", "print_definitions", "probe_of", "translate"]

# Pieces of SQL text as a server prints it: strings, quoted names, words, and everything else letter by letter.
PIECES = re.compile(
    r"""[Ee]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|[A-Za-z_\x80-\U0010ffff][\w$]*|\s+|.""", re.DOTALL
)
_NG = ["timescaledb_experimental", ".", "time_bucket_ng", "("]
# time_bucket_ng counts every width from 2000-01-01; time_bucket counts days and weeks from 2000-01-03.
_NG_ORIGIN = "2000-01-01 00:00:00"

# cagg_validate_query puts NULL for $1, in names and strings too, and then refuses what it made of it (up to 2.29).
_PLACE = re.compile(r"\$[0-9]")
_FUNCTION_NAME = re.compile(
    r"""(CREATE OR REPLACE (?:FUNCTION|PROCEDURE) )(?:"(?:[^"]|"")*"|[^".(]+)\.(?:"(?:[^"]|"")*"|[^".(]+)(?=\()"""
)
# One probe per definition. A subtransaction each: the view is gone before the next one, and so are its locks.
_PROBE = """DO $probe$
DECLARE
  item pg_catalog.jsonb;
  answer pg_catalog.jsonb := '[]';
  found pg_catalog.jsonb;
  verdict record;
  told text; state text; detail text; advice text;
BEGIN
  FOR item IN SELECT e
    FROM pg_catalog.jsonb_array_elements(pg_catalog.current_setting('dbops_timescale.asked')::pg_catalog.jsonb) AS e
  LOOP
    found := '{}';
    BEGIN
      IF pg_catalog.starts_with(item ->> 'text', 'CREATE OR REPLACE ') THEN
        EXECUTE item ->> 'text';
        found := pg_catalog.jsonb_build_object('printed', (SELECT pg_catalog.pg_get_functiondef(p.oid)
          FROM pg_catalog.pg_proc AS p
          WHERE p.pronamespace = pg_catalog.pg_my_temp_schema() AND p.proname = 'dbops_timescale_probe'));
      ELSE
        EXECUTE 'CREATE TEMPORARY VIEW dbops_timescale_probe AS ' || (item ->> 'text');
        found := pg_catalog.jsonb_build_object(
          'printed', pg_catalog.pg_get_viewdef('pg_temp.dbops_timescale_probe'::pg_catalog.regclass));
      END IF;
      RAISE EXCEPTION USING ERRCODE = 'DB001';
    EXCEPTION WHEN SQLSTATE 'DB001' THEN NULL;
    WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS told = MESSAGE_TEXT, state = RETURNED_SQLSTATE,
        detail = PG_EXCEPTION_DETAIL, advice = PG_EXCEPTION_HINT;
      found := pg_catalog.jsonb_build_object('message', told, 'sqlstate', state, 'detail', detail, 'hint', advice);
    END;
    IF (item ->> 'validate')::pg_catalog.bool AND found ? 'printed' THEN
      BEGIN
        EXECUTE 'SELECT * FROM _timescaledb_functions.cagg_validate_query($1)' INTO verdict USING item ->> 'text';
        IF NOT verdict.is_valid THEN
          found := pg_catalog.jsonb_build_object('message', verdict.error_message, 'sqlstate', verdict.error_code,
            'detail', verdict.error_detail, 'hint', verdict.error_hint);
        END IF;
      EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS told = MESSAGE_TEXT, state = RETURNED_SQLSTATE,
        detail = PG_EXCEPTION_DETAIL, advice = PG_EXCEPTION_HINT;
        found := pg_catalog.jsonb_build_object('message', told, 'sqlstate', state, 'detail', detail, 'hint', advice);
      END;
    END IF;
    answer := answer || pg_catalog.jsonb_build_array(found);
  END LOOP;
  PERFORM pg_catalog.set_config('dbops_timescale.answer', answer::pg_catalog.text, true);
END
$probe$"""


def print_definitions(database: Database, asked: t.Sequence[tuple[str, bool]]) -> list[dict[str, str]]:
    """Let one server parse and print definitions: a temporary view or function each, in a transaction rolled back.

    A fixed number of statements, however many definitions there are; also good for check mode.

    :param asked: pairs of a text, a query or what ``probe_of`` gives, and whether TimescaleDB shall judge it as an
        aggregate's.
    :returns: for each either ``printed``, or ``message``, ``sqlstate``, ``detail`` and ``hint`` of the refusal.
    :raises StatementFailed: the server does not take part (no plpgsql, say).
    """
    if not asked:
        return []
    judges = database.timescale is not None and database.timescale >= TS_VALIDATE_QUERY
    request = [{"text": text, "validate": validate and judges and not _PLACE.search(text)} for text, validate in asked]
    database.execute("BEGIN")
    try:
        database.rows(
            "SELECT pg_catalog.set_config('dbops_timescale.asked', %(asked)s, true)", {"asked": json.dumps(request)}
        )
        database.execute(_PROBE)
        answer: list[dict[str, str]] = json.loads(
            database.value("SELECT pg_catalog.current_setting('dbops_timescale.answer')")
        )
    finally:
        _roll_back(database)
    return [{key: value or "" for key, value in found.items()} for found in answer]


def _roll_back(database: Database) -> None:
    try:
        database.execute("ROLLBACK")
    except StatementFailed:
        database.close()
    database.take_notices()


def probe_of(text: str) -> str:
    """A function's definition, as pg_get_functiondef gives it, under a name of this session alone."""
    return _FUNCTION_NAME.sub(r"\1pg_temp.dbops_timescale_probe", text.strip(), count=1)


def translate(text: str, source: Facts, target: Facts, functions: t.Collection[str]) -> str:
    """Write the source's definition for the target.

    The extension may live in another schema, and time_bucket_ng became time_bucket (gone in TimescaleDB 2.25, no longer
    taken from 2.15 on); its origin is written out, so that the buckets stay where they are.

    :param text: as the source printed it with an empty search_path.
    :param functions: names of the target extension's functions in the extension's schema.
    """
    pieces = PIECES.findall(text)
    if source.extension_schema != target.extension_schema:
        pieces = _moved(pieces, source.extension_schema, target.extension_schema, functions)
    return "".join(_without_ng(pieces, target.extension_schema))


def _moved(pieces: list[str], old: str, new: str, functions: t.Collection[str]) -> list[str]:
    olds = (old, quote_identifier(old))
    moved = list(pieces)
    for place, piece in enumerate(pieces[:-2]):
        first = place == 0 or pieces[place - 1] != "."
        if first and piece in olds and pieces[place + 1] == "." and pieces[place + 2].strip('"') in functions:
            moved[place] = quote_identifier(new)
    return moved


def _without_ng(pieces: list[str], schema: str) -> list[str]:
    written: list[str] = []
    place = 0
    while place < len(pieces):
        if pieces[place : place + 4] != _NG:
            written.append(pieces[place])
            place += 1
            continue
        arguments, place = _arguments(pieces, place + 4)
        inner = ["".join(_without_ng(argument, schema)).strip() for argument in arguments]
        written.append(f"{quote_identifier(schema)}.time_bucket({', '.join(_bucket_arguments(inner))})")
    return written


def _arguments(pieces: list[str], place: int) -> tuple[list[list[str]], int]:
    """The arguments of a call whose bracket has just been opened, and the place behind it."""
    arguments: list[list[str]] = [[]]
    depth = 1
    while place < len(pieces):
        piece = pieces[place]
        place += 1
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(piece, 0)
        if depth == 0:
            break
        if piece == "," and depth == 1:
            arguments.append([])
        else:
            arguments[-1].append(piece)
    return arguments, place


def _bucket_arguments(given: list[str]) -> list[str]:
    """time_bucket_ng(width, ts [, origin] [, timezone]) as arguments of time_bucket."""
    width, ts, *named = given
    more = [re.sub(r"^(?:origin|timezone) => ", "", argument) for argument in named]
    zones = [argument for argument in more if argument.endswith("::text")]
    origins = [argument for argument in more if not argument.endswith("::text")]
    if zones:
        at_zone = f"'{_NG_ORIGIN}'::timestamp without time zone AT TIME ZONE {zones[0]}"
        return [width, ts, f"timezone => {zones[0]}", f"origin => {origins[0] if origins else f'({at_zone})'}"]
    return [width, ts, f"origin => {origins[0]}" if origins else f"origin => '{_NG_ORIGIN}'"]
