# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Whether both servers, and the roles that connect, can do what the move needs."""

from __future__ import annotations

import typing as t

from .._versions import TS_MINIMUM, postgres_major
from .problem import Problem, Sides, caution, few, key_of, name_of, severe

__all__ = ["SERVER_CHECKS"]


def _versions(sides: Sides) -> t.Iterator[Problem]:
    source, target = postgres_major(sides.wanted_facts.server_version), postgres_major(sides.facts.server_version)
    if target < source:
        text = f"PostgreSQL {target} is older than the source's {source}."
        yield caution("target", "server", text, "What only the newer one knows will be refused; use a newer target.")
    theirs, ours = sides.wanted["server"]["encoding"], sides.existing["server"]["encoding"]
    if theirs != ours:
        text = f"Its encoding is {ours}, the source's is {theirs}."
        yield caution("target", "database", text, "Names and texts may not fit; create the database with the source's.")
    old, new = sides.wanted_facts.timescale, sides.facts.timescale
    if old is not None and old < TS_MINIMUM:
        yield severe(
            "source",
            "extension timescaledb",
            f"Version {old} is not supported.",
            f"Update it to {TS_MINIMUM} or later.",
        )
    if old is not None and new is not None and new < old:
        text = f"Version {new} is older than the source's {old}."
        yield severe("target", "extension timescaledb", text, "Update it to the source's version or later.")


def _extension(sides: Sides) -> t.Iterator[Problem]:
    if sides.wanted_facts.timescale is None:
        return
    if sides.facts.timescale is None:
        text, remedy = (
            "It is missing, the source has it.",
            "Preload its library, run CREATE EXTENSION timescaledb, then make the hypertables.",
        )
        yield severe("target", "extension timescaledb", text, remedy)
    elif sides.facts.edition == "apache":
        text = "The server runs the Apache edition, which has no continuous aggregates, policies or compression."
        yield severe(
            "target", "extension timescaledb", text, "Set timescaledb.license = timescale there and restart it."
        )
    if sides.existing["server"]["restoring"]:
        text = "timescaledb.restoring is on, so hypertables do not work."
        yield severe("target", "database", text, "Run SELECT timescaledb_post_restore().")


def _writable(sides: Sides) -> t.Iterator[Problem]:
    server = sides.existing["server"]
    if server["standby"]:
        yield severe("target", "server", "It is a standby.", "Name the primary.")
    elif server["read_only"]:
        text = "Its sessions are read-only (default_transaction_read_only)."
        yield severe("target", "database", text, "Make the database writable for the connecting role.")


def _source_rights(sides: Sides) -> t.Iterator[Problem]:
    if not sides.options.live:
        return
    user = sides.wanted["server"]["user"]
    closed = [f"schema {entry['name']}" for entry in sides.source("schemas") if not entry["usage"]]
    hidden = [name_of(entry) for entry in sides.source("relations") if not entry["readable"]]
    if closed or hidden:
        text = f"It may not read {few(closed + hidden)}, so pg_dump would fail."
        yield severe("source", f"role {user}", text, "Grant it pg_read_all_data (PostgreSQL 14), or USAGE and SELECT.")
    secured = [name_of(entry) for entry in sides.source("relations") if entry.get("hidden")]
    if secured:
        text = f"Row security hides rows of {few(secured)} from it, so these rows cannot be compared."
        yield caution("source", f"role {user}", text, "Have timescale_verify log in as a superuser or with BYPASSRLS.")


def _target_rights(sides: Sides) -> t.Iterator[Problem]:
    server = sides.existing["server"]
    subject = f"role {server['user']}"
    wanted = {key_of(entry) for entry in sides.source("relations") if entry["kind"] in ("r", "p", "m")}
    foreign = [entry for entry in sides.target("relations") if key_of(entry) in wanted and not entry["mine"]]
    if foreign:
        owners = few({entry["owner"] for entry in foreign})
        text = f"It is not the owner of {few(name_of(entry) for entry in foreign)}."
        yield severe("target", subject, text, f"Log in as a role that is a member of {owners}.")
    used = {schema for schema, _table in wanted}
    shut = [entry["name"] for entry in sides.target("schemas") if entry["name"] in used and not entry["create"]]
    if shut:
        yield severe("target", subject, f"It may not create indexes in schema {few(shut)}.", "Grant it CREATE there.")
    chunks = {h["chunk_schema"] for h in sides.target("hypertables") if not h["chunk_schema_create"]}
    if chunks:
        text = f"It may not create indexes of chunks in schema {few(chunks)}."
        yield severe("target", subject, text, "Grant it CREATE there.")
    if not server["temporary"] and sides.wanted_facts.timescale is not None:
        text = "It may not create temporary views, by which definitions of aggregates are compared."
        yield severe("target", subject, text, "Grant it TEMPORARY on the database.")
    if sides.wanted["server"].get("event_triggers") and not server["superuser"]:
        text = "Only a superuser can create the event triggers of the source."
        yield caution("target", subject, text, "Leave event_triggers out of include, or create them as a superuser.")


def _capacity(sides: Sides) -> t.Iterator[Problem]:
    server, settings = sides.existing["server"], sides.existing["server"]["settings"]
    reserved = (
        0
        if server["superuser"]
        else settings.get("superuser_reserved_connections", 0) + settings.get("reserved_connections", 0)
    )
    free = settings["max_connections"] - reserved - int(server["sessions"] or 0)
    limits = [free] + [
        server[key] for key in ("role_limit", "database_limit") if server[key] >= 0 and not server["superuser"]
    ]
    if min(limits) < sides.options.jobs + 2:
        text = f"{max(0, min(limits))} connections are free, {sides.options.jobs + 2} will be used."
        yield caution("target", "server", text, "Raise max_connections or the limit of the role, or give fewer jobs.")
    workers = settings.get("timescaledb.max_background_workers")
    if workers is None or not (sides.wanted.get("jobs") or {}).get("all"):
        return
    if workers == 0:
        text = "timescaledb.max_background_workers is 0, so no job will ever run."
        yield caution("target", "server", text, "Raise it and restart the server.")
    elif settings["max_worker_processes"] < workers + settings["max_parallel_workers"] + 3:
        text = (
            f"max_worker_processes ({settings['max_worker_processes']}) leaves no room for {workers} background workers"
            f" of TimescaleDB beside {settings['max_parallel_workers']} parallel workers, so jobs may not start."
        )
        yield caution("target", "server", text, "Raise it to the sum of both and 3, and restart the server.")


def _locks(sides: Sides) -> t.Iterator[Problem]:
    """An index or a constraint of a hypertable locks every chunk and its new index in one transaction."""
    settings = sides.existing["server"]["settings"]
    room = settings["max_locks_per_transaction"] * (settings["max_connections"] + settings["max_prepared_transactions"])
    for entry in sides.target("hypertables"):
        if 2 * entry["chunks"] > room:
            text = f"It has {entry['chunks']} chunks, the lock table has room for {room} locks."
            yield caution(
                "target",
                f"hypertable {name_of(entry)}",
                text,
                "Raise max_locks_per_transaction and restart the server.",
            )


def _jobs(sides: Sides) -> t.Iterator[Problem]:
    jobs = sides.wanted.get("jobs") or {"all": 0, "paused": 0}
    if jobs["paused"] > 1 and 2 * jobs["paused"] > jobs["all"]:
        text = f"{jobs['paused']} of {jobs['all']} jobs are paused, so they will be paused on the target too."
        yield caution(
            "source", "jobs", text, "If they were paused for the move only, start them before the activation."
        )


SERVER_CHECKS = (_versions, _extension, _writable, _source_rights, _target_rights, _capacity, _locks, _jobs)
