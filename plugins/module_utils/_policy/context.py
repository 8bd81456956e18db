# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What all parts of the plan share: the options, both sides, and the plan that grows."""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import typing as t
from fnmatch import fnmatchcase

from .._plan import Finding, Identity, Plan, Step
from .._sql import identifier, literal, statement
from .._timescale import functions_schema
from .._versions import TS_CHECK_CONFIG, Timescale
from .ground import Ground
from .kinds import KINDS, USER, Kind, kind_of
from .match import pair
from .model import FIRST_USER_JOB, Job, Name, attributes, comparable, jobs_of, retries
from .statements import Writer

if t.TYPE_CHECKING:
    from .._connection import Facts
    from .match import Pair

__all__ = ["ACTIVE_THERE", "Context", "Options", "about", "identity_of", "schedule_note", "shown"]

ACTIVE_THERE = "It is active on the target and paused on the source. It is not paused from here."


@dataclasses.dataclass(frozen=True)
class Options:
    """The module's options that decide what is planned; see the module's documentation."""

    kinds: t.Sequence[str] = ()
    include: t.Sequence[str] = ()
    exclude: t.Sequence[str] = ()
    owner: t.Sequence[str] = ()
    owner_map: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    scheduled: str = "source"
    activate: bool = False
    also_paused: t.Sequence[str] = ()
    stagger: float = 0.0
    columnstore_settings: bool = True
    system_jobs: bool = False
    prune: bool = False
    check_mode: bool = False

    def names(self, name: str) -> bool:
        """Whether include and exclude leave a name in."""
        if self.include and not any(fnmatchcase(name, glob) for glob in self.include):
            return False
        return not any(fnmatchcase(name, glob) for glob in self.exclude)

    def active(self, job: Job) -> bool:
        """Whether a job is to be active in the end: as on the source, or because the operator chose it."""
        chosen = self.activate and any(fnmatchcase(about(job), glob) for glob in self.also_paused)
        return job.scheduled or chosen

    def kind(self, option: str) -> bool:
        return not self.kinds or option in self.kinds

    def renamed(self, owner: str) -> str:
        return self.owner_map.get(owner, owner)


class Move(t.NamedTuple):
    """A refresh policy gets another window.

    :param step: what tells it in the result.
    :param away: ties it to something else, so that TimescaleDB does not compare the others with its old window;
        ``alteration`` alters it there, ``back`` ties it to its aggregate again.
    """

    step: Step
    away: str
    alteration: str
    back: str


class Context:
    """Both sides as values, and the plan.

    :param wanted: the source's jobs document; ``existing``: the target's.
    :ivar parked: ids of the source's jobs that are on and never start (next_start => 'infinity'): they count as paused.
    :ivar parked_there: those of the target. They are told, not started: somebody has stopped them on purpose.
    :ivar blocked: relation -> why a retention policy on it must not be active yet; see guard.
    """

    def __init__(
        self,
        wanted: dict[str, t.Any],
        source: Facts,
        existing: dict[str, t.Any],
        target: Facts,
        options: Options,
    ) -> None:
        self.plan = Plan()
        self.options = options
        self.source, self.target = source, target
        self.version = target.timescale or Timescale(0, 0)
        self.names = comparable(source, target)
        self.writer = Writer(target)
        self.blocked: t.Mapping[Name, str] = {}
        self.ground = Ground(
            wanted, existing, target, check_mode=options.check_mode, settings=options.columnstore_settings
        )
        self.parked, self.parked_there = _parked(wanted), _parked(existing)
        self.wanted_jobs = [
            job._replace(scheduled=False) if job.number in self.parked else job for job in jobs_of(wanted)
        ]
        self.existing_jobs = jobs_of(existing)
        self._translated: dict[int, Job] = {}
        self.starting: list[Job] = []  # what the plan makes active
        self.moves: dict[Name | None, list[Move]] = {}  # refresh policies whose windows the plan moves
        self._keys: dict[tuple[str, Name | None], list[str]] = {}
        self._numbers: collections.Counter[str] = collections.Counter()

    # -- the jobs of both sides ------------------------------------------------------------------------------------

    @functools.cached_property
    def chosen(self) -> list[Job]:
        """The source's jobs inside the filters, the extension's own jobs left out."""
        return [job for job in self.wanted_jobs if self._chosen(job, self.options.owner)]

    @functools.cached_property
    def pairs(self) -> list[tuple[Kind, list[Pair]]]:
        """Per kind: (wanted as it must be on the target, existing)."""
        wanted: dict[str, list[Job]] = {kind.option: [] for kind in KINDS}
        existing: dict[str, list[Job]] = {kind.option: [] for kind in KINDS}
        for job in self.chosen:
            kind = kind_of(job)
            if kind is not None:
                wanted[kind.option].append(self.translated(job))
        for job in self.existing_jobs:
            kind = kind_of(job)
            if kind is not None and self._chosen_there(job):
                existing[kind.option].append(job)
        return [(kind, pair(kind, wanted[kind.option], existing[kind.option])) for kind in KINDS]

    def owners(self) -> dict[str, int]:
        """Whose jobs are looked at: owner on the source -> number of jobs."""
        return dict(sorted(collections.Counter(job.owner for job in self.chosen).items()))

    def _chosen(self, job: Job, owners: t.Sequence[str]) -> bool:
        if job.number < FIRST_USER_JOB or (owners and job.owner not in owners):
            return False
        kind = kind_of(job)
        asked = self.options.kind(kind.option) if kind is not None else not self.options.kinds
        return asked and self.options.names(about(job))

    def _chosen_there(self, job: Job) -> bool:
        """A policy of the target belongs to the owner of its relation there; whose it is, the source says."""
        owner = None if kind_of(job) is USER else self._policy_owners.get(job.relation)
        if owner is not None:
            return self._chosen(job._replace(owner=owner), self.options.owner)
        return self._chosen(job, [self.options.renamed(name) for name in self.options.owner])

    @functools.cached_property
    def _policy_owners(self) -> dict[Name | None, str]:
        """Relation -> who owns its policies on the source, or would."""
        owners: dict[Name | None, str] = {name: entry["owner"] for name, entry in self.ground.wanted.items()}
        owners.update({job.relation: job.owner for job in self.wanted_jobs if job.relation is not None})
        return owners

    def translated(self, job: Job) -> Job:
        """The source's job as it must be on the target's version."""
        if job.number not in self._translated:
            self._translated[job.number] = self._translate(job)
        return self._translated[job.number]

    def _translate(self, job: Job) -> Job:
        changes: dict[str, t.Any] = {}
        if self.options.owner_map:
            changes["owner"] = self.options.renamed(job.owner)
        if not job.scheduled and self.options.active(job):
            changes["scheduled"] = True
        if self.source.timescale != self.target.timescale:
            changes.update(self._for_the_version(job))
        return job._replace(**changes) if changes else job

    def _for_the_version(self, job: Job) -> dict[str, t.Any]:
        """What is called or meant otherwise in the target's version."""
        kind = kind_of(job)
        changes: dict[str, t.Any] = {"max_retries": retries(job, self.source, self.target)}
        if kind is not None and kind.is_default_name(job.name):
            changes["name"] = kind.job_name(self.version)
        if job.builtin:
            functions = functions_schema(self.version)
            if self.source.timescale is not None and self.source.timescale < TS_CHECK_CONFIG:
                changes["check"] = (functions, f"{job.proc_name}_check")
            gone = [key for key, version in (kind.gone if kind else {}).items() if self.version >= version]
            changes["proc_schema"] = functions
            if any(key in job.values for key in gone):
                kept = json.loads(job.config or "{}")
                changes["config"] = json.dumps({key: value for key, value in kept.items() if key not in gone})
            if job.check and job.check[0] == job.proc_schema:
                changes["check"] = (functions, job.check[1])
        return changes

    def block(self, kind: Kind, job: Job) -> str:
        """Why a retention policy must not drop anything yet, empty if it may."""
        return self.blocked.get(job.relation, "") if kind.option == "retention" and job.relation else ""

    # -- the plan --------------------------------------------------------------------------------------------------

    def find(
        self, identity: Identity, outcome: str, reason: str = "", hint: str = "", before: str = "", after: str = ""
    ) -> None:
        """Note an object that needs no step."""
        self.plan.findings.append(Finding(identity, outcome, reason, hint, before, after))

    def as_it_runs(self, existing: Job) -> Job:
        """A job of the target, off where it never starts."""
        return existing._replace(scheduled=False) if existing.number in self.parked_there else existing

    def find_parked(self, identity: Identity, existing: Job) -> None:
        """Note a job of the target that is on and never starts."""
        reason = "It is active on the target as on the source, but its next start there is infinity: it never starts."
        start = statement(
            "SELECT {}({}, next_start => now())",
            identifier(self.target.extension_schema, "alter_job"),
            literal(existing.number),
        )
        self.find(identity, "drifted", reason, f"Run {start} there if it should.")

    def find_unalterable(
        self, identity: Identity, wanted: Job, found: dict[str, tuple[t.Any, t.Any]], hint: str
    ) -> None:
        """Note the attributes that no statement sets, and take them out of what is found to differ."""
        names = [name for name in found if name not in self.writer.alterable]
        if "attached" in found and wanted.attached is None:
            names.append("attached")
        # alter_job takes NULL for "leave it".
        names += [name for name in ("initial_start", "config") if name in found and getattr(wanted, name) is None]
        for name in names:
            before, after = found.pop(name)
            told = f"{name} is {before!s} and should be {after!s}"
            self.find(identity, "drifted", f"{told}; no statement of TimescaleDB {self.version} sets that.", hint)

    def leave(self, identity: Identity, reason: str, hint: str = "") -> None:
        """Note a job that the extension of the target keeps by itself."""
        self.plan.findings.append(Finding(identity, "skipped", reason, hint, aside=True))

    def add(self, step: Step, option: str, relation: Name | None) -> None:
        """Add a step of one kind; its key is made unique."""
        self._numbers[step.key] += 1
        if self._numbers[step.key] > 1:
            step.key = f"{step.key} #{self._numbers[step.key]}"
        self.plan.steps.append(step)
        self._keys.setdefault((option, relation), []).append(step.key)

    def before(self, kind: Kind, job: Job) -> tuple[str, ...]:
        """Keys of the steps that a job's step must wait for."""
        if kind is USER:
            # Equal jobs are found one after another by what they are; see Writer.user_condition.
            return tuple(self._keys.get((about(job), None), ())[-1:])
        # TimescaleDB looks at the other refresh policies of an aggregate whenever one is made or altered.
        keys = [key for option in ("settings", "refresh") for key in self._keys.get((option, job.relation), ())]
        return tuple(keys)

    def with_own_path(self, job: Job, *texts: str) -> tuple[str, ...]:
        """Statements that make or alter a job, with the path that functions of the user's own need.

        TimescaleDB calls them whenever a job is made or altered: integer_now, and a user job's check function. Their
        bodies may name things without a schema, which an empty search_path does not find.
        """
        checked = bool(job.check) and not job.builtin
        calls = checked or (job.relation is not None and self.ground.integer_time(job.relation))
        return (self.writer.OWN_PATH, *texts) if calls else texts

    def condition(self, kind: Kind, job: Job) -> str:
        """Finds a job of the target inside a statement."""
        if kind is USER or job.relation is None:
            return self.writer.user_condition(job)
        return self.writer.policy_condition(kind, job)


def _parked(document: dict[str, t.Any]) -> set[int]:
    return {entry["id"] for entry in document["jobs"] if entry.get("parked") and entry["scheduled"]}


def group_of(kind: Kind, job: Job) -> str:
    """Steps of user jobs are kept per procedure, for equal ones must not run side by side."""
    return about(job) if kind is USER else kind.option


def about(job: Job) -> str:
    """What include and exclude look at: the relation of a policy, the procedure of any other job."""
    if job.relation is not None and kind_of(job) is not None:
        return str(job.relation)
    return f"{job.proc_schema}.{job.proc_name}"


def identity_of(kind: Kind, job: Job) -> Identity:
    """What a job is called in results."""
    if job.relation is not None:
        return Identity(kind.label, job.relation.schema, job.relation.name)
    return Identity(kind.label, job.proc_schema, job.proc_name)


def schedule_note(wanted: Job, existing: Job) -> str:
    """What to tell of a difference that only activation, or the operator, may settle."""
    if wanted.scheduled == existing.scheduled:
        return ""
    if existing.scheduled:
        return ACTIVE_THERE
    return "It is paused on the target and active on the source; activate: true turns it on."


def shown(job: Job) -> str:
    """A job's attributes, one a line."""
    return "\n".join(f"{name}: {value}" for name, value in attributes(job).items() if value is not None)
