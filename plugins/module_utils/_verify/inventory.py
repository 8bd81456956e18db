# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Compares two inventories: relations, columns, sequences, owners, grants and comments. Pure, no database."""

from __future__ import annotations

import typing as t

from .._plan import Finding, Identity

__all__ = ["compare_inventories"]

KIND = {
    "r": "table",
    "p": "partitioned table",
    "f": "foreign table",
    "v": "view",
    "m": "materialized view",
}
_SIDES = {"source": "target", "target": "source"}
_COLUMN_FACTS = {
    "type": "type",
    "not_null": "NOT NULL",
    "default": "its default",
    "collation": "its collation",
    "identity": "identity",
    "generated": "generation",
}
# Of a table, what pg_dump writes beside its columns. Which index identifies rows is an object of post-data.
_SETTINGS = {
    "unlogged": "UNLOGGED",
    "forced": "FORCE ROW LEVEL SECURITY",
    "identity": "REPLICA IDENTITY",
    "options": "WITH (storage parameters)",
}


class _Named(t.NamedTuple):
    """One entry of an inventory with its identity."""

    identity: Identity
    entry: dict[str, t.Any]


def compare_inventories(
    wanted: dict[str, t.Any], existing: dict[str, t.Any], scope: t.Collection[str], roles: dict[str, str]
) -> list[Finding]:
    """Findings of the scopes tables, owners, grants and comments.

    :param wanted: the source's inventory, as catalog.read gives it.
    :param existing: the target's.
    :param roles: names of the source's roles, each with the role that stands for it on the target.
    """
    findings: list[Finding] = []
    left, right = _entries(wanted), _entries(existing)
    if "tables" in scope:
        findings += _presence(left, right)
        findings += [_columns(left[key], right[key]) for key in left if key in right and "columns" in left[key].entry]
    for key, one in left.items():
        if key in right:
            findings += _attributes(one, right[key].entry, scope, roles)
    return findings


def _entries(inventory: dict[str, t.Any]) -> dict[tuple[str, str, str], _Named]:
    """Everything with a name, keyed by kind, schema and name; tables of all kinds share one namespace."""
    found: dict[tuple[str, str, str], _Named] = {}
    for one in inventory["schemas"]:
        found["schema", "", one["name"]] = _Named(Identity("schema", "", one["name"]), one)
    for one in inventory["relations"]:
        kind = "continuous aggregate" if one["aggregate"] else KIND[one["kind"]]
        found["relation", one["schema"], one["name"]] = _Named(Identity(kind, one["schema"], one["name"]), one)
    for kind, entries in (("sequence", inventory["sequences"]), ("function", inventory["functions"])):
        for one in entries:
            found[kind, one["schema"], one["name"]] = _Named(Identity(kind, one["schema"], one["name"]), one)
    return found


def _presence(left: dict[t.Any, _Named], right: dict[t.Any, _Named]) -> list[Finding]:
    findings = []
    for here, there, side in ((left, right, "source"), (right, left, "target")):
        for key, (identity, _entry) in here.items():
            if key not in there:
                hint = (
                    "Create it on the target." if side == "source" else "Drop it on the target if nobody put it there."
                )
                reason = f"It is on the {side} and not on the {_SIDES[side]}."
                findings.append(Finding(identity, "drifted", reason, hint, details={"only_on": side}))
    return findings


def _columns(left: _Named, right: _Named) -> Finding:
    identity, wanted = left
    existing = right.entry
    if identity.kind != right.identity.kind:
        reason = f"It is a {identity.kind} on the source and a {right.identity.kind} on the target."
        return Finding(identity, "drifted", reason, "Restore it as the source has it.")
    told = _column_differences(wanted["columns"] or [], existing["columns"] or [])
    if wanted["filled"] != existing["filled"]:
        told.append("it is filled on one side only")
    if wanted["hypertable"] != existing["hypertable"]:
        told.append(f"it is a hypertable on the {'source' if wanted['hypertable'] else 'target'} only")
    if not wanted["aggregate"]:  # TimescaleDB's own, by its version
        told += _unlike(_SETTINGS, wanted["settings"], existing["settings"])
    if not told:
        return Finding(identity, "present")
    reason = f"{'; '.join(told)}."
    return Finding(identity, "drifted", f"{reason[0].upper()}{reason[1:]}", "Restore it as the source has it.")


def _column_differences(wanted: list[dict[str, t.Any]], existing: list[dict[str, t.Any]]) -> list[str]:
    left = {column["name"]: column for column in wanted}
    right = {column["name"]: column for column in existing}
    told = [f"column {name} is on the source only" for name in left if name not in right]
    told += [f"column {name} is on the target only" for name in right if name not in left]
    for name in left:
        if name in right:
            told += [f"column {name}: {text}" for text in _unlike(_COLUMN_FACTS, left[name], right[name])]
    return told


def _unlike(facts: dict[str, str], left: dict[str, t.Any], right: dict[str, t.Any]) -> list[str]:
    return [
        f"{words} differs ({_shown(left[fact])} on the source, {_shown(right[fact])} there)"
        for fact, words in facts.items()
        if left[fact] != right[fact]
    ]


def _shown(value: t.Any) -> str:
    return {True: "yes", False: "no", None: "none", "": "none"}.get(value, str(value))


def _attributes(
    one: _Named, existing: dict[str, t.Any], scope: t.Collection[str], roles: dict[str, str]
) -> list[Finding]:
    identity, wanted = one
    findings = []
    owner = roles.get(wanted["owner"], wanted["owner"])
    if "owners" in scope and owner != existing["owner"]:
        reason = f"Its owner is {existing['owner']}; by the source it would be {owner}."
        hint = "Change it with ALTER … OWNER TO, or name the role in owner_map."
        findings.append(Finding(_of("owner", identity), "drifted", reason, hint))
    for label, here, there in _with_columns(identity, wanted, existing):
        if "grants" in scope:
            findings += _grants(label, here["grants"] or [], there["grants"] or [], existing["owner"], roles)
        if "comments" in scope and here["comment"] != there["comment"]:
            findings.append(_comment(label, here["comment"] or "", there["comment"] or ""))
    return findings


def _comment(label: Identity, wanted: str, existing: str) -> Finding:
    reason = "The comments differ."
    if not (wanted and existing):
        reason = f"Only the {'source' if wanted else 'target'} has a comment."
    return Finding(_of("comment", label), "drifted", reason, "Write it with COMMENT ON.", before=existing, after=wanted)


def _with_columns(
    identity: Identity, wanted: dict[str, t.Any], existing: dict[str, t.Any]
) -> t.Iterator[tuple[Identity, dict[str, t.Any], dict[str, t.Any]]]:
    """The object itself, then its columns: all of them carry grants and comments."""
    yield identity, wanted, existing
    there = {column["name"]: column for column in existing.get("columns") or ()}
    for column in wanted.get("columns") or ():
        if column["name"] in there:
            label = Identity("column", identity.schema, column["name"], identity.name)
            yield label, column, there[column["name"]]


def _grants(
    label: Identity, wanted: list[list[t.Any]], existing: list[list[t.Any]], owner: str, roles: dict[str, str]
) -> list[Finding]:
    """Rights of others than the owner. What the target's owner holds anyway is no loss."""
    left = {(roles.get(role, role), right, option) for role, right, option in wanted}
    left = {grant for grant in left if grant[0] != owner}
    right = {tuple(grant) for grant in existing}
    findings = []
    for grants, side in ((left - right, "source"), (right - left, "target")):
        for role, what, option in sorted(grants):
            text = f"{what} to {role}" + (" with grant option" if option else "")
            if side == "target" and what == "MAINTAIN" and (role, "SELECT", option) in left:
                continue  # GRANT ALL of a server before PostgreSQL 17, which has no such right
            table = ".".join(part for part in (label.table, label.name) if part)
            identity = Identity("grant", label.schema, f"{text}", f"{table}")
            hint = "GRANT it on the target." if side == "source" else "REVOKE it on the target if it is not wanted."
            findings.append(Finding(identity, "drifted", f"Only the {side} has it on {label.label}.", hint))
    return findings


def _of(kind: str, identity: Identity) -> Identity:
    """The owner or the comment of an object, as an object of its own."""
    table = ".".join(part for part in (identity.table, identity.name) if part)
    return Identity(kind, identity.schema, identity.kind, table)
