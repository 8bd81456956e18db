# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Which objects a task is about."""

from __future__ import annotations

import dataclasses
import fnmatch
import typing as t

from .._plan import Identity
from .indexes import Strategy
from .wanted import Item

__all__ = ["KINDS", "OPT_IN", "Options", "left_out"]

KINDS = (
    "check",
    "cluster",
    "comment",
    "default_privileges",
    "event_trigger",
    "exclude",
    "foreign_key",
    "index",
    "index_attach",
    "index_statistics",
    "not_null",
    "policy",
    "primary_key",
    "publication",
    "publication_schema",
    "publication_table",
    "refresh",
    "replica_identity",
    "row_security",
    "rule",
    "rule_state",
    "statistics",
    "statistics_target",
    "subscription",
    "trigger",
    "trigger_state",
    "unique",
)

# Kinds that reach beyond the database's own tables: only when asked for. The option's word for each.
OPT_IN = {
    "event_trigger": "event_triggers",
    "publication": "publications",
    "publication_table": "publications",
    "publication_schema": "publications",
    "subscription": "subscriptions",
    "default_privileges": "default_privileges",
}
_ROW_SECURITY = ("row_security", "policy")


@dataclasses.dataclass(frozen=True)
class Options:
    """What the operator chose.

    :param check_mode: what an earlier stage of the same run would create counts as there.
    :param dependents: False leaves what stands on continuous aggregates for a later run.
    :param on_drift: ``replace`` plans steps for what differs.
    :param tolerate: SQLSTATEs that do no harm, each with a pattern of the objects that may fail so.
    :param strategy: how indexes of hypertables are built.
    :param tablespaces: the target's name for a tablespace of the source.
    """

    check_mode: bool = False
    kinds: tuple[str, ...] = ()
    schemas: tuple[str, ...] = ()
    exclude_schemas: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    row_security: str = "all"
    dependents: bool = True
    refresh: bool = True
    on_drift: str = "warn"
    tolerate: tuple[tuple[str, str], ...] = ()
    strategy: Strategy = dataclasses.field(default_factory=Strategy)
    tablespaces: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, params: t.Mapping[str, t.Any], *, check_mode: bool) -> Options:
        """From a module's parameters."""
        lists = ("kinds", "schemas", "exclude_schemas", "objects", "include")
        return cls(
            check_mode=check_mode,
            **{name: tuple(params[name] or ()) for name in lists},
            row_security=params["row_security"],
            dependents=params["dependents_of_aggregates"],
            refresh=params["refresh_materialized_views"],
            on_drift=params["on_drift"],
            tolerate=tuple((one["sqlstate"], one["object"]) for one in params["tolerate"] or ()),
            strategy=Strategy(params["index_strategy"], params["jobs"]),
            tablespaces={str(key): str(value) for key, value in (params["tablespace_map"] or {}).items()},
        )

    def in_schemas(self, schema: str) -> bool:
        """Whether the options leave a schema in."""
        return (not self.schemas or _matches(schema, self.schemas)) and not _matches(schema, self.exclude_schemas)

    def tolerated(self, identity: Identity) -> dict[str, str]:
        """The SQLSTATEs that an object may fail with, each with what is then reported."""
        names = _names(identity)
        return {
            sqlstate: f"Tolerated ({sqlstate}): {{error}}"
            for sqlstate, pattern in self.tolerate
            if any(fnmatch.fnmatchcase(name, pattern) for name in names)
        }


def left_out(item: Item, options: Options) -> str:
    """Why an item is none of the task's business, empty when it is."""
    return _by_choice(item, options) or _by_filter(item, options)


def _by_choice(item: Item, options: Options) -> str:
    kind, subject = item.identity.kind, item.subject.kind
    wanted = OPT_IN.get(subject)
    if wanted and wanted not in options.include:
        return f"Not asked for (include: {wanted})."
    if options.row_security == "none" and subject in _ROW_SECURITY:
        return "row_security is none."
    if options.row_security == "only" and subject not in _ROW_SECURITY:
        return "row_security is only."
    if kind == "refresh" and not options.refresh:
        return "refresh_materialized_views is false."
    return ""


def _by_filter(item: Item, options: Options) -> str:
    subject = item.subject
    if options.kinds and item.identity.kind not in options.kinds:
        return "Not among kinds."
    if options.schemas and not _matches(subject.schema, options.schemas):
        return "Not among schemas."
    if options.exclude_schemas and _matches(subject.schema, options.exclude_schemas):
        return "Among exclude_schemas."
    if options.objects and not any(_matches(name, options.objects) for name in _names(subject)):
        return "Not among objects."
    return ""


def _names(identity: Identity) -> set[str]:
    """What patterns are matched with: schema.name and schema.table; the name alone for objects of the database."""
    if not identity.schema:
        return {identity.name}
    return {f"{identity.schema}.{identity.name}", f"{identity.schema}.{identity.table or identity.name}"}


def _matches(name: str, patterns: t.Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
