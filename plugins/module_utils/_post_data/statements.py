# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""The wanted state when there is only an archive: a catalog document, made from the statements themselves.

A statement's head gives names exactly, quotes respected; it must agree with the entry's tag. What cannot be read so
gets no row, and the plan reports it.
"""

from __future__ import annotations

import itertools
import typing as t

from . import scanner
from .archive import Archive, Entry
from .catalog import Document
from .objects import CATALOGS
from .scanner import Token

__all__ = ["document_of"]

Row = dict[str, t.Any]
_PARTS = (
    "relations",
    "indexes",
    "constraints",
    "triggers",
    "rules",
    "policies",
    "statistics",
    "reads",
    "matviews",
    "event_triggers",
    "publications",
    "publication_tables",
    "publication_schemas",
    "subscriptions",
    "default_privileges",
    "chunks",
    "tablespaces",
    "extension_dependencies",
)
_TYPES = {"PRIMARY": "p", "UNIQUE": "u", "EXCLUDE": "x", "FOREIGN": "f", "CHECK": "c", "NOT": "n"}
_STATES = {("DISABLE",): "D", ("ENABLE", "REPLICA"): "R", ("ENABLE", "ALWAYS"): "A"}


def document_of(archive: Archive) -> Document:
    """Make a document like the catalog's from what an archive says."""
    writer = _Writer()
    for entry in archive:
        writer.take(entry)
    return writer.document


class _Writer:
    def __init__(self) -> None:
        self.document: Document = {**{part: [] for part in _PARTS}, "archive": True}
        self._relations: dict[tuple[str, ...], Row] = {}
        self._rows: dict[int, Row] = {}  # by the entry's number

    def take(self, entry: Entry) -> None:
        """Add the rows for one entry, or none when its text does not tell exactly."""
        readers: dict[str, t.Callable[[Entry, list[str]], Row | None]] = {
            "INDEX": self._index,
            "CONSTRAINT": self._constraint,
            "FK CONSTRAINT": self._constraint,
            "CHECK CONSTRAINT": self._constraint,
            "INDEX ATTACH": self._attach,
            "TRIGGER": self._trigger,
            "RULE": self._rule,
            "POLICY": self._policy,
            "STATISTICS": self._statistics,
            "ROW SECURITY": self._table,
            "MATERIALIZED VIEW DATA": self._table,
            "COMMENT": self._comment,
        }
        # A forged entry may hold a statement of comments and signs alone.
        texts = [text for text in scanner.cut(entry.text) if any(True for _token in scanner.tokens(text))]
        reader = readers.get(entry.desc)
        row = reader(entry, texts) if reader is not None and texts else None
        if row is not None:
            self._rows[entry.dump_id] = row

    def _relation(self, text: str, entry: Entry) -> Row | None:
        """The row of the relation that a statement names; its number is made up."""
        names = scanner.relation(text)
        if len(names) != 2 or names[0] != entry.schema:
            return None
        row = self._relations.get(names)
        if row is None:
            row = {
                "oid": -1 - len(self._relations),
                "schema": names[0],
                "name": names[1],
                "kind": "r",
                "row_security": False,
                "replica_identity": "d",
                "populated": True,
                "hypertable_id": None,
                "dimensions": None,
                "columnstore": False,
                "on_aggregate": False,
                "parent": None,
                "bytes": 0,
                "chunks": 0,
            }
            self._relations[names] = row
            self.document["relations"].append(row)
        return row

    def _add(self, part: str, entry: Entry, text: str, name: str, tag: str, **more: t.Any) -> Row | None:
        relation = self._relation(text, entry)
        if relation is None or entry.tag != tag.format(table=relation["name"], name=name):
            return None
        row = {"oid": entry.oid, "relation": relation["oid"], "name": name, "comment": None, **more}
        self.document[part].append(row)
        return row

    def _index(self, entry: Entry, texts: list[str]) -> Row | None:
        name = _name_after(texts[0], "INDEX")
        made = self._add("indexes", entry, texts[0], name, "{name}", definition=texts[0], **_INDEX_DEFAULTS)
        if made is not None:
            made["tablespace"] = entry.tablespace or None
            _index_settings(made, self._without_extensions("indexes", entry, texts[1:]))
        return made

    def _without_extensions(self, part: str, entry: Entry, texts: list[str]) -> list[str]:
        """Note ALTER … DEPENDS ON EXTENSION and give the other statements."""
        kept = []
        for text in texts:
            if scanner.holds(text, "DEPENDS", "ON", "EXTENSION"):
                extension = list(scanner.tokens(text))[-1].name
                row = {"class": CATALOGS[part], "object": entry.oid, "extension": extension}
                self.document["extension_dependencies"].append(row)
            else:
                kept.append(text)
        return kept

    def _constraint(self, entry: Entry, texts: list[str]) -> Row | None:
        if texts[0].startswith("ALTER DOMAIN "):
            return self._domain(entry, texts[0])
        head = scanner.on_table(texts[0])
        words = list(scanner.tokens(head.rest)) if head is not None else []
        if head is None or len(words) < 4 or not words[0].is_word("ADD"):
            return None
        name, kind = words[2].name, _TYPES.get(words[3].text.upper())
        definition = head.rest[words[3].start :]
        if kind is None:
            return None
        options = ""
        if kind in ("p", "u"):
            definition, options = _without_options(definition)
        index = -entry.oid
        row = self._add("constraints", entry, texts[0], name, "{table} {name}", type=kind, definition=definition)
        if row is None:
            return None
        row.update(index=index, referenced=self._referenced(definition), schema=None, domain=None)
        if kind in ("p", "u", "x"):
            backing = {**_INDEX_DEFAULTS, "oid": index, "relation": row["relation"], "name": name, "comment": None}
            backing.update(definition="", constraint=entry.oid, options=options or None)
            backing["tablespace"] = entry.tablespace or None
            _index_settings(backing, texts[1:])
            self.document["indexes"].append(backing)
        return row

    def _domain(self, entry: Entry, text: str) -> Row | None:
        """ALTER DOMAIN schema.domain ADD CONSTRAINT name CHECK …"""
        words = list(scanner.tokens(text))
        if len(words) < 9 or not words[5].is_word("ADD") or words[2].name != entry.schema:
            return None
        domain, name = words[4].name, words[7].name
        if entry.tag != f"{domain} {name}":
            return None
        row: Row = {"oid": entry.oid, "relation": None, "schema": entry.schema, "domain": domain, "name": name}
        row.update(type="c", definition=text[words[8].start :], index=None, referenced=None, comment=None)
        self.document["constraints"].append(row)
        return row

    def _referenced(self, definition: str) -> int | None:
        words = list(scanner.tokens(definition))
        at = next((number for number, word in enumerate(words) if word.is_word("REFERENCES")), None)
        if at is None or at + 3 >= len(words):
            return None
        found = self._relations.get((words[at + 1].name, words[at + 3].name))
        if found is None:
            schema, table = words[at + 1].text, words[at + 3].text
            entry = Entry(0, 0, 0, "", "", 0, "", words[at + 1].name, "", ())
            found = self._relation(f"ALTER TABLE {schema}.{table} ", entry)
        return found["oid"] if found else None

    def _attach(self, entry: Entry, texts: list[str]) -> Row | None:
        """ALTER INDEX schema.parent ATTACH PARTITION …; an entry depends on all indexes above it."""
        words = list(scanner.tokens(texts[0]))
        over_name = words[4].name if len(words) > 4 else ""
        rows = [self._rows[number] for number in entry.dependencies if number in self._rows]
        rows = [self._backing(row) for row in rows]
        child = next((row for row in rows if row["name"] == entry.tag), None)
        others = (row for row in rows if child is not None and row["relation"] != child["relation"])
        parent = next((row for row in others if row["name"] == over_name), None)
        if child is None or parent is None:
            return None
        child["parent"] = parent["oid"]
        over = next(row for row in self.document["relations"] if row["oid"] == parent["relation"])
        over["kind"] = "p"
        return child

    def _backing(self, row: Row) -> Row:
        """The index row of a constraint row; an index row itself."""
        if "index" not in row:
            return row
        return next((found for found in self.document["indexes"] if found["oid"] == row["index"]), row)

    def _trigger(self, entry: Entry, texts: list[str]) -> Row | None:
        if scanner.on_table(texts[0]) is not None:  # of a partition's copy there is only the state
            name = list(scanner.tokens(texts[0]))[-1].name
            more = {"enabled": _state(texts), "clone": True, "arguments": "", "function_schema": "", "function": ""}
            return self._add("triggers", entry, texts[0], name, "{table} {name}", definition="", **more)
        name = _name_after(texts[0], "TRIGGER")
        words = list(scanner.tokens(texts[0]))
        called = next((n for n, word in enumerate(words) if word.is_word("FUNCTION", "PROCEDURE")), len(words))
        function = [word.name for word in words[called + 1 : called + 4 : 2]]
        if not words[0].is_word("CREATE") or len(function) != 2:
            return None
        states = self._without_extensions("triggers", entry, texts[1:])
        more = {"enabled": _state(states), "clone": False, "arguments": ""}
        more.update(function_schema=function[0], function=function[1])
        return self._add("triggers", entry, texts[0], name, "{table} {name}", definition=texts[0], **more)

    def _rule(self, entry: Entry, texts: list[str]) -> Row | None:
        name, definition = _name_after(texts[0], "RULE"), texts[0]
        if not name:  # the body of a view: CREATE OR REPLACE VIEW … AS body
            start = next((word.end for word in scanner.tokens(texts[0]) if word.is_word("AS")), 0)
            name, definition = "_RETURN", texts[0][start:].strip()
        more = {"definition": definition, "enabled": _state(texts[1:])}
        return self._add("rules", entry, texts[0], name, "{table} {name}", **more)

    def _policy(self, entry: Entry, texts: list[str]) -> Row | None:
        name = _name_after(texts[0], "POLICY")
        words = list(scanner.tokens(texts[0]))
        after = next((n for n, word in enumerate(words) if word.is_word("ON")), len(words)) + 3
        definition = _roles_in_order(texts[0][words[after].end :].strip()) if after < len(words) else ""
        return self._add("policies", entry, texts[0], name, "{table} {name}", definition=definition)

    def _statistics(self, entry: Entry, texts: list[str]) -> Row | None:
        words = list(scanner.tokens(texts[0]))
        name = words[4].name if len(words) > 4 else ""
        targets = [list(scanner.tokens(text))[-1].text for text in texts[1:]]
        more = {"schema": entry.schema, "target": targets[0] if targets else None}
        return self._add("statistics", entry, texts[0], name, "{name}", definition=texts[0], **more)

    def _table(self, entry: Entry, texts: list[str]) -> Row | None:
        """ROW SECURITY and MATERIALIZED VIEW DATA carry the relation's own oid."""
        relation = self._relation(texts[0], entry)
        if relation is None or relation["name"] != entry.tag:
            return None
        if entry.desc == "ROW SECURITY":
            relation["row_security"] = True
        else:
            relation["kind"] = "m"
        return relation

    def _comment(self, entry: Entry, texts: list[str]) -> Row | None:
        row = next((self._rows[number] for number in entry.dependencies if number in self._rows), None)
        last = list(scanner.tokens(texts[0]))[-1]
        if row is None or last.kind != "string":
            return None
        row = self._backing(row) if entry.tag.startswith("INDEX ") else row
        row["comment"] = last.text[1:-1].replace("''", "'") if last.text.startswith("'") else None
        return row


_INDEX_DEFAULTS: Row = {
    "valid": True,
    "clustered": False,
    "replica_identity": False,
    "constraint": None,
    "options": None,
    "parent": None,
    "tablespace": None,
    "statistics": None,
}


def _roles_in_order(definition: str) -> str:
    """A policy's definition with its roles as the catalog's reader gives them: pg_dump has them in no order."""
    head = list(itertools.takewhile(lambda token: not token.is_word("USING", "WITH"), scanner.tokens(definition)))
    roles = list(itertools.dropwhile(lambda token: not token.is_word("TO"), head))[1::2]  # and commas between them
    if not roles:
        return definition
    text = ", ".join(token.text for token in sorted(roles, key=lambda token: token.name.encode()))
    return definition[: roles[0].start] + text + definition[roles[-1].end :]


def _name_after(text: str, word: str) -> str:
    """The name after CREATE … word, empty when the statement is another one."""
    head: list[Token] = [token for token, _number in zip(scanner.tokens(text), range(5))]
    for number, token in enumerate(head[:-1]):
        if token.is_word(word):
            return head[number + 1].name
    return ""


def _index_settings(row: Row, texts: t.Sequence[str]) -> None:
    """CLUSTER ON, REPLICA IDENTITY and statistics targets that follow the index in its entry."""
    for text in texts:
        words = list(scanner.tokens(text))
        if words[1].is_word("INDEX"):
            row["statistics"] = {**(row["statistics"] or {}), words[-4].text: words[-1].text}
        elif words[-2].is_word("ON"):
            row["clustered"] = True
        elif words[-2].is_word("INDEX"):
            row["replica_identity"] = True


def _state(texts: t.Sequence[str]) -> str:
    for text in texts:
        head = scanner.on_table(text)
        words = tuple(token.text.upper() for token, _number in zip(scanner.tokens(head.rest if head else ""), range(2)))
        return _STATES.get(words) or _STATES.get(words[:1], "O")
    return "O"


def _without_options(definition: str) -> tuple[str, str]:
    """Take WITH (…) out of a key's definition, because the server's own text of a key does not have it."""
    words = list(scanner.tokens(definition))
    for number, word in enumerate(words[:-1]):
        if word.is_word("WITH") and words[number + 1].text == "(":
            closing = next(other for other in words[number:] if other.text == ")")
            inner = definition[words[number + 1].end : closing.start].replace("'", "")
            return (definition[: word.start].rstrip() + definition[closing.end :]), inner
    return definition, ""
