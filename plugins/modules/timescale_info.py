#!/usr/bin/python
# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: timescale_info
short_description: Tell what a database holds, and write its state to a file for a later migration
version_added: 0.1.0
description:
  - Gives versions, edition, hypertables, continuous aggregates, jobs, sizes and the privileges of the connected role.
  - The session is read only. Works without TimescaleDB too, then the lists are empty.
  - With O(write_to) it writes everything that the sync modules want to know of a source into one file. They take that
    file as O(ignore:source_file), for when the two databases cannot be reached from one place, or the source is gone.
options:
  schemas:
    description:
      - Only hypertables and aggregates in schemas that match one of these patterns (V(*) and V(?) as in a shell), and
        jobs on those or on no relation. Empty means all. O(write_to) is not narrowed by it.
    type: list
    elements: str
    default: []
  exclude_schemas:
    description:
      - Leave out schemas that match one of these patterns. Wins over O(schemas).
    type: list
    elements: str
    default: []
  sizes:
    description:
      - Also tell sizes in bytes. This opens the files of every chunk, and waits for relations that are locked.
    type: bool
    default: true
  write_to:
    description:
      - File to write the database's state to, on the host that runs the module. Its mode is C(0600), it is replaced in
        one go, and only when the content differs.
      - It holds definitions, job configurations and names, no rows and no passwords of the connection.
      - A folder that does not exist, or a path that is no ordinary file, is an error.
    type: path
extends_documentation_fragment:
  - dbops.timescale._connection
  - dbops.timescale._results
  - dbops.timescale._results.actiongroup
notes:
  - Without O(write_to) the module never reports a change.
seealso:
  - module: dbops.timescale.timescale_post_data
  - module: dbops.timescale.timescale_cagg_sync
  - module: dbops.timescale.timescale_policy_sync
"""

EXAMPLES = r"""
- name: What is there
  dbops.timescale.timescale_info:
    login_host: db.example.com
    login_db: metrics
  register: info

- name: Keep the wanted state for a target that cannot reach the source
  dbops.timescale.timescale_info:
    login_host: old.example.com
    login_user: admin
    login_password: "{{ source_password }}"
    login_db: metrics
    write_to: /var/lib/migration/metrics.json
"""

RETURN = r"""
facts:
  description: The server and the extension.
  returned: success
  type: dict
  contains:
    server_version:
      description: PostgreSQL's version as a number.
      type: int
      sample: 150018
    version:
      description: PostgreSQL's version.
      type: str
      sample: "15.18"
    timescale:
      description: TimescaleDB's version in this database, null without it.
      type: str
      sample: 2.28.3
    timescale_available:
      description: The version that C(CREATE EXTENSION) would make, null when the server has none.
      type: str
    extension_schema:
      description: Schema of the extension's functions, empty without it.
      type: str
    edition:
      description: V(timescale) or V(apache), empty without the extension.
      type: str
    database:
      description: Name of the database.
      type: str
    encoding:
      description: Encoding of the database.
      type: str
    standby:
      description: Whether the server is a standby.
      type: bool
hypertables:
  description: Hypertables of users, by schema and name.
  returned: success
  type: list
  elements: dict
  contains:
    schema:
      description: Schema.
      type: str
    name:
      description: Name.
      type: str
    owner:
      description: Owner.
      type: str
    dimensions:
      description: Dimensions; C(interval) is in microseconds, or in the column's unit when that is a number.
      type: list
      elements: dict
    chunks:
      description: Number of chunks.
      type: int
    compressed_chunks:
      description: Number of chunks with data in the columnstore.
      type: int
    size_bytes:
      description: Bytes with chunks, indexes, TOAST and columnstore. Null without O(sizes).
      type: int
aggregates:
  description: Continuous aggregates, by schema and name.
  returned: success
  type: list
  elements: dict
  contains:
    schema:
      description: Schema.
      type: str
    name:
      description: Name.
      type: str
    owner:
      description: Owner.
      type: str
    on_schema:
      description: Schema of the hypertable or aggregate it reads.
      type: str
    on_name:
      description: Name of the hypertable or aggregate it reads.
      type: str
    materialized_only:
      description: Whether real-time results are off.
      type: bool
    finalized:
      description: Whether it holds finished values. The older form cannot be created any more.
      type: bool
    materialization_schema:
      description: Schema of the hypertable with its results.
      type: str
    materialization_name:
      description: Name of the hypertable with its results.
      type: str
    chunks:
      description: Number of chunks.
      type: int
    compressed_chunks:
      description: Number of chunks with data in the columnstore.
      type: int
    size_bytes:
      description: Bytes of its results. Null without O(sizes).
      type: int
jobs:
  description: All jobs, by id, the extension's own included.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id in this database.
      type: int
    name:
      description: Application name.
      type: str
    owner:
      description: Owner.
      type: str
    proc_schema:
      description: Schema of the procedure.
      type: str
    proc_name:
      description: Name of the procedure.
      type: str
    scheduled:
      description: Whether it is on.
      type: bool
    schedule_interval:
      description: Interval.
      type: str
    config:
      description: Its configuration.
      type: dict
    schema:
      description: Schema of the hypertable or aggregate it works on, if any.
      type: str
    table:
      description: Name of the hypertable or aggregate it works on, if any.
      type: str
sizes:
  description: Bytes of the C(database), of all C(hypertables) and of all C(aggregates). Null without O(sizes).
  returned: success
  type: dict
privileges:
  description: What the connected role may do.
  returned: success
  type: dict
  contains:
    role:
      description: The role that the session works as.
      type: str
    session_user:
      description: The role that logged in.
      type: str
    superuser:
      description: Whether it is a superuser.
      type: bool
    create_role:
      description: Whether it may create roles.
      type: bool
    create_database:
      description: Whether it may create databases.
      type: bool
    bypass_row_security:
      description: Whether row security does not bind it.
      type: bool
    replication:
      description: Whether it may replicate.
      type: bool
    database_owner:
      description: Whether it has the rights of the database's owner.
      type: bool
    create_schema:
      description: Whether it may create schemas here.
      type: bool
    member_of:
      description: Roles it is a member of; empty for a superuser, who is a member of all.
      type: list
      elements: str
    not_create_in:
      description: Schemas of users in which it may not create objects.
      type: list
      elements: str
    not_owned:
      description: Number of relations of users that it does not own.
      type: int
source_file:
  description: The file that was written, or would be.
  returned: with O(write_to)
  type: str
diff:
  description: The file's content before and after.
  returned: with O(write_to) and C(--diff)
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

import fnmatch
import os
import typing as t

from ansible_collections.dbops.timescale.plugins.module_utils._argspec import ArgumentSpec, login_spec
from ansible_collections.dbops.timescale.plugins.module_utils._documents import source_text, write_private
from ansible_collections.dbops.timescale.plugins.module_utils._info.catalog import read
from ansible_collections.dbops.timescale.plugins.module_utils._module import Session, facts_to_json, run_module


def work(session: Session) -> dict[str, t.Any]:
    """Read and tell; write the file when one is named."""
    found = read(session.target, sizes=session.params["sizes"])
    result: dict[str, t.Any] = {
        "changed": False,
        "facts": {**found["server"], **facts_to_json(session.target.facts)},
        "hypertables": _narrowed(found["hypertables"], session.params),
        "aggregates": _narrowed(found["aggregates"], session.params),
        "jobs": _narrowed(found["jobs"], session.params),
        "sizes": found["sizes"],
        "privileges": found["privileges"],
    }
    path = session.params["write_to"]
    return {**result, **write(session, path)} if path else result


def write(session: Session, path: str) -> dict[str, t.Any]:
    """Write the wanted state, unless the file holds it already."""
    text = source_text(session.target)
    before = ""
    if session.module._diff and os.path.isfile(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            before = file.read()
    result: dict[str, t.Any] = {"changed": write_private(path, text, dry=session.check_mode), "source_file": path}
    if session.module._diff:
        result["diff"] = {"before_header": path, "after_header": path, "before": before, "after": text}
    return result


def _narrowed(entries: list[dict[str, t.Any]], params: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    def matches(schema: str, patterns: list[str]) -> bool:
        return any(fnmatch.fnmatchcase(schema, pattern) for pattern in patterns)

    return [
        entry
        for entry in entries
        if entry["schema"] is None
        or (
            (not params["schemas"] or matches(entry["schema"], params["schemas"]))
            and not matches(entry["schema"], params["exclude_schemas"])
        )
    ]


def main() -> t.NoReturn:
    own = ArgumentSpec(
        {
            "schemas": {"type": "list", "elements": "str", "default": []},
            "exclude_schemas": {"type": "list", "elements": "str", "default": []},
            "sizes": {"type": "bool", "default": True},
            "write_to": {"type": "path"},
        }
    )
    run_module("timescale_info", login_spec() + own, work, writes=False)


if __name__ == "__main__":
    main()
