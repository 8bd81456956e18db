# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Aggregates that the source does not have: reported, or dropped where the operator names them. Never with CASCADE."""

from __future__ import annotations

import typing as t

from .._errors import BadInput
from .._plan import Finding, Identity, Step
from .._sql import statement
from .attributes import name_of
from .draft import FIRST, KIND, Draft
from .recreate import is_left_over
from .target import Key, key_of

__all__ = ["left_over"]


def left_over(draft: Draft) -> None:
    """Put what only the target has into the plan, inside the filters alone.

    :raises BadInput: prune is asked for and the source has no aggregate at all.
    """
    known = {key_of(entry) for entry in draft.wanted["aggregates"]}
    extra = {key_of(e): e for e in draft.existing.document["aggregates"] if key_of(e) not in known and draft.matches(e)}
    if extra and draft.options.get("prune") and not known:
        raise BadInput(
            "prune: the source has no continuous aggregate at all, so nothing of the target is judged by it.",
            hint="Check the database that source names, or set prune: false.",
        )
    allowed = set(draft.options.get("prune_allow") or ()) if draft.options.get("prune") else set()
    doomed = {key for key, entry in extra.items() if f"{key[0]}.{key[1]}" in allowed and not is_left_over(entry)}
    standing = {key: _standing_on(draft, key) for key in extra}
    while True:
        held = {key for key in doomed if any(other not in doomed for other in standing[key])}
        if not held:
            break
        doomed -= held
    for key, entry in extra.items():
        identity = Identity(KIND, entry["schema"], entry["name"])
        if key in doomed:
            draft.plan.steps.append(_drop(draft, identity, entry, standing[key]))
        else:
            draft.plan.findings.append(Finding(identity, "skipped", *_why_left(draft, key, allowed, standing[key])))


def _standing_on(draft: Draft, key: Key) -> list[Key]:
    """What reads an aggregate on the target, or is going to once this run is over."""
    document = draft.existing.document
    found = [key_of(e) for e in document["aggregates"] if list(e["parent"] or ()) == list(key[:2])]
    for entry in document["dependents"]:
        if key[:2] in [(schema, name) for schema, name, _arguments in entry["reads"] or ()]:
            found.append(key_of(entry))
    return found


def _why_left(draft: Draft, key: Key, allowed: t.Collection[str], standing: t.Sequence[Key]) -> tuple[str, str]:
    label = f"{key[0]}.{key[1]}"
    if is_left_over(draft.there[key]):
        hint = "Run the task with on_drift: recreate: it goes on with it, or drops it."
        return "An interrupted run with on_drift: recreate left it; it is left alone.", hint
    if label in allowed:
        names = ", ".join(f"{schema}.{name}" for schema, name, _arguments in standing)
        return f"The source does not have it, but {names} stands on it: it is left alone.", "Drop that first."
    if draft.options.get("prune"):
        return "The source does not have it; it is left alone.", f"To drop it, name {label} in prune_allow."
    return "The source does not have it; it is left alone.", ""


def _drop(draft: Draft, identity: Identity, entry: t.Mapping[str, t.Any], standing: t.Sequence[Key]) -> Step:
    by_key = {key_of(e): e for e in draft.existing.document["aggregates"]}
    root = entry
    while root["parent"] and (*root["parent"], "") in by_key:
        schema, name = root["parent"]
        root = by_key[(schema, name, "")]
    return Step(
        identity,
        "drop",
        (statement("DROP MATERIALIZED VIEW {}", name_of({**entry, "arguments": None})),),
        reason="The source does not have it, and prune_allow names it.",
        depends_on=tuple(Identity(KIND, *other[:2]).label for other in standing),
        weight=FIRST,
        exclusive=(".".join(root["hypertable"] or ()),),
        before=entry["definition"],
    )
