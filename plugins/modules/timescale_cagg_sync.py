#!/usr/bin/python
# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: timescale_cagg_sync
short_description: Recreate the continuous aggregates of one database in another
version_added: 0.1.0
description:
  - Reads the continuous aggregates of O(source), creates those that the target lacks, parents before children, and
    refreshes them.
  - With an aggregate come its real-time setting, chunk interval, columnstore settings, exactly its indexes, owner,
    grants and comments.
  - Views, materialized views and functions that stand on aggregates are created after them. Indexes and the rows of
    such materialized views are the task of M(dbops.timescale.timescale_post_data).
  - Definitions are compared by meaning. The target's server parses and prints both, in a transaction that is rolled
    back.
  - C(time_bucket_ng) becomes C(time_bucket) with the same buckets. Aggregates of the old partial format become new
    ones.
options:
  include:
    description:
      - Only aggregates whose C(schema.name) matches one of these patterns (V(*), V(?) and V([...]) as in a shell).
        Empty means all.
      - A pattern that matches nothing leaves nothing to do.
    type: list
    elements: str
    default: []
  exclude:
    description:
      - Leave out aggregates whose C(schema.name) matches one of these patterns. Wins over O(include).
    type: list
    elements: str
    default: []
  refresh:
    description:
      - V(full) refreshes what is not current up to the point to which the source has materialized. Later rows stay
        with the real-time part, or with the next run of the refresh policy.
      - V(window) refreshes between O(refresh_start) and O(refresh_end). One of them is required then.
      - V(none) refreshes nothing.
    type: str
    choices: [full, window, none]
    default: full
  refresh_start:
    description:
      - Begin of the window. A time as ISO 8601 (UTC where no zone is given), or a whole number for integer time.
      - Anything else, or the wrong kind for an aggregate, is refused.
    type: str
  refresh_end:
    description:
      - End of the window, in place of the source's watermark. Written like O(refresh_start).
    type: str
  refresh_batch:
    description:
      - How much one call refreshes, as a number of buckets or an interval such as V(7 days). Anything else is refused.
      - Each call is a transaction of its own, newest first, so that an interrupted run goes on where it was.
      - Calls of different aggregates run side by side (O(jobs)). Calls of one aggregate do so where TimescaleDB allows
        it, which is from 2.26.3 on, in hierarchies from 2.29 on. Buckets of months or in a time zone go one by one.
      - By default a call covers a chunk of the materialization, or down to a tenth of one where that leaves 16 MiB of
        rows to each call; an aggregate takes at most about 100 calls.
    type: str
  history:
    description:
      - What to do with buckets that the target cannot recompute, because the rows they were made of are gone there.
      - V(preserve) copies them from the source's materialization after the refresh, a chunk in each transaction.
      - V(ignore) leaves them behind. V(fail) changes nothing and lists them.
      - They are found by chunk and by the first and last row. Rows that are missing within a chunk of the target are
        not looked for; M(dbops.timescale.timescale_verify) tells them.
      - The source wins. Buckets that only the target has stay.
      - A warning names refresh policies of the source that reach into copied buckets.
      - With O(source_file) there is nothing to copy from, and a warning says so.
      - In check mode the entries of RV(objects) tell how many rows and buckets would be copied.
    type: str
    choices: [preserve, ignore, fail]
    default: preserve
  on_unsupported:
    description:
      - What to do when the target cannot take an aggregate, or what belongs to it.
      - V(fail) changes nothing and names all of them. V(skip) leaves them out with a warning.
      - An owner or a grantee that the target lacks, or an owner of which the connecting role is no member, is not
        counted here. The aggregate is created; RV(objects) has an entry of kind V(attribute) and outcome V(skipped),
        and a warning says so. So a target restored with C(--no-owner) needs no roles of the source.
    type: str
    choices: [fail, skip]
    default: fail
  on_drift:
    description:
      - What to do when the target has an object of that name with another definition.
      - V(warn) goes on with the others and leaves it alone. V(fail) changes nothing.
      - V(recreate) makes an aggregate that differs anew, and those that stand on it. The new one is called
        C(NAME_dbops_new) until it is filled as far as the source's and the old one are, whatever O(refresh) says. Then
        it takes the old one's place by renaming, and the old one, called C(NAME_dbops_old) by then, is dropped.
      - In the transaction that renames, the aggregate's jobs are made again, active or paused as they were, and what
        stands on it, with grants, comments, indexes and rows; what the source has too, as it is there.
        Readers wait as long as it takes to fill materialized views on it again.
      - Buckets of the old one that neither rows nor the source give are carried over, if each column of the new one is
        the same expression as one of the old, of the same relations in the same groups, and what it reads of an
        aggregate that is made anew too means the same there. Else the outcome is
        V(unsupported), with what would be lost, and nothing is changed. O(history=ignore) leaves such buckets behind.
      - The server counts before it renames. When a bucket of the old one has no counterpart, the old one stays.
      - The next run with V(recreate) goes on with one that was interrupted. Other runs only report what it left.
      - An aggregate is V(unsupported) and left alone when another one stands on it that is not chosen or that the
        source lacks, when one of its jobs cannot be made again, or when something has one of the two names. So it is
        when a rule, policy or trigger of a table reads it, when a view reads its storage or a column that the new one
        lacks, and when it or what stands on it belongs to a role of which the connecting one is no member.
      - An index that only the old one has, and other storage settings of the old one, are reported with outcome
        V(skipped), a warning, and as C(hint) a query for psql that makes them again.
      - Views and functions that differ themselves are only reported. Attributes that differ are altered in place.
    type: str
    choices: [warn, fail, recreate]
    default: warn
  validate:
    description:
      - How it is found out beforehand what the target refuses.
      - V(plain) asks TimescaleDB's own check of a query (2.13 and later). It cannot judge an aggregate whose parent is
        not there yet; in check mode such an aggregate is V(pending), its statements are told all the same.
      - V(deep) creates all that is missing without data, in one transaction that is rolled back, in check mode too.
        That takes the locks of a real creation. After 2 seconds without a lock the task fails, and nothing is changed.
      - What is refused gets the outcome V(unsupported), and what stands on it V(skipped). Any other value is refused.
    type: str
    choices: [plain, deep]
    default: plain
  row_security:
    description:
      - What to do about an aggregate of a table whose row security is already on. TimescaleDB takes none there.
      - V(refuse) reports it as V(unsupported).
      - V(suspend) disables the table's row security, creates the aggregate and enables it again, in one transaction.
        The connecting role must own the table. Any other value is refused.
    type: str
    choices: [refuse, suspend]
    default: refuse
  prune:
    description:
      - Whether aggregates that the source does not have may be dropped. V(false) reports them and leaves them alone.
      - Only aggregates inside O(include) and O(exclude) are judged, and only those in O(prune_allow) are dropped.
      - One on which something else stands is left alone. There is no C(CASCADE).
      - When the source has no aggregate at all, the task fails and drops nothing. Anything but a boolean is refused.
    type: bool
    default: false
  prune_allow:
    description:
      - The aggregates that O(prune) may drop, each as C(schema.name), without quotes and without patterns.
      - A name that is not there any more, or that the source has, leaves nothing to do.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - dbops.timescale._connection
  - dbops.timescale._connection.source
  - dbops.timescale._connection.source_file
  - dbops.timescale._connection.apply
  - dbops.timescale._results
  - dbops.timescale._results.actiongroup_sync
notes:
  - The connecting role needs C(SELECT) on the hypertables and C(CREATE) on the schemas of the target. It must be a
    member of the roles that own aggregates on the source, or it stays the owner, which is reported.
  - Tablespaces, C(CLUSTER), replica identity, storage parameters, extended statistics and triggers of a
    materialization are not moved. Each that the source has and the target lacks is reported with outcome V(skipped), a
    warning, and, as C(hint), a query for psql that makes the statement and runs it.
  - A unique index, which TimescaleDB takes on the materialization alone, needs C(CREATE) on its schema for the
    connecting role; without, it is reported with outcome V(skipped) and a warning.
  - Types, tables, defaults, aggregate functions and the like that use the row type of an aggregate, or a function that
    reads one, are not moved. Each that the target lacks is reported with outcome V(skipped) and a warning.
  - A view or function that reads a materialization by its internal name is V(unsupported), because that name is
    another aggregate's on the target.
  - A source without TimescaleDB has no aggregates, and nothing is done.
seealso:
  - module: dbops.timescale.timescale_post_data
  - module: dbops.timescale.timescale_policy_sync
"""

EXAMPLES = r"""
- name: Recreate all continuous aggregates, and refresh them
  dbops.timescale.timescale_cagg_sync:
    login_host: new.example.com
    login_user: admin
    login_password: "{{ new_password }}"
    login_db: metrics
    source:
      login_host: old.example.com
      login_user: admin
      login_password: "{{ old_password }}"
      login_db: metrics

- name: Create the aggregates of one schema, without data
  dbops.timescale.timescale_cagg_sync:
    login_host: new.example.com
    login_db: metrics
    source_file: /var/lib/migration/metrics.json
    include: [reports.*]
    refresh: none

- name: Make anew what differs, and look at it first with --check --diff
  dbops.timescale.timescale_cagg_sync:
    login_host: new.example.com
    login_db: metrics
    source:
      login_host: old.example.com
      login_db: metrics
    include: [reports.*]
    on_drift: recreate

- name: Refresh one quarter, a week at a time
  dbops.timescale.timescale_cagg_sync:
    login_host: new.example.com
    login_db: metrics
    source:
      login_host: old.example.com
      login_db: metrics
    refresh: window
    refresh_start: "2026-01-01"
    refresh_end: "2026-04-01"
    refresh_batch: 7 days
"""

RETURN = r"""
queries:
  description: The statements that changed something, or would in check mode.
  returned: always
  type: list
  elements: str
  sample: ["CALL public.refresh_continuous_aggregate('\"public\".\"hourly\"'::pg_catalog.regclass, …"]
objects:
  description: What was looked at, one entry each; a refresh is an entry of its own.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: >-
        V(continuous_aggregate), V(refresh), V(history), V(view), V(materialized_view), V(function), V(attribute), or
        what PostgreSQL calls an object that is not moved, such as V(composite_type).
      type: str
    schema:
      description: Schema of the object.
      type: str
    name:
      description: Name of the object, of a function with its arguments.
      type: str
    table:
      description: The aggregate that a piece of history belongs to.
      returned: for history
      type: str
    outcome:
      description: V(created), V(altered), V(present), V(drifted), V(unsupported), V(pending), V(skipped) or
        V(failed).
      type: str
    rows:
      description: Number of rows of history to copy.
      type: int
    buckets:
      description: Number of buckets of history to copy.
      type: int
    along:
      description: What was made again with an aggregate that was made anew, its views, functions and jobs.
      returned: for an aggregate that was made anew
      type: list
      elements: str
    reason:
      description: Why.
      type: str
    hint:
      description: What to do about it.
      type: str
    duration_ms:
      description: Milliseconds it took.
      type: int
    started_at:
      description: When its first statement began, in seconds since 1970 (UTC).
      returned: for what was run
      type: float
    notices:
      description: What the server said meanwhile, each with its severity.
      returned: when there is any
      type: list
      elements: str
summary:
  description: Number of objects by outcome.
  returned: always
  type: dict
  sample: {created: 7, altered: 5}
sqlstate:
  description: SQLSTATE of the first statement that failed.
  returned: when a statement failed
  type: str
statement:
  description: The first statement that failed.
  returned: when a statement failed
  type: str
object:
  description: The object whose statement failed first.
  returned: when a statement failed
  type: str
hint:
  description: What to do.
  returned: on failure
  type: str
remaining:
  description: Objects that are not done.
  returned: when a statement failed
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
      returned: when the databases could be reached
      type: int
    versions:
      description: >-
        C(postgresql) and C(timescaledb) of V(target) and, as far as it is known, V(source). C(timescaledb) is empty
        where the database does not have it.
      type: dict
  sample:
    started_at: 1774170000.125
    elapsed_ms: 5321
    versions:
      source: {postgresql: "15.18", timescaledb: 2.11.2}
      target: {postgresql: "15.18", timescaledb: 2.28.3}
"""

import typing as t

from ansible_collections.dbops.timescale.plugins.module_utils._argspec import (
    ArgumentSpec,
    apply_spec,
    login_spec,
    source_spec,
)
from ansible_collections.dbops.timescale.plugins.module_utils._cagg.catalog import read, read_existing
from ansible_collections.dbops.timescale.plugins.module_utils._cagg.draft import filled
from ansible_collections.dbops.timescale.plugins.module_utils._cagg.history import (
    find_history,
    reaching_policies,
    refuse_history,
    untold_history,
)
from ansible_collections.dbops.timescale.plugins.module_utils._cagg.plan import make_plan
from ansible_collections.dbops.timescale.plugins.module_utils._cagg.recreate import NOTHING, find_recreations
from ansible_collections.dbops.timescale.plugins.module_utils._cagg.target import key_of, look
from ansible_collections.dbops.timescale.plugins.module_utils._cagg.validate import validate_deep
from ansible_collections.dbops.timescale.plugins.module_utils._errors import BadInput
from ansible_collections.dbops.timescale.plugins.module_utils._kept_jobs import kept_jobs
from ansible_collections.dbops.timescale.plugins.module_utils._module import Session, run_module
from ansible_collections.dbops.timescale.plugins.module_utils._plan import Plan


def own_spec() -> ArgumentSpec:
    """The options of this module alone."""
    return ArgumentSpec(
        {
            "include": {"type": "list", "elements": "str", "default": []},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "refresh": {"type": "str", "choices": ["full", "window", "none"], "default": "full"},
            "refresh_start": {"type": "str"},
            "refresh_end": {"type": "str"},
            "refresh_batch": {"type": "str"},
            "history": {"type": "str", "choices": ["preserve", "ignore", "fail"], "default": "preserve"},
            "on_unsupported": {"type": "str", "choices": ["fail", "skip"], "default": "fail"},
            "on_drift": {"type": "str", "choices": ["warn", "fail", "recreate"], "default": "warn"},
            "validate": {"type": "str", "choices": ["plain", "deep"], "default": "plain"},
            "row_security": {"type": "str", "choices": ["refuse", "suspend"], "default": "refuse"},
            "prune": {"type": "bool", "default": False},
            "prune_allow": {"type": "list", "elements": "str", "default": []},
        }
    )


def work(session: Session) -> dict[str, t.Any]:
    """Read both sides, plan, carry out."""
    session.open_source()
    with session.only_run():
        facts, wanted, document = session.read_both("aggregates", read, read_existing)
        if facts.timescale is None and session.params["prune"] and session.target.timescale is not None:
            raise BadInput("prune: the source has no TimescaleDB.", hint="Check source.login_db, or set prune: false.")
        bring = session.require_timescale if wanted["aggregates"] else session.require_extension
        if not bring(facts):
            return session.carry_out(Plan())
        existing, recreations = look(session.target, wanted, facts, document), NOTHING
        if session.params["on_drift"] == "recreate":
            recreations, existing = find_recreations(
                session.source, session.target, wanted, existing, session.params, kept_jobs
            )
        history = {}
        if session.source is not None and session.params["history"] != "ignore":
            ours = filled(wanted, existing, session.params)
            history = find_history(
                session.source, session.target, wanted, existing, lambda entry: key_of(entry) in ours
            )
        if session.params["history"] == "fail":
            refuse_history(history)
        plan = make_plan(
            wanted, facts, existing, session.target.facts, session.params, history, session.source, recreations
        )
        if session.source is not None:
            plan.warnings += reaching_policies(session.source, wanted, history)
        if session.params["history"] != "ignore":
            plan.warnings += untold_history(wanted, existing, reachable=session.source is not None)
        options = session.params
        if options["validate"] == "deep":
            validate_deep(session.target, plan)
        return session.carry_out(plan, on_unsupported=options["on_unsupported"], on_drift=options["on_drift"])


def main() -> t.NoReturn:
    run_module("timescale_cagg_sync", login_spec() + source_spec() + apply_spec() + own_spec(), work)


if __name__ == "__main__":
    main()
