# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Tells how far a run is (status file, application_name), and stops it when its follower is gone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
import typing as t

from ._connection import Database, set_many
from ._errors import Interrupted, TimescaleError
from ._plan import Step
from ._progress import Meter, Running, short_of
from ._versions import PG_PROGRESS_ANALYZE, PG_PROGRESS_COPY

__all__ = ["ALIVE", "FOLDER_VARIABLE", "STATUS", "Reporter", "interruptible", "on_signals"]

FOLDER_VARIABLE = "DBOPS_TIMESCALE_PROGRESS"  # set by the action plugin: a private folder on the module's host
STATUS = "status.json"  # written here, read by the follower
ALIVE = "alive"  # touched by the follower
DEAD_AFTER = 10.0  # seconds without a touch
_EVERY = 1.0  # seconds between two looks at the server
_LOOKING = 20  # a pause after a look is so many times as long as the look computed

# PostgreSQL manual, 28.4 (Progress Reporting). Scanning, sorting and loading take about 6, 1 and 3 tenths.
_INDEX = """
SELECT p.pid, CASE WHEN p.phase LIKE '%%loading tuples%%' AND p.tuples_total > 0
    THEN 0.7 + 0.3 * p.tuples_done / p.tuples_total
    WHEN p.phase LIKE '%%sorting%%' OR p.phase LIKE '%%loading tuples%%' THEN 0.65
    WHEN p.blocks_total > 0 THEN 0.6 * p.blocks_done / p.blocks_total ELSE 0 END::pg_catalog.float8,
  pg_catalog.replace(p.phase, 'building index: ', ''), p.tuples_done
FROM pg_catalog.pg_stat_progress_create_index AS p WHERE p.pid = ANY (%(pids)s)
"""
# A hypertable's chunks come one after the other in one statement: those done since it began, and part of one more.
_ANALYZE = """
SELECT p.pid, ((s.done + CASE WHEN p.sample_blks_total > 0
    THEN LEAST(1, p.sample_blks_scanned::pg_catalog.float8 / p.sample_blks_total) ELSE 0 END)
  / GREATEST(s.parts, s.done + 1, 1))::pg_catalog.float8, p.phase, 0::pg_catalog.int8
FROM pg_catalog.pg_stat_progress_analyze AS p JOIN pg_catalog.pg_stat_activity AS a ON a.pid = p.pid
CROSS JOIN LATERAL (
  SELECT pg_catalog.count(*) AS parts, pg_catalog.count(*) FILTER (
    WHERE pg_catalog.pg_stat_get_last_analyze_time(k.inhrelid) >= a.query_start) AS done
  FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_inherits AS k ON k.inhparent = i.inhparent
  WHERE i.inhrelid = p.relid) AS s
WHERE p.pid = ANY (%(pids)s)
"""
_COPY = """
SELECT p.pid, NULL::pg_catalog.float8, 'copying', p.tuples_processed
FROM pg_catalog.pg_stat_progress_copy AS p WHERE p.pid = ANY (%(pids)s)
"""
# An index of a hypertable: each chunk gets one in the same transaction. Nobody else sees them yet, but their locks.
_CHUNKS = """
SELECT f.pid, f.made::pg_catalog.float8 / f.parts, f.made || ' of ' || f.parts || ' chunks', 0::pg_catalog.int8
FROM (
  SELECT l.pid, pg_catalog.count(*) FILTER (WHERE c.oid IS NULL) - 1 AS made,
    pg_catalog.max((SELECT pg_catalog.count(*) FROM pg_catalog.pg_inherits AS i WHERE i.inhparent = c.oid)) AS parts
  FROM pg_catalog.pg_locks AS l LEFT JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
  WHERE l.locktype = 'relation' AND l.pid = ANY (%(pids)s)
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
  GROUP BY l.pid) AS f
WHERE f.parts > 0 AND f.made BETWEEN 0 AND f.parts
"""


class Reporter:
    """One run's progress. Without a folder nobody follows, and only application_name tells.

    :param folder: what FOLDER_VARIABLE names.
    :param wanted: False switches everything off but the watch for the follower.
    """

    def __init__(self, folder: str, wanted: bool) -> None:
        self.folder = folder
        self.wanted = wanted
        self.meter: Meter | None = None
        self._next_look = 0.0

    def phase(self, text: str) -> None:
        """Tell what is done before there are steps."""
        self._write({"phase": text})

    def begin_steps(self, steps: t.Sequence[Step], jobs: int) -> None:
        if self.wanted:
            self.meter = Meter(steps, jobs)

    def more_steps(self, steps: t.Sequence[Step]) -> None:
        """More steps turn out to be needed."""
        if self.meter is not None:
            self.meter.more(steps)

    def begin(self, step: Step, doing: str = "") -> None:
        """A worker takes a step."""
        if self.meter is not None:
            self.meter.running[step.key] = Running(step, time.monotonic(), doing=doing)

    def statement(self, step: Step, number: int) -> None:
        """A worker begins the n-th statement of a step, counted from 0."""
        one = self.meter.running.get(step.key) if self.meter is not None else None
        if one is not None and len(step.statements) > 1:
            one.statement, one.statement_began = number, time.monotonic()
            one.doing = f"{number + 1} of {len(step.statements)}"

    def end(self, step: Step) -> None:
        """A step is over, well or not."""
        one = self.meter.running.pop(step.key, None) if self.meter is not None else None
        if self.meter is not None:
            self.meter.done[step.key] = time.monotonic() - one.began if one is not None else 0.0

    def look(self, pids: t.Mapping[int, Step], control: Database) -> None:
        """Ask the server how far the backends are, and tell; at most once a second, and seldom where it takes long.

        :param pids: what each backend runs.
        """
        if self.meter is None or time.monotonic() < self._next_look:
            return
        began, used = time.monotonic(), time.thread_time()
        for pid, step in pids.items():
            if step.key in self.meter.running:
                self.meter.running[step.key].pid = pid
        with contextlib.suppress(TimescaleError):
            self._ask(pids, control)
        self.tell(control)
        # With ten thousand steps a look computes for so long that it holds up the workers.
        used = time.thread_time() - used
        self._next_look = max(began + _EVERY, time.monotonic() + _LOOKING * used)

    def tell(self, control: Database) -> None:
        """Tell how far it is now, in the status file and as the session's name."""
        if self.meter is None:
            return
        figures = self.meter.figures()
        with contextlib.suppress(TimescaleError):
            set_many(control, {"application_name": f"{control.application} {short_of(figures)}"[:63]})
        self._write({"phase": "working", **figures})

    def _ask(self, pids: t.Mapping[int, Step], control: Database) -> None:
        # With chunks, the server's own view tells only of the chunk at hand (TimescaleDB 2.29).
        told = control.rows(_CHUNKS, {"pids": list(pids)})
        with_chunks = {row[0] for row in told}
        texts = [_INDEX]
        texts += [_ANALYZE] if control.server_version >= PG_PROGRESS_ANALYZE else []
        texts += [_COPY] if control.server_version >= PG_PROGRESS_COPY else []
        others = control.rows(" UNION ALL ".join(texts), {"pids": list(pids)})
        told += [row for row in others if row[0] not in with_chunks]
        for pid, fraction, doing, rows in told:
            step = pids.get(pid)
            one = self.meter.running.get(step.key) if self.meter is not None and step is not None else None
            if one is None or len(one.step.statements) > 1:
                continue
            whole = int(one.step.details.get("rows") or 0)
            if one.step.action == "refresh" and not whole:  # it makes chunks and indexes too, which say nothing of it
                continue
            # After session_role the server hides the figures of a backend: they are its login role's.
            if fraction is None and whole and rows is not None:
                fraction, doing = rows / whole, f"{rows} of {whole} rows"
            one.doing = str(doing or "")
            one.fraction = max(one.fraction or 0.0, float(fraction)) if fraction is not None else one.fraction

    def _write(self, figures: dict[str, t.Any]) -> None:
        """Replace the status file as a whole: a reader never sees half of it."""
        if not self.folder or not self.wanted:
            return
        new = os.path.join(self.folder, STATUS + ".new")
        with contextlib.suppress(OSError):
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump({**figures, "at": round(time.time(), 3)}, file)
            os.replace(new, os.path.join(self.folder, STATUS))

    @contextlib.contextmanager
    def watched(self, databases: t.Callable[[], t.Iterable[Database]]) -> t.Iterator[None]:
        """Stop the run when the follower is gone: what it runs on the servers is cancelled, as after SIGTERM.

        The watch begins with the follower's first touch: one that cannot touch at all stops nothing.

        :param databases: the sessions to cancel.
        """
        over = threading.Event()
        if self.folder:
            threading.Thread(target=self._watch, args=(over, databases), daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def _watch(self, over: threading.Event, databases: t.Callable[[], t.Iterable[Database]]) -> None:
        seen, since = self._touched(), 0.0
        while not over.wait(0.5):
            now = self._touched()
            if now != seen and now:
                seen, since = now, time.monotonic()
            elif since and time.monotonic() - since > DEAD_AFTER:
                break
        if not over.is_set():
            for database in databases():
                database.cancel()
            signal.pthread_kill(t.cast(int, threading.main_thread().ident), signal.SIGTERM)

    def _touched(self) -> int:
        try:
            return os.stat(os.path.join(self.folder, ALIVE)).st_mtime_ns
        except OSError:
            return 0


@contextlib.contextmanager
def on_signals(stop: t.Callable[[int, t.Any], None]) -> t.Iterator[None]:
    """Call ``stop`` for SIGINT and SIGTERM while this lasts."""
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def interruptible() -> t.Iterator[None]:
    """Turn SIGINT and SIGTERM into Interrupted, so that everything is put away; applying has a way of its own."""

    def stop(_signal: int, _frame: t.Any) -> None:
        raise Interrupted("The run was told to stop.", hint="Run the task again.")

    with on_signals(stop):
        yield
