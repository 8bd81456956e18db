# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Statement text. Statements are composed with psycopg2.sql and rendered here without a connection.

The text that is shown is the text that is executed, and a plan can be made and compared where no server is.
"""

from __future__ import annotations

import functools
import itertools
import json
import string
import typing as t

from ._driver import sql

if t.TYPE_CHECKING:
    from psycopg2.sql import Composable

__all__ = ["identifier", "literal", "quote_identifier", "quote_literal", "raw", "statement", "typed"]


def quote_identifier(name: str) -> str:
    """Quote one name for SQL. Source of the rule: PostgreSQL manual, 4.1.1 (a doubled quote inside quotes)."""
    if "\0" in name:
        raise ValueError("a PostgreSQL name cannot hold a NUL character")
    return '"' + name.replace('"', '""') + '"'


def quote_literal(value: t.Any) -> str:
    """Write a value as an SQL literal: None, bool, int, float, str, and dict or list as JSON text.

    A string with a backslash becomes an E'' string, so that the text means the same whatever
    standard_conforming_strings says (PostgreSQL manual, 4.1.2.2).
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    text = json.dumps(value, ensure_ascii=False, sort_keys=True) if isinstance(value, (dict, list)) else str(value)
    if "\0" in text:
        raise ValueError("a PostgreSQL string cannot hold a NUL character")
    quoted = "'" + text.replace("'", "''") + "'"
    return "E" + quoted.replace("\\", "\\\\") if "\\" in text else quoted


def identifier(*names: str) -> Composable:
    """A name, qualified when several parts are given."""
    return sql.Identifier(*names)


def literal(value: t.Any) -> Composable:
    """A value."""
    return sql.Literal(value)


def typed(value: t.Any, type_name: str) -> Composable:
    """A value with a cast; type_name is our own constant text, never input."""
    return sql.Composed([sql.Literal(value), sql.SQL("::" + type_name)])


def raw(text: str) -> Composable:
    """SQL text that a server printed (pg_get_indexdef and its like) or that is a constant of ours."""
    return sql.SQL(text)


def statement(template: str, *args: Composable, **kwargs: Composable) -> str:
    """Fill a template with composables and render it.

    :param template: constant SQL text with ``{}`` or ``{name}`` places.
    :returns: the statement, ready to be shown and executed.
    """
    values = {**kwargs, **{str(number): value for number, value in enumerate(args)}}
    return "".join([text if name is None else text + _render(values[name]) for text, name in _pieces(template)])


@functools.lru_cache(maxsize=256)
def _pieces(template: str) -> tuple[tuple[str, str | None], ...]:
    """A template's texts, each with the name of the place behind it; plans fill the same few templates very often."""
    numbers = itertools.count()
    parsed = string.Formatter().parse(template)
    return tuple((text, str(next(numbers)) if name == "" else name) for text, name, _form, _conversion in parsed)


def _render(part: t.Any) -> str:
    kind = type(part)
    if kind is sql.SQL:
        return str(part.string)
    if kind is sql.Literal:
        return quote_literal(part.wrapped)
    if kind is sql.Identifier:
        return ".".join(quote_identifier(name) for name in part.strings)
    if kind is sql.Composed:
        return "".join(_render(item) for item in part.seq)
    raise TypeError(f"cannot render {kind.__name__}")
