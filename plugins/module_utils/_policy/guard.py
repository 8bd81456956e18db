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

from .kinds import kind_of
from .model import Name, window_differs
from .outlook import Asker, Threat

if t.TYPE_CHECKING:
    from .._connection import Database
    from .context import Context, Options
    from .model import Job

__all__ = ["State", "read"]


@dataclasses.dataclass
class State:
    """What the guard found.

    :param blocked: relation -> why its retention policy must stay paused.
    :param result: per policy, what its first run would drop.
    """

    blocked: dict[Name, str] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)
    result: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)

    def add(self, relation: Name, chunks: int | None, reasons: t.Sequence[str]) -> None:
        """Note what was found about one policy."""
        self.result.append({"relation": str(relation), "chunks": chunks, "blocked": "; ".join(reasons)})
        if reasons:
            self.blocked[relation] = "; ".join(reasons) + "."


def threats(context: Context) -> list[Threat]:
    """The retention policies whose window this run makes active, on relations that the target has."""
    existing = context.ground.existing
    children = _children({**context.ground.wanted, **existing})
    refreshes: dict[Name | None, list[Job]] = {}
    chosen = {job.number for job in context.chosen if context.options.active(job)}
    for job in context.wanted_jobs:
        if _is(job, "refresh") and (job.scheduled or job.number in chosen):
            refreshes.setdefault(job.relation, []).append(job)
    found = []
    for wanted, there in (pair for kind, pairs in context.pairs if kind.option == "retention" for pair in pairs):
        active = _made_active(context.options, wanted, there) if wanted else None
        if active is None or active.relation is None or active.relation not in existing:
            continue
        below = _above(active.relation, children)
        # In check mode an earlier stage of the same run would have made and refreshed them.
        absent = [] if context.options.check_mode else [name for name in below if name not in existing]
        # A child's refresh reads its parent, not the rows that are dropped.
        mine = [refresh for name in children.get(active.relation, ()) for refresh in refreshes.get(name, ())]
        found.append(Threat(active, active.relation, below, absent, mine))
    return found


def _made_active(options: Options, wanted: Job, there: Job | None) -> Job | None:
    """The policy that will drop chunks because of this run: the target's own one where that is turned on."""
    if there is None:
        created = options.check_mode if options.activate else options.scheduled != "paused"
        return wanted if wanted.scheduled and created else None
    if options.activate:
        return there if wanted.scheduled and not there.scheduled else None
    return wanted if there.scheduled and window_differs(wanted, there) else None


def read(
    database: Database, context: Context, mode: str, history: t.Callable[[], t.Mapping[tuple[str, str], str]]
) -> State:
    """Ask the target how far its aggregates are, in one statement (and one more per policy whose aggregates lag).

    :param context: both sides, and the options.
    :param mode: on, strict or none.
    :param history: tells which aggregates have buckets still to be copied; asked when chunks would be dropped.
    """
    state = State()
    found = [] if mode == "none" else threats(context)
    if not found:
        return state
    asker = Asker(database, context.ground.existing)
    answers = asker.answers(found)
    drop = [threat.below for threat, answer in zip(found, answers) if isinstance(answer, dict) and answer["chunks"]]
    left = history() if any(drop) else {}
    for threat, answer in zip(found, answers):
        if isinstance(answer, str):
            reason = f"the target could not be asked how far its aggregates are: {answer}"
            state.add(threat.relation, None, [reason])
            continue
        reasons = _reasons(threat, answer, asker, mode, state.warnings)
        for name in threat.below if answer["chunks"] else ():
            if (name.schema, name.name) in left:
                what = left[name.schema, name.name]
                reasons.append(f"{what} of {name} are only on the source; timescale_cagg_sync copies them")
        state.add(threat.relation, answer["chunks"], reasons)
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
