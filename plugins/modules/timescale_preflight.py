#!/usr/bin/python
# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: timescale_preflight
short_description: Tell everything that stands in the way of a move between two databases
version_added: 0.1.0
description:
  - Reads both databases, one statement each, and tells all problems at once. It changes nothing.
  - A problem is what would make the move fail or lose something on the way. It makes the task fail.
  - A caution is what the operator should know. It is a warning.
  - Looked at are the versions of PostgreSQL and TimescaleDB, the edition and state of the extension, a target that is a
    standby, read-only or restoring, client programs, the dump file, and what is missing on the target
    (extensions, schemas, tables, columns, views, sequences, functions, types, roles, tablespaces).
  - Looked at as well are hypertables that are still plain tables or have other dimensions, privileges of the
    connecting roles, free connections, background workers, the lock table, paused jobs, and user code that reads
    what TimescaleDB no longer has.
  - Settings of the database (C(ALTER DATABASE … SET)), large objects and the tablespaces of new chunks are in no dump
    of objects and no copy of tables. What the target lacks of them is a caution.
  - Continuous aggregates and what reads them may be missing, the other modules create them.
options:
  dump_file:
    description:
      - The archive that M(dbops.timescale.timescale_post_data) will be given.
      - With a file that exists no client program is looked for.
      - A file that cannot be read as an archive of C(pg_dump) in custom format is a problem.
    type: path
  client_path:
    description:
      - Folder of the client programs, on the host that runs the module. Without it, the usual places are searched.
      - When C(pg_dump) there is older than the source, that is a problem.
    type: path
  jobs:
    description:
      - Number of connections that the other tasks will use, to compare with the free ones. Values below 1 count as 1.
    type: int
    default: 4
  owner_map:
    description:
      - The owners of jobs that M(dbops.timescale.timescale_policy_sync) will rename, role on the source to role on the
        target.
    type: dict
    default: {}
  tablespace_map:
    description:
      - The tablespaces that M(dbops.timescale.timescale_post_data) will rename.
    type: dict
    default: {}
  on_problem:
    description:
      - What to do about problems. V(fail) makes the task fail with all of them.
      - V(warn) goes on with a warning for each.
      - Any other value is refused.
    type: str
    choices: [fail, warn]
    default: fail
extends_documentation_fragment:
  - dbops.timescale._connection
  - dbops.timescale._connection.source
  - dbops.timescale._connection.source_file
  - dbops.timescale._results.actiongroup_sync
attributes:
  check_mode:
    support: full
    description: The module only reads, so check mode makes no difference.
  diff_mode:
    support: none
    description: Nothing is changed.
  idempotent:
    support: full
    description: Nothing is changed.
  platform:
    platforms: posix
    support: full
    description: Systems the module runs on.
seealso:
  - module: dbops.timescale.timescale_post_data
  - module: dbops.timescale.timescale_cagg_sync
  - module: dbops.timescale.timescale_policy_sync
"""

EXAMPLES = r"""
- name: Look at both databases before the move
  dbops.timescale.timescale_preflight:
    login_host: new-db.example.com
    login_user: tsdbadmin
    login_password: "{{ vault_target_password }}"
    login_db: fill_levels
    source:
      login_host: old-db.example.com
      login_user: tsdbadmin
      login_password: "{{ vault_source_password }}"
      login_db: fill_levels

- name: Only list what stands in the way
  dbops.timescale.timescale_preflight:
    login_host: new-db.example.com
    login_db: fill_levels
    source_file: /var/lib/move/fill_levels.json
    on_problem: warn
  register: preflight
"""

RETURN = r"""
problems:
  description: What would make the move fail or lose something, also when the task fails.
  returned: when both databases could be read
  type: list
  elements: dict
  contains:
    side:
      description: V(source), V(target) or V(client) (the host that runs the module).
      type: str
      returned: always
    object:
      description: Kind and name of the object.
      type: str
      returned: always
    problem:
      description: What is wrong.
      type: str
      returned: always
    remedy:
      description: What to do about it.
      type: str
      returned: always
  sample:
    - side: target
      object: hypertable public.fill_measurements
      problem: It is still a plain table there.
      remedy: Run create_hypertable with the source's dimensions.
cautions:
  description: What the operator should know, with the same keys as RV(problems). Each is a warning too.
  returned: when both databases could be read
  type: list
  elements: dict
  sample: []
source_version:
  description: Versions of PostgreSQL and TimescaleDB on the source.
  returned: when both databases could be read
  type: dict
  sample: {"postgresql": 15, "timescaledb": "2.11.2"}
target_version:
  description: Versions of PostgreSQL and TimescaleDB on the target.
  returned: when both databases could be read
  type: dict
  sample: {"postgresql": 18, "timescaledb": "2.29.2"}
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

import os
import typing as t

from ansible_collections.dbops.timescale.plugins.module_utils._argspec import ArgumentSpec, login_spec, source_spec
from ansible_collections.dbops.timescale.plugins.module_utils._clients import find_client
from ansible_collections.dbops.timescale.plugins.module_utils._connection import Facts
from ansible_collections.dbops.timescale.plugins.module_utils._errors import BadInput
from ansible_collections.dbops.timescale.plugins.module_utils._module import Session, TaskFailed, run_module
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.archive import read_archive
from ansible_collections.dbops.timescale.plugins.module_utils._preflight.catalog import read
from ansible_collections.dbops.timescale.plugins.module_utils._preflight.checks import Options, Problem, find_problems
from ansible_collections.dbops.timescale.plugins.module_utils._versions import postgres_major


def work(session: Session) -> dict[str, t.Any]:
    session.open_source()
    facts, wanted, existing = session.read_both("preflight", read)
    target = session.target.facts
    params = session.params
    maps = params["owner_map"] or {}, params["tablespace_map"] or {}
    options = Options(max(1, params["jobs"]), session.source is not None, *maps)
    found = [
        *client_problems(params, facts),
        *find_problems(wanted, facts, existing, target, options),
    ]
    problems = [problem for problem in found if problem.severe]
    cautions = [problem for problem in found if not problem.severe]
    result = {
        "changed": False,
        "queries": [],
        "problems": [problem.as_result() for problem in problems],
        "cautions": [problem.as_result() for problem in cautions],
        "source_version": _versions(facts),
        "target_version": _versions(target),
    }
    fails = problems and params["on_problem"] == "fail"
    for problem in cautions if fails else found:
        session.module.warn(problem.line)
    if fails:
        told = "\n".join(f"- {problem.line}" for problem in problems)
        raise TaskFailed(f"Nothing was changed. The move cannot begin:\n{told}", result=result)
    return result


def client_problems(params: dict[str, t.Any], facts: Facts) -> t.Iterator[Problem]:
    """What is wrong with the archive, or with pg_dump when an archive has yet to be made."""
    path = params["dump_file"]
    if path and os.path.exists(path):
        try:
            read_archive(path)
        except BadInput as error:
            text = error.message.replace(f"dump_file {path}", "It", 1)
            yield Problem("client", f"dump file {path}", text, error.hint)
        return
    if not params["source"]:
        text = "There is neither a live source nor a dump file, so post-data cannot be read."
        yield Problem(
            "client",
            f"dump file {path or '(none)'}",
            text,
            "Give the archive that pg_dump made while the source was up.",
        )
        return
    try:
        find_client("pg_dump", postgres_major(facts.server_version), folder=params["client_path"] or "")
    except BadInput as error:
        yield Problem("client", "program pg_dump", error.message, error.hint)


def _versions(facts: Facts) -> dict[str, t.Any]:
    extension = str(facts.timescale) if facts.timescale else None
    return {"postgresql": postgres_major(facts.server_version), "timescaledb": extension}


def main() -> t.NoReturn:
    own = ArgumentSpec(
        {
            "dump_file": {"type": "path"},
            "client_path": {"type": "path"},
            "jobs": {"type": "int", "default": 4},
            "owner_map": {"type": "dict", "default": {}},
            "tablespace_map": {"type": "dict", "default": {}},
            "on_problem": {"type": "str", "choices": ["fail", "warn"], "default": "fail"},
        },
        required_one_of=[("source", "source_file")],
    )
    run_module("timescale_preflight", login_spec() + source_spec() + own, work, writes=False)


if __name__ == "__main__":
    main()
