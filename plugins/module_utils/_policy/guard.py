# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Keeps retention policies from dropping rows that the continuous aggregates have not seen yet.

A retention policy drops chunks that end before its cut-off. What of their range an aggregate still has to compute
stands in TimescaleDB's invalidation logs (all versions): a new aggregate begins with one entry for all time.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .ground import relations_of
from .kinds import KINDS, kind_of
from .model import Name, jobs_of
from .outlook import Asker, Threat

if t.TYPE_CHECKING:
    from .._connection import Database
    from .context import Options
    from .model import Job

__all__ = ["State", "read"]

_PROCEDURES = frozenset(kind.procedure for kind in KINDS if kind.option in ("retention", "refresh"))


@dataclasses.dataclass
class State:
    """What the guard found.

    :param blocked: relation -> why its retention policy must stay paused.
    :param result: per policy, what its first run would drop.
    """

    blocked: dict[Name, str] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)
    result: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)


def threats(wanted: dict[str, t.Any], there: dict[str, t.Any], options: Options) -> list[Threat]:
    """The source's active retention policies that this run may make active, on relations that the target has."""
    if options.scheduled == "paused" and not options.activate:
        return []
    jobs, existing = jobs_of(wanted, _PROCEDURES), relations_of(there)
    active = {job.relation for job in jobs_of(there, _PROCEDURES) if _is(job, "retention") and job.scheduled}
    relations = {**relations_of(wanted), **existing}
    children = _children(relations)
    refreshes: dict[Name | None, list[Job]] = {}
    for job in jobs:
        if _is(job, "refresh") and job.scheduled:
            refreshes.setdefault(job.relation, []).append(job)
    found = []
    for job in jobs:
        if job.relation is None or job.relation not in existing or not (_is(job, "retention") and options.active(job)):
            continue
        if job.relation in active:
            continue
        below = _above(job.relation, children)
        # In check mode an earlier stage of the same run would have made and refreshed them.
        absent = [] if options.check_mode else [name for name in below if name not in existing]
        # A child's refresh reads its parent, not the rows that are dropped.
        mine = [refresh for name in children.get(job.relation, ()) for refresh in refreshes.get(name, ())]
        found.append(Threat(job, job.relation, below, absent, mine))
    return found


def read(
    database: Database,
    wanted: dict[str, t.Any],
    existing: dict[str, t.Any],
    options: Options,
    mode: str,
    history: t.Callable[[], t.Mapping[tuple[str, str], str]],
) -> State:
    """Ask the target how far its aggregates are, in one statement (and one more per policy whose aggregates lag).

    :param wanted: the source's jobs document; ``existing``: the target's.
    :param mode: on, strict or none.
    :param history: tells which aggregates have buckets still to be copied; asked when chunks would be dropped.
    """
    state = State()
    relations = relations_of(existing)
    found = [] if mode == "none" else threats(wanted, existing, options)
    if not found:
        return state
    asker = Asker(database, relations)
    answers = asker.answers(found)
    drop = [threat.below for threat, answer in zip(found, answers) if isinstance(answer, dict) and answer["chunks"]]
    left = history() if any(drop) else {}
    for threat, answer in zip(found, answers):
        if isinstance(answer, str):
            state.blocked[threat.relation] = f"the target could not be asked how far its aggregates are: {answer}"
            continue
        reasons = _reasons(threat, answer, asker, mode, state.warnings)
        for name in threat.below if answer["chunks"] else ():
            if (name.schema, name.name) in left:
                what = left[name.schema, name.name]
                reasons.append(f"{what} of {name} are only on the source; timescale_cagg_sync copies them")
        drops = {"relation": str(threat.relation), "chunks": answer["chunks"], "blocked": "; ".join(reasons)}
        state.result.append(drops)
        if reasons:
            state.blocked[threat.relation] = "; ".join(reasons) + "."
    return state


def _reasons(threat: Threat, answer: dict[str, t.Any], asker: Asker, mode: str, warnings: list[str]) -> list[str]:
    """Why the policy must wait; what only deserves a warning goes there."""
    reasons = [f"the continuous aggregate {name} is not on the target" for name in threat.absent]
    if answer["open"] and asker.has_rows(threat.relation, answer["open"]):
        names = ", ".join(sorted({entry["aggregate"] for entry in answer["open"]}))
        reasons.append(f"rows that it would drop are not yet materialized in {names}")
    for job, behind in zip(threat.refreshes, answer["behind"]):
        if not behind:
            continue
        told = (
            f"the refresh policy of {job.relation} reaches behind what the retention policy of {threat.relation} drops"
        )
        if mode == "strict":
            reasons.append(told)
        else:
            warnings.append(f"{told[0].upper()}{told[1:]}: such a refresh removes the results of dropped rows.")
    return reasons


def _is(job: Job, option: str) -> bool:
    kind = kind_of(job)
    return kind is not None and kind.option == option


def _children(relations: dict[Name, dict[str, t.Any]]) -> dict[Name | None, list[Name]]:
    """Relation -> the aggregates directly on it."""
    found: dict[Name | None, list[Name]] = {}
    for name, entry in relations.items():
        found.setdefault(Name.of(entry["raw"]), []).append(name)
    return found


def _above(relation: Name, children: dict[Name | None, list[Name]]) -> list[Name]:
    """Every aggregate on a relation, and on those."""
    found: list[Name] = []
    todo = [relation]
    while todo:
        direct = children.get(todo.pop(), [])
        found += direct
        todo += direct
    return found
