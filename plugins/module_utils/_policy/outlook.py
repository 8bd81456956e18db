# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What the first run of retention policies would drop on the target, and how far the aggregates above have come."""

from __future__ import annotations

import dataclasses
import typing as t

from .._errors import StatementFailed
from .._sql import identifier, literal, raw, statement, typed
from .._timescale import functions_schema
from .._versions import TS_MATERIALIZATION_RANGES, Timescale
from .kinds import offset
from .model import Name
from .statements import Writer, regclass

if t.TYPE_CHECKING:
    from .._connection import Database
    from .model import Job

__all__ = ["Asker", "Threat"]

_TIMESTAMPS = {
    "timestamp with time zone": "to_timestamp",
    "timestamp without time zone": "to_timestamp_without_timezone",
    "date": "to_date",
}
_INTEGERS = ("smallint", "integer", "bigint")

# Times are TimescaleDB's internal numbers: microseconds since 1970 in UTC, or the integers themselves.
_JUDGEMENT = """
WITH asked AS MATERIALIZED (
  SELECT v.number, v.cutoff, v.created, v.behind, COALESCE(a.mat_hypertable_id, h.id) AS hypertable
  FROM (VALUES {asked}) AS v (number, schema, name, aggregate, cutoff, created, behind)
  LEFT JOIN _timescaledb_catalog.hypertable AS h
    ON NOT v.aggregate AND h.schema_name = v.schema::pg_catalog.name AND h.table_name = v.name::pg_catalog.name
  LEFT JOIN _timescaledb_catalog.continuous_agg AS a
    ON v.aggregate AND a.user_view_schema = v.schema::pg_catalog.name AND a.user_view_name = v.name::pg_catalog.name
), below AS MATERIALIZED (
  SELECT v.number, a.mat_hypertable_id, a.raw_hypertable_id, a.user_view_schema || '.' || a.user_view_name AS aggregate
  FROM (VALUES {below}) AS v (number, schema, name)
  JOIN _timescaledb_catalog.continuous_agg AS a
    ON a.user_view_schema = v.schema::pg_catalog.name AND a.user_view_name = v.name::pg_catalog.name
), dropped AS MATERIALIZED (
  SELECT v.number, pg_catalog.min(e.range_start) AS low, pg_catalog.max(e.range_end) AS high
  FROM asked AS v
  JOIN _timescaledb_catalog.dimension AS d ON d.hypertable_id = v.hypertable AND d.interval_length IS NOT NULL
  JOIN _timescaledb_catalog.dimension_slice AS e ON e.dimension_id = d.id
  WHERE {old}
  GROUP BY v.number
), chunks AS (
  {chunks}
), behind AS (
  SELECT b.number, b.aggregate, l.lowest_modified_value AS low, l.greatest_modified_value AS high
  FROM below AS b
  JOIN _timescaledb_catalog.continuous_aggs_materialization_invalidation_log AS l
    ON l.materialization_id = b.mat_hypertable_id
  UNION ALL
  SELECT b.number, b.aggregate, l.lowest_modified_value, l.greatest_modified_value
  FROM below AS b
  JOIN _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log AS l ON l.hypertable_id = b.raw_hypertable_id
  {taken}
), open AS (
  SELECT s.number, pg_catalog.json_agg(pg_catalog.json_build_object('aggregate', o.aggregate,
    'low', GREATEST(o.low, s.low), 'high', LEAST(o.high, s.high - 1)) ORDER BY o.aggregate, o.low) AS ranges
  FROM dropped AS s JOIN behind AS o ON o.number = s.number AND o.low < s.high AND o.high >= s.low
  GROUP BY s.number
)
SELECT pg_catalog.json_agg(pg_catalog.json_build_object('behind', v.behind, 'low', s.low, 'high', s.high,
  'chunks', COALESCE(c.chunks, 0), 'open', o.ranges) ORDER BY v.number)
FROM asked AS v
LEFT JOIN dropped AS s ON s.number = v.number
LEFT JOIN chunks AS c ON c.number = v.number
LEFT JOIN open AS o ON o.number = v.number
"""
# What a refresh has taken from the log and not computed yet; it stays there when the refresh is interrupted.
_TAKEN = """UNION ALL
  SELECT b.number, b.aggregate, l.lowest_modified_value, l.greatest_modified_value
  FROM below AS b
  JOIN _timescaledb_catalog.continuous_aggs_materialization_ranges AS l ON l.materialization_id = b.mat_hypertable_id"""
_OLD = "e.range_end <= v.cutoff"
# Chunks know since TimescaleDB 2.13 when they were made; only asked where a policy goes by it.
_OLD_BY_CREATION = """(e.range_end <= v.cutoff OR EXISTS (
    SELECT FROM _timescaledb_catalog.chunk AS k
    JOIN _timescaledb_catalog.chunk_constraint AS c ON c.chunk_id = k.id
    WHERE c.dimension_slice_id = e.id AND k.creation_time < v.created))"""
# show_chunks takes "any": one list for each type of age.
_COUNTED = """SELECT v.number, (SELECT pg_catalog.count(*) FROM {}(v.relation, {} => v.age)) AS chunks
  FROM (VALUES {}) AS v (number, relation, age)"""
_NONE_BELOW = "(NULL::pg_catalog.int4, NULL::pg_catalog.text, NULL::pg_catalog.text)"


@dataclasses.dataclass
class Threat:
    """A retention policy that is about to be active.

    :param below: every aggregate on its relation, and on those.
    :param absent: those that the target lacks.
    :param refreshes: the refresh policies of the aggregates directly on it.
    """

    job: Job
    relation: Name
    below: list[Name]
    absent: list[Name]
    refreshes: list[Job]


class _Age(t.NamedTuple):
    """How old is too old, as SQL.

    :param argument: of show_chunks; ``kind`` and ``value``: the type and the text of what it is given.
    :param cutoff: as internal time; ``created``: as moment of a chunk's creation. One of them is not NULL.
    """

    argument: str
    kind: str
    value: str
    cutoff: str = "NULL::pg_catalog.int8"
    created: str = "NULL::pg_catalog.timestamptz"


class Asker:
    """Asks the target: one statement for all policies, one more for each whose aggregates lag behind."""

    def __init__(self, database: Database, relations: dict[Name, dict[str, t.Any]]) -> None:
        self.database = database
        self.relations = relations
        self.version = database.timescale or Timescale(0, 0)
        self.functions = functions_schema(self.version)

    def answers(self, found: t.Sequence[Threat]) -> list[dict[str, t.Any] | str]:
        """One answer per policy, or the error's text for a policy that cannot be judged."""
        try:
            with self.database.transaction():
                # integer_now is the user's own function: it gets the path that it has in the user's sessions.
                self.database.execute(Writer.OWN_PATH)
                return t.cast("list[dict[str, t.Any] | str]", self.database.document(self._question(found)))
        except StatementFailed as error:
            if len(found) == 1:
                return [error.message]
            return [answer for threat in found for answer in self.answers([threat])]

    def has_rows(self, relation: Name, ranges: t.Sequence[dict[str, t.Any]]) -> bool:
        """Whether there are rows in ranges that an aggregate has still to compute; in doubt there are."""
        entry = self.relations[relation]
        column = identifier(entry["time_column"])
        parts = []
        for each in ranges:
            low, high = (self._moment(entry["time_type"], each[key]) for key in ("low", "high"))
            if not (low and high):
                return True
            parts.append(statement("({} >= {} AND {} <= {})", column, raw(low), column, raw(high)))
        table = identifier(relation.schema, relation.name)
        query = statement("SELECT EXISTS (SELECT FROM {} WHERE {})", table, raw(" OR ".join(parts)))
        try:
            return bool(self.database.value(query))
        except StatementFailed:
            return True

    def _moment(self, time_type: str, value: int) -> str:
        if time_type in _INTEGERS:
            return str(value)
        function = _TIMESTAMPS.get(time_type)
        return f"{self.functions}.{function}({value})" if function else ""

    def _question(self, found: t.Sequence[Threat]) -> str:
        asked, below = [], []
        ages: dict[tuple[str, str], list[str]] = {}
        for number, threat in enumerate(found):
            age = self._age(threat)
            asked.append(_asked(number, threat, age))
            below += [_named(number, name) for name in threat.below if name in self.relations]
            counted = statement("({}, {}, {})", literal(number), regclass(threat.relation), raw(age.value))
            ages.setdefault((age.argument, age.kind), []).append(counted)
        by_creation = any(argument == "created_before" for argument, _kind in ages)
        return statement(
            _JUDGEMENT,
            asked=raw(", ".join(asked)),
            below=raw(", ".join(below) or _NONE_BELOW),
            taken=raw(_TAKEN if self.version >= TS_MATERIALIZATION_RANGES else ""),
            old=raw(_OLD_BY_CREATION if by_creation else _OLD),
            chunks=raw(
                "\n  UNION ALL\n  ".join(self._counted(argument, rows) for (argument, _kind), rows in ages.items())
            ),
        )

    def _counted(self, argument: str, rows: t.Sequence[str]) -> str:
        show = identifier(self.database.extension_schema, "show_chunks")
        return statement(_COUNTED, show, raw(argument), raw(", ".join(rows)))

    def _age(self, threat: Threat) -> _Age:
        values = threat.job.values
        if "drop_created_before" in values:
            age = statement("{}", typed(values["drop_created_before"], "pg_catalog.interval"))
            return _Age("created_before", "interval", age, created=f"pg_catalog.now() - {age}")
        after = statement("{}", offset(values["drop_after"], "bigint"))
        if isinstance(values["drop_after"], int):
            limit = f"({self._integer_now(threat.relation)}() - {after})::pg_catalog.int8"
            return _Age("older_than", "integer", limit, cutoff=limit)
        limit = f"(EXTRACT(epoch FROM pg_catalog.now() - {after}) * 1000000)::pg_catalog.int8"
        return _Age("older_than", "interval", after, cutoff=limit)

    def _integer_now(self, relation: Name) -> str:
        entry = self.relations[relation]
        while entry["raw"] is not None:
            below = Name.of(entry["raw"])
            entry = self.relations[below] if below else entry
        return str(entry["integer_now"])


def _behind(threat: Threat, refresh: Job) -> str:
    """Whether a refresh reaches further back than the retention policy keeps rows."""
    start, keep = refresh.values.get("start_offset"), threat.job.values.get("drop_after")
    if start is None:
        return "true"
    if keep is None:
        return "false"
    return statement("{} > {}", offset(start, "bigint"), offset(keep, "bigint"))


def _asked(number: int, threat: Threat, age: _Age) -> str:
    behind = ", ".join(_behind(threat, refresh) for refresh in threat.refreshes)
    return statement(
        "({}, {}, {}, {}, {}, {}, {})",
        literal(number),
        typed(threat.relation.schema, "pg_catalog.text"),
        typed(threat.relation.name, "pg_catalog.text"),
        literal(threat.relation.aggregate),
        raw(age.cutoff),
        raw(age.created),
        raw(f"pg_catalog.json_build_array({behind})"),
    )


def _named(number: int, name: Name) -> str:
    schema, relation = typed(name.schema, "pg_catalog.text"), typed(name.name, "pg_catalog.text")
    return statement("({}, {}, {})", literal(number), schema, relation)
