# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Jobs as values: read from a document, translated to another version, compared attribute by attribute."""

from __future__ import annotations

import functools
import json
import typing as t

from .._versions import TS_CHECK_CONFIG, TS_FIXED_SCHEDULES, TS_JOB_NAME, TS_RETRIES_ZERO_IS_NONE

if t.TYPE_CHECKING:
    from .._connection import Facts

__all__ = [
    "FIRST_USER_JOB",
    "Job",
    "Name",
    "attributes",
    "comparable",
    "differences",
    "jobs_of",
    "listed",
    "window_differs",
]

FIRST_USER_JOB = 1000  # ids below are the extension's own jobs (TimescaleDB, all versions)

SCHEDULE_ATTRIBUTES = ("fixed_schedule", "initial_start", "timezone")


class Name(t.NamedTuple):
    """A hypertable or a continuous aggregate, by its public name."""

    schema: str
    name: str
    aggregate: bool = False

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @classmethod
    def of(cls, entry: dict[str, t.Any] | None) -> Name | None:
        return cls(entry["schema"], entry["name"], bool(entry["aggregate"])) if entry else None


class _Row(t.NamedTuple):
    number: int
    builtin: bool
    proc_schema: str
    proc_name: str
    name: str
    owner: str
    scheduled: bool
    schedule_interval: str
    max_runtime: str
    max_retries: int
    retry_period: str
    fixed_schedule: bool
    initial_start: str | None
    timezone: str | None
    config: str | None
    check: tuple[str, str] | None = None
    attached: Name | None = None
    relation: Name | None = None
    intervals: tuple[tuple[str, str], ...] = ()


class Job(_Row):
    """One row of the job catalog; a tuple, for there may be thousands.

    :param number: the id in its own database: only its range has a meaning elsewhere.
    :param builtin: the procedure is one of the extension's own.
    :param name: without the `` [id]`` that the extension appends.
    :param config: JSON text; the extension's own without ids of hypertables.
    :param intervals: those values of the config that are intervals, printed by one server.
    :param check: schema and name of the check function.
    :param attached: what the job is tied to; ``relation``: what a policy's config names.
    """

    @functools.cached_property
    def values(self) -> dict[str, t.Any]:
        """The config as values, intervals in one style; what is null counts as absent (it means the same)."""
        parsed = json.loads(self.config) if self.config else {}
        merged = {**parsed, **dict(self.intervals)} if isinstance(parsed, dict) else {}
        return {key: value for key, value in merged.items() if value is not None}

    @property
    def everything(self) -> tuple[t.Any, ...]:
        """All but the id: jobs in which it is equal are equal, whatever their database."""
        return self[1:]


_PLAIN = _Row._fields[1 : _Row._fields.index("check")]


def jobs_of(document: dict[str, t.Any], procedures: t.Container[str] | None = None) -> list[Job]:
    """The jobs of a document.

    :param procedures: only jobs that run one of these.
    """
    return [_job(entry) for entry in document["jobs"] if procedures is None or entry["proc_name"] in procedures]


def _job(entry: dict[str, t.Any]) -> Job:
    check = (entry["check_schema"], entry["check_name"]) if entry["check_name"] else None
    intervals = tuple(entry["intervals"].items()) if entry["intervals"] else ()
    plain = [entry[name] for name in _PLAIN]
    return Job._make([entry["id"], *plain, check, Name.of(entry["attached"]), Name.of(entry["relation"]), intervals])


def attributes(job: Job) -> dict[str, t.Any]:
    """What makes a job what it is, in the order in which it is shown. A policy's config is shown key by key."""
    shown: dict[str, t.Any] = {
        "schedule_interval": job.schedule_interval,
        "max_runtime": job.max_runtime,
        "max_retries": job.max_retries,
        "retry_period": job.retry_period,
        "fixed_schedule": job.fixed_schedule,
        "initial_start": job.initial_start,
        "timezone": job.timezone,
        "job_name": job.name,
        "check_config": ".".join(job.check) if job.check else None,
        "attached": str(job.attached) if job.attached else None,
    }
    if job.builtin:
        shown.update({f"config.{key}": value for key, value in sorted(job.values.items())})
    else:
        shown["config"] = job.config
    return shown


def comparable(source: Facts, target: Facts) -> frozenset[str]:
    """Attributes that both versions have."""
    versions = [facts.timescale for facts in (source, target) if facts.timescale is not None]
    lowest = min(versions)
    names = {"schedule_interval", "max_runtime", "max_retries", "retry_period", "attached", "config"}
    if lowest >= TS_CHECK_CONFIG:
        names.add("check_config")
    if versions[-1] >= TS_FIXED_SCHEDULES:
        names.update(SCHEDULE_ATTRIBUTES)
    if versions[-1] >= TS_JOB_NAME:
        names.add("job_name")
    return frozenset(names)


def differences(wanted: Job, existing: Job, names: frozenset[str]) -> dict[str, tuple[t.Any, t.Any]]:
    """Attribute -> (value on the target, wanted value)."""
    if wanted.everything == existing.everything:
        return {}
    after, before = attributes(wanted), attributes(existing)
    found = {
        key: (before.get(key), after.get(key))
        for key in {**after, **before}
        if key.split(".", maxsplit=1)[0] in names and before.get(key) != after.get(key)
    }
    if wanted.fixed_schedule and wanted.initial_start is None:
        # Left by old updates of the extension (fixed in TimescaleDB 2.12.2): any start is as good.
        found.pop("initial_start", None)
    return found


def listed(found: t.Mapping[str, tuple[t.Any, t.Any]]) -> str:
    """Differences in one line."""
    return "; ".join(f"{name}: {before!s} -> {after!s}" for name, (before, after) in found.items())


def window_differs(wanted: Job, existing: Job) -> bool:
    """Whether two retention policies drop other chunks."""
    if wanted.config == existing.config:
        return False
    return any(wanted.values.get(key) != existing.values.get(key) for key in ("drop_after", "drop_created_before"))


def retries(job: Job, source: Facts, target: Facts) -> int:
    """max_retries for the target: 0 meant "no limit" before TimescaleDB 2.15, "none" since."""
    old = source.timescale is not None and source.timescale < TS_RETRIES_ZERO_IS_NONE
    new = target.timescale is not None and target.timescale >= TS_RETRIES_ZERO_IS_NONE
    return -1 if job.max_retries == 0 and old and new else job.max_retries
