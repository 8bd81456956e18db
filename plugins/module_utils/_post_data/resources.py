# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What the target's server lets a run use: memory and workers for its sessions, and room in its lock table."""

from __future__ import annotations

import dataclasses
import heapq
import typing as t

from .._connection import Database
from .._plan import Plan, Step
from .objects import Inventory, Relation
from .order import dotted

__all__ = ["Resources", "keep_within", "locks_of", "read_resources", "session_settings", "share_processors"]

_READ = """
SELECT pg_catalog.pg_size_bytes(pg_catalog.current_setting('shared_buffers')),
       pg_catalog.pg_size_bytes(pg_catalog.current_setting('maintenance_work_mem')),
       (SELECT CASE WHEN p.source <> 'default' THEN p.setting::pg_catalog.int4 ELSE 0 END
        FROM pg_catalog.pg_settings AS p WHERE p.name = 'max_parallel_workers'),
       pg_catalog.current_setting('max_parallel_maintenance_workers')::pg_catalog.int4,
       pg_catalog.current_setting('max_locks_per_transaction')::pg_catalog.int4,
       pg_catalog.current_setting('max_connections')::pg_catalog.int4
       + pg_catalog.current_setting('max_prepared_transactions')::pg_catalog.int4
"""
_MIB = 1024 * 1024
_MOST = 2048 * _MIB  # one session's maintenance_work_mem: more hardly helps a sort
_SHARE = 2  # all sessions together take at most shared_buffers / _SHARE
# Locks per chunk that a statement on a hypertable holds at its end, as counted in pg_locks with two other indexes
# (TimescaleDB 2.11 and 2.28): the chunk, its new index, and the indexes that are opened on the way.
_PER_CHUNK = {"index": 2, "primary_key": 3, "unique": 3, "exclude": 3, "foreign_key": 4, "check": 1, "trigger": 1}
_PER_CHUNK.update(trigger_state=1, cluster=3, replica_identity=3)
_DROPPED = 3  # more where the old object is dropped first
_WORKERS = "max_parallel_maintenance_workers"
_WITH_WORKERS = ("index", "primary_key", "unique")
_ALONE = "the server's lock table"  # the worker board's name for what only one step may hold


@dataclasses.dataclass(frozen=True)
class Resources:
    """Settings of the server; memory in bytes.

    :param per_transaction: max_locks_per_transaction.
    :param processors: max_parallel_workers where somebody has set it, which is done by the number of processors
        (timescaledb-tune does); 0 where it was left alone: no query tells how many the server has.
    :param transactions: max_connections + max_prepared_transactions.
    """

    shared_buffers: int
    maintenance_work_mem: int
    processors: int
    maintenance_workers: int
    per_transaction: int
    transactions: int

    @property
    def locks(self) -> int:
        """How many locks the server surely has room for (PostgreSQL manual, 20.12)."""
        return self.per_transaction * self.transactions


def read_resources(database: Database) -> Resources:
    """Ask the server. One statement."""
    return Resources(*(int(value) for value in database.rows(_READ)[0]))


def session_settings(resources: Resources, jobs: int, given: t.Mapping[str, t.Any]) -> dict[str, str]:
    """The settings of a run's sessions: the operator's own, and what follows from the server for the others.

    ``maintenance_work_mem``: half of shared_buffers over all sessions, never below the server's own, at most 2 GiB.
    ``max_parallel_maintenance_workers``: what the other sessions leave of the processors, at most the server's own.

    :param given: what the operator set.
    """
    memory = min(_MOST, resources.shared_buffers // _SHARE // jobs)
    own = {str(name).lower(): str(value) for name, value in given.items()}
    derived = {
        "maintenance_work_mem": f"{max(memory, resources.maintenance_work_mem) // 1024}kB",
        _WORKERS: str(_workers(resources, jobs, 0)),
    }
    return {**derived, **own}


def share_processors(plan: Plan, resources: Resources, jobs: int, given: t.Mapping[str, t.Any]) -> None:
    """Give workers of its own to an index that is so much of the work that the other connections end before it.

    Measured on two processors and connections: with two workers in each, as servers have it by default, four indexes of
    a hypertable of 20 million rows took 1.3 times as long.

    :param given: what the operator set, which stays.
    """
    if any(str(name).lower() == _WORKERS for name in given):
        return
    least = _workers(resources, jobs, 0)
    whole = sum(step.size for step in plan.steps) or 1
    for step in plan.steps:
        workers = _workers(resources, jobs, step.size / whole)
        if workers > least and not step.batch and step.object.kind in _WITH_WORKERS:
            step.settings = {**step.settings, _WORKERS: str(workers)}


def _workers(resources: Resources, jobs: int, share: float) -> int:
    """How many a step gets beside its own process.

    :param share: its part of all the work, from 0 to 1.
    """
    processors = resources.processors or max(2, jobs)
    processes = max(processors // jobs, int(processors * share + 0.5))
    return min(resources.maintenance_workers, max(1, processes) - 1)


def locks_of(step: Step, tables: t.Mapping[str, Relation]) -> int:
    """How many locks a step holds at its end; 0 for what takes only a few.

    :param tables: the target's, by the names that steps are kept apart with.
    """
    if step.part_of or step.work is not None:  # chunk by chunk
        return 0
    per_chunk = _PER_CHUNK.get(step.object.kind, 0) + (_DROPPED if step.action == "rebuild" else 0)
    named = (tables[name] for name in (*step.exclusive, *step.shared) if name in tables)
    return per_chunk * sum(table.chunks for table in named if table.is_hypertable)


def keep_within(plan: Plan, target: Inventory, resources: Resources, jobs: int) -> None:
    """Let no steps run side by side whose locks the server has no room for, and warn of one that alone has too many."""
    tables = {dotted(name): table for name, table in target.relations.items() if table.is_hypertable}
    taken = {step.key: locks_of(step, tables) for step in plan.steps} if tables else {}
    if sum(heapq.nlargest(jobs, taken.values())) <= resources.locks:
        return
    for step in plan.steps:
        if taken.get(step.key, 0) * jobs > resources.locks:
            step.exclusive, step.batch = (*step.exclusive, _ALONE), False
    large = [step for step in plan.steps if taken.get(step.key, 0) > resources.locks]
    if large:
        most = max(large, key=lambda step: taken[step.key])
        needed = -(-taken[most.key] // resources.transactions)
        plan.warnings.append(
            f"{len(large)} statements may fail with 'out of shared memory': {most.object.label} needs about"
            f" {taken[most.key]} locks, and the server has room for {resources.locks} (max_locks_per_transaction ="
            f" {resources.per_transaction}). Set it to {needed + resources.per_transaction} or more on the target and"
            " restart, or set index_strategy: chunk or transaction_per_chunk for indexes."
        )
