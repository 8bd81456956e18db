# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Compares two jobs documents into a plan. No database is touched here."""

from __future__ import annotations

import collections
import json
import typing as t

from .._plan import Plan, Step
from . import activation, others
from .context import Context, Move, Options, about, group_of, identity_of, schedule_note, shown
from .kinds import USER, Kind, kind_of
from .model import FIRST_USER_JOB, Job, Name, differences, listed

if t.TYPE_CHECKING:
    from psycopg2.sql import Composable

    from .._connection import Facts
    from .match import Pair

    Differences = dict[str, tuple[t.Any, t.Any]]

__all__ = ["Context", "Options", "make_plan", "plan_of"]

_ID_KEYS = ("hypertable_id", "mat_hypertable_id")


def make_plan(
    wanted: dict[str, t.Any],
    wanted_facts: Facts,
    existing: dict[str, t.Any],
    target_facts: Facts,
    options: Options,
    blocked: t.Mapping[Name, str] | None = None,
) -> Plan:
    """Compare what the source has with what the target has.

    :param wanted: the source's jobs document; ``existing``: the target's.
    :param blocked: relation -> why a retention policy on it must not be active yet.
    """
    context = Context(wanted, wanted_facts, existing, target_facts, options)
    context.blocked = blocked or {}
    return plan_of(context)


def plan_of(context: Context) -> Plan:
    """The plan of a context, once the guard has told what is blocked."""
    options = context.options
    others.parked(context)
    if options.activate:
        activation.plan(context)
        return context.plan
    if options.columnstore_settings and options.kind("columnstore"):
        others.columnstore(context)
    _policies(context)
    others.strangers(context)
    if not options.kinds:
        others.system_jobs(context)
    others.owners(context)
    others.creation_times(context)
    activation.warn_of_workers(context)
    return context.plan


def _policies(context: Context) -> None:
    """Create what is absent, put right what differs, tell what is surplus."""
    on_source = {kind_of(job) for job in context.wanted_jobs if job.number >= FIRST_USER_JOB}
    for kind, pairs in context.pairs:
        creates = any(existing is None for _wanted, existing in pairs)
        equals: collections.Counter[str] = collections.Counter()
        for wanted, existing in sorted(pairs, key=_turn):
            if wanted is None and existing is not None:
                _surplus(context, kind, existing, kind in on_source)
            elif wanted is not None and existing is None:
                _create(context, kind, wanted, equals)
            elif wanted is not None and existing is not None:
                if creates:
                    equals[context.condition(kind, existing)] += 1
                _compare(context, kind, wanted, existing)


def _turn(pair: Pair) -> int:
    """What goes makes room for what is altered, and that for what is new: windows of refreshes must not overlap."""
    wanted, existing = pair
    return 0 if wanted is None else 1 if existing is not None else 2


def _create(context: Context, kind: Kind, job: Job, equals: collections.Counter[str]) -> None:
    identity, missing = identity_of(kind, job), context.ground.missing(kind, job)
    if missing:
        context.find(identity, "unsupported", missing.reason, missing.hint, after=shown(job))
        return
    job, reason = _new_schedule(context, kind, job)
    condition = context.condition(kind, job)
    equals[condition] += 1
    step = Step(
        identity,
        "create",
        _creation(context, kind, job),
        reason=reason,
        depends_on=context.before(kind, job),
        done_when=context.writer.exists(condition, equals[condition]),
        after=shown(job),
        planned=context.ground.planned(job.relation) or context.ground.planned(job.attached),
    )
    context.add(step, group_of(kind, job), job.relation)


def _new_schedule(context: Context, kind: Kind, job: Job) -> tuple[Job, str]:
    """Whether a new job may be active, and why not."""
    if not job.scheduled:
        return job, "Absent; paused, as on the source."
    if context.options.scheduled == "paused":
        return job._replace(scheduled=False), "Absent; paused until it is activated."
    block = context.block(kind, job)
    if block:
        return job._replace(scheduled=False), f"Absent; created paused: {block}"
    context.starting.append(job)
    return job, "Absent; active, as on the source."


def _creation(context: Context, kind: Kind, job: Job) -> tuple[str, ...]:
    if kind is not USER:
        time_type = context.ground.time_type(job.relation) if job.relation else ""
        return context.with_own_path(job, context.writer.create_policy(kind, job, time_type))
    _warn_of_ids(context, job)
    texts = context.with_own_path(job, context.writer.create_user_job(job))
    return texts if job.owner == context.ground.user else (context.writer.as_role(job.owner), *texts)


def _compare(context: Context, kind: Kind, wanted: Job, existing: Job) -> None:
    identity, owner = identity_of(kind, wanted), context.ground.owner(wanted)
    found = differences(wanted, existing, context.names)
    if existing.owner != owner:
        reason = f"It belongs to {existing.owner} on the target and should belong to {owner}."
        context.find(identity, "drifted", reason, "Remove it there and run the task again.")
    missing = context.ground.missing(kind, wanted, existing=True) if found else None
    if missing:
        context.find(identity, "unsupported", missing.reason, missing.hint, shown(existing), shown(wanted))
        return
    block = context.block(kind, wanted)
    if found and existing.scheduled and block:
        reason = f"Not altered: {block}"
        context.find(
            identity, "pending", reason, "Run the task again when that is done.", shown(existing), shown(wanted)
        )
        return
    if found:
        _alter(context, kind, wanted, existing, found)
    running = context.as_it_runs(existing)
    note = schedule_note(wanted, running)
    if running.scheduled and not wanted.scheduled:
        context.find(identity, "drifted", note, "Pause it there if it should not run.")
    elif wanted.scheduled and existing.number in context.parked_there:
        context.find_parked(identity, existing)
    elif not found and existing.owner == owner:
        context.find(identity, "present", note)


def _alter(context: Context, kind: Kind, wanted: Job, existing: Job, found: Differences) -> None:
    """Put attributes right in place: the job keeps its id, its statistics and whether it is active."""
    identity = identity_of(kind, wanted)
    start = wanted.initial_start or (existing.initial_start if wanted.fixed_schedule else None)
    wanted = wanted._replace(scheduled=existing.scheduled, initial_start=start)
    context.find_unalterable(identity, wanted, found, "Remove the job there and run the task again.")
    statements = _alterations(context, kind, wanted, existing, found)
    if not statements:
        return
    step = Step(
        identity,
        "alter",
        context.with_own_path(wanted, *statements),
        reason=f"Differs ({listed(found)}).",
        depends_on=context.before(kind, wanted),
        before=shown(existing),
        after=shown(wanted),
    )
    if not (kind.option == "refresh" and any(f"config.{key}" in found for key in kind.keys)):
        context.add(step, group_of(kind, wanted), wanted.relation)
    else:
        _move(context, kind, step, wanted, existing, found)


def _move(context: Context, kind: Kind, step: Step, wanted: Job, existing: Job, found: Differences) -> None:
    """Several windows of one aggregate move in one transaction, each compared with those that stay and have moved.

    Meanwhile they are tied to what the aggregate reads, for which the role needs that owner's rights too.
    """
    beside = context.ground.beside(wanted.relation)
    moves = context.moves.setdefault(wanted.relation, [])
    if beside is None or not moves:
        context.add(step, group_of(kind, wanted), wanted.relation)
    if beside is None:
        return
    only = {name: pair for name, pair in found.items() if name != "attached"}
    (alteration,) = _alterations(context, kind, wanted, existing._replace(attached=beside), only)
    away = context.writer.attach(context.condition(kind, existing), beside)
    back = context.writer.attach(context.condition(kind, wanted._replace(attached=beside)), wanted.attached or beside)
    moves.append(Move(step, away, alteration, back))
    if len(moves) > 1:
        first = moves[0].step
        texts = [one.away for one in moves] + [one.alteration for one in moves] + [one.back for one in moves]
        first.statements = context.with_own_path(wanted, *texts)
        first.reason += f" {step.reason}"
        first.before, first.after = f"{first.before}\n{step.before}", f"{first.after}\n{step.after}"


def _alterations(context: Context, kind: Kind, wanted: Job, existing: Job, found: Differences) -> list[str]:
    """At most two statements: the attributes, and what the job is tied to (which has a function of its own)."""
    writer, condition = context.writer, context.condition(kind, existing)
    names = {name for name in found if name != "attached"}
    if names & {"fixed_schedule"}:
        names.add("initial_start")
    statements = []
    if names:
        config = _new_config(context, kind, wanted, found, condition)
        statements.append(writer.alter(condition, wanted, names, config))
    if "attached" in found and wanted.attached is not None:
        altered = wanted._replace(attached=existing.attached)
        statements.append(writer.attach(context.condition(kind, altered), wanted.attached))
    return statements


def _new_config(context: Context, kind: Kind, wanted: Job, found: Differences, condition: str) -> Composable | None:
    """A user's config is replaced; a policy's keys are merged into the target's own, which holds an id."""
    keys = [name.split(".", maxsplit=1)[-1] for name in found if name.split(".", maxsplit=1)[0] == "config"]
    if not keys:
        return None
    if kind is USER:
        return context.writer.json(wanted.config)
    stored = json.loads(wanted.config or "{}")
    kept = {key: stored[key] for key in keys if key in stored}
    return context.writer.merged(condition, kept, [key for key in keys if key not in stored])


def _surplus(context: Context, kind: Kind, job: Job, known: bool) -> None:
    identity, only = identity_of(kind, job), "It is on the target only."
    if context.options.prune and known:
        text = context.writer.delete(context.condition(kind, job))
        step = Step(identity, "drop", (text,), only, depends_on=context.before(kind, job), before=shown(job))
        context.add(step, group_of(kind, job), job.relation)
    elif context.options.prune:
        reason = f"{only} The source has no job of this kind at all, so it is not removed."
        context.find(identity, "skipped", reason, before=shown(job))
    else:
        context.find(identity, "skipped", only, "prune: true removes it.", before=shown(job))


def _warn_of_ids(context: Context, job: Job) -> None:
    parsed = json.loads(job.config or "null")
    for key in _ID_KEYS:
        if isinstance(parsed, dict) and key in parsed:
            told = (
                f"The config of job {about(job)} has {key}, an id of the source. It means another table on the target."
            )
            context.plan.warnings.append(told)
