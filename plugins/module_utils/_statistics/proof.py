# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Whether the statistics are there after a run. ANALYZE ends well even when it did nothing, so the catalog is asked."""

from __future__ import annotations

import typing as t

from .plan import DROPPED, Options, identity, without_statistics

__all__ = ["mark_dropped", "missing_after"]

_SHOWN = 10


def missing_after(result: t.Mapping[str, t.Any], relations: t.Sequence[t.Mapping[str, t.Any]], options: Options) -> str:
    """Name the relations of users that have no statistics now, with the reason; empty when there are none.

    :param result: of the run.
    :param relations: the catalog after the run.
    """
    left = [identity(relation) for relation in without_statistics(relations, options)]
    if not left:
        return ""
    objects = {(entry["kind"], entry["schema"], entry["name"]): entry for entry in result["objects"]}
    told = []
    for found in left[:_SHOWN]:
        entry = objects.get((found.kind, found.schema, found.name), {})
        because = [entry.get("reason") or "It was made meanwhile.", *entry.get("notices", [])]
        told.append(f"- {found.label}: {' '.join(because)}")
    more = f"\nand {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
    return f"{len(left)} relations have no statistics, or not all, after the run:\n" + "\n".join(told) + more


def mark_dropped(result: dict[str, t.Any], relations: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    """Call ``skipped`` what is no longer there: ANALYZE of a relation that goes while it waits ends well.

    :param result: of the run; changed in place.
    :param relations: the catalog after the run.
    """
    there = {(found.kind, found.schema, found.name) for found in map(identity, relations)}
    for entry in result["objects"]:
        if entry["outcome"] == "altered" and (entry["kind"], entry["schema"], entry["name"]) not in there:
            entry.update(outcome="skipped", reason=DROPPED)
    outcomes = [entry["outcome"] for entry in result["objects"]]
    result["summary"] = {outcome: outcomes.count(outcome) for outcome in dict.fromkeys(outcomes)}
