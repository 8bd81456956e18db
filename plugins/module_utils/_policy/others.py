# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What is no job of a user: columnstore settings, the extension's own jobs, and whose jobs end up with whom."""

from __future__ import annotations

import collections
import typing as t

from .._plan import Identity, Step
from . import settings
from .context import shown
from .model import FIRST_USER_JOB, differences

if t.TYPE_CHECKING:
    from .context import Context
    from .model import Job, Name

__all__ = ["columnstore", "owners", "system_jobs"]


def columnstore(context: Context) -> None:
    """Columnstore settings of hypertables; those of aggregates belong to timescale_cagg_sync."""
    owners = context.options.owner
    for relation, entry in context.ground.wanted.items():
        if not entry["columnstore"] or relation.aggregate or (owners and entry["owner"] not in owners):
            continue
        if context.options.names(str(relation)):
            _settings(context, relation, entry["columnstore"])


def _settings(context: Context, relation: Name, wanted: dict[str, t.Any]) -> None:
    identity = Identity("columnstore_settings", relation.schema, relation.name)
    there = context.ground.existing.get(relation)
    now = there["columnstore"] if there else None
    before, after = settings.described(now), settings.described(wanted) or "compress"
    if there is None:
        context.find(identity, "unsupported", f"{relation} is not a hypertable on the target.", after=after)
    elif settings.same(wanted, now):
        context.find(identity, "present")
    elif settings.cannot_unset(wanted, now):
        reason = "The target has settings that the source leaves to TimescaleDB, and no statement takes them back."
        context.find(identity, "drifted", reason, "", before, after)
    else:
        reason, action = ("Differs; for chunks compressed from now on.", "alter") if now else ("Absent.", "create")
        step = Step(identity, action, (settings.alter(relation, wanted),), reason, before=before, after=after)
        context.add(step, "settings", relation)


def system_jobs(context: Context) -> None:
    """The extension's own jobs, matched by procedure: what an operator changed there is told, or copied."""
    there = {job.proc_name: job for job in context.existing_jobs if job.number < FIRST_USER_JOB}
    for job in context.wanted_jobs:
        if job.number < FIRST_USER_JOB:
            _system_job(context, context.translated(job), there.get(job.proc_name))


def _system_job(context: Context, wanted: Job, existing: Job | None) -> None:
    identity = Identity("system_job", "", wanted.proc_name)
    if existing is None:
        context.leave(identity, f"TimescaleDB {context.version} on the target has no such job.")
        return
    found = differences(wanted, existing, context.names - {"job_name", "check_config", "attached"})
    # Keys that only the target's version has are its own.
    found = {name: pair for name, pair in found.items() if not (name.startswith("config.") and pair[1] is None)}
    if wanted.scheduled != existing.scheduled:
        found["scheduled"] = (existing.scheduled, wanted.scheduled)
    told = "; ".join(f"{name}: {before!s} -> {after!s}" for name, (before, after) in found.items())
    if not found:
        context.find(identity, "present")
    elif not context.options.system_jobs:
        reason = f"One of the extension's own jobs differs ({told})."
        context.leave(identity, reason, "system_jobs: true copies it.")
    else:
        condition = context.writer.system_condition(wanted)
        keys = {name[len("config.") :]: after for name, (_before, after) in found.items() if name.startswith("config.")}
        config = context.writer.merged(condition, keys, []) if keys else None
        text = context.writer.alter(condition, wanted, found.keys(), config)
        step = Step(identity, "alter", (text,), f"Differs ({told}).", before=shown(existing), after=shown(wanted))
        context.add(step, "system", None)


def owners(context: Context) -> None:
    """Tell whose policies belong to somebody else on the target."""
    moved: collections.Counter[tuple[str, str]] = collections.Counter()
    for job in context.chosen():
        wanted = context.translated(job)
        if wanted.relation and wanted.owner != context.ground.owner(wanted):
            moved[wanted.owner, context.ground.owner(wanted)] += 1
    for (before, after), count in sorted(moved.items()):
        told = f"{count} policies of {before} belong to {after} on the target, who owns the relations there."
        context.plan.warnings.append(told)
