# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Whether the target's jobs really run: a server without free workers starts none, and no error tells."""

from __future__ import annotations

import time
import typing as t

from .._plan import Finding, Identity
from .._timescale import job_table
from .._versions import TS_FIXED_SCHEDULES, Timescale

if t.TYPE_CHECKING:
    from .._connection import Database

__all__ = ["findings", "look", "watch"]

_LATE = 60  # seconds after which a job that is due and has not started is late
_POLL = 0.5

# A job that is running has no finish: -infinity (TimescaleDB, all versions). A crash counts as a failure at the end. A
# job whose next start is infinity is as good as paused.
_QUERY = """
SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object(
  'job', j.proc_schema || '.' || j.proc_name
    || COALESCE(' on ' || COALESCE(a.user_view_schema || '.' || a.user_view_name, h.schema_name || '.' || h.table_name),
                ''),
  'scheduled', j.scheduled AND s.next_start IS DISTINCT FROM 'infinity', 'runs', COALESCE(s.total_runs, 0),
  'ended', COALESCE(s.last_finish > '-infinity', false), 'succeeded', COALESCE(s.last_run_success, false),
  'overdue', CASE WHEN j.scheduled
    THEN EXTRACT(epoch FROM pg_catalog.now() - NULLIF(NULLIF(s.next_start, '-infinity'), 'infinity'))
      ::pg_catalog.float8 END,
  'error', {error}
) ORDER BY j.id), '[]'::pg_catalog.json)::pg_catalog.text
FROM {jobs} AS j
LEFT JOIN _timescaledb_internal.bgw_job_stat AS s ON s.job_id = j.id
LEFT JOIN _timescaledb_catalog.hypertable AS h ON h.id = j.hypertable_id
LEFT JOIN _timescaledb_catalog.continuous_agg AS a ON a.mat_hypertable_id = j.hypertable_id
WHERE j.id >= 1000
"""
_ERROR = """(SELECT e.err_message FROM timescaledb_information.job_errors AS e
  WHERE e.job_id = j.id ORDER BY e.start_time DESC LIMIT 1)"""


def watch(database: Database, seconds: float) -> list[dict[str, t.Any]]:
    """Wait until every job that is due has run, at most so many seconds, and give the last look."""
    until = time.monotonic() + seconds
    jobs = look(database)
    while any(_due(job, 0.0) or _running(job) for job in jobs) and time.monotonic() < until:
        time.sleep(_POLL)
        jobs = look(database)
    return jobs


def look(database: Database) -> list[dict[str, t.Any]]:
    """The user's jobs with what became of their runs, in one statement. Raises StatementFailed."""
    version = database.timescale or Timescale(0, 0)
    error = _ERROR if version >= TS_FIXED_SCHEDULES else "NULL::pg_catalog.text"
    found: list[dict[str, t.Any]] = database.document(_QUERY.format(jobs=job_table(version), error=error))
    return found


def findings(jobs: t.Sequence[dict[str, t.Any]], watched: float) -> tuple[dict[str, t.Any], list[Finding]]:
    """What there is to tell.

    :param watched: seconds for which the jobs were watched; without, only a job that is late counts as not starting.
    :returns: the result's ``running``, and what is wrong.
    """
    late = [job for job in jobs if _due(job, 0.0 if watched else _LATE)]
    started = [job for job in jobs if job["runs"]]
    ended = [job for job in started if job["ended"]]
    failing = [job for job in ended if not job["succeeded"]]
    told = [{"job": job["job"], "error": job["error"] or ""} for job in failing]
    result = {
        "active": sum(1 for job in jobs if job["scheduled"]),
        "started": len(started),
        "waiting": len(late),
        "failing": told,
    }
    found = []
    if late and not started:
        reason = f"None of the {len(late)} jobs that are due has started."
        hint = "Look at timescaledb.max_background_workers and max_worker_processes, and at the server's log."
        found.append(Finding(Identity("scheduler", "", "background workers"), "failed", reason, hint))
    if failing and len(failing) == len(ended):
        first = f"{told[0]['job']}: {told[0]['error'] or 'see the log of the server'}"
        reason = f"All {len(failing)} jobs that have run failed. {first}"
        found.append(Finding(Identity("scheduler", "", "jobs"), "failed", reason, "Settle the cause."))
    elif failing:
        for one in told:
            found.append(
                Finding(Identity("scheduler", "", one["job"]), "failed", f"Its last run failed: {one['error']}")
            )
    return result, found


def _running(job: dict[str, t.Any]) -> bool:
    return bool(job["runs"]) and not job["ended"]


def _due(job: dict[str, t.Any], late: float) -> bool:
    """Whether an active job should have started; one without a row of statistics is due as soon as it is active."""
    if not job["scheduled"] or _running(job):
        return False
    if job["overdue"] is None:
        return not job["runs"] and late == 0.0
    return bool(job["overdue"] > late)
