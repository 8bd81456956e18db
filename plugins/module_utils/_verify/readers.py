# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Several sessions on each side that answer queries at the same time, and stop when they are told to."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import typing as t
from concurrent.futures import Future, ThreadPoolExecutor

from .._connection import INSUFFICIENT_PRIVILEGE, Database, set_many
from .._errors import Interrupted, TimescaleError
from .._plan import Finding, Identity, Step
from .._progress_report import Reporter

__all__ = ["Readers", "Rows", "not_compared"]

Rows = list[tuple[t.Any, ...]]

# One query is one process's work, the same on both sides; money is printed without a currency.
_SETTINGS = {"max_parallel_workers_per_gather": "0", "jit": "off", "lc_monetary": "C"}


def not_compared(identity: Identity, error: TimescaleError) -> Finding:
    """What becomes of an object that a side refuses to read.

    Without the right to read it whole (no SELECT, or row security that holds for the role too; sessions set
    row_security=off, so PostgreSQL refuses instead of hiding rows) nothing is known of it: it is skipped, and told.
    Everything else is a failure.
    """
    hidden = error.details.get("sqlstate") == INSUFFICIENT_PRIVILEGE
    hint = "Compare it as a role that may read all of it." if hidden else error.hint
    reason = f"It was not compared: {error.message}"
    return Finding(identity, "skipped" if hidden else "failed", reason, hint, aside=hidden)


class Readers:
    """Asks both sides. Sessions are opened as they are needed, at most ``jobs`` for each side.

    SIGINT and SIGTERM cancel what the servers run; the next answer that is waited for then raises Interrupted.

    :param progress: where to tell how far it is, once a second while they are open.
    """

    def __init__(self, controls: t.Sequence[Database], jobs: int, progress: Reporter) -> None:
        self._progress = progress
        self._teller = threading.Thread(target=self._tell, args=(controls[-1],), daemon=True)
        self._controls = {control.side: control for control in controls}
        self._pools = {side: ThreadPoolExecutor(max(1, jobs)) for side in self._controls}
        self._idle: dict[str, queue.SimpleQueue[Database]] = {side: queue.SimpleQueue() for side in self._controls}
        self._sessions: list[Database] = []
        self._stopped = threading.Event()
        self._handlers: dict[int, t.Any] = {}

    def __enter__(self) -> Readers:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._stop)
        self._teller.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopped.set()
        self._cancel()
        for pool in self._pools.values():
            pool.shutdown(wait=True)
        self._teller.join()
        for session in self._sessions:
            session.close()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def ask(self, side: str, text: str, digits: int = 3, step: Step | None = None) -> Future[Rows]:
        """Send a query to a side.

        :param digits: extra_float_digits: 3 prints floats exactly, -5 prints ten significant digits.
        :param step: what it is in the progress.
        """
        return self._pools[side].submit(self._answer, side, text, digits, step)

    def expect(self, steps: t.Sequence[Step]) -> None:
        """Count queries that were not foreseen."""
        self._progress.more_steps(steps)

    def answer(self, future: Future[Rows]) -> Rows:
        """Wait for an answer. Raises what the query raised, or Interrupted."""
        try:
            return future.result()
        except BaseException:
            if self._stopped.is_set():
                raise self._interrupted() from None
            raise

    def _answer(self, side: str, text: str, digits: int, step: Step | None) -> Rows:
        if self._stopped.is_set():
            raise self._interrupted()
        session = self._taken(side)
        try:
            if step is not None:
                self._progress.begin(step, side)
            set_many(session, {"extra_float_digits": str(digits)})
            return session.rows(text)
        finally:
            if step is not None:
                self._progress.end(step)
            self._idle[side].put(session)

    def _taken(self, side: str) -> Database:
        with contextlib.suppress(queue.Empty):
            session = self._idle[side].get_nowait()
            if not session.connection.closed:
                return session
        session = self._controls[side].another()
        self._sessions.append(session)
        set_many(session, _SETTINGS)
        return session

    def _tell(self, control: Database) -> None:
        while not self._stopped.wait(1.0):
            self._progress.tell(control)

    def _stop(self, _signal: int, _frame: t.Any) -> None:
        self._stopped.set()
        threading.Thread(target=self._cancel, daemon=True).start()

    def _cancel(self) -> None:
        for session in list(self._sessions):
            session.cancel()

    @staticmethod
    def _interrupted() -> Interrupted:
        return Interrupted("The comparison was told to stop; running statements were cancelled.", hint="Run it again.")
