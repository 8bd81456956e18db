# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What the source has and the target lacks, before the move begins."""

from __future__ import annotations

import typing as t

from .problem import Document, Problem, Sides, caution, few, key_of, name_of, severe

__all__ = ["OBJECT_CHECKS"]

_KINDS = {
    "r": "table",
    "p": "partitioned table",
    "f": "foreign table",
    "v": "view",
    "m": "materialized view",
    "S": "sequence",
}
_PRE_DATA = "Restore the pre-data section of the source's dump on the target first."


def _extensions(sides: Sides) -> t.Iterator[Problem]:
    there = {entry["name"] for entry in sides.target("extensions")}
    for entry in sides.source("extensions"):
        if entry["name"] in there or entry["name"] == "timescaledb":
            continue
        remedy = f'Run CREATE EXTENSION "{entry["name"]}" there.'
        text = "It is missing, and objects of the source need it." if entry["used"] else "It is missing."
        yield Problem("target", f"extension {entry['name']}", text, remedy, bool(entry["used"]))


def _schemas(sides: Sides) -> t.Iterator[Problem]:
    there = {entry["name"] for entry in sides.target("schemas")}
    for entry in sides.source("schemas"):
        if entry["name"] not in there:
            yield severe("target", f"schema {entry['name']}", "It is missing.", _PRE_DATA)


def _missing_schemas(sides: Sides) -> set[str]:
    return {entry["name"] for entry in sides.source("schemas")} - {entry["name"] for entry in sides.target("schemas")}


def _relations(sides: Sides) -> t.Iterator[Problem]:
    there = {key_of(entry): entry for entry in sides.target("relations")}
    told = _missing_schemas(sides)
    for entry in sides.source("relations"):
        kind = _KINDS[entry["kind"]]
        found = there.get(key_of(entry))
        if found is None:
            if entry["schema"] not in told and not entry["waits"]:
                yield severe("target", f"{kind} {name_of(entry)}", "It is missing.", _PRE_DATA)
        elif found["kind"] != entry["kind"]:
            text = f"It is a {_KINDS[found['kind']]} there."
            yield severe("target", f"{kind} {name_of(entry)}", text, f"Drop or rename it. {_PRE_DATA}")
        elif entry["aggregate"] and not found["aggregate"]:
            text = "It is a plain view there, the source has a continuous aggregate of that name."
            yield severe(
                "target",
                f"continuous aggregate {name_of(entry)}",
                text,
                "Drop the view; the aggregate is created by the move.",
            )


def _columns(sides: Sides) -> t.Iterator[Problem]:
    there = {key_of(entry): entry["columns"] or {} for entry in sides.target("relations")}
    for entry in sides.source("relations"):
        found = there.get(key_of(entry))
        if found is None or not entry["columns"]:
            continue
        missing = [column for column in entry["columns"] if column not in found]
        other = [
            f"{column} {found[column]}, not {kind}"
            for column, kind in entry["columns"].items()
            if column in found and found[column] != kind
        ]
        subject = f"{_KINDS[entry['kind']]} {name_of(entry)}"
        if missing:
            yield severe("target", subject, f"Columns are missing: {few(missing)}.", _PRE_DATA)
        if other:
            text = f"Columns have another type: {few(other)}."
            yield caution(
                "target", subject, text, "Make sure that this is meant; indexes and views may come out differently."
            )


def _objects(sides: Sides) -> t.Iterator[Problem]:
    """Functions by name and arguments, types by name."""
    told = _missing_schemas(sides)
    functions = {(*key_of(entry), entry["arguments"]) for entry in sides.target("functions")}
    for entry in sides.source("functions"):
        # What reads an aggregate is made after the aggregate, by the move itself.
        if (*key_of(entry), entry["arguments"]) in functions or entry["schema"] in told or entry["waits"]:
            continue
        subject = f"function {name_of(entry)}({entry['arguments']})"
        yield severe("target", subject, "It is missing.", _PRE_DATA)
    types = {key_of(entry) for entry in sides.target("types")}
    for entry in sides.source("types"):
        if key_of(entry) not in types and entry["schema"] not in told:
            yield severe("target", f"type {name_of(entry)}", "It is missing.", _PRE_DATA)


def _hypertables(sides: Sides) -> t.Iterator[Problem]:
    if sides.facts.timescale is None:
        return
    there = {key_of(entry): entry for entry in sides.target("hypertables")}
    tables = {key_of(entry) for entry in sides.target("relations")}
    for entry in sides.source("hypertables"):
        found = there.get(key_of(entry))
        if found is not None:
            yield from _dimensions(entry, found, sides.options.tablespace_map)
        elif key_of(entry) in tables:
            text = "It is still a plain table there."
            yield severe(
                "target", f"hypertable {name_of(entry)}", text, "Run create_hypertable with the source's dimensions."
            )


def _dimensions(wanted: Document, found: Document, maps: t.Mapping[str, str]) -> t.Iterator[Problem]:
    subject = f"hypertable {name_of(wanted)}"
    told = [_dimension(entry) for entry in wanted["dimensions"]]
    seen = [_dimension(entry) for entry in found["dimensions"]]
    if told != seen:
        text = f"It is partitioned by {'; '.join(seen)} there, on the source by {'; '.join(told)}."
        yield severe("target", subject, text, "Make the hypertable anew with the source's dimensions.")
        return
    for source, target in zip(wanted["dimensions"], found["dimensions"]):
        if source["now"] and not target["now"]:
            text = "It has no integer_now function, which policies of integer time need."
            yield severe("target", subject, text, f"Run set_integer_now_func('{name_of(wanted)}', '{source['now']}').")
        if source["interval"] != target["interval"]:
            text = (
                f"Its chunk interval on {target['column']} is {target['interval']}, on the source {source['interval']}."
            )
            yield caution("target", subject, text, "Run set_chunk_time_interval if that is not meant.")
    ours, theirs = (set(entry.get("tablespaces") or ()) for entry in (wanted, found))
    lost = {maps.get(name, name) for name in ours} - theirs - {"pg_default"}
    if lost:
        text = f"New chunks do not go to {few(lost)} there, as on the source."
        yield caution("target", subject, text, f"Run attach_tablespace for '{name_of(wanted)}', if that is meant.")
    if wanted["chunks"] and not found["chunks"]:
        text = "It has no chunks there, the source's has rows."
        yield caution("target", subject, text, "Copy the rows first: aggregates are made from them.")


def _dimension(entry: Document) -> str:
    return f"{entry['column']} in {entry['slices']} slices" if entry["slices"] else f"ranges of {entry['column']}"


def _named_roles(sides: Sides) -> t.Iterator[Problem]:
    roles: dict[str, Document] = sides.existing.get("roles") or {}
    uses: dict[str, set[str]] = {}
    for entry in sides.source("named_roles"):
        role = sides.options.owner_map.get(entry["role"], entry["role"]) if entry["use"] == "jobs" else entry["role"]
        uses.setdefault(role, set()).add(entry["use"])
    for role in sorted(set(uses) - set(roles)):
        text = f"It is missing; the source names it for {', '.join(sorted(uses[role]))}."
        yield Problem("target", f"role {role}", text, f'Run CREATE ROLE "{role}" there.', uses[role] != {"ownership"})
    runners = {role for role, use in uses.items() if "jobs" in use and role in roles}
    yield from _runners(sides, runners, roles)


def _runners(sides: Sides, runners: set[str], roles: dict[str, Document]) -> t.Iterator[Problem]:
    """Owners of users' jobs, who are set as the role; and owners of relations with policies, whose jobs those are."""
    user = sides.existing["server"]["user"]
    for role in sorted(runners):
        if not roles[role]["mine"]:
            text = f"It owns jobs of the source, and {user} is no member of it."
            yield severe("target", f"role {role}", text, f'Run GRANT "{role}" TO "{user}", or use owner_map.')
    with_policies = {key_of(entry) for entry in sides.source("hypertables") if entry["jobs"]}
    owners = {entry["owner"] for entry in sides.target("relations") if key_of(entry) in with_policies}
    for role in sorted(runners | owners):
        if not roles[role]["login"]:
            text = "It will own jobs but may not log in, so TimescaleDB refuses them."
            yield severe("target", f"role {role}", text, f'Run ALTER ROLE "{role}" LOGIN.')


def _tablespaces(sides: Sides) -> t.Iterator[Problem]:
    there = set(sides.existing.get("all_tablespaces") or [])
    for name in sides.wanted.get("tablespaces") or []:
        name = sides.options.tablespace_map.get(name, name)
        if name not in there:
            text = "It is missing, so what lies in it on the source will lie in the default one."
            yield caution("target", f"tablespace {name}", text, "Create it, or use tablespace_map.")


def _beside_the_objects(sides: Sides) -> t.Iterator[Problem]:
    """What neither a dump of objects nor a copy of tables brings, and no stage of the move."""
    settings = {tuple(entry) for entry in sides.wanted.get("database_settings") or ()}
    settings -= {tuple(entry) for entry in sides.existing.get("database_settings") or ()}
    names = {f"{name} of {role}" if role else name for role, name, _value in settings}
    if names:
        text = f"The source's has settings that it lacks or has otherwise: {few(names)}."
        remedy = "Run ALTER DATABASE or ALTER ROLE … IN DATABASE there, if they are meant for it too."
        yield caution("target", "database", text, remedy)
    ours, theirs = (side.get("large_objects") or 0 for side in (sides.wanted, sides.existing))
    if theirs < ours:
        text = f"The source has {ours} large objects, it has {theirs}."
        yield caution(
            "target", "database", text, "Copy them with pg_dump --large-objects; no stage moves or compares them."
        )


def _code(sides: Sides) -> t.Iterator[Problem]:
    """User code that names what the target's TimescaleDB no longer has. Words are looked at, not meaning: a caution."""
    before, after = sides.wanted.get("internals") or {}, sides.existing.get("internals") or {}
    if not after:
        return
    for entry in sides.source("code"):
        reads, words = set(entry["reads"] or []), set(entry["words"] or [])
        gone = {name for name in reads if name in before and name not in after}
        for name in sorted(reads & set(before) & set(after)):
            lost = set(before[name] or []) - set(after[name] or [])
            gone |= {f"{name}.{column}" for column in lost & words}
        if gone:
            text = f"It reads {few(gone)}, which TimescaleDB {sides.facts.timescale} does not have."
            yield caution("source", f"{entry['kind']} {name_of(entry)}", text, "Rewrite it on the target.")


OBJECT_CHECKS = (
    _extensions,
    _schemas,
    _relations,
    _columns,
    _objects,
    _hypertables,
    _named_roles,
    _tablespaces,
    _beside_the_objects,
    _code,
)
