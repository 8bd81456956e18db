#!/usr/bin/python
# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: timescale_policy_sync
short_description: Make the policies and jobs of a TimescaleDB database equal to those of another
version_added: 0.1.0
description:
  - Reads the policies (refresh, columnstore, retention, reorder, compaction) and the user's own jobs of two databases,
    and creates or alters what differs on the target.
  - A job and all its attributes come into being in one transaction, so that the scheduler never sees it half made.
  - A job that differs is altered in place, so its id and its statistics stay.
  - Ids in a job's config are found on the target by name; none is copied.
options:
  kinds:
    description:
      - The kinds to look at; empty means all. Another word is refused.
      - With a choice made here, the extension's own jobs are left out.
    type: list
    elements: str
    choices: [refresh, columnstore, retention, reorder, compaction, user]
    default: []
  include:
    description:
      - Shell patterns; only policies on relations, and other jobs with procedures, whose C(schema.name) fits one are
        looked at. Empty means all.
    type: list
    elements: str
    default: []
  exclude:
    description:
      - Shell patterns for what is left out, even when O(include) names it.
    type: list
    elements: str
    default: []
  owner:
    description:
      - Look only at jobs that these roles own on the source. Empty means everybody's.
      - A policy of the target counts as theirs when its relation's policies on the source are theirs.
    type: list
    elements: str
    default: []
  owner_map:
    description:
      - Renames owners, role on the source to role on the target. It decides about user jobs. A policy always belongs to
        the owner of its relation.
    type: dict
    default: {}
  scheduled:
    description:
      - Whether a new job is active as on the source (V(source)), or paused (V(paused)).
      - It says nothing about jobs that are there already. A job that the source has paused is always created paused.
    type: str
    choices: [source, paused]
    default: source
  activate:
    description:
      - Turn on the jobs that are there and that the source has on, and do nothing else.
      - Refresh policies come first, then columnstore and other jobs, then retention; see O(stagger).
      - A job with a fixed schedule waits for its next slot, even if its initial start lies in the past. Any other job
        starts at once. No attribute but C(scheduled) is changed.
      - A job that is on is never paused. A retention policy whose window differs from the source's stays paused. A job
        that is on and whose next start on the target is infinity is told, with the statement that starts it.
    type: bool
    default: false
  stagger:
    description:
      - Seconds over which O(activate) spreads the first starts, in the order of its stages, so that these lie apart in
        time. V(0) does not spread them.
      - Each job gets its turn. A job without a fixed schedule starts then, a job with one at its next slot, but not
        before its turn. Later starts, and the schedules with their initial starts, are as on the source.
      - A negative value is refused.
    type: float
    default: 0
  also_paused:
    description:
      - With O(activate), shell patterns for C(schema.name) of relations and procedures whose jobs are turned on even if
        the source has them paused. V(['*']) turns on all.
    type: list
    elements: str
    default: []
  watch:
    description:
      - Seconds to wait, at the end, for the jobs that are due on the target to run. Then the module tells whether jobs
        really run there; what is wrong is a warning and an entry of RV(objects) with the kind C(scheduler).
      - It waits no longer than until each of them has run once; a job whose turn has not come (O(stagger)) is not due.
        With V(0), and O(activate), only what is known already is told. It does not wait in check mode.
      - A negative value is refused.
    type: float
    default: 0
  columnstore_settings:
    description:
      - Bring over the columnstore settings of hypertables (segmentby, orderby, chunk interval, sparse indexes) before
        the policies. Those of continuous aggregates are M(dbops.timescale.timescale_cagg_sync)'s.
      - Chunk skipping, C(direct_compress) and C(granular_refresh_column) are not brought over but told, with the
        statement that makes them. So is a columnstore that is on for a hypertable on the target only.
    type: bool
    default: true
  system_jobs:
    description:
      - Also copy what was changed on the extension's own jobs, matched by procedure. V(false) only reports it.
    type: bool
    default: false
  prune:
    description:
      - Remove jobs that are on the target only, judged inside O(kinds), O(include), O(exclude) and O(owner). V(false)
        reports them.
      - Nothing is removed of a kind of which the source has no job at all, inside the filters or outside.
    type: bool
    default: false
  guard:
    description:
      - Whether a retention policy may be active before its data is safe in the continuous aggregates.
      - With V(on), every aggregate on the table, and on those aggregates, must be materialized wherever chunks would be
        dropped, and no bucket of it may be on the source only (M(dbops.timescale.timescale_cagg_sync) copies those);
        else the policy is created or left paused, and the result says why. A policy that is on already keeps its window
        until then. The next run with O(activate) tries again.
      - With O(source_file), a range without rows on the target counts as on the source only, while the target's
        aggregate holds nothing there.
      - V(strict) also holds a policy back when a refresh policy reaches behind the point up to which chunks are
        dropped, since such a refresh removes the results of dropped rows. V(on) warns of that.
      - V(none) turns the guard off.
    type: str
    choices: ['on', strict, none]
    default: 'on'
  on_unsupported:
    description:
      - What to do when a job cannot be made on the target, because something it stands on is missing there.
      - V(fail) changes nothing and names them all. V(skip) warns and goes on with the rest.
    type: str
    choices: [fail, skip]
    default: fail
extends_documentation_fragment:
  - dbops.timescale._connection
  - dbops.timescale._connection.source
  - dbops.timescale._connection.source_file
  - dbops.timescale._connection.apply
  - dbops.timescale._results
  - dbops.timescale._results.actiongroup_sync
seealso:
  - module: dbops.timescale.timescale_cagg_sync
  - module: dbops.timescale.timescale_post_data
"""

EXAMPLES = r"""
- name: Create all policies and jobs, paused
  dbops.timescale.timescale_policy_sync:
    login_host: new.example.org
    login_db: tanks
    source:
      login_host: old.example.org
      login_db: tanks
    scheduled: paused

- name: On the day of the cut-over, turn on what the source has on
  dbops.timescale.timescale_policy_sync:
    login_host: new.example.org
    login_db: tanks
    source_file: /var/tmp/tanks.json
    activate: true
"""

RETURN = r"""
changed:
  description: Whether something was changed, or would be.
  returned: always
  type: bool
  sample: true
queries:
  description: The statements that changed something, or would in check mode.
  returned: always
  type: list
  elements: str
  sample: ['ALTER TABLE "public"."tanks" SET (timescaledb.compress)']
objects:
  description: What became of each policy, job and setting. A policy is named by its relation, a job by its procedure.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: One of C(refresh_policy), C(columnstore_policy), C(retention_policy), C(reorder_policy),
        C(compaction_policy), C(job), C(columnstore_settings), C(system_job), C(scheduler).
      type: str
      sample: retention_policy
    schema:
      description: Schema of the relation or the procedure.
      type: str
      sample: public
    name:
      description: Name of the relation or the procedure.
      type: str
      sample: fill_measurements
    table:
      description: The relation of a job that runs a procedure of the extension and has no kind of its own here.
      returned: for these
      type: str
    outcome:
      description: >-
        One of C(created), C(altered), C(present), C(drifted), C(unsupported), C(skipped), C(failed), C(pending).
      type: str
      sample: created
    reason:
      description: Why.
      type: str
      sample: Absent; paused until it is activated.
    hint:
      description: What to do about it.
      type: str
      sample: ''
    duration_ms:
      description: Milliseconds that it took.
      type: int
      sample: 4
    started_at:
      description: When its first statement began, in seconds since 1970 (UTC).
      returned: for what was run
      type: float
    notices:
      description: What the server said meanwhile, each with its severity.
      returned: when there is any
      type: list
      elements: str
    aside:
      description: True for what is no difference, as TimescaleDB keeps it itself or the options leave it out.
      type: bool
      returned: when it is
    planned:
      description: In check mode, that it stands on something that an earlier stage of the same run creates.
      type: bool
      returned: when it does
      sample: true
summary:
  description: Number of objects by outcome.
  returned: always
  type: dict
  sample: {created: 12, present: 3}
running:
  description: Whether the target's jobs run.
  returned: with O(activate) or O(watch), not in check mode
  type: dict
  contains:
    active:
      description: Number of jobs that are on.
      type: int
      sample: 12
    started:
      description: Number of jobs that have ever started.
      type: int
      sample: 12
    waiting:
      description: Number of jobs that are due and have not started.
      type: int
      sample: 0
    failing:
      description: The jobs whose last run failed, each with C(job) and C(error).
      type: list
      elements: dict
      sample: []
owners:
  description: Whose jobs were looked at. Per owner on the source, the number of jobs inside the filters.
  returned: when both databases could be read
  type: dict
  sample: {sensor_admin: 12}
retention:
  description: What the guard found about each retention policy that this run may make active.
  returned: when both databases could be read
  type: list
  elements: dict
  contains:
    relation:
      description: The hypertable or continuous aggregate.
      type: str
      sample: public.fill_measurements
    chunks:
      description: Number of chunks that the policy's first run would drop, null if the target could not tell.
      type: int
      sample: 3
    blocked:
      description: Why the policy must stay paused, empty if it need not.
      type: str
      sample: ''
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

import functools
import typing as t

from ansible_collections.dbops.timescale.plugins.module_utils._argspec import (
    ArgumentSpec,
    apply_spec,
    login_spec,
    source_spec,
)
from ansible_collections.dbops.timescale.plugins.module_utils._cagg.catalog import read as read_aggregates
from ansible_collections.dbops.timescale.plugins.module_utils._errors import BadInput
from ansible_collections.dbops.timescale.plugins.module_utils._history_left import history_left
from ansible_collections.dbops.timescale.plugins.module_utils._module import Session, run_module
from ansible_collections.dbops.timescale.plugins.module_utils._plan import Plan, with_findings
from ansible_collections.dbops.timescale.plugins.module_utils._policy import guard, running
from ansible_collections.dbops.timescale.plugins.module_utils._policy.catalog import holds_anything, read
from ansible_collections.dbops.timescale.plugins.module_utils._policy.plan import Context, Options, plan_of

KINDS = ["refresh", "columnstore", "retention", "reorder", "compaction", "user"]
NAMES = {"type": "list", "elements": "str", "default": []}
SPEC = ArgumentSpec(
    {
        "kinds": {**NAMES, "choices": KINDS},
        "include": NAMES,
        "exclude": NAMES,
        "owner": NAMES,
        "owner_map": {"type": "dict", "default": {}},
        "scheduled": {"type": "str", "choices": ["source", "paused"], "default": "source"},
        "activate": {"type": "bool", "default": False},
        "stagger": {"type": "float", "default": 0},
        "also_paused": NAMES,
        "watch": {"type": "float", "default": 0},
        "columnstore_settings": {"type": "bool", "default": True},
        "system_jobs": {"type": "bool", "default": False},
        "prune": {"type": "bool", "default": False},
        "guard": {"type": "str", "choices": ["on", "strict", "none"], "default": "on"},
        "on_unsupported": {"type": "str", "choices": ["fail", "skip"], "default": "fail"},
    }
)
OPTIONS = sorted(SPEC.options.keys() - {"guard", "on_unsupported", "watch"})


def work(session: Session) -> dict[str, t.Any]:
    """Read both sides, compare, apply."""
    _refuse_negative(session.params)
    session.open_source()
    with session.only_run():
        facts, wanted, existing = session.read_both("jobs", read)
        # The Apache edition has no jobs; that is no lack where the source has none.
        required = session.require_timescale if holds_anything(wanted) else session.require_extension
        if not required(facts):
            return session.carry_out(Plan())
        options = Options(**{name: session.params[name] for name in OPTIONS}, check_mode=session.check_mode)
        left = functools.partial(_history_left, session)
        context = Context(wanted, facts, existing, session.target.facts, options)
        state = guard.read(session.target, context, session.params["guard"], left)
        context.blocked = state.blocked
        plan = plan_of(context)
        plan.warnings += state.warnings
        result = session.carry_out(
            plan, on_unsupported=session.params["on_unsupported"], retention=state.result, owners=context.owners()
        )
        return _with_running(session, result)


def _refuse_negative(params: dict[str, t.Any]) -> None:
    meaning = {"stagger": "the seconds over which first starts are spread", "watch": "the seconds to wait for jobs"}
    for name, what in meaning.items():
        if params[name] < 0:
            raise BadInput(f"{name} is negative.", hint=f"Give {what}.")


def _history_left(session: Session) -> dict[tuple[str, str], str]:
    _facts, aggregates = session.wanted("aggregates", read_aggregates)
    return history_left(session.source, session.target, aggregates)


def _with_running(session: Session, result: dict[str, t.Any]) -> dict[str, t.Any]:
    """The result with whether jobs run, when that was asked or jobs were turned on."""
    watched = session.params["watch"]
    if session.check_mode or not (watched or session.params["activate"]):
        return result
    told, found = running.findings(running.watch(session.target, watched), watched)
    for finding in found:
        session.module.warn(f"{finding.object.label}: {finding.reason} {finding.hint}".rstrip())
    return with_findings({**result, "running": told}, found)


def main() -> t.NoReturn:
    run_module("timescale_policy_sync", login_spec() + source_spec() + apply_spec() + SPEC, work)


if __name__ == "__main__":
    main()
