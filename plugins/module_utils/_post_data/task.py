# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""From a task's options to its plan: the archive, the two catalogs, the comparison."""

from __future__ import annotations

import os
import typing as t

from .._plan import Identity, Plan
from .archive import Archive, read_archive
from .catalog import read
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
    archive, source = _wanted(session)
    items = wanted_items(archive, source)
    target = Inventory(read(session.target))
    plan = make_plan(items, source, target, session.target.facts, options)
    plan.warnings += _not_in_archive(items, source, session.params["dump_file"])
    return plan


def _wanted(session: Session) -> tuple[Archive, Inventory]:
    """The archive, and the source's catalog to read it with; without one, what the archive says itself."""
    path, live = session.params["dump_file"], session.source
    if live is None and not session.params["source_file"]:
        archive = read_archive(path)
        return archive, Inventory(document_of(archive))
    source = Inventory(session.wanted("post_data", read)[1])
    if live is None or (path and os.path.exists(path)):
        return read_archive(path), source
    kept = "" if session.check_mode else path or ""
    return dumped(live, kept, sorted(source.chunks), client_path=session.params["client_path"] or ""), source


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
