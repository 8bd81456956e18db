# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What the source wants: the archive's entries, each under the name that the source's catalog gives it."""

from __future__ import annotations

import dataclasses
import typing as t

from .._plan import Identity
from . import scanner
from .archive import Archive, Entry
from .objects import Inventory, Thing, comment_on

__all__ = ["Item", "wanted_items"]

# Entries that only repeat what ANALYZE makes.
_NO_OBJECTS = ("STATISTICS DATA",)
# The archive's words that are not ours.
_KIND_OF_DESC = {
    "DEFAULT ACL": "default_privileges",
    "FK CONSTRAINT": "foreign_key",
    "CHECK CONSTRAINT": "check",
    "PUBLICATION TABLES IN SCHEMA": "publication_schema",
}
# What the words of an ALTER TABLE statement besides an object are about.
# A partition's copy of a trigger has an entry only for its state; otherwise an entry begins with its object.
_MAY_ONLY_SET = ("trigger", "rule")
_STATE_WORDS = ("ENABLE", "DISABLE")


@dataclasses.dataclass(frozen=True)
class Item:
    """One thing to compare and, where it is missing, to create.

    :param main: the entry's object itself; the others (CLUSTER ON, a comment …) stand on it.
    :param subject: the main object, which filters look at.
    :param thing: how the source describes it; None when the source's catalog does not show it.
    """

    identity: Identity
    statements: tuple[str, ...]
    entry: Entry
    subject: Identity
    thing: Thing | None
    main: bool


def wanted_items(archive: Archive, source: Inventory) -> list[Item]:
    """Name every statement of an archive, in the archive's order (an object stands after what it needs).

    Entries of chunks are left out: the target's chunks are its own.
    """
    items: list[Item] = []
    mains: dict[int, Identity] = {}
    for entry in archive:
        if entry.desc in _NO_OBJECTS or _of_chunk(entry, source):
            continue
        main = _identity(entry, source, mains)
        mains[entry.dump_id] = main
        items += _items(entry, main, source)
    return items


def _of_chunk(entry: Entry, source: Inventory) -> bool:
    return bool(source.chunks) and scanner.relation(entry.text) in source.chunks


def _identity(entry: Entry, source: Inventory, mains: t.Mapping[int, Identity]) -> Identity:
    known = source.by_oid.get((entry.catalog, entry.oid))
    if known is not None:
        return known
    if entry.desc in ("ROW SECURITY", "MATERIALIZED VIEW DATA"):
        kind = "row_security" if entry.desc == "ROW SECURITY" else "refresh"
        schema, name = source.names.get(entry.oid, (entry.schema, entry.tag))
        return Identity(kind, schema, name)
    if entry.desc == "INDEX ATTACH":
        return _attached(entry, source, mains)
    if entry.desc == "COMMENT":
        return _commented(entry, mains)
    kind = _KIND_OF_DESC.get(entry.desc, entry.desc.lower().replace(" ", "_"))
    return Identity(kind, entry.schema, entry.tag)


def _attached(entry: Entry, source: Inventory, mains: t.Mapping[int, Identity]) -> Identity:
    """The partition's index is the one of the two that the entry is tagged with."""
    for number in entry.dependencies:
        index = mains.get(number)
        if index is not None and index.name == entry.tag:
            made = Identity("index_attach", index.schema, index.name, index.table)
            if made in source.things:
                return made
    return Identity("index_attach", entry.schema, entry.tag)


def _commented(entry: Entry, mains: t.Mapping[int, Identity]) -> Identity:
    stands_on = next((mains[number] for number in entry.dependencies if number in mains), None)
    if stands_on is None:
        return Identity("comment", entry.schema, entry.tag)
    if entry.tag.startswith("INDEX "):  # also the index of a constraint, whose entry is the constraint's
        stands_on = dataclasses.replace(stands_on, kind="index")
    return comment_on(stands_on)


def _items(entry: Entry, main: Identity, source: Inventory) -> t.Iterator[Item]:
    groups: dict[Identity, list[str]] = {}
    for number, text in enumerate(scanner.cut(entry.text)):
        plain = number == 0 and main.kind not in _MAY_ONLY_SET
        groups.setdefault(main if plain else _besides(text, main) or main, []).append(text)
    subject = main
    if main.kind == "comment":
        kind, _blank, name = main.name.partition(" ")
        subject = dataclasses.replace(main, kind=kind, name=name)
    for identity, texts in groups.items():
        yield Item(identity, tuple(texts), entry, subject, source.things.get(identity), identity == main)


def _besides(text: str, main: Identity) -> Identity | None:
    """What a statement sets besides creating the entry's object."""
    if scanner.holds(text, "DEPENDS", "ON", "EXTENSION"):
        return main
    words = [token for token, _number in zip(scanner.tokens(text), range(2))]
    if len(words) == 2 and words[0].is_word("ALTER") and words[1].is_word("INDEX", "STATISTICS"):
        if main.kind == "index_attach":
            return None
        kind = "index_statistics" if words[1].is_word("INDEX") else "statistics_target"
        return dataclasses.replace(main, kind=kind)
    head = scanner.on_table(text)
    rest = list(scanner.tokens(head.rest)) if head is not None else []
    if not rest:
        return None
    first = rest.pop(0)
    if first.is_word("CLUSTER", "REPLICA"):
        return Identity("cluster" if first.is_word("CLUSTER") else "replica_identity", main.schema, main.table)
    if first.is_word(*_STATE_WORDS) and main.kind in ("trigger", "rule") and rest:
        return dataclasses.replace(main, kind=f"{main.kind}_state")
    return None
