# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""The target as the plan sees it: its document, what stands around, and both sides' definitions in its own print."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connection import Database, Facts
from .catalog import read_existing, used_hypertables
from .definition import print_definitions, probe_of, translate
from .extents import read_extents, read_sizes
from .surroundings import read_surroundings

__all__ = ["Existing", "is_same", "key_of", "look", "parents_first"]

Key = tuple[str, str, str]


def key_of(entry: t.Mapping[str, t.Any]) -> Key:
    """Schema, name and, for a function, its arguments."""
    return (entry["schema"], entry["name"], entry.get("arguments") or "")


def parents_first(entries: t.Sequence[t.Mapping[str, t.Any]]) -> list[t.Mapping[str, t.Any]]:
    """Order a hierarchy of any depth; a parent that is not among the entries counts as done."""
    by_name = {(entry["schema"], entry["name"]): entry for entry in entries}

    def depth(entry: t.Mapping[str, t.Any]) -> int:
        parent = by_name.get(tuple(entry["parent"])) if entry["parent"] else None
        return 1 + depth(parent) if parent is not None else 0

    return sorted(entries, key=lambda entry: (depth(entry), entry["schema"], entry["name"]))


@dataclasses.dataclass
class Existing:
    """What the target has.

    :param document: as the catalog gives it.
    :param surroundings: relations with wanted names, schemas, roles, functions of the extension.
    :param texts: the wanted definitions, translated for this target.
    :param printed: for each wanted object the target's answers about the wanted and the existing definition; an object
        that stands on something the target lacks yet is not asked about.
    """

    document: dict[str, t.Any]
    surroundings: dict[str, t.Any]
    texts: dict[Key, str]
    printed: dict[Key, tuple[dict[str, str], dict[str, str]]]


def is_same(existing: Existing, key: Key) -> bool:
    """Whether the target prints the wanted definition and its own alike."""
    ours, theirs = existing.printed.get(key, ({}, {}))
    return "printed" in ours and ours["printed"] == theirs.get("printed")


def look(
    target: Database, wanted: dict[str, t.Any], facts: Facts, document: dict[str, t.Any] | None = None
) -> Existing:
    """Read the target; a fixed number of statements.

    :param facts: of the source.
    :param document: the target's, where it is read already.
    """
    document = document or read_existing(target)
    document["hypertables"] = used_hypertables(document, wanted)
    read_extents(target, [entry for entry in document["hypertables"] if "extent" not in entry])
    there = {key_of(entry): entry for entry in document["aggregates"] + document["dependents"]}
    read_sizes(target, _to_be_read(wanted, document, there))
    surroundings = read_surroundings(target, wanted)
    functions = frozenset(surroundings["extension_functions"])
    entries = wanted["aggregates"] + wanted["dependents"]
    texts = {key_of(entry): translate(entry["definition"], facts, target.facts, functions) for entry in entries}
    printed: dict[Key, tuple[dict[str, str], dict[str, str]]] = {}
    asked: list[tuple[str, bool]] = []
    places: list[tuple[Key, int]] = []
    for entry in entries:
        key = key_of(entry)
        found = there.get(key)
        function = entry.get("kind") == "function"
        if (function and found is None) or not _readable(entry, there):
            continue
        if found is not None and texts[key].strip() == found["definition"].strip():
            # One text, parsed by one server: it prints one thing. No need to ask.
            printed[key] = ({"printed": found["definition"]}, {"printed": found["definition"]})
            continue
        places.append((key, len(asked)))
        text = probe_of(texts[key]) if function else texts[key]
        asked.append((text, found is None and "kind" not in entry and not _secured(entry, surroundings)))
        if found is not None:
            asked.append((probe_of(found["definition"]) if function else found["definition"], False))
    answers = print_definitions(target, asked)
    printed.update({key: (answers[at], answers[at + 1] if key in there else {}) for key, at in places})
    return Existing(document, surroundings, texts, printed)


def _to_be_read(
    wanted: t.Mapping[str, t.Any], document: t.Mapping[str, t.Any], there: t.Mapping[Key, t.Mapping[str, t.Any]]
) -> list[dict[str, t.Any]]:
    """Hypertables that a refresh may have to read: of aggregates that are not there, or not current."""
    behind = (entry for entry in wanted["aggregates"] if there.get(key_of(entry), {}).get("invalid", True))
    read = {tuple(entry["hypertable"]) for entry in behind if entry["hypertable"]}
    return [entry for entry in document["hypertables"] if (entry["schema"], entry["name"]) in read]


def _readable(entry: t.Mapping[str, t.Any], there: t.Mapping[Key, t.Any]) -> bool:
    """Whether everything that is created in this run, and that the definition names, is there already."""
    parents = [tuple(entry["parent"])] if entry.get("parent") else []
    reads = [(schema, name, arguments or "") for schema, name, arguments in entry.get("reads") or ()]
    return all((schema, name, "") in there for schema, name in parents) and all(key in there for key in reads)


def _secured(entry: t.Mapping[str, t.Any], surroundings: t.Mapping[str, t.Any]) -> bool:
    """Whether row security is on for its hypertable: TimescaleDB would refuse any query on it, and name that only."""
    name = tuple(entry["hypertable"] or ())
    return any(r["row_security"] for r in surroundings["relations"] if (r["schema"], r["name"]) == name)
