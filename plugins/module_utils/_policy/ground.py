# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What a job stands on: its relation, columnstore, index, integer time, procedures and owner on the target."""

from __future__ import annotations

import typing as t

from .._timescale import functions_schema
from .._versions import TS_CREATED_BEFORE_ALTERABLE, Timescale
from .model import Name

if t.TYPE_CHECKING:
    from .._connection import Facts
    from .kinds import Kind
    from .model import Job

__all__ = ["Ground", "Missing", "relations_of"]


class Missing(t.NamedTuple):
    """Why a job cannot be made, and what to do about it."""

    reason: str
    hint: str = ""


class Ground:
    """What is there on the target, and in check mode what earlier stages of the same run would bring."""

    def __init__(
        self, wanted: dict[str, t.Any], existing: dict[str, t.Any], target: Facts, *, check_mode: bool, settings: bool
    ) -> None:
        self.version = target.timescale or Timescale(0, 0)
        self.check_mode = check_mode
        self.settings = settings
        self.wanted = relations_of(wanted)
        self.existing = relations_of(existing)
        self.roles = {entry["name"]: entry for entry in existing["roles"]}
        self.routines = {(entry["schema"], entry["name"], entry["check"]) for entry in existing["routines"]}
        self.server = existing["server"]
        self.user = self.server.get("user", "")

    def planned(self, relation: Name | None) -> bool:
        """Whether a relation is an aggregate that an earlier stage would create."""
        return (
            relation is not None
            and self.check_mode
            and relation.aggregate
            and relation in self.wanted
            and relation not in self.existing
        )

    def owner(self, job: Job) -> str:
        """Who owns the job on the target: the relation's owner, or for a user's job who the source says."""
        found = self.existing.get(job.relation) if job.relation else None
        return str(found["owner"]) if found else job.owner

    def beside(self, relation: Name | None) -> Name | None:
        """What an aggregate reads on the target, None where that has another owner."""
        entry = self.existing.get(relation) if relation else None
        below = Name.of(entry["raw"]) if entry else None
        same = entry and below and self.existing.get(below, {}).get("owner") == entry["owner"]
        return below if same else None

    def time_type(self, relation: Name) -> str:
        entry = self.existing.get(relation) or self.wanted.get(relation) or {}
        return str(entry.get("time_type", ""))

    def missing(self, kind: Kind, job: Job, *, existing: bool = False) -> Missing | None:
        """The first thing that a job needs and the target lacks.

        :param existing: the job is there and is to be altered.
        """
        checks = (
            self._procedures(kind, job),
            *(self._relation(name) for name in (job.relation, job.attached) if name is not None),
        )
        found = next((check for check in checks if check), None)
        if found is None and job.relation is not None:
            found = self._below_policy(kind, job, job.relation)
        return found or self._owner(job, existing)

    def has_procedure(self, name: str) -> bool:
        """Whether the target's extension has a procedure for jobs under that name."""
        return (functions_schema(self.version), name, False) in self.routines

    def _procedures(self, kind: Kind, job: Job) -> Missing | None:
        if kind.procedure and not self.has_procedure(kind.procedure):
            return Missing(f"TimescaleDB {self.version} on the target has no {kind.procedure}.")
        if kind.procedure:
            return None
        if (job.proc_schema, job.proc_name, False) not in self.routines:
            name = f"{job.proc_schema}.{job.proc_name}(integer, jsonb)"
            return Missing(f"Its procedure {name} is not on the target.", "Create it there.")
        if job.check and (*job.check, True) not in self.routines:
            return Missing(f"Its check function {'.'.join(job.check)}(jsonb) is not on the target.", "Create it there.")
        return None

    def _relation(self, name: Name) -> Missing | None:
        if name in self.existing or self.planned(name):
            return None
        if name.aggregate:
            return Missing(f"The continuous aggregate {name} is not on the target.", "Run timescale_cagg_sync first.")
        return Missing(f"{name} is not a hypertable on the target.", "Repeat the step that makes hypertables.")

    def _below_policy(self, kind: Kind, job: Job, relation: Name) -> Missing | None:
        if kind.option == "columnstore" and not self._has_columnstore(relation):
            return Missing(
                f"The columnstore is not on for {relation}.",
                "Run timescale_cagg_sync first." if relation.aggregate else "Set columnstore_settings: true.",
            )
        if kind.option == "reorder" and not self._has_index(relation, job.values.get("index_name")):
            return Missing(
                f"The index {job.values.get('index_name')} of {relation} is not on the target.",
                "Run timescale_post_data first.",
            )
        if any(isinstance(job.values.get(key), int) for key in kind.keys):
            return self._integer_now(relation)
        if "drop_created_before" in job.values and self.version < TS_CREATED_BEFORE_ALTERABLE:
            return Missing(
                f"TimescaleDB {self.version} on the target fails on every change of a job with drop_created_before.",
                f"Update it to {TS_CREATED_BEFORE_ALTERABLE} or later.",
            )
        return None

    def _has_columnstore(self, relation: Name) -> bool:
        entry = self.existing.get(relation)
        if entry is not None and entry["columnstore"]:
            return True
        promised = self.wanted.get(relation, {}).get("columnstore")
        return bool(promised) and (self.check_mode if relation.aggregate else self.settings)

    def _has_index(self, relation: Name, index: t.Any) -> bool:
        if index in (self.existing.get(relation, {}).get("indexes") or ()):
            return True
        return self.check_mode and index in (self.wanted.get(relation, {}).get("indexes") or ())

    def integer_time(self, relation: Name) -> bool:
        """Whether the target has an integer_now function for a relation."""
        return self._now_functions(relation)[1] is not None

    def _integer_now(self, relation: Name) -> Missing | None:
        """The target must have the source's function."""
        hint = "Run set_integer_now_func there."
        ours, theirs = self._now_functions(relation)
        if theirs is None:
            return Missing(f"{relation} has no integer_now function on the target.", hint)
        if ours is not None and ours != theirs:
            return Missing(f"The integer_now function of {relation} is {theirs} and should be {ours}.", hint)
        return None

    def _now_functions(self, relation: Name) -> tuple[str | None, str | None]:
        """On the source and on the target; the function belongs to the hypertable below a stack of aggregates."""
        below: Name | None = relation
        while below is not None:
            relation = below
            entry = self.existing.get(relation) or self.wanted.get(relation) or {}
            below = Name.of(entry.get("raw"))
        ours, theirs = (side.get(relation, {}).get("integer_now") for side in (self.wanted, self.existing))
        return ours, theirs

    def _owner(self, job: Job, existing: bool) -> Missing | None:
        name = self.owner(job)
        role = self.roles.get(name)
        if role is None:
            return Missing(
                f"Its owner {name} is no role of the target.", "Create the role, or name another in owner_map."
            )
        if not role["login"]:
            whose = f"the owner of {job.relation}" if job.relation else "its owner"
            return Missing(
                f"Role {name}, {whose}, may not log in, so no job can run as it.", f"ALTER ROLE {name} LOGIN."
            )
        # A user's job is made by acting as its owner; everything else takes the owner's rights.
        acting = job.relation is None and not existing
        remedy = f"Grant {name} to {self.user}."
        if acting and name != self.user and not role["set"]:
            return Missing(f"Role {self.user} may not act as {name}, who owns the job.", remedy)
        if not acting and not role["usage"]:
            return Missing(f"Role {self.user} has not the rights of {name}, who owns the job.", remedy)
        return None


def relations_of(document: dict[str, t.Any]) -> dict[Name, dict[str, t.Any]]:
    """The relations of a document, by name."""
    return {Name(entry["schema"], entry["name"], entry["aggregate"]): entry for entry in document["relations"]}
