# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Columnstore settings of hypertables: what compression policies stand on."""

from __future__ import annotations

import typing as t

from .._sql import identifier, literal, quote_identifier, raw, statement

if t.TYPE_CHECKING:
    from psycopg2.sql import Composable

    from .model import Name

__all__ = ["alter", "cannot_unset", "described", "same"]

_OPTIONS = ("segmentby", "orderby", "interval", "sparse")


def same(wanted: dict[str, t.Any], existing: dict[str, t.Any] | None) -> bool:
    """Whether a hypertable is compressed the same way."""
    return wanted == existing or (existing is not None and described(wanted) == described(existing))


def cannot_unset(wanted: dict[str, t.Any], existing: dict[str, t.Any] | None) -> list[str]:
    """Settings that the target has and the source leaves to TimescaleDB: no statement brings back "not given"."""
    if existing is None:
        return []
    return [key for key in _OPTIONS if wanted.get(key) is None and existing.get(key) is not None]


def described(settings: dict[str, t.Any] | None) -> str:
    """The settings as the options that make them, for comparing and for people."""
    if settings is None:
        return ""
    return "\n".join(f"{name}: {text}" for name, text in _texts(settings))


def alter(relation: Name, settings: dict[str, t.Any]) -> str:
    """The statement that turns the columnstore on, or changes its settings for chunks compressed from now on.

    The names of the options with ``compress`` are known to every TimescaleDB 2.x.
    """
    options: list[Composable] = [raw("timescaledb.compress")]
    options += [raw(statement("timescaledb.{} = {}", raw(name), literal(text))) for name, text in _texts(settings)]
    listed = ", ".join(statement("{}", option) for option in options)
    return statement("ALTER TABLE {} SET ({})", identifier(relation.schema, relation.name), raw(listed))


def _texts(settings: dict[str, t.Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if settings.get("segmentby") is not None:
        found.append(("compress_segmentby", ", ".join(quote_identifier(name) for name in settings["segmentby"])))
    if settings.get("orderby"):
        found.append(("compress_orderby", ", ".join(_ordered(column) for column in settings["orderby"])))
    if settings.get("interval") is not None:
        # The catalog holds microseconds, whatever was typed (one month is stored as 30 days).
        found.append(("compress_chunk_time_interval", f"{settings['interval']} microseconds"))
    if settings.get("sparse"):
        found.append(("sparse_index", ", ".join(_sparse(index) for index in settings["sparse"])))
    return found


def _ordered(column: dict[str, t.Any]) -> str:
    direction = "DESC" if column["descending"] else "ASC"
    return f"{quote_identifier(column['column'])} {direction} NULLS {'FIRST' if column['nulls_first'] else 'LAST'}"


def _sparse(index: dict[str, t.Any]) -> str:
    columns = index["column"] if isinstance(index["column"], list) else [index["column"]]
    return f"{index['type']}({', '.join(quote_identifier(name) for name in columns)})"
