# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Turns on the jobs that the source has on, and does nothing else."""

from __future__ import annotations

import dataclasses
import typing as t

from .._plan import Step
from .context import group_of, identity_of, schedule_note
from .kinds import KINDS, kind_of

if t.TYPE_CHECKING:
    from .context import Context
    from .kinds import Kind
    from .model import Job

__all__ = ["plan", "warn_of_workers"]


# Slots of max_worker_processes that PostgreSQL's logical replication launcher and TimescaleDB's launcher take, and one
# that an autovacuum of a job's table or a parallel query may hold at any time.
_TAKEN = 3
_ON = "Active on the source."


def plan(context: Context) -> None:
    """Plan the activation: refresh policies first, retention last; a job that is on is never paused."""
    _warn_of_paused(context)
    chosen: list[tuple[Kind, Job, Job | None]] = []
    for kind, pairs in context.pairs():
        for wanted, existing in pairs:
            if wanted is not None and _to_turn_on(context, kind, wanted, existing):
                chosen.append((kind, wanted, existing))
    for place, (kind, wanted, existing) in enumerate(chosen):
        _turn_on(context, kind, wanted, existing, context.options.stagger * place / len(chosen))
    if chosen:
        warn_of_workers(context)


def _warn_of_paused(context: Context) -> None:
    """Operators stop the source's jobs before a move; "as on the source" would then turn on nothing."""
    jobs = [job for job in context.chosen() if kind_of(job) is not None]
    paused = sum(1 for job in jobs if not context.options.active(job))
    if paused > 1 and 2 * paused > len(jobs):
        context.plan.warnings.append(
            f"{paused} of {len(jobs)} jobs are paused on the source, so they stay paused. If they were stopped for the"
            " move only, choose them with also_paused, or give the source_file of an earlier day."
        )


def warn_of_workers(context: Context) -> None:
    """Every database with TimescaleDB has a scheduler that holds a slot; with none left, jobs silently never start."""
    server = context.ground.server
    if not server:
        return
    slots = min(server["workers"] or 0, server["processes"] - _TAKEN)
    if slots <= server["databases"]:
        context.plan.warnings.append(
            f"The target's server has room for {max(slots, 0)} background workers of TimescaleDB"
            f" (timescaledb.max_background_workers = {server['workers']}, max_worker_processes = {server['processes']})"
            f" and {server['databases']} databases, each of which may need one for its scheduler."
            " With too few, jobs never start and no error tells. Raise both settings and restart the server."
        )


def _to_turn_on(context: Context, kind: Kind, wanted: Job, existing: Job | None) -> bool:
    """Whether a job is to be turned on; what is not is noted, with the reason."""
    identity = identity_of(kind, wanted)
    block = context.blocked.get(wanted.relation) if kind.option == "retention" and wanted.relation else None
    if existing is None and not (context.options.check_mode and not context.ground.missing(kind, wanted)):
        reason, hint = "It is not on the target, so it is not activated.", "Run the task without activate first."
        context.find(identity, "pending" if wanted.scheduled else "skipped", reason, hint)
    elif existing is not None and existing.scheduled and not wanted.scheduled:
        context.find(identity, "drifted", schedule_note(wanted, existing), "Pause it there if it should not run.")
    elif not wanted.scheduled:
        context.find(identity, "present", "Paused, as on the source.")
    elif existing is not None and existing.scheduled:
        context.find(identity, "present")
    elif block:
        context.find(identity, "pending", f"It stays paused: {block}", "Run the task again when that is done.")
    else:
        return True
    return False


def _turn_on(context: Context, kind: Kind, wanted: Job, existing: Job | None, delay: float) -> None:
    job = existing or dataclasses.replace(wanted, scheduled=False)
    on = dataclasses.replace(job, scheduled=True)
    # With its schedule said again, a fixed job waits for its next slot instead of starting at once.
    fixed = on.fixed_schedule and on.initial_start
    names = {"scheduled", "fixed_schedule", "initial_start"} if fixed else {"scheduled"}
    later = None if fixed or not context.options.stagger else context.writer.seconds_from_now(delay)
    step = Step(
        identity_of(kind, wanted),
        "alter",
        context.with_own_path(on, context.writer.alter(context.condition(kind, job), on, names, next_start=later)),
        reason="Active on the source, or chosen by also_paused." if context.options.also_paused else _ON,
        depends_on=context.before(kind, on),
        weight=len(KINDS) - kind.rank,
        before="scheduled: False",
        after="scheduled: True",
        planned=existing is None,
    )
    context.add(step, group_of(kind, on), on.relation)
