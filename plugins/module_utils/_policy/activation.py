# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Turns on the jobs that the source has on, and does nothing else."""

from __future__ import annotations

import typing as t

from .._plan import Step
from .context import group_of, identity_of, schedule_note
from .kinds import KINDS, kind_of
from .model import differences, listed, window_differs

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
    """Plan the activation in stages: refresh policies first, retention last; a job that is on is never paused.

    With ``stagger`` the stages lie apart in time too: a job does not start for the first time before its turn.
    """
    _warn_of_paused(context)
    chosen: list[tuple[Kind, Job, Job | None]] = []
    for kind, pairs in context.pairs:  # in the order of the stages
        for wanted, existing in pairs:
            if wanted is not None and _to_turn_on(context, kind, wanted, existing):
                chosen.append((kind, wanted, existing))
    stagger = context.options.stagger
    for place, (kind, wanted, existing) in enumerate(chosen):
        _turn_on(context, kind, wanted, existing, stagger * place / len(chosen) if stagger else None)
    warn_of_workers(context)


def _warn_of_paused(context: Context) -> None:
    """Operators stop the source's jobs before a move; "as on the source" would then turn on nothing."""
    jobs = [job for job in context.chosen if kind_of(job) is not None]
    paused = sum(1 for job in jobs if not context.options.active(job))
    if paused > 1 and 2 * paused > len(jobs):
        context.plan.warnings.append(
            f"{paused} of {len(jobs)} jobs are paused on the source, so they stay paused. If they were stopped for the"
            " move only, choose them with also_paused, or give the source_file of an earlier day."
        )


def warn_of_workers(context: Context) -> None:
    """Every database with TimescaleDB has a scheduler that holds a slot; with none left, jobs silently never start."""
    server = context.ground.server
    if not server or not context.starting:
        return
    slots = min(server["workers"] or 0, server["processes"] - _TAKEN)
    free = slots - server["databases"]
    at_once = sum(1 for job in context.starting if not job.fixed_schedule) if not context.options.stagger else 0
    room = (
        f"The target's server has room for {max(slots, 0)} background workers of TimescaleDB"
        f" (timescaledb.max_background_workers = {server['workers']}, max_worker_processes = {server['processes']})"
        f" and {server['databases']} databases, each of which may need one for its scheduler."
    )
    if free <= 0:
        remedy = "With too few, jobs never start and no error tells. Raise both settings and restart the server."
        context.plan.warnings.append(f"{room} {remedy}")
    elif at_once > free:
        told = f"{at_once} jobs are due at once, so some wait for others to end."
        remedy = "Raise both settings, or create jobs paused and activate them with stagger."
        context.plan.warnings.append(f"{room} {told} {remedy}")


def _to_turn_on(context: Context, kind: Kind, wanted: Job, existing: Job | None) -> bool:
    """Whether a job is to be turned on; what is not is noted, with the reason."""
    identity, block = identity_of(kind, wanted), context.block(kind, wanted)
    if existing is None and not (context.options.check_mode and not context.ground.missing(kind, wanted)):
        reason, hint = "It is not on the target, so it is not activated.", "Run the task without activate first."
        context.find(identity, "pending" if wanted.scheduled else "skipped", reason, hint)
    elif existing is not None and context.as_it_runs(existing).scheduled and not wanted.scheduled:
        context.find(identity, "drifted", schedule_note(wanted, existing), "Pause it there if it should not run.")
    elif not wanted.scheduled:
        context.find(identity, "present", "Paused, as on the source.")
    elif existing is not None and existing.number in context.parked_there:
        context.find_parked(identity, existing)
    elif existing is not None and existing.scheduled:
        context.find(identity, "present")
    elif existing is not None and kind.option == "retention" and window_differs(wanted, existing):
        reason = f"It stays paused, since it drops other rows than the source's: {_listed(context, wanted, existing)}."
        context.find(identity, "drifted", reason, "Run the task without activate first.")
    elif block:
        context.find(identity, "pending", f"It stays paused: {block}", "Run the task again when that is done.")
    else:
        return True
    return False


def _listed(context: Context, wanted: Job, existing: Job) -> str:
    return listed(differences(wanted, existing, context.names))


def _turn_on(context: Context, kind: Kind, wanted: Job, existing: Job | None, delay: float | None) -> None:
    job = existing or wanted._replace(scheduled=False)
    reason = "Active on the source, or chosen by also_paused." if context.options.also_paused else _ON
    if existing is not None and differences(wanted, existing, context.names):
        reason += f" It differs from the source's ({_listed(context, wanted, existing)})."
    on = job._replace(scheduled=True)
    step = Step(
        identity_of(kind, wanted),
        "alter",
        context.with_own_path(on, context.writer.turn_on(context.condition(kind, job), on, delay)),
        reason=reason,
        depends_on=context.before(kind, on),
        weight=len(KINDS) - kind.rank,
        before="scheduled: False",
        after="scheduled: True",
        planned=existing is None,
    )
    context.starting.append(on)
    context.add(step, group_of(kind, on), on.relation)
