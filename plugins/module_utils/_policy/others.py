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
from .._versions import TS_INVALIDATIONS_BY_REFRESH
from . import settings
from .context import about, shown
from .kinds import kind_of
from .model import FIRST_USER_JOB, differences, listed

if t.TYPE_CHECKING:
    from .context import Context
    from .model import Job, Name

__all__ = ["columnstore", "creation_times", "owners", "parked", "strangers", "system_jobs"]

_NAMED = 5  # so many are named in a warning


def columnstore(context: Context) -> None:
    """Columnstore settings of hypertables; those of aggregates belong to timescale_cagg_sync."""
    owners = context.options.owner
    for relation, entry in context.ground.wanted.items():
        left_out = relation.aggregate or (owners and entry["owner"] not in owners)
        if left_out or not context.options.names(str(relation)):
            continue
        theirs = context.ground.existing.get(relation, {})
        there = theirs.get("columnstore")
        for text in sorted(set(entry.get("extras") or ()) - set(theirs.get("extras") or ())):
            _extra(context, relation, text)
        if entry["columnstore"]:
            _settings(context, relation, entry["columnstore"])
        elif there:
            _surplus(context, relation, there)


def _extra(context: Context, relation: Name, text: str) -> None:
    """Made only by hand: direct_compress replaces policies, and chunk skipping needs a setting of the server."""
    identity = Identity("columnstore_settings", relation.schema, relation.name)
    context.find(
        identity, "drifted", "A setting of the source's hypertable is not brought over.", f"Run {text}.", "", text
    )


def _surplus(context: Context, relation: Name, there: dict[str, t.Any]) -> None:
    """Newer versions turn it on by themselves when a hypertable is made by CREATE TABLE."""
    identity = Identity("columnstore_settings", relation.schema, relation.name)
    reason, hint = "The columnstore is on for it on the target only.", "Turn it off there if it is not wanted."
    context.find(identity, "skipped", reason, hint, before=settings.described(there) or "compress")


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


def strangers(context: Context) -> None:
    """Jobs of the extension's own procedures that no function creates: helpers, unknown kinds, what add_job made."""
    for job in context.chosen:
        if kind_of(job) is None:
            _stranger(context, job)


def _stranger(context: Context, job: Job) -> None:
    identity = Identity("job", job.proc_schema, job.proc_name, str(job.relation or ""))
    hint = f"Make it on the target by hand, and leave it out by exclude: {about(job)}."
    instead = _done_instead(context, job)
    if instead:
        context.leave(identity, f"Not copied: {instead}")
        context.plan.warnings.append(f"{job.proc_name} of {job.relation} is not copied: {instead}")
    elif not context.ground.has_procedure(job.proc_name):
        reason = f"TimescaleDB {context.version} on the target has no {job.proc_name}."
        context.find(identity, "unsupported", reason, f"Leave it out by exclude: {about(job)}.")
    else:
        reason = "It runs a procedure of the extension, but was made by hand (add_job) or is of an unknown kind."
        context.find(identity, "unsupported", reason, hint)


def _done_instead(context: Context, job: Job) -> str:
    """What does the work of one of the extension's helpers on the target, empty if nothing does."""
    if job.proc_name == "policy_process_hypertable_invalidations" and context.version >= TS_INVALIDATIONS_BY_REFRESH:
        return "the refresh policies do its work."
    if job.proc_name == "policy_recompression":
        others = [one for one in context.wanted_jobs if one.relation == job.relation and one.attached]
        if any(one.proc_name == "policy_compression" and one.values.get("recompress", True) for one in others):
            return "the columnstore policy recompresses by itself."
    return ""


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
    if not found:
        context.find(identity, "present")
    elif not context.options.system_jobs:
        reason = f"One of the extension's own jobs differs ({listed(found)})."
        context.leave(identity, reason, "system_jobs: true copies it.")
    else:
        _copy_system_job(context, identity, wanted, existing, found)


def _copy_system_job(
    context: Context, identity: Identity, wanted: Job, existing: Job, found: dict[str, tuple[t.Any, t.Any]]
) -> None:
    context.find_unalterable(identity, wanted, found, "Alter it on the source, or leave it.")
    if found:
        condition = context.writer.system_condition(wanted)
        keys = {name[len("config.") :]: after for name, (_before, after) in found.items() if name.startswith("config.")}
        config = context.writer.merged(condition, keys, []) if keys else None
        text = context.writer.alter(condition, wanted, found.keys(), config)
        step = Step(
            identity, "alter", (text,), f"Differs ({listed(found)}).", before=shown(existing), after=shown(wanted)
        )
        context.add(step, "system", None)


def owners(context: Context) -> None:
    """Tell whose policies belong to somebody else on the target."""
    moved: collections.Counter[tuple[str, str]] = collections.Counter()
    for job in context.chosen:
        wanted = context.translated(job)
        if wanted.relation and wanted.owner != context.ground.owner(wanted):
            moved[wanted.owner, context.ground.owner(wanted)] += 1
    for (before, after), count in sorted(moved.items()):
        told = f"{count} policies of {before} belong to {after} on the target, who owns the relations there."
        context.plan.warnings.append(told)


def creation_times(context: Context) -> None:
    """Tell of new policies that go by a chunk's creation: on the target that is when its rows were copied."""
    new = [
        about(wanted)
        for _kind, pairs in context.pairs
        for wanted, existing in pairs
        if wanted is not None and existing is None and any(key.endswith("_created_before") for key in wanted.values)
    ]
    if new:
        context.plan.warnings.append(
            f"{len(new)} policies go by the time at which a chunk was created ({_some(new)}). On the target chunks are"
            " as old as the copy, so these policies begin anew."
        )


def parked(context: Context) -> None:
    """A next start of infinity is another way to pause a job; it is no attribute that is copied."""
    names = [about(job) for job in context.chosen if job.number in context.parked]
    if names:
        context.plan.warnings.append(
            f"The next start of {len(names)} jobs on the source is infinity ({_some(names)}). They count as paused."
        )


def _some(names: t.Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
