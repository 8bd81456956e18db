# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Reads the statements that pg_dump wrote: cuts them, and reads names at their head. Quotes are respected everywhere.

Source of the rules: PostgreSQL manual, chapter 4.1 (lexical structure).
"""

from __future__ import annotations

import re
import typing as t

from .._sql import quote_identifier

__all__ = [
    "Token",
    "before",
    "columns",
    "cut",
    "holds",
    "is_placeholder",
    "on_table",
    "relation",
    "tokens",
    "unquote",
    "without_only",
]

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*)
  | (?P<comment>/\*)
  | (?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][\w]*)?\$)
  | (?P<string>[eE]'(?:[^'\\]|\\.|'')*'|(?:[uU]&|[bBxXnN])?'(?:[^']|'')*')
  | (?P<quoted>(?:[uU]&)?"(?:[^"]|"")*")
  | (?P<word>[A-Za-z_\x80-\U0010ffff][\w$]*)
  | (?P<number>\d[\w.]*)
  | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARK = re.compile(r"/\*|\*/")


# The word that a statement's relation follows; ON for all others.
_BEFORE_RELATION = {"RULE": "TO", "STATISTICS": "FROM", "VIEW": "VIEW"}


class Token(t.NamedTuple):
    """A piece of a statement: word, quoted, string, number or sign; ``text`` as written, and where it stands."""

    kind: str
    text: str
    start: int
    end: int

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.upper() in words

    @property
    def name(self) -> str:
        """The name this token stands for, when it is one."""
        return unquote(self.text)


def unquote(text: str) -> str:
    """A name without its quotes; an unquoted one is folded to lower case, as the server does."""
    return text[1:-1].replace('""', '"') if text.startswith('"') else text.lower()


def tokens(text: str, start: int = 0) -> t.Iterator[Token]:
    """Give the tokens of SQL text, without blanks and comments."""
    position = start
    while position < len(text):
        match = t.cast("re.Match[str]", _TOKEN.match(text, position))
        kind, end = str(match.lastgroup), match.end()
        if kind == "comment":
            end = _end_of_comment(text, end)
        elif kind == "dollar":
            closing = text.find(match.group(), end)
            kind, end = "string", len(text) if closing < 0 else closing + len(match.group())
        if kind not in ("space", "comment"):
            yield Token(kind, text[position:end], position, end)
        position = end


def _end_of_comment(text: str, position: int) -> int:
    depth = 1
    while depth:
        mark = _COMMENT_MARK.search(text, position)
        if mark is None:
            return len(text)
        depth += 1 if mark.group() == "/*" else -1
        position = mark.end()
    return position


def cut(text: str) -> list[str]:
    """Cut text into statements, without their semicolons. A semicolon inside parentheses (CREATE RULE) does not cut."""
    whole = text.strip()
    if whole.endswith(";") and whole.count(";") == 1:  # most entries: nothing to look for
        return [whole[:-1].rstrip()]
    found, begin, depth = [], None, 0
    end = 0
    for token in tokens(text):
        if token.kind == "sign" and token.text == ";" and depth == 0:
            if begin is not None:
                found.append(text[begin:end])
            begin = None
            continue
        begin, end = token.start if begin is None else begin, token.end
        if token.kind == "sign" and token.text in "()":
            depth += 1 if token.text == "(" else -1
    return found if begin is None else [*found, text[begin:end]]


def relation(text: str) -> tuple[str, ...]:
    """The relation that a statement of the section works on, () when its head does not tell."""
    head = on_table(text)
    if head is not None:
        return head.names
    words = list(tokens(text))
    if not words or not words[0].is_word("CREATE", "REFRESH"):
        return ()
    what = next((word.text.upper() for word in words[1:4] if word.is_word(*_BEFORE_RELATION)), "")
    before = _BEFORE_RELATION.get(what, "ON")
    for number, token in enumerate(words[:-1]):
        if token.is_word(before):
            return _names(words, number + 1)
    return ()


def _names(words: t.Sequence[Token], at: int) -> tuple[str, ...]:
    at += at + 1 < len(words) and words[at].is_word("ONLY")
    found = [words[at].name]
    while at + 2 < len(words) and words[at + 1].text == ".":
        at += 2
        found.append(words[at].name)
    return tuple(found)


class Head(t.NamedTuple):
    """``ALTER TABLE [ONLY] name`` at the head of a statement, and the text after it."""

    only: bool
    names: tuple[str, ...]
    rest: str


def on_table(text: str) -> Head | None:
    """Read the head of an ALTER TABLE statement, None when it is another one."""
    stream = tokens(text)
    first, second, token = next(stream, None), next(stream, None), next(stream, None)
    if not (first and second and token and first.is_word("ALTER") and second.is_word("TABLE")):
        return None
    only = token.is_word("ONLY")
    parts = [next(stream, token) if only else token]
    for following in stream:
        if following.text != ".":
            break
        parts.append(next(stream, following))
    return Head(only, tuple(part.name for part in parts), text[parts[-1].end :].lstrip())


def without_only(text: str) -> str:
    """Take ONLY from the head of an ALTER TABLE statement: TimescaleDB refuses it on hypertables (2.0 to 2.29)."""
    head = on_table(text)
    if head is None or not head.only:
        return text
    return f"ALTER TABLE {'.'.join(quote_identifier(name) for name in head.names)} {head.rest}"


def columns(definition: str) -> tuple[str, ...]:
    """The plain columns in the first list of a definition, ``UNIQUE (a, "B")`` or ``… USING btree (a, lower(b))``.

    A column inside an expression does not count: the server does not take it as a key column either.
    """
    found: list[str] = []
    depth, fresh, candidate = 0, False, ""
    for token in tokens(definition):
        if token.text == "(":
            depth += 1
            fresh, candidate = depth == 1, ""
        elif token.text in (",", ")") and depth == 1:
            found += [candidate] if candidate else []
            fresh, candidate = True, ""
            if token.text == ")":
                break
        elif token.text == ")":
            depth -= 1
        elif fresh:
            candidate = token.name if token.kind in ("word", "quoted") else ""
            fresh = False
    return tuple(found)


def before(text: str, word: str) -> tuple[str, ...]:
    """The words, in upper case, that stand before the first ``word``."""
    found: list[str] = []
    for token in tokens(text):
        if token.is_word(word):
            break
        found += [token.text.upper()] if token.kind == "word" else []
    return tuple(found)


def holds(text: str, *wanted: str | tuple[str, ...]) -> bool:
    """Whether those words follow one another somewhere; a tuple stands for any of its words."""
    run = list(tokens(text))
    choices = [(one,) if isinstance(one, str) else one for one in wanted]
    return any(
        all(token.is_word(*words) for token, words in zip(run[at:], choices))
        for at in range(len(run) - len(choices) + 1)
    )


def is_placeholder(query: str) -> bool:
    """Whether a view has only the empty body that pg_dump gives it in pre-data: SELECT NULL::type AS name, …"""
    first, *rest = list(tokens(query)) or [Token("sign", "", 0, 0)]
    if not first.is_word("SELECT") or any(token.is_word("FROM", "UNION", "VALUES", "WITH", "WHERE") for token in rest):
        return False
    depth, fresh = 0, True
    for number, token in enumerate(rest):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if fresh and token.text not in "(;":  # a collation stands in parentheses: (NULL::text COLLATE "C")
            cast = number + 1 < len(rest) and rest[number + 1].text == ":"
            if not (token.is_word("NULL") and cast):
                return False
            fresh = False
        fresh = fresh or (token.text == "," and depth == 0)
    return True
