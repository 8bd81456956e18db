# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Whether the columns of two aggregates mean the same: what one server printed, taken apart.

Nothing is guessed: two columns mean the same when their expressions are the same text, printed by one server, and
everything behind the select list is too.
"""

from __future__ import annotations

import re
import typing as t

from .definition import PIECES

__all__ = ["carried_columns", "changed_columns", "column_names", "same_bucket"]

# Names of columns that mean something else in a new aggregate than in the old one; None stands for all of them.
Changed = t.Optional[t.AbstractSet[str]]

_PLAIN = re.compile(r'"[a-z_][a-z0-9_$]*"')


def carried_columns(
    new: str, old: str, renamed: t.Mapping[str, str] | None = None, changed: Changed = frozenset()
) -> dict[str, str] | None:
    """Which column of the old aggregate holds what each column of the new one means.

    :param new: the wanted definition; ``old``: the other one; both as one server printed them.
    :param renamed: relations that the old definition names otherwise.
    :param changed: what means something else in the aggregates that both read, if they read one.
    :returns: new column -> old column; None when a column has no counterpart, or the rest of the queries differs.
    """
    ours, theirs = _taken_apart(new, {}), _taken_apart(old, renamed or {})
    if ours is None or theirs is None or ours[1] != theirs[1] or _names_any(new, changed):
        return None
    by_expression = {expression: name for name, expression in theirs[0].items()}
    if any(expression not in by_expression for expression in ours[0].values()):
        return None
    return {name: by_expression[expression] for name, expression in ours[0].items()}


def changed_columns(
    new: str, old: str, renamed: t.Mapping[str, str] | None = None, changed: Changed = frozenset()
) -> Changed:
    """Which columns mean something else than those of the same name: what stands on both may be one text, and differ.

    The parameters are those of carried_columns.
    """
    ours, theirs = _taken_apart(new, {}), _taken_apart(old, renamed or {})
    if ours is None or theirs is None or ours[1] != theirs[1] or _names_any(ours[1], changed):
        return None
    return {
        name
        for name in ours[0].keys() | theirs[0].keys()
        if ours[0].get(name) != theirs[0].get(name) or _names_any(ours[0][name], changed)
    }


def column_names(text: str) -> t.Collection[str]:
    """The output columns of a query as a server printed it; none for what is no plain SELECT."""
    found = _taken_apart(text, {})
    return found[0].keys() if found is not None else ()


def same_bucket(
    new: str, old: str, new_column: str, old_column: str, renamed: t.Mapping[str, str] | None = None
) -> bool:
    """Whether both definitions cut time in the same way: the expressions of their time columns are one."""
    ours, theirs = _taken_apart(new, {}), _taken_apart(old, renamed or {})
    if ours is None or theirs is None:
        return False
    found = ours[0].get(new_column)
    return found is not None and found == theirs[0].get(old_column)


def _taken_apart(text: str, renamed: t.Mapping[str, str]) -> tuple[dict[str, str], str] | None:
    """Output column -> expression, and what stands behind the list; None for what is no plain SELECT."""
    pieces = [_plain(piece, renamed) for piece in PIECES.findall(text.strip().rstrip(";")) if not piece.isspace()]
    if not pieces or pieces[0].upper() != "SELECT":
        return None
    columns: dict[str, str] = {}
    item: list[str] = []
    depth = 0
    for place, piece in enumerate(pieces[1:], start=1):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(piece, 0)
        if depth == 0 and piece in (",", "FROM"):
            name, expression = _named(item)
            columns[name] = expression
            item = []
            if piece == "FROM":
                return columns, " ".join(pieces[place:])
            continue
        item.append(piece)
    return None


def _plain(piece: str, renamed: t.Mapping[str, str]) -> str:
    """A name in one spelling, whether the server had to quote it or not."""
    bare = piece[1:-1].replace('""', '"') if piece.startswith('"') else piece
    if bare in renamed:
        piece = '"' + renamed[bare].replace('"', '""') + '"'
    return piece[1:-1] if _PLAIN.fullmatch(piece) else piece


def _named(item: t.Sequence[str]) -> tuple[str, str]:
    """A printed output column: ``expression AS name``, or a column that keeps its name."""
    if len(item) > 2 and item[-2] == "AS":
        return _unquoted(item[-1]), " ".join(item[:-2])
    return _unquoted(item[-1]), " ".join(item)


def _names_any(text: str, names: Changed) -> bool:
    return names is None or bool(names & {_unquoted(piece) for piece in PIECES.findall(text)})


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
