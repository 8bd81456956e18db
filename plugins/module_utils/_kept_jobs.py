# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""The jobs of aggregates that are made anew: read on the target, written for the same database. Above the domains."""

from __future__ import annotations

import typing as t

from ._cagg.recreate import KeptJobs
from ._policy.catalog import read
from ._policy.plan import Options, make_plan

if t.TYPE_CHECKING:
    from ._connection import Database

    Key = tuple[str, str, str]

__all__ = ["kept_jobs"]


def kept_jobs(target: Database, keys: t.Sequence[Key]) -> dict[Key, KeptJobs]:
    """The statements that make the jobs of aggregates again, active ones active, paused ones paused: one statement.

    :param keys: the aggregates' names.
    :raises StatementFailed: the target refuses to be read.
    """
    if not keys:
        return {}
    document = read(target)
    return {key: _kept(target, document, key) for key in keys}


def _kept(target: Database, document: dict[str, t.Any], key: Key) -> KeptJobs:
    def is_its_own(job: dict[str, t.Any]) -> bool:
        names = [job[place] for place in ("attached", "relation") if job[place]]
        return any((name["schema"], name["name"]) == key[:2] for name in names)

    wanted = {**document, "jobs": [job for job in document["jobs"] if is_its_own(job)]}
    options = Options(columnstore_settings=False)
    plan = make_plan(wanted, target.facts, {**document, "jobs": []}, target.facts, options)
    refused = plan.of_outcome("unsupported")
    # A user's job is made as its owner, for the rest of the transaction: those come last.
    steps = sorted(plan.steps, key=lambda step: any("SET LOCAL ROLE" in text for text in step.statements))
    return KeptJobs(
        tuple(text for step in steps for text in step.statements),
        tuple(step.object.label for step in steps),
        refused[0].reason if refused else "",
    )
