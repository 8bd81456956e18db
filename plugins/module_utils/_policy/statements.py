# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""SQL of policies. Jobs and hypertables are found by name inside the statement: no id of a database is ever written.

A job and all its attributes come into being in one statement, so that the scheduler never sees it half made.
"""

from __future__ import annotations

import json
import typing as t

from .._sql import identifier, literal, quote_identifier, raw, statement, typed
from .._timescale import functions_schema, job_table
from .._versions import (
    TS_ALTER_SCHEDULE,
    TS_CHECK_CONFIG,
    TS_FIXED_SCHEDULES,
    TS_JOB_NAME,
    TS_OWNER_OID,
    TS_POLICY_INTERVAL,
    Timescale,
)
from .model import FIRST_USER_JOB, SCHEDULE_ATTRIBUTES

if t.TYPE_CHECKING:
    from psycopg2.sql import Composable

    from .._connection import Facts
    from .kinds import Kind
    from .model import Job, Name

    Arguments = list[tuple[str, Composable]]

__all__ = ["Writer"]


class _Alterable:
    """The attributes that alter_job sets in a version."""

    def __init__(self, version: Timescale) -> None:
        self._not = set() if version >= TS_ALTER_SCHEDULE else set(SCHEDULE_ATTRIBUTES)

    def __contains__(self, name: str) -> bool:
        return name not in self._not


class Writer:
    """Writes statements for one target."""

    # What a session of the user's own has, but with pg_catalog first: operators in our statements name no schema, and
    # a path that is set on the role or the database may put something else before it.
    OWN_PATH = (
        "SELECT pg_catalog.set_config("
        "'search_path', pg_catalog.concat_ws(', ', 'pg_catalog', NULLIF(s.reset_val, '')), true)"
        " FROM pg_catalog.pg_settings AS s WHERE s.name = 'search_path'"
    )

    def __init__(self, target: Facts) -> None:
        self.version: Timescale = target.timescale or Timescale(0, 0)
        self.schema = target.extension_schema
        self.table = raw(job_table(self.version))
        self.alterable = _Alterable(self.version)

    # -- what there is ---------------------------------------------------------------------------------------------

    def policy_condition(self, kind: Kind, job: Job) -> str:
        """Finds a policy by what it is tied to; by its window too where several may stand on one relation."""
        parts = {"schema": literal(functions_schema(self.version)), "procedure": literal(kind.procedure)}
        text = "j.proc_schema = {schema} AND j.proc_name = {procedure}"
        if job.attached:
            text += " AND j.hypertable_id = {tied}"
            parts["tied"] = raw(hypertable_id(job.attached))
        if job.relation and job.relation != job.attached:
            text += " AND (j.config ->> {key})::pg_catalog.int4 = {named}"
            parts.update(key=literal(kind.id_key), named=raw(hypertable_id(job.relation)))
        if kind.several:
            stored = json.loads(job.config or "{}")
            for place, key in enumerate(kind.keys):
                # As it was written, in whatever IntervalStyle, or as our sessions write it.
                forms = {"" if side.get(key) is None else str(side[key]) for side in (stored, job.values)}
                text += f" AND COALESCE(j.config ->> {{key{place}}}, '') IN ({{forms{place}}})"
                parts[f"key{place}"] = literal(key)
                parts[f"forms{place}"] = raw(", ".join(statement("{}", literal(form)) for form in sorted(forms)))
        return statement(text, **parts)

    def user_condition(self, job: Job) -> str:
        """Finds jobs that are like this one in everything; identical ones are as good as each other."""
        row: dict[str, t.Any] = {
            "proc_schema": job.proc_schema,
            "proc_name": job.proc_name,
            "schedule_interval": job.schedule_interval,
            "max_runtime": job.max_runtime,
            "max_retries": job.max_retries,
            "retry_period": job.retry_period,
            "scheduled": job.scheduled,
        }
        if self.version >= TS_CHECK_CONFIG:
            row["check_schema"], row["check_name"] = job.check or (None, None)
        if self.version >= TS_FIXED_SCHEDULES:
            row.update(fixed_schedule=job.fixed_schedule, initial_start=job.initial_start, timezone=job.timezone)
        owner = "pg_catalog.pg_get_userbyid(j.owner)" if self.version >= TS_OWNER_OID else "j.owner"
        text = (
            "j.id >= {first} AND pg_catalog.to_jsonb(j) @> {row} AND j.config IS NOT DISTINCT FROM {config}"
            " AND j.hypertable_id IS NOT DISTINCT FROM {attached} AND {owner} = {role}"
            " AND pg_catalog.regexp_replace(j.application_name, {suffix}, '') = {name}"
        )
        return statement(
            text,
            first=literal(FIRST_USER_JOB),
            row=typed(row, "pg_catalog.jsonb"),
            config=typed(job.config, "pg_catalog.jsonb"),
            attached=raw(hypertable_id(job.attached) if job.attached else "NULL"),
            owner=raw(owner),
            role=literal(job.owner),
            suffix=literal(r" \[\d+\]$"),
            name=literal(job.name),
        )

    def system_condition(self, job: Job) -> str:
        """Finds one of the extension's own jobs by its procedure."""
        return statement(
            "j.id < {} AND j.proc_schema = {} AND j.proc_name = {}",
            literal(FIRST_USER_JOB),
            literal(functions_schema(self.version)),
            literal(job.proc_name),
        )

    def exists(self, condition: str, at_least: int = 1) -> str:
        """A query that tells whether so many jobs are there."""
        counted = "SELECT pg_catalog.count(*) >= {} FROM {} AS j WHERE {}"
        return statement(counted, literal(at_least), self.table, raw(condition))

    # -- what changes it -------------------------------------------------------------------------------------------

    def create_policy(self, kind: Kind, job: Job, time_type: str) -> str:
        """One statement that adds a policy and sets everything that adding cannot set."""
        given: Arguments = [("relation", regclass(job.relation))] if job.relation else []
        given += kind.arguments(job, time_type)
        if kind.takes_interval and (kind.several or self.version >= TS_POLICY_INTERVAL):
            given.append(("schedule_interval", interval(job.schedule_interval)))
        if job.fixed_schedule and job.initial_start and self.version >= TS_FIXED_SCHEDULES:
            given += [("initial_start", timestamp(job.initial_start)), ("timezone", literal(job.timezone))]
        more = self._attributes(job, check=job.check is None)  # the extension's own check comes by itself
        if job.relation and not job.values.keys() <= set(kind.keys):
            more.append(("config", own_config(kind, job.relation, job)))
        text = self._made(self._call(kind.function, given, positional=1), more)
        return text + (self._tie(job.attached) if job.attached and job.attached != job.relation else "")

    def create_user_job(self, job: Job) -> str:
        """One statement that adds a user's job, with its attachment."""
        given: Arguments = [
            ("proc", routine(job.proc_schema, job.proc_name, "integer, jsonb")),
            ("schedule_interval", interval(job.schedule_interval)),
            ("config", typed(job.config, "pg_catalog.jsonb")),
            ("initial_start", timestamp(job.initial_start)),
            ("scheduled", literal(job.scheduled)),
        ]
        if job.check and self.version >= TS_CHECK_CONFIG:
            given.append(("check_config", routine(*job.check, "jsonb")))
        if self.version >= TS_FIXED_SCHEDULES:
            given += [("fixed_schedule", literal(job.fixed_schedule)), ("timezone", literal(job.timezone))]
        text = self._made(self._call("add_job", given, positional=0), self._attributes(job, check=False))
        return text + (self._tie(job.attached) if job.attached else "")

    def alter(
        self,
        condition: str,
        wanted: Job,
        names: t.Collection[str],
        config: Composable | None = None,
        next_start: Composable | None = None,
    ) -> str:
        """One alter_job that sets the named attributes of the job that a condition finds.

        It fails when the condition finds no job. The timezone is always said: alter_job (2.12) forgets it otherwise.
        """
        more: Arguments = [("config", config)] if config is not None else []
        more += [("next_start", next_start)] if next_start is not None else []
        return statement("SELECT done.job_id FROM {} AS done", raw(self._altered(condition, wanted, names, more)))

    def turn_on(self, condition: str, job: Job, delay: float | None) -> str:
        """Activate a job.

        A fixed schedule is said again, so that alter_job puts the next start on the next slot, not on one that has
        passed. The schedule itself stays as it is.

        :param delay: seconds from now before which the job does not start for the first time; None leaves it alone.
        """
        fixed = bool(job.fixed_schedule and job.initial_start)
        names = {"scheduled", "fixed_schedule", "initial_start"} if fixed else {"scheduled"}
        if delay is None:
            return self.alter(condition, job, names)
        turn = statement("pg_catalog.now() + {}", interval(f"{delay:.3f} seconds"))
        if not fixed:
            return self.alter(condition, job, names, next_start=raw(turn))
        later: Arguments = [
            ("", raw("slot.job_id")),
            ("next_start", raw(statement("GREATEST(slot.next_start, {})", raw(turn)))),
            ("timezone", literal(job.timezone)),
        ]
        return statement(
            "SELECT done.job_id FROM {} AS slot, LATERAL {} AS done",
            raw(self._altered(condition, job, names, [])),
            raw(self._call("alter_job", later if self.version >= TS_ALTER_SCHEDULE else later[:-1])),
        )

    def merged(self, condition: str, after: dict[str, t.Any], gone: t.Sequence[str]) -> Composable:
        """The target's own config with some keys set and others removed."""
        base = (
            statement("j.config - {}::pg_catalog.text[]", literal("{" + ",".join(gone) + "}")) if gone else "j.config"
        )
        chosen = statement("({}) || {}", raw(base), typed(after, "pg_catalog.jsonb"))
        return raw(self._one(chosen, condition))

    @staticmethod
    def as_role(owner: str) -> str:
        """Makes what follows in the transaction the owner's doing: add_job gives the job to the current user."""
        return statement("SET LOCAL ROLE {}", identifier(owner))

    @staticmethod
    def json(text: str | None) -> Composable:
        """A user job's whole config."""
        return typed(text, "pg_catalog.jsonb")

    def attach(self, condition: str, relation: Name) -> str:
        """Tie a job to a hypertable or an aggregate."""
        return statement("SELECT {}({}, {})", raw(self._attaching), raw(self._id(condition)), regclass(relation))

    def delete(self, condition: str) -> str:
        """Remove one job."""
        return statement("SELECT {}", raw(self._call("delete_job", [("", raw(self._id(condition)))])))

    # -- pieces ----------------------------------------------------------------------------------------------------

    def _attributes(self, job: Job, *, check: bool = True) -> Arguments:
        given: Arguments = [
            ("schedule_interval", interval(job.schedule_interval)),
            ("max_runtime", interval(job.max_runtime)),
            ("max_retries", literal(job.max_retries)),
            ("retry_period", interval(job.retry_period)),
            ("scheduled", literal(job.scheduled)),
        ]
        if check and self.version >= TS_CHECK_CONFIG:
            given.append(("check_config", routine(*job.check, "jsonb") if job.check else no_routine()))
        if self.version >= TS_ALTER_SCHEDULE:
            given.append(("fixed_schedule", literal(job.fixed_schedule)))
            if job.initial_start:
                given.append(("initial_start", timestamp(job.initial_start)))
            given.append(("timezone", literal(job.timezone)))
        if self.version >= TS_JOB_NAME:
            given.append(("job_name", literal(job.name)))
        return given

    def _altered(self, condition: str, wanted: Job, names: t.Collection[str], more: Arguments) -> str:
        """The call of alter_job; it always says the timezone."""
        given = [pair for pair in self._attributes(wanted) if pair[0] in names or pair[0] == "timezone"]
        return self._call("alter_job", [("", raw(self._id(condition))), *given, *more])

    @property
    def _attaching(self) -> str:
        return f"{functions_schema(self.version)}.alter_job_set_hypertable_id"

    def _tie(self, relation: Name) -> str:
        return statement(", LATERAL {}(made.id, {}) AS tied", raw(self._attaching), regclass(relation))

    def _made(self, creation: str, attributes: Arguments) -> str:
        call = self._call("alter_job", [("", raw("made.id")), *attributes])
        return statement(
            "SELECT done.job_id FROM (SELECT {} AS id OFFSET 0) AS made, LATERAL {} AS done", raw(creation), raw(call)
        )

    def _call(self, function: str, arguments: Arguments, positional: int = 1) -> str:
        parts = [
            statement("{}", value) if place < positional else statement("{} => {}", raw(name), value)
            for place, (name, value) in enumerate(arguments)
        ]
        return statement("{}({})", identifier(self.schema, function), raw(", ".join(parts)))

    def _id(self, condition: str) -> str:
        return self._one("j.id", condition)

    def _one(self, what: str, condition: str) -> str:
        return statement(
            "(SELECT {} FROM {} AS j WHERE {} ORDER BY j.id LIMIT 1)", raw(what), self.table, raw(condition)
        )


def hypertable_id(relation: Name) -> str:
    """The id of a hypertable or of an aggregate's materialization, as a sub-select."""
    if relation.aggregate:
        return statement(
            "(SELECT a.mat_hypertable_id FROM _timescaledb_catalog.continuous_agg AS a"
            " WHERE a.user_view_schema = {} AND a.user_view_name = {})",
            literal(relation.schema),
            literal(relation.name),
        )
    return statement(
        "(SELECT h.id FROM _timescaledb_catalog.hypertable AS h WHERE h.schema_name = {} AND h.table_name = {})",
        literal(relation.schema),
        literal(relation.name),
    )


def own_config(kind: Kind, relation: Name, job: Job) -> Composable:
    """A policy's whole config, with the id that its relation has on the target."""
    values = {**dict.fromkeys(kind.nullable), **job.values}
    build = "pg_catalog.jsonb_build_object({}, {}) || {}"
    return raw(statement(build, literal(kind.id_key), raw(hypertable_id(relation)), typed(values, "pg_catalog.jsonb")))


def qualified(schema: str, name: str) -> str:
    return f"{quote_identifier(schema)}.{quote_identifier(name)}"


def regclass(relation: Name) -> Composable:
    return typed(qualified(relation.schema, relation.name), "pg_catalog.regclass")


def routine(schema: str, name: str, arguments: str) -> Composable:
    """A procedure or function by its signature: its name alone may stand for several."""
    text = f"{qualified(schema, name)}({arguments})"
    return raw(statement("{}::pg_catalog.oid::pg_catalog.regproc", typed(text, "pg_catalog.regprocedure")))


def no_routine() -> Composable:
    """What alter_job takes to remove a check function."""
    return raw("0::pg_catalog.oid::pg_catalog.regproc")


def interval(text: str) -> Composable:
    return typed(text, "pg_catalog.interval")


def timestamp(text: str | None) -> Composable:
    return typed(text, "pg_catalog.timestamptz") if text else raw("NULL")
