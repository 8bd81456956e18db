#!/usr/bin/python
# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: timescale_verify
short_description: Prove that a target holds what its source holds
version_added: 0.1.0
description:
  - Compares two databases, object by object and row by row, and tells every difference.
  - Nothing is changed. All sessions are read only, with one exception. To compare definitions of continuous aggregates
    and of what reads them, V(objects) lets the target print both as temporary views, in a transaction that is rolled
    back. On a standby this part cannot be compared.
  - A difference is a result, not a failure. RV(equal) tells whether everything that was asked for and that the roles
    may read is the same.
  - Rows of a hypertable are compared in slices, one for each chunk of the source and for what lies between and beyond.
    A difference names the slices.
  - The contents of a continuous aggregate are compared up to the lower of the two watermarks. Buckets that the source
    itself has not refreshed after a change are left out and counted in RV(objects[].source_stale). Buckets whose raw
    rows the source no longer has are compared.
  - In aggregates, floats may differ by a relative 1e-9, because sums of floats depend on the order of rows.
    Everything else must be exactly the same.
options:
  scope:
    description:
      - What is compared.
      - V(tables) looks for schemas, relations, functions, sequences and columns that one side lacks, and for columns
        that differ in type, collation, default, C(NOT NULL), identity or generation. Of tables it also compares storage
        parameters, C(UNLOGGED), C(FORCE ROW LEVEL SECURITY), and C(REPLICA IDENTITY) with C(FULL) or C(NOTHING). Texts
        of functions and views are not compared, but for views on aggregates (V(objects)).
      - V(rows) compares the rows of tables, as O(rows) says.
      - V(aggregates) compares what continuous aggregates have stored.
      - V(sequences) looks for sequences whose next value lies behind the source's, or is in their columns already.
      - V(owners), V(grants) and V(comments) compare these on schemas, relations, columns, sequences and functions.
      - V(objects) compares indexes, constraints, triggers, rules, policies and their comments and states, the
        definitions and storage of continuous aggregates, what reads them, columnstore settings, policies and jobs. The
        comparison is that of M(dbops.timescale.timescale_post_data), M(dbops.timescale.timescale_cagg_sync) and
        M(dbops.timescale.timescale_policy_sync); whatever they would do or could not do is a difference. It needs
        C(pg_dump) where the module runs, of the source's PostgreSQL or later.
      - V(objects) looks for constraints, triggers, rules, row security and comments that only the target has, but not
        for indexes. An index or a key that single chunks of a hypertable lack is a difference.
    type: list
    elements: str
    choices: [tables, rows, aggregates, sequences, owners, grants, comments, objects]
    default: [tables, rows, aggregates, sequences, owners, grants, comments, objects]
  rows:
    description:
      - How the rows of tables are compared.
      - V(checksum) reads all rows and compares number and content.
      - V(count) compares the number of rows.
      - V(estimate) compares what the statistics say, which takes no time on any size. It finds differences of more than
        a tenth, and tells tables without statistics as V(skipped).
    type: str
    choices: [checksum, count, estimate]
    default: checksum
  schemas:
    description:
      - Only schemas that match one of these patterns (V(*), V(?) and V([...]) as in a shell). Empty means all.
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
  owner_map:
    description:
      - Roles of the source, each with the role that stands for it on the target.
      - A role that is not named stands for itself.
    type: dict
    default: {}
  tablespace_map:
    description:
      - The target's name for a tablespace of the source, as for M(dbops.timescale.timescale_post_data).
      - An index whose tablespace the target lacks is expected in the database's own.
    type: dict
    default: {}
  include:
    description:
      - Kinds of objects that V(objects) compares only when they are named here, as
        O(dbops.timescale.timescale_post_data#module:include).
    type: list
    elements: str
    choices: [default_privileges, event_triggers, publications, subscriptions]
    default: []
  jobs_scheduled:
    description:
      - Whether a job that is paused on the target and active on the source is a difference.
      - V(false) is for the time before jobs are activated. A job that is active on the target and paused on the source
        is a difference always.
    type: bool
    default: true
  known:
    description:
      - Entries of RV(objects) that other modules told before, such as what
        O(dbops.timescale.timescale_cagg_sync#module:on_unsupported=skip) left out. A difference of such an
        object stays a difference. It is marked in RV(differences) and counted in RV(differences_known).
      - Objects are recognised by C(kind), C(schema), C(table) and C(name); other keys do not matter.
    type: list
    elements: dict
    default: []
  client_path:
    description:
      - Folder of C(pg_dump), for V(objects). By default the usual folders are searched for the oldest one that fits the
        source.
      - A folder without C(pg_dump), or with one that is older than the source, gives an entry V(failed).
    type: path
  jobs:
    description:
      - Number of connections to each side that work at the same time. Values below 1 count as 1.
    type: int
    default: 2
  progress:
    description:
      - Tell every few seconds how far the task is, in the terminal of C(ansible-playbook). A step is a slice of a table
        on one side.
      - No line is written when its stdout is no terminal, with C(async) or with C(no_log).
      - The same figures are in the C(application_name) of the first session on the target.
      - A task that is followed and whose C(ansible-playbook) is gone ends by itself after ten seconds, and its
        statements are cancelled.
    type: bool
    default: true
extends_documentation_fragment:
  - dbops.timescale._connection
  - dbops.timescale._connection.source
  - dbops.timescale._results
  - dbops.timescale._results.actiongroup_sync
notes:
  - Rows that are written while the module runs are differences. Compare when the application is stopped, or name the
    tables that stand still.
  - Materialized views are compared by their columns and by whether they are filled, not by their rows.
  - A table that a role may not read whole, for example because row security hides rows from it, is not counted in
    parts. It is V(skipped), named in RV(not_compared) and in a warning. Compare as a superuser or as a role with
    C(BYPASSRLS) to have everything compared.
seealso:
  - module: dbops.timescale.timescale_post_data
  - module: dbops.timescale.timescale_cagg_sync
"""

EXAMPLES = r"""
- name: Compare everything
  dbops.timescale.timescale_verify:
    login_host: new.example.com
    login_db: metrics
    source:
      login_host: old.example.com
      login_db: metrics
  register: comparison

- name: Stop when something is not the same
  ansible.builtin.assert:
    that: comparison.equal
    fail_msg: "{{ comparison.objects | rejectattr('outcome', 'equalto', 'present') }}"

- name: A quick look at a big database, under other owners
  dbops.timescale.timescale_verify:
    login_host: new.example.com
    login_db: metrics
    source:
      login_host: old.example.com
      login_db: metrics
    scope: [tables, rows, owners]
    rows: estimate
    owner_map:
      postgres: tsdbadmin
"""

RETURN = r"""
equal:
  description: Whether everything in O(scope) was compared and is the same, but for what the roles may not read.
  returned: success
  type: bool
not_compared:
  description: What was not compared, for want of rights or of statistics. Empty when everything was.
  returned: success
  type: list
  elements: str
  sample: [rows public.notes]
differences:
  description: Every difference as a line of text, those that were not in O(known) first.
  returned: success
  type: list
  elements: str
  sample: ["index public.readings.readings_time_idx: The target does not have it."]
differences_known:
  description: How many of RV(differences) were in O(known).
  returned: success
  type: int
changed:
  description: Always V(false).
  returned: always
  type: bool
queries:
  description: Always empty, nothing is changed.
  returned: always
  type: list
  elements: str
objects:
  description: One entry for everything that was compared, and for every owner, grant and comment that differs.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: >-
        V(table), V(view) and their like for what is there; V(rows) of a table; V(contents) and V(watermark) of an
        aggregate; V(sequence_position); V(owner), V(grant), V(comment); the kinds that the sync modules return; and
        V(comparison) for a part of V(objects) that could not be compared at all.
      type: str
    schema:
      description: Schema.
      type: str
    name:
      description: Name.
      type: str
    table:
      description: What an owner, a grant, a comment, a constraint, an index or a trigger belongs to.
      returned: for these
      type: str
    outcome:
      description: >-
        V(present) for the same on both sides, V(drifted) for a difference, V(unsupported) for what the target lacks and
        could not have, V(pending) for what waits for something else that is missing, V(failed) and V(skipped) for what
        could not be compared.
      type: str
    reason:
      description: What differs.
      type: str
    hint:
      description: What to do about it.
      type: str
    aside:
      description: True for what the roles may not read whole. It is not compared, and does not count in RV(equal).
      type: bool
      returned: when it is
    rows:
      description: Number of rows on V(source) and V(target).
      returned: for rows and contents
      type: dict
    estimated:
      description: Whether RV(objects[].rows) comes from statistics.
      returned: with O(rows=estimate)
      type: bool
    buckets:
      description: Number of buckets on V(source) and V(target).
      returned: for contents
      type: dict
    first:
      description: The first bucket of both sides.
      returned: for contents
      type: str
    last:
      description: The last bucket of both sides.
      returned: for contents
      type: str
    source_stale:
      description: Number of rows of the source that were left out, because the source has changed what they stand on.
      returned: for contents
      type: int
    slices:
      description: The first ten slices that differ, with C(from), C(to), C(source_rows) and C(target_rows).
      returned: for rows and contents that differ
      type: list
      elements: dict
    slices_differing:
      description: How many slices differ.
      returned: for rows and contents that differ
      type: int
    only_on:
      description: The side that has it.
      returned: for what one side lacks
      type: str
    duration_ms:
      description: Always 0, slices of all tables are read at the same time.
      type: int
summary:
  description: Number of objects by outcome.
  returned: always
  type: dict
  sample: {present: 42, drifted: 1}
diff:
  description: Definitions and comments that differ.
  returned: with C(--diff)
  type: dict
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

from ansible_collections.dbops.timescale.plugins.module_utils._argspec import ArgumentSpec, login_spec, source_spec
from ansible_collections.dbops.timescale.plugins.module_utils._errors import BadInput
from ansible_collections.dbops.timescale.plugins.module_utils._module import Session, run_module
from ansible_collections.dbops.timescale.plugins.module_utils._objects import compare_objects
from ansible_collections.dbops.timescale.plugins.module_utils._plan import Plan, diff_of, result_of
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.selection import OPT_IN
from ansible_collections.dbops.timescale.plugins.module_utils._verify.plan import compare_data
from ansible_collections.dbops.timescale.plugins.module_utils._verify.telling import differences

SCOPE = ["tables", "rows", "aggregates", "sequences", "owners", "grants", "comments", "objects"]


def work(session: Session) -> dict[str, t.Any]:
    """Compare both sides; the plan has findings and no steps."""
    session.open_source()
    if session.source is None:
        raise BadInput("No source is given.", hint="Give it in source: both databases are read.")
    plan = Plan(findings=compare_data(session.source, session.target, session.params, session.progress))
    if "objects" in session.params["scope"]:
        session.progress.phase("comparing definitions")
        objects = compare_objects(session.source, session.target, session.params)
        plan.findings += objects.findings
        for text in objects.warnings:
            session.module.warn(text)
    equal = all(finding.outcome == "present" or finding.aside for finding in plan.findings)
    missed = [finding.object.label for finding in plan.of_outcome("skipped")]
    if missed:
        session.module.warn(f"Not compared (objects in the result tell why): {', '.join(missed)}.")
    told = differences(plan.findings, session.params["known"])
    result = {**result_of(plan, []), **told, "equal": equal, "not_compared": missed}
    return {**result, "diff": diff_of(plan)} if session.module._diff else result


def main() -> t.NoReturn:
    """Run the module."""
    own = ArgumentSpec(
        {
            "scope": {"type": "list", "elements": "str", "choices": SCOPE, "default": SCOPE},
            "rows": {"type": "str", "choices": ["checksum", "count", "estimate"], "default": "checksum"},
            "schemas": {"type": "list", "elements": "str", "default": []},
            "exclude_schemas": {"type": "list", "elements": "str", "default": []},
            "owner_map": {"type": "dict", "default": {}},
            "tablespace_map": {"type": "dict", "default": {}},
            "include": {"type": "list", "elements": "str", "choices": sorted(set(OPT_IN.values())), "default": []},
            "jobs_scheduled": {"type": "bool", "default": True},
            "known": {"type": "list", "elements": "dict", "default": []},
            "client_path": {"type": "path"},
            "jobs": {"type": "int", "default": 2},
            "progress": {"type": "bool", "default": True},
        }
    )
    run_module("timescale_verify", login_spec() + source_spec(source_file=False) + own, work, writes=False)


if __name__ == "__main__":
    main()
