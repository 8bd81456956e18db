#!/usr/bin/python
# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: timescale_post_data
short_description: Create what a database lacks of the post-data section of another
version_added: 0.1.0
description:
  - Dumps the post-data section of O(source) with C(pg_dump), compares every object in it with the target by definition,
    and creates what is missing, several at a time, largest tables first.
  - These are primary keys, unique, exclusion and foreign keys, C(NOT VALID) checks, indexes, C(CLUSTER ON), replica
    identities, triggers with their state, rules, row security and its policies, extended statistics, the filling of
    materialized views, and comments on all of these.
  - Statements are those that C(pg_dump) wrote. C(ONLY) is taken out for what is a hypertable on the target, because
    TimescaleDB refuses it there.
  - Keys of plain tables of more than 1 MiB are added in two statements, so that locks are short and other connections
    go on. A primary key or unique constraint gets its index first and takes it over (C(USING INDEX)). A foreign key is
    added C(NOT VALID) and then validated; where rows break it, it stays, for new rows, until a run can validate it.
    What a stopped run left of the two is taken up by the next one.
  - Sessions that work get C(maintenance_work_mem) of half of the target's C(shared_buffers) over all O(jobs), at most
    2 GiB and never less than the server's own, and as many C(max_parallel_maintenance_workers) as the others leave of
    the processors, at most the server's own. An index that is so much of the work that the others end before it gets
    more. Where C(max_parallel_workers) was set on the server, it is taken for the number of processors, otherwise
    O(jobs) is, but at least 2. What O(settings) names wins. RV(settings) tells what sessions began with.
  - The locks that a statement takes on all chunks of a hypertable are estimated. Statements that the server's lock
    table has no room for at the same time run one after the other, and one that alone has too many is warned of.
  - The triggers C(ts_insert_blocker) and C(ts_cagg_invalidation_trigger), known by the function they call, belong to
    TimescaleDB and are never restored. Stray ones on the target are named in a warning.
  - What a hypertable of the target's version refuses is found before anything is changed.
  - TimescaleDB makes the indexes of chunks without operator class parameters on PostgreSQL 17 and later. An index of a
    hypertable that has such parameters is named in a warning.
  - TimescaleDB's schemas and chunks are known by membership. A schema of yours that begins with C(_timescaledb) is
    moved like any other.
  - C(pg_dump) waits for locks on the source's tables as long as O(lock_timeout) says.
  - Works where neither side has TimescaleDB too. A target without the extension is refused when the source has it,
    because its hypertables would stay plain tables.
options:
  dump_file:
    description:
      - An archive of C(pg_dump) in custom format, on the host that runs the module.
      - An existing file is used as it is. It may hold further sections, which are ignored.
      - When the file does not exist, the archive of O(source) is kept there with mode 0600; in check mode it is not.
      - With O(source) or O(source_file), objects that the file lacks are named in a warning, and so are those that the
        source has changed since the file was made.
      - With neither of them, the archive alone tells what is wanted. An object whose name or definition it does not
        show exactly is reported as V(unsupported).
      - What is no archive in custom format, or one of a version that is not known, is refused.
    type: path
  client_path:
    description:
      - Folder of C(pg_dump). By default the usual folders are searched for the oldest one that fits the source.
      - A folder without C(pg_dump), or with one that is older than the source, is an error.
    type: path
  include:
    description:
      - Kinds that reach beyond the database's tables and are only moved when named here.
      - Subscriptions are created disabled. One whose connection string holds a password is V(unsupported).
      - Event triggers, and publications of all tables or of whole schemas, need a superuser on the target;
        subscriptions one, or a member of C(pg_create_subscription). For another role they are V(unsupported).
    type: list
    elements: str
    choices: [default_privileges, event_triggers, publications, subscriptions]
    default: []
  kinds:
    description:
      - Only objects of these kinds. Empty means all.
      - What an object needs must be there or be among the kinds too; otherwise the object is V(skipped).
    type: list
    elements: str
    choices:
      - check
      - cluster
      - comment
      - default_privileges
      - event_trigger
      - exclude
      - foreign_key
      - index
      - index_attach
      - index_statistics
      - not_null
      - policy
      - primary_key
      - publication
      - publication_schema
      - publication_table
      - refresh
      - replica_identity
      - row_security
      - rule
      - rule_state
      - statistics
      - statistics_target
      - subscription
      - trigger
      - trigger_state
      - unique
    default: []
  schemas:
    description:
      - Only objects in schemas that match one of these patterns (V(*), V(?) and V([...]) as in a shell). Empty means
        all.
    type: list
    elements: str
    default: []
  exclude_schemas:
    description:
      - Leave out schemas that match one of these patterns. Wins over O(schemas).
    type: list
    elements: str
    default: []
  objects:
    description:
      - Only objects whose C(schema.name) or C(schema.table) matches one of these patterns. Empty means all.
    type: list
    elements: str
    default: []
  row_security:
    description:
      - V(none) leaves out policies and C(ENABLE ROW LEVEL SECURITY), V(only) takes nothing else.
      - TimescaleDB refuses a continuous aggregate on a table with row security, so a migration runs this task with
        V(none), creates the aggregates, and runs it again with V(all).
    type: str
    choices: [all, none, only]
    default: all
  dependents_of_aggregates:
    description:
      - Whether to do what stands on continuous aggregates or on views that read them. V(false) reports it as
        V(pending).
      - With V(true) such an object is V(pending) while its relation is not on the target. In check mode it counts as
        there, because an earlier task of the same run creates it.
    type: bool
    default: true
  refresh_materialized_views:
    description:
      - Whether to fill materialized views that are filled on the source and empty on the target.
    type: bool
    default: true
  second_part:
    description:
      - This is the second of two tasks of one run. The first had O(row_security=none),
        O(dependents_of_aggregates=false) and O(refresh_materialized_views=false), and the same choice of objects.
      - In check mode, what the first one would create then counts as there. In a real run it makes no difference.
    type: bool
    default: false
  tablespace_map:
    description:
      - The target's name for a tablespace of the source. One that is not named keeps its name.
      - Where the target lacks the tablespace, the object is put into the database's own, with a warning.
      - An index that is in another tablespace than this tells is V(drifted).
    type: dict
    default: {}
  index_strategy:
    description:
      - How an index of a hypertable is built. Keys (constraints) are always added in one statement.
      - V(plain) builds it in one statement, on one connection; other indexes are built beside it.
      - V(chunk) builds it on each chunk, over all connections, and on the hypertable itself last. A chunk that refuses
        it is named, and the hypertable does not get the index; the chunks that have it keep it for the next run.
        This needs TimescaleDB 2.22 and C(CREATE) on the schema of the chunks, usually C(_timescaledb_internal).
        Where either is missing, the index is built as with V(plain), and the result names the grant that is missing.
      - V(transaction_per_chunk) lets TimescaleDB commit after each chunk, on one connection, so that locks are held
        shortly. Unique indexes, and what takes the place of another index (O(on_drift)), are built as with V(plain).
      - V(auto) is V(chunk) for hypertables of 32 MiB or more with more than one chunk, when O(jobs) is more than one.
      - Where tablespaces are attached to the hypertable, V(chunk) and V(auto) are V(plain), because TimescaleDB picks
        each chunk's.
    type: str
    choices: [auto, chunk, transaction_per_chunk, plain]
    default: auto
  on_unsupported:
    description:
      - What to do when the target cannot take an object.
      - V(fail) changes nothing and lists all of them with a remedy each. V(skip) leaves them out with a warning.
    type: str
    choices: [fail, skip]
    default: fail
  on_drift:
    description:
      - What to do when the target has an object of that name with another definition, or the same index under another
        name. Storage parameters, tablespaces and C(DEPENDS ON EXTENSION) are part of the definition.
      - So are marks, states, statistics targets and comments that the target has set where the source has the default.
      - What the target still has by default (a trigger enabled, no C(CLUSTER ON) …) counts as work that is left and is
        set in any case.
      - V(warn) leaves it as it is. V(fail) changes nothing.
      - V(replace) takes the target's away and creates the source's in one transaction, so that a failure leaves the
        target's as it was. An index or constraint that only has another name is renamed.
      - What other objects need, or what has no such exchange (publications, subscriptions, default privileges), stays
        as it is and is reported.
    type: str
    choices: [warn, fail, replace]
    default: warn
  tolerate:
    description:
      - Errors that are no failure. An object whose statement fails so is V(skipped), with the server's words, and so is
        what needs it. It is tried again by the next run.
      - In check mode such an object counts as created, because only the server can tell.
    type: list
    elements: dict
    default: []
    suboptions:
      sqlstate:
        description: The server's code for the error, for example V(42501).
        type: str
        required: true
      object:
        description: A pattern for C(schema.name) or C(schema.table) of the objects, or for the name of what has no
          schema.
        type: str
        required: true
extends_documentation_fragment:
  - dbops.timescale._connection
  - dbops.timescale._connection.source
  - dbops.timescale._connection.source_file
  - dbops.timescale._connection.apply
  - dbops.timescale._results
  - dbops.timescale._results.actiongroup_sync
seealso:
  - module: dbops.timescale.timescale_cagg_sync
  - module: dbops.timescale.timescale_policy_sync
  - module: dbops.timescale.postgres_analyze
"""

EXAMPLES = r"""
- name: Create constraints, indexes and triggers, with six connections
  dbops.timescale.timescale_post_data:
    source: "{{ old_database }}"
    login_host: new.example.com
    login_user: owner
    login_password: "{{ vault_password }}"
    login_db: metrics
    jobs: 6
    row_security: none
    settings:
      maintenance_work_mem: 1GB

- name: After the aggregates, everything that waited for them, and row security
  dbops.timescale.timescale_post_data:
    source: "{{ old_database }}"
    login_host: new.example.com
    login_user: owner
    login_password: "{{ vault_password }}"
    login_db: metrics
    dump_file: /var/lib/migration/metrics-post-data.dump

- name: Only the indexes of one schema, from an archive that was made elsewhere
  dbops.timescale.timescale_post_data:
    dump_file: /var/lib/migration/metrics-post-data.dump
    login_unix_socket: /run/postgresql
    login_user: owner
    login_db: metrics
    schemas: [reports]
    kinds: [index]
"""

RETURN = r"""
queries:
  description: Statements that changed something, or would in check mode, in the order of the plan.
  returned: always
  type: list
  elements: str
  sample: ["CREATE INDEX a_idx ON public.a USING btree (x)"]
objects:
  description: Every object of the section and what became of it.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: What it is, one of O(kinds).
      type: str
    schema:
      description: Its schema, or its table's.
      type: str
    table:
      description: The table or view it belongs to, for what belongs to one.
      type: str
    name:
      description: Its name. For what a table has only one of (C(cluster), C(row_security) …), the table's.
      type: str
    outcome:
      description: V(created), V(altered), V(present), V(drifted), V(unsupported), V(skipped), V(failed) or V(pending).
      type: str
    reason:
      description: Why.
      type: str
    hint:
      description: What to do about it.
      type: str
    duration_ms:
      description: Milliseconds that it took.
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
    aside:
      description: True for what is no difference, as TimescaleDB keeps it itself or the options leave it out.
      type: bool
      returned: when it is
    planned:
      description: True in check mode, for what stands on something that an earlier task of the same run creates.
      type: bool
summary:
  description: Number of objects by outcome.
  returned: always
  type: dict
  sample: {"created": 12, "present": 3}
settings:
  description: Server settings of the sessions that worked, given or derived from the target's server.
  returned: when the databases could be compared and the plan was not refused
  type: dict
  sample: {"maintenance_work_mem": "524288kB", "max_parallel_maintenance_workers": "2"}
sqlstate:
  description: The code of the first failed statement.
  returned: when a statement failed
  type: str
statement:
  description: The first statement that failed.
  returned: when a statement failed
  type: str
object:
  description: The object that it was for.
  returned: when a statement failed
  type: str
hint:
  description: What to do.
  returned: on failure
  type: str
remaining:
  description: Objects that a second run has to do.
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
from ansible_collections.dbops.timescale.plugins.module_utils._module import Session, run_module
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.resources import (
    read_resources,
    session_settings,
    share_processors,
)
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.selection import KINDS, OPT_IN, Options
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.task import plan_of

_TOLERATE = {"sqlstate": {"type": "str", "required": True}, "object": {"type": "str", "required": True}}


def work(session: Session) -> dict[str, t.Any]:
    session.open_source()
    session.require_extension(session.source_facts())
    params = session.params
    options = Options.of(params, check_mode=session.check_mode)
    with session.only_run():
        resources = read_resources(session.target)
        plan = plan_of(session, options, resources)
        session.target.settings = settings = session_settings(resources, params["jobs"], params["settings"])
        share_processors(plan, resources, params["jobs"], params["settings"])
        return session.carry_out(
            plan, on_unsupported=params["on_unsupported"], on_drift=params["on_drift"], settings=settings
        )


def main() -> t.NoReturn:
    texts: dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}
    own = ArgumentSpec(
        {
            "dump_file": {"type": "path"},
            "client_path": {"type": "path"},
            "include": {**texts, "choices": sorted(set(OPT_IN.values()))},
            "kinds": {**texts, "choices": list(KINDS)},
            "schemas": texts,
            "exclude_schemas": texts,
            "objects": texts,
            "row_security": {"type": "str", "choices": ["all", "none", "only"], "default": "all"},
            "dependents_of_aggregates": {"type": "bool", "default": True},
            "refresh_materialized_views": {"type": "bool", "default": True},
            "second_part": {"type": "bool", "default": False},
            "tablespace_map": {"type": "dict", "default": {}},
            "index_strategy": {
                "type": "str",
                "choices": ["auto", "chunk", "transaction_per_chunk", "plain"],
                "default": "auto",
            },
            "on_unsupported": {"type": "str", "choices": ["fail", "skip"], "default": "fail"},
            "on_drift": {"type": "str", "choices": ["warn", "fail", "replace"], "default": "warn"},
            "tolerate": {"type": "list", "elements": "dict", "default": [], "options": _TOLERATE},
        },
        required_one_of=[("source", "dump_file")],
        required_by={"source_file": ("dump_file",)},
    )
    run_module("timescale_post_data", login_spec() + source_spec() + apply_spec() + own, work)


if __name__ == "__main__":
    main()
