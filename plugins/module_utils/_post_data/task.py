# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""From a task's options to its plan: the archive, the two catalogs, the comparison."""

from __future__ import annotations

import dataclasses
import os
import typing as t
from concurrent.futures import ThreadPoolExecutor

from .._plan import Finding, Identity, Plan
from .archive import Archive, read_archive
from .catalog import Document, read
from .dump import dumped
from .objects import Inventory
from .plan import make_plan
from .selection import Options
from .statements import document_of
from .wanted import Item, wanted_items

if t.TYPE_CHECKING:
    from .._module import Session

__all__ = ["plan_of"]

# Kinds that are always in the section; a validated check, for example, comes with its table.
_ALWAYS = ("index", "primary_key", "unique", "exclude", "foreign_key", "trigger", "rule", "policy", "statistics")
_NAMED = 20  # objects that the warning lists


def plan_of(session: Session, options: Options) -> Plan:
    """Read both sides and compare them.

    :raises BadInput: the archive cannot be made or read.
    """
    # Three waits that have nothing to do with each other: pg_dump, the source's catalog, the target's.
    with ThreadPoolExecutor(max_workers=2) as others:
        reading = others.submit(read, session.target)
        making = others.submit(_archive, session)
        document = _document(session)
        archive = making.result()
        source = Inventory(document or document_of(archive))
        items = wanted_items(archive, source)
        target = Inventory(reading.result())
    plan = make_plan(items, source, target, session.target.facts, options)
    if session.check_mode and session.params["second_part"]:
        first = dataclasses.replace(options, row_security="none", dependents=False, refresh=False)
        _leave_out(plan, make_plan(items, source, target, session.target.facts, first))
    plan.warnings += _not_in_archive(items, source, session.params["dump_file"])
    return plan


def _document(session: Session) -> Document | None:
    """The source's catalog, None when the archive is all there is."""
    if session.source is None and not session.params["source_file"]:
        return None
    _facts, document = session.wanted("post_data", read)
    return t.cast(Document, document)


def _leave_out(plan: Plan, earlier: Plan) -> None:
    """Count as there what an earlier task of the same run would have created."""
    done = {step.key for step in earlier.steps}
    for step in plan.steps:
        if step.key in done:
            plan.findings.append(Finding(step.object, "present", "An earlier task of the same run creates it."))
    plan.steps = [step for step in plan.steps if step.key not in done]


def _archive(session: Session) -> Archive:
    path = session.params["dump_file"]
    if session.source is None or (path and os.path.exists(path)):
        return read_archive(path)
    kept = "" if session.check_mode else path or ""
    return dumped(session.source, kept, client_path=session.params["client_path"] or "")


def _not_in_archive(items: t.Sequence[Item], source: Inventory, path: str | None) -> list[str]:
    """Objects of the source that the archive lacks: it hides a schema, or is older than they are."""
    seen = {item.identity for item in items}
    others = (identity for identity in source.by_oid.values() if identity not in seen)
    lacking = [identity.label for identity in others if _in_section(source, identity)]
    if not lacking:
        return []
    named = ", ".join(sorted(lacking)[:_NAMED]) + (" …" if len(lacking) > _NAMED else "")
    return [f"{path or 'The dump'} lacks {len(lacking)} objects of the source, which are not moved: {named}."]


def _in_section(source: Inventory, identity: Identity) -> bool:
    thing = source.things[identity]
    return identity.kind in _ALWAYS and identity.name != "_RETURN" and not (thing.own or thing.inherited)
