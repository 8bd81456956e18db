# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Keeps retention policies from dropping rows that the continuous aggregates have not seen yet.

A retention policy drops chunks that end before its cut-off. What of their range an aggregate still has to compute
stands in TimescaleDB's invalidation logs (all versions): a new aggregate begins with one entry for all time.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._errors import StatementFailed
from .._sql import identifier, raw, statement, typed
from .._timescale import functions_schema
from .._versions import Timescale
from .ground import relations_of
from .kinds import kind_of, offset
from .model import Name, jobs_of
from .statements import hypertable_id, regclass

if t.TYPE_CHECKING:
    from .._connection import Database
    from .context import Options
    from .model import Job

__all__ = ["State", "read"]

_TIMESTAMPS = {
    "timestamp with time zone": "to_timestamp",
    "timestamp without time zone": "to_timestamp_without_timezone",
    "date": "to_date",
}
_AT_ONCE = 20  # policies asked about in one statement; planning time grows with the square of it
_INTEGERS = ("smallint", "integer", "bigint")

# Times are TimescaleDB's internal numbers: microseconds since 1970 in UTC, or the integers themselves.
_JUDGEMENT = """
SELECT pg_catalog.json_build_object(
  'behind', pg_catalog.json_build_array({behind}), 'low', s.low, 'high', s.high, 'chunks', ({chunks}), 'open', (
  SELECT pg_catalog.json_agg(pg_catalog.json_build_object('aggregate', o.aggregate,
    'low', GREATEST(o.low, s.low), 'high', LEAST(o.high, s.high - 1)) ORDER BY o.aggregate, o.low)
  FROM (
    SELECT a.user_view_schema || '.' || a.user_view_name AS aggregate,
           l.lowest_modified_value AS low, l.greatest_modified_value AS high
    FROM _timescaledb_catalog.continuous_agg AS a
    JOIN _timescaledb_catalog.continuous_aggs_materialization_invalidation_log AS l
      ON l.materialization_id = a.mat_hypertable_id
    WHERE a.mat_hypertable_id IN ({below})
    UNION ALL
    SELECT a.user_view_schema || '.' || a.user_view_name, l.lowest_modified_value, l.greatest_modified_value
    FROM _timescaledb_catalog.continuous_agg AS a
    JOIN _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log AS l ON l.hypertable_id = a.raw_hypertable_id
    WHERE a.mat_hypertable_id IN ({below})
  ) AS o WHERE o.low < s.high AND o.high >= s.low)) AS found
FROM (
  SELECT pg_catalog.min(e.range_start) AS low, pg_catalog.max(e.range_end) AS high
  FROM _timescaledb_catalog.dimension AS d JOIN _timescaledb_catalog.dimension_slice AS e ON e.dimension_id = d.id
  WHERE d.hypertable_id = {hypertable} AND d.interval_length IS NOT NULL AND {old}
) AS s
"""


_CREATED_BEFORE = """e.id IN (
  SELECT c.dimension_slice_id FROM _timescaledb_catalog.chunk AS k
  JOIN _timescaledb_catalog.chunk_constraint AS c ON c.chunk_id = k.id
  WHERE k.creation_time < pg_catalog.now() - {})"""


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


@dataclasses.dataclass
class State:
    """What the guard found.

    :param blocked: relation -> why its retention policy must stay paused.
    :param result: per policy, what its first run would drop.
    """

    blocked: dict[Name, str] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)
    result: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)


def threats(wanted: dict[str, t.Any], there: dict[str, t.Any], options: Options) -> list[Threat]:
    """The source's active retention policies that this run may make active, on relations that the target has."""
    if options.scheduled == "paused" and not options.activate:
        return []
    jobs, existing = jobs_of(wanted), relations_of(there)
    active = {job.relation for job in jobs_of(there) if _is(job, "retention") and job.scheduled}
    relations = {**relations_of(wanted), **existing}
    children = _children(relations)
    refreshes: dict[Name | None, list[Job]] = {}
    for job in jobs:
        if _is(job, "refresh") and job.scheduled:
            refreshes.setdefault(job.relation, []).append(job)
    found = []
    for job in jobs:
        if job.relation is None or job.relation not in existing or not (_is(job, "retention") and options.active(job)):
            continue
        if job.relation in active:
            continue
        below = _above(job.relation, children)
        # In check mode an earlier stage of the same run would have made and refreshed them.
        absent = [] if options.check_mode else [name for name in below if name not in existing]
        # A child's refresh reads its parent, not the rows that are dropped.
        mine = [refresh for name in children.get(job.relation, ()) for refresh in refreshes.get(name, ())]
        found.append(Threat(job, job.relation, below, absent, mine))
    return found


def read(
    database: Database,
    wanted: dict[str, t.Any],
    existing: dict[str, t.Any],
    options: Options,
    mode: str,
    history: t.Callable[[], t.Mapping[tuple[str, str], str]],
) -> State:
    """Ask the target how far its aggregates are, a few policies in one statement (and one more per policy in doubt).

    :param wanted: the source's jobs document; ``existing``: the target's.
    :param mode: on, strict or none.
    :param history: tells which aggregates have buckets still to be copied; asked when chunks would be dropped.
    """
    state = State()
    relations = relations_of(existing)
    found = [] if mode == "none" else threats(wanted, existing, options)
    if not found:
        return state
    asker = _Asker(database, relations)
    answers = asker.answers(found)
    drop = [threat.below for threat, answer in zip(found, answers) if isinstance(answer, dict) and answer["chunks"]]
    left = history() if any(drop) else {}
    for threat, answer in zip(found, answers):
        if isinstance(answer, str):
            state.blocked[threat.relation] = f"the target could not be asked how far its aggregates are: {answer}"
            continue
        reasons = _reasons(threat, answer, asker, mode, state.warnings)
        for name in threat.below if answer["chunks"] else ():
            if (name.schema, name.name) in left:
                what = left[name.schema, name.name]
                reasons.append(f"{what} of {name} are only on the source; timescale_cagg_sync copies them")
        drops = {"relation": str(threat.relation), "chunks": answer["chunks"], "blocked": "; ".join(reasons)}
        state.result.append(drops)
        if reasons:
            state.blocked[threat.relation] = "; ".join(reasons) + "."
    return state


def _reasons(threat: Threat, answer: dict[str, t.Any], asker: _Asker, mode: str, warnings: list[str]) -> list[str]:
    """Why the policy must wait; what only deserves a warning goes there."""
    reasons = [f"the continuous aggregate {name} is not on the target" for name in threat.absent]
    if answer["open"] and asker.has_rows(threat.relation, answer["open"]):
        names = ", ".join(sorted({entry["aggregate"] for entry in answer["open"]}))
        reasons.append(f"rows that it would drop are not yet materialized in {names}")
    for job, behind in zip(threat.refreshes, answer["behind"]):
        if not behind:
            continue
        told = (
            f"the refresh policy of {job.relation} reaches behind what the retention policy of {threat.relation} drops"
        )
        if mode == "strict":
            reasons.append(told)
        else:
            warnings.append(f"{told[0].upper()}{told[1:]}: such a refresh removes the results of dropped rows.")
    return reasons


class _Asker:
    """Asks the target: one statement for some policies together, one more for each whose aggregates lag behind."""

    def __init__(self, database: Database, relations: dict[Name, dict[str, t.Any]]) -> None:
        self.database = database
        self.relations = relations
        self.functions = functions_schema(database.timescale or Timescale(0, 0))

    def answers(self, found: t.Sequence[Threat]) -> list[dict[str, t.Any] | str]:
        """One answer per policy, or the error's text for a policy that cannot be judged."""
        texts = [self._question(threat) for threat in found]
        parts = [texts[start : start + _AT_ONCE] for start in range(0, len(texts), _AT_ONCE)]
        return [answer for part in parts for answer in self._part(part)]

    def _part(self, texts: t.Sequence[str]) -> list[dict[str, t.Any] | str]:
        try:
            rows = self.database.rows("\nUNION ALL\n".join(f"({text})" for text in texts))
            return [row[0] for row in rows]
        except StatementFailed:
            return [self._alone(text) for text in texts]

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

    def _alone(self, text: str) -> dict[str, t.Any] | str:
        try:
            return t.cast("dict[str, t.Any]", self.database.value(text))
        except StatementFailed as error:
            return error.message

    def _moment(self, time_type: str, value: int) -> str:
        if time_type in _INTEGERS:
            return str(value)
        function = _TIMESTAMPS.get(time_type)
        return f"{self.functions}.{function}({value})" if function else ""

    def _question(self, threat: Threat) -> str:
        old, chunks = self._old(threat)
        behind = ", ".join(self._behind(threat, refresh) for refresh in threat.refreshes)
        below = ", ".join(hypertable_id(name) for name in threat.below if name in self.relations) or "NULL"
        return statement(
            _JUDGEMENT,
            hypertable=raw(hypertable_id(threat.relation)),
            old=raw(old),
            chunks=raw(chunks),
            below=raw(below),
            behind=raw(behind),
        )

    def _old(self, threat: Threat) -> tuple[str, str]:
        """Which slices of time the policy drops, and a query for the number of its chunks."""
        values, show = threat.job.values, identifier(self.database.extension_schema, "show_chunks")
        table = regclass(threat.relation)
        if "drop_created_before" in values:
            age = typed(values["drop_created_before"], "pg_catalog.interval")
            counted = statement("SELECT pg_catalog.count(*) FROM {}({}, created_before => {})", show, table, age)
            return statement(_CREATED_BEFORE, age), counted
        after = offset(values["drop_after"], "bigint")
        if isinstance(values["drop_after"], int):
            limit = statement("({}() - {})", raw(self._integer_now(threat.relation)), after)
            older = statement("SELECT pg_catalog.count(*) FROM {}({}, older_than => {})", show, table, raw(limit))
            return f"e.range_end <= {limit}", older
        limit = statement("(EXTRACT(epoch FROM pg_catalog.now() - {}) * 1000000)::pg_catalog.int8", after)
        older = statement("SELECT pg_catalog.count(*) FROM {}({}, older_than => {})", show, table, after)
        return f"e.range_end <= {limit}", older

    def _integer_now(self, relation: Name) -> str:
        entry = self.relations[relation]
        while entry["raw"] is not None:
            below = Name.of(entry["raw"])
            entry = self.relations[below] if below else entry
        return str(entry["integer_now"])

    @staticmethod
    def _behind(threat: Threat, refresh: Job) -> str:
        """Whether a refresh reaches further back than the retention policy keeps rows."""
        start, keep = refresh.values.get("start_offset"), threat.job.values.get("drop_after")
        if start is None:
            return "true"
        if keep is None:
            return "false"
        return statement("{} > {}", offset(start, "bigint"), offset(keep, "bigint"))


def _is(job: Job, option: str) -> bool:
    kind = kind_of(job)
    return kind is not None and kind.option == option


def _children(relations: dict[Name, dict[str, t.Any]]) -> dict[Name | None, list[Name]]:
    """Relation -> the aggregates directly on it."""
    found: dict[Name | None, list[Name]] = {}
    for name, entry in relations.items():
        found.setdefault(Name.of(entry["raw"]), []).append(name)
    return found


def _above(relation: Name, children: dict[Name | None, list[Name]]) -> list[Name]:
    """Every aggregate on a relation, and on those."""
    found: list[Name] = []
    todo = [relation]
    while todo:
        direct = children.get(todo.pop(), [])
        found += direct
        todo += direct
    return found
