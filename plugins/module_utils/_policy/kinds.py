# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""The kinds of policies: how each is recognised, what creates it, and what it stands on."""

from __future__ import annotations

import typing as t

from .._sql import literal, raw, typed
from .._versions import TS_HYPERCORE_GONE, TS_INVALIDATIONS_BY_REFRESH, TS_JOB_NAME, TS_MINIMUM, Timescale

if t.TYPE_CHECKING:
    from psycopg2.sql import Composable

    from .model import Job

__all__ = ["KINDS", "USER", "Kind", "kind_of"]


class Kind:
    """One kind of policy.

    :cvar option: its name in the option ``kinds``.
    :cvar label: its name in results.
    :cvar procedure: the procedure its jobs run, which identifies it (schema and job name change between versions).
    :cvar function: what creates it; always the function, for a procedure gives no job id.
    :cvar id_key: the key of its config that holds an id.
    :cvar keys: config keys that the creating function takes; all others are set with alter_job.
    :cvar nullable: keys that stand in the config as null when not given.
    :cvar gone: config keys and the TimescaleDB version that no longer has them.
    :cvar rank: what is created and started first.
    """

    option = ""
    label = ""
    procedure = ""
    function = ""
    id_key = "hypertable_id"
    keys: tuple[str, ...] = ()
    nullable: tuple[str, ...] = ()
    gone: t.ClassVar[t.Mapping[str, Timescale]] = {}
    takes_interval = True
    several = False
    rank = 1

    def job_name(self, version: Timescale) -> str:
        """The name that the extension gives to such a job."""
        return ""

    def is_default_name(self, name: str) -> bool:
        return name in (self.job_name(TS_MINIMUM), self.job_name(TS_JOB_NAME))

    def arguments(self, job: Job, time_type: str) -> list[tuple[str, Composable]]:
        """Arguments of the creating function beside the relation and the schedule."""
        values = job.values
        return [(key, offset(values[key], time_type)) for key in self.keys if key in values]


class Refresh(Kind):
    option = "refresh"
    label = "refresh_policy"
    procedure = "policy_refresh_continuous_aggregate"
    function = "add_continuous_aggregate_policy"
    id_key = "mat_hypertable_id"
    keys = ("start_offset", "end_offset")
    nullable = keys
    gone: t.ClassVar[t.Mapping[str, Timescale]] = {"process_hypertable_invalidations": TS_INVALIDATIONS_BY_REFRESH}
    several = True
    rank = 0

    def job_name(self, version: Timescale) -> str:
        return "Refresh Continuous Aggregate Policy"

    def arguments(self, job: Job, time_type: str) -> list[tuple[str, Composable]]:
        values = job.values
        return [(key, offset(values.get(key), time_type)) for key in self.keys]


class Columnstore(Kind):
    option = "columnstore"
    label = "columnstore_policy"
    procedure = "policy_compression"
    function = "add_compression_policy"
    keys = ("compress_after", "compress_created_before")
    gone: t.ClassVar[t.Mapping[str, Timescale]] = {"hypercore_use_access_method": TS_HYPERCORE_GONE}

    def job_name(self, version: Timescale) -> str:
        return "Columnstore Policy" if version >= TS_JOB_NAME else "Compression Policy"


class Retention(Kind):
    option = "retention"
    label = "retention_policy"
    procedure = "policy_retention"
    function = "add_retention_policy"
    keys = ("drop_after", "drop_created_before")
    rank = 2

    def job_name(self, version: Timescale) -> str:
        return "Retention Policy"


class Reorder(Kind):
    option = "reorder"
    label = "reorder_policy"
    procedure = "policy_reorder"
    function = "add_reorder_policy"
    keys = ("index_name",)
    takes_interval = False

    def job_name(self, version: Timescale) -> str:
        return "Reorder Policy"

    def arguments(self, job: Job, time_type: str) -> list[tuple[str, Composable]]:
        return [("index_name", literal(job.values.get("index_name")))]


class Compaction(Kind):
    option = "compaction"
    label = "compaction_policy"
    procedure = "policy_compaction"
    function = "add_compaction_policy"

    def job_name(self, version: Timescale) -> str:
        return "Compaction Policy"


class User(Kind):
    """Jobs of the user's own procedures (add_job); they have no key, so they are compared as multisets."""

    option = "user"
    label = "job"
    function = "add_job"
    several = True

    def job_name(self, version: Timescale) -> str:
        return "User-Defined Action"


USER = User()
KINDS: tuple[Kind, ...] = (Refresh(), Columnstore(), Reorder(), Compaction(), USER, Retention())


_BY_PROCEDURE = {kind.procedure: kind for kind in KINDS if kind.procedure}


def kind_of(job: Job) -> Kind | None:
    """The kind of a job, None for what no creating function makes."""
    if not job.builtin:
        return USER
    return _BY_PROCEDURE.get(job.proc_name) if job.attached else None


def offset(value: t.Any, time_type: str) -> Composable:
    """An offset in the type of the time column: the functions take "any", so the type must be said."""
    if value is None:
        return raw("NULL")
    if isinstance(value, int):
        return typed(value, "pg_catalog." + {"smallint": "int2", "integer": "int4"}.get(time_type, "int8"))
    return typed(value, "pg_catalog.interval")
