#!/usr/bin/python
# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_analyze
short_description: Gather the planner statistics that a database lacks
version_added: 0.1.0
description:
  - Runs C(ANALYZE) on exactly the relations whose statistics are missing or stale, several at a time, largest first.
  - Works on PostgreSQL 12 and later, with or without TimescaleDB.
  - A hypertable is done as a whole, root and chunks, each chunk once. With O(jobs) above 1, one of more than 8 MiB
    without columnstore chunks is spread over the connections, chunk by chunk, and the root in a session of its own.
    The statistics are those that one statement leaves.
  - A continuous aggregate is done through its materialization.
  - Small relations are sent to the server several in one C(ANALYZE), which commits after each of them. When one
    of them fails, each is tried alone.
  - A partitioned table is done with its partitions. A partition whose parent needs nothing is done alone.
  - What is missing or stale is decided from the catalog and the activity counters, in one statement, never by the
    clock.
  - The commits of single relations do not wait for the disk or a standby (C(synchronous_commit=off)). One at the end
    waits for all of them, so that what a run reports is there after a crash, too. O(settings) wins over this.
  - After the run the module asks the catalog whether the statistics are there.
options:
  schemas:
    description:
      - Only relations in schemas that match one of these patterns (V(*), V(?) and V([...]) as in a shell). Empty
        means all.
      - Schemas that do not exist match nothing.
    type: list
    elements: str
    default: []
  exclude_schemas:
    description:
      - Leave out schemas that match one of these patterns. Wins over O(schemas).
    type: list
    elements: str
    default: []
  tables:
    description:
      - Only relations whose C(schema.name) matches one of these patterns. Empty means all.
      - A continuous aggregate is known by its public name. A pattern that matches nothing gets a warning.
    type: list
    elements: str
    default: []
  columns:
    description:
      - Only these columns of the one table that O(tables) names. An unknown column, or more than one table, is an
        error.
      - With O(scope=stale) only what is missing counts, because C(ANALYZE) of some columns leaves the counters as
        they are.
    type: list
    elements: str
    default: []
  scope:
    description:
      - V(missing) takes relations where a column, an expression of an index or an extended statistics object has no
        statistics.
        A relation that was seen empty, and still is, needs none.
      - V(stale) takes those, and relations with more changes since the last C(ANALYZE) than
        O(threshold) + O(scale_factor) * rows, which is autovacuum's rule. Rows of partitions and chunks count for
        the whole.
      - V(all) takes every relation, so that such a task always reports a change.
    type: str
    choices: [missing, stale, all]
    default: stale
  threshold:
    description:
      - Number of changed rows, in place of the server's C(autovacuum_analyze_threshold).
      - A storage parameter of the table wins over it. A value below 0 is refused.
    type: int
  scale_factor:
    description:
      - Share of the rows, in place of the server's C(autovacuum_analyze_scale_factor), for example V(0.1).
      - A storage parameter of the table wins over it. A value below 0 is refused.
    type: float
  stages:
    description:
      - Gather rough statistics of everything first (targets 1 and 10), then those with the usual target.
      - Only relations without any statistics get rough ones. What is there is never made worse.
    type: bool
    default: false
  include_catalogs:
    description:
      - Also the system catalogs, and TimescaleDB's own.
      - Those that the role may not analyze are counted in RV(catalogs_skipped), nothing more.
    type: bool
    default: false
  include_foreign:
    description:
      - Also foreign tables. They are never V(stale), nobody counts their changes.
      - Foreign partitions are read whenever their parent is done.
    type: bool
    default: false
  strict:
    description:
      - Fail when a relation of a user has no statistics after the run. Otherwise that is a warning.
    type: bool
    default: false
extends_documentation_fragment:
  - dbops.timescale._connection
  - dbops.timescale._connection.apply
  - dbops.timescale._results
  - dbops.timescale._results.actiongroup
notes:
  - The owner of a relation, the owner of the database, a superuser, and on PostgreSQL 17 and later a role with
    C(MAINTAIN), may
    analyze it. The module asks beforehand and lists what the role may not as C(skipped).
  - Where the role may not read C(pg_stats) for a relation (no C(SELECT), or row security), C(reltuples) and the
    activity counters
    decide, and RV(objects[].evidence) says so.
  - O(scope=all) is not idempotent.
  - Up to PostgreSQL 14 the activity counters lag by half a second. A run that begins sooner after another may find
    relations stale that are not.
seealso:
  - module: dbops.timescale.timescale_post_data
"""

EXAMPLES = r"""
- name: Gather what is missing or stale after a restore
  dbops.timescale.postgres_analyze:
    login_host: db.example.com
    login_user: admin
    login_password: "{{ admin_password }}"
    login_db: metrics
    jobs: 8

- name: Rough statistics first, so that the application can start early
  dbops.timescale.postgres_analyze:
    login_db: metrics
    stages: true
    settings:
      maintenance_io_concurrency: 100

- name: Only one schema, and fail when something stays without statistics
  dbops.timescale.postgres_analyze:
    login_db: metrics
    schemas: [app]
    scope: missing
    strict: true

- name: Two columns of one table
  dbops.timescale.postgres_analyze:
    login_db: metrics
    tables: [app.events]
    columns: [kind, tags]
    scope: all
"""

RETURN = r"""
queries:
  description:
    - The statements that were run, or would be in check mode, one for each relation or chunk.
    - Those of small relations are sent to the server as one.
  returned: always
  type: list
  elements: str
  sample: ['ANALYZE "public"."fill_measurements"']
objects:
  description: One entry per relation (per stage with O(stages)).
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: table, partitioned_table, materialized_view, foreign_table, hypertable or continuous_aggregate.
      type: str
    schema:
      description: Schema.
      type: str
    name:
      description: Name; an aggregate's public one.
      type: str
    outcome:
      description: >-
        V(altered) for analyzed, V(present) for nothing to do, V(skipped) for not allowed or dropped meanwhile,
        V(failed).
      type: str
    reason:
      description: Why.
      type: str
    hint:
      description: What to do about it.
      type: str
    rows:
      description: Rows as last estimated, over all parts.
      type: int
    changes:
      description: Changed rows since the last C(ANALYZE), over all parts.
      type: int
    parts:
      description: Number of chunks, partitions or children.
      returned: for hypertables, aggregates and other parents
      type: int
    evidence:
      description: V(catalog), or V(counters) where the role may not read C(pg_stats).
      type: str
    statistics_target:
      description: The target of a rough stage.
      returned: with O(stages), for rough stages
      type: int
    notices:
      description: What the server said while it worked on this relation.
      returned: when there are any
      type: list
      elements: str
    duration_ms:
      description: Milliseconds.
      type: int
    started_at:
      description: When its first statement began, in seconds since 1970 (UTC).
      returned: for what was run
      type: float
summary:
  description: Number of objects by outcome.
  returned: always
  type: dict
  sample: {altered: 12, present: 30}
catalogs_skipped:
  description: Number of system catalogs that need C(ANALYZE) and that the role may not analyze.
  returned: always
  type: int
diff:
  description: The statements.
  returned: with C(--diff)
  type: dict
msg:
  description: What went wrong.
  returned: on failure
  type: str
remaining:
  description: The relations that are not done.
  returned: when statements failed
  type: list
  elements: str
run:
  description: About this run of the module, also when it fails.
  returned: always
  type: dict
  contains:
    started_at:
      description: When it began, in seconds since 1970 (UTC).
      type: float
    elapsed_ms:
      description: Milliseconds from its begin to its end, connecting included.
      returned: when the database could be reached
      type: int
    versions:
      description: >-
        C(postgresql) and C(timescaledb) of the database, as V(target). C(timescaledb) is empty
        where the database does not have it.
      type: dict
  sample:
    started_at: 1774170000.125
    elapsed_ms: 5321
    versions:
      target: {postgresql: "15.18", timescaledb: 2.28.3}
"""

import contextlib
import time
import typing as t

from ansible_collections.dbops.timescale.plugins.module_utils._argspec import ArgumentSpec, apply_spec, login_spec
from ansible_collections.dbops.timescale.plugins.module_utils._errors import BadInput, StatementFailed
from ansible_collections.dbops.timescale.plugins.module_utils._module import Session, TaskFailed, run_module
from ansible_collections.dbops.timescale.plugins.module_utils._plan import Plan
from ansible_collections.dbops.timescale.plugins.module_utils._statistics.catalog import read
from ansible_collections.dbops.timescale.plugins.module_utils._statistics.plan import (
    Options,
    catalogs_skipped,
    make_plan,
)
from ansible_collections.dbops.timescale.plugins.module_utils._statistics.proof import mark_dropped, missing_after
from ansible_collections.dbops.timescale.plugins.module_utils._versions import PG_COUNTERS_IN_MEMORY

_COUNTERS_LAG = 1.0  # seconds
# PostgreSQL manual, 20.5.1: a crash may lose the last commits, nothing else; statistics can be gathered again.
_NOT_WAITING = {"synchronous_commit": "off"}
# Writes to the log, so that this commit waits until the log is on disk, with all the commits before it.
_WAIT = "SELECT pg_catalog.pg_logical_emit_message(true, 'dbops.timescale', ''::pg_catalog.text)"


def work(session: Session) -> dict[str, t.Any]:
    """Read, plan, analyze, and ask the catalog again."""
    params = session.params
    for name in ("threshold", "scale_factor"):
        if params[name] is not None and params[name] < 0:
            raise BadInput(f"{name} is {params[name]}.", hint="Give 0 or more.")
    names = ("schemas", "exclude_schemas", "tables", "columns", "scope", "stages", "jobs")
    options = Options(**{name: params[name] for name in names})

    def relations() -> list[dict[str, t.Any]]:
        return read(
            session.target,
            catalogs=params["include_catalogs"],
            foreign=params["include_foreign"],
            columns=params["columns"],
            threshold=params["threshold"],
            scale_factor=params["scale_factor"],
        )

    with session.only_run():
        found = relations()
        plan = make_plan(found, session.target.facts, options)
        with _one_wait(session, plan):
            result = session.carry_out(plan, catalogs_skipped=catalogs_skipped(found, options))
        if session.check_mode:
            return result
        after = found
        if plan.steps:
            _await_counters(session, result)
            after = relations()
            mark_dropped(result, after)
        without = missing_after(result, after, options)
        if without and params["strict"]:
            raise TaskFailed(without, hint="See objects in the result for reasons and notices.", result=result)
        if without:
            session.module.warn(without)
        return result


@contextlib.contextmanager
def _one_wait(session: Session, plan: Plan) -> t.Iterator[None]:
    """The workers' commits wait for nothing; when all are done, failed or not, one commit waits for them."""
    control = session.target
    control.settings = {**_NOT_WAITING, **control.settings}  # of the sessions that it opens
    try:
        yield
    finally:
        if plan.steps and not session.check_mode:
            with contextlib.suppress(StatementFailed):  # a role that may not: the log is on disk within a second
                control.execute(_WAIT)


def _await_counters(session: Session, result: dict[str, t.Any]) -> None:
    """Where counters are all the evidence, an old server must have had the time to write them down."""
    by_counters = any(o["outcome"] == "altered" and o["evidence"] == "counters" for o in result["objects"])
    if by_counters and session.target.server_version < PG_COUNTERS_IN_MEMORY:
        time.sleep(_COUNTERS_LAG)


def main() -> t.NoReturn:
    own = ArgumentSpec(
        {
            "schemas": {"type": "list", "elements": "str", "default": []},
            "exclude_schemas": {"type": "list", "elements": "str", "default": []},
            "tables": {"type": "list", "elements": "str", "default": []},
            "columns": {"type": "list", "elements": "str", "default": []},
            "scope": {"type": "str", "choices": ["missing", "stale", "all"], "default": "stale"},
            "threshold": {"type": "int"},
            "scale_factor": {"type": "float"},
            "stages": {"type": "bool", "default": False},
            "include_catalogs": {"type": "bool", "default": False},
            "include_foreign": {"type": "bool", "default": False},
            "strict": {"type": "bool", "default": False},
        },
        required_by={"columns": ("tables",)},
    )
    run_module("postgres_analyze", login_spec() + apply_spec() + own, work)


if __name__ == "__main__":
    main()
