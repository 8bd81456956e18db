# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Runs a plan: several connections, dependencies, retries, cancellation. Knows nothing about what the steps are for."""

from __future__ import annotations

import collections
import contextlib
import heapq
import threading
import time
import typing as t

from ._connection import Database, set_many
from ._errors import ConnectionFailed, Interrupted, StatementFailed, TimescaleError
from ._plan import OUTCOME_OF_ACTION, Outcome, Plan, Step
from ._progress_report import Reporter, on_signals
from ._sql import identifier, statement

__all__ = ["apply_plan"]

# PostgreSQL manual, appendix A: lock not available, deadlock, serialization failure, shutdowns.
_WORTH_A_RETRY = ("55P03", "40P01", "40001", "57P01", "57P02", "57P03")
# Already exists; two that create one name at the same time meet in the catalog's own unique index (23505).
_EXISTS = ("42P07", "42710", "42P16", "42701", "23505")
# Small steps that share a transaction: a commit and a round trip cost as much as the step itself.
_BATCH = 25
_PATIENCE = 60.0  # seconds that a worker waits in all for a server that lets nobody in; then the rest fails at once
_POLL = 0.5  # seconds between two looks at who waits for whom

_BLOCKERS = """
SELECT w.pid, b.pid, b.usename, (pg_catalog.now() - b.query_start)::pg_catalog.text
FROM pg_catalog.pg_stat_activity AS w
CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(w.pid)) AS p (pid)
JOIN pg_catalog.pg_stat_activity AS b ON b.pid = p.pid
WHERE w.pid = ANY (%(pids)s) AND w.wait_event_type = 'Lock'
"""


def apply_plan(
    plan: Plan, database: Database, *, jobs: int, retries: int, progress: Reporter | None = None
) -> list[Outcome]:
    """Run every step whose dependencies succeeded; a failed step does not stop the others.

    :param database: the control session; each worker opens one of its own like it.
    :param jobs: the number of connections that work.
    :param retries: how often a step is tried again after a lock timeout, a deadlock or a lost connection.
    :param progress: where to tell how far it is.
    :returns: one outcome per step, in the order of the plan.
    :raises Interrupted: SIGINT or SIGTERM came; running statements were cancelled. ``outcomes`` in its details.
    """
    if not plan.steps:
        return []
    progress = progress or Reporter("", wanted=False)
    progress.begin_steps(plan.steps, jobs)
    count = max(1, min(jobs, len(plan.steps)))
    board = _Board(plan.steps, count)
    workers = [_Worker(board, database, retries, progress) for _number in range(count)]
    with _stopping(board, workers):
        for worker in workers:
            worker.start()
        _watch(workers, database, progress)
    outcomes = [board.outcomes[step.key] for step in plan.steps if step.key in board.outcomes]
    if board.stopped:
        raise Interrupted(
            "The run was told to stop; running statements were cancelled.",
            hint="Run the task again: it goes on where it was.",
            outcomes=outcomes,
        )
    return outcomes


class _Board:
    """What is ready, what runs, what is done; the one place that workers share."""

    def __init__(self, steps: t.Sequence[Step], workers: int) -> None:
        self.workers = workers
        self.changed = threading.Condition()
        self.outcomes: dict[str, Outcome] = {}
        self.stopped = False
        self._running = 0
        self._steps = {step.key: step for step in steps}
        self._order = {step.key: number for number, step in enumerate(steps)}
        self._waits_for = {s.key: {key for key in s.depends_on + s.follows if key in self._steps} for s in steps}
        self._needed_by: dict[str, list[str]] = {}
        for key, needs in self._waits_for.items():
            for need in needs:
                self._needed_by.setdefault(need, []).append(key)
        self._ready: list[tuple[int, int, str]] = []
        self._exclusive: collections.Counter[str] = collections.Counter()
        self._shared: collections.Counter[str] = collections.Counter()
        for key, needs in self._waits_for.items():
            if not needs:
                self._push(key)

    def take(self) -> list[Step]:
        """The heaviest step that may run now, with others if they are small; waits for one, gives [] when none is left.

        Everything taken counts as running, so no other worker holds a lock that one of them needs.
        """
        with self.changed:
            while not self.stopped and len(self.outcomes) < len(self._steps):
                step = self._pop()
                if step is not None:
                    taken = [step, *self._small_ones(step)]
                    self._running += len(taken)
                    return taken
                if self._running:
                    self.changed.wait()
                else:
                    self._give_up()
            return []

    def _small_ones(self, first: Step) -> t.Iterator[Step]:
        """More steps for a small one, and a fair share for the other workers. They may need what it holds."""
        own = set(first.exclusive)
        for _number in range(min(_BATCH - 1, len(self._ready) // (2 * self.workers)) if first.batch else 0):
            step = self._pop(lambda one: one.batch and one.listed[:1] == first.listed[:1], own)
            if step is None:
                return
            own.update(step.exclusive)
            yield step

    def done(self, *outcomes: Outcome) -> None:
        """Note what became of steps and let go what waited for them."""
        with self.changed:
            for outcome in outcomes:
                self._let_go(outcome.step)
                self._settle(outcome.step.key, outcome)
            self.changed.notify_all()

    def leave(self, steps: t.Sequence[Step]) -> bool:
        """Give back steps that a worker cannot do, for the others; False for the last worker, who must."""
        with self.changed:
            if self.workers == 1:
                return False
            self.workers -= 1
            for step in steps:
                self._let_go(step)
                self._push(step.key)
            self.changed.notify_all()
            return True

    def stop(self) -> None:
        with self.changed:
            self.stopped = True
            self.changed.notify_all()

    def _let_go(self, step: Step) -> None:
        self._running -= 1
        self._exclusive.subtract(step.exclusive)
        self._shared.subtract(step.shared)

    def _settle(self, key: str, outcome: Outcome) -> None:
        self.outcomes[key] = outcome
        for waiting in self._needed_by.get(key, ()):
            if waiting in self.outcomes:
                continue
            if outcome.outcome in ("failed", "skipped") and key in self._steps[waiting].depends_on:
                because = f"It needs {self._steps[key].object.label}, which {_became(outcome)}."
                self._settle(waiting, Outcome(self._steps[waiting], "skipped", reason=because))
                continue
            self._waits_for[waiting].discard(key)
            if not self._waits_for[waiting]:
                self._push(waiting)

    def _give_up(self) -> None:
        """Nothing runs and nothing is ready: what is left waits for itself."""
        for key, step in self._steps.items():
            if key not in self.outcomes:
                error = {"msg": "Steps need each other.", "object": step.object.label}
                self.outcomes[key] = Outcome(step, "failed", reason="It and others need each other.", error=error)
        self.changed.notify_all()

    def _push(self, key: str) -> None:
        heapq.heappush(self._ready, (-self._steps[key].weight, self._order[key], key))

    def _pop(
        self, fits: t.Callable[[Step], bool] = lambda _step: True, own: t.AbstractSet[str] = frozenset()
    ) -> Step | None:
        """The heaviest step that nothing blocks, None where that one does not fit.

        :param own: names that the same worker holds alone.
        """
        put_back = []
        chosen = None
        while self._ready and chosen is None:
            entry = heapq.heappop(self._ready)
            step = self._steps[entry[2]]
            if step.key in self.outcomes:
                continue
            if self._blocked(step, own):
                put_back.append(entry)
            elif fits(step):
                chosen = step
            else:
                put_back.append(entry)
                break
        for entry in put_back:
            heapq.heappush(self._ready, entry)
        if chosen is not None:
            self._exclusive.update(chosen.exclusive)
            self._shared.update(chosen.shared)
        return chosen

    def _blocked(self, step: Step, own: t.AbstractSet[str]) -> bool:
        if any(self._shared[name] for name in step.exclusive):
            return True
        return any(self._exclusive[name] and name not in own for name in (*step.exclusive, *step.shared))


def _became(outcome: Outcome) -> str:
    return "failed" if outcome.outcome == "failed" else "was left out"


class _NotTogether(Exception):
    """These steps have to run one by one."""


class _Worker(threading.Thread):
    """One connection that takes steps from the board until there are none."""

    def __init__(self, board: _Board, control: Database, retries: int, progress: Reporter) -> None:
        super().__init__(daemon=True)
        self.progress = progress
        self.step: Step | None = None
        self.board = board
        self.control = control
        self.retries = retries
        self.database: Database | None = None
        self.pid = 0
        self.blockers: tuple[str, ...] = ()
        self.refused: tuple[ConnectionFailed, float] | None = None  # why the server lets nobody in, and since when

    def run(self) -> None:
        steps = self.board.take()
        while steps and (self._has_connection() or not self.board.leave(steps)):
            if len(steps) == 1 or not self._run_batch(steps):
                self._run_each(steps)
            steps = self.board.take()
        if self.database is not None:
            self.database.close()

    def _has_connection(self) -> bool:
        """Whether the server has let it in, now or before: where connections are few, fewer workers do the work."""
        with contextlib.suppress(TimescaleError):
            self._connected()
        return self.database is not None

    def _run_each(self, steps: t.Sequence[Step]) -> None:
        for step in steps:
            if self.board.stopped:
                return
            self.step = step
            self.progress.begin(step)
            try:
                outcome = self._run_step(step)
            except Exception as error:  # of a step's work; without this worker nobody would do the steps that it holds
                reason = f"{type(error).__name__}: {error}"
                outcome = Outcome(step, "failed", reason=reason, error={"msg": reason, "object": step.object.label})
            self.progress.end(step)
            self.board.done(outcome)

    def _run_batch(self, steps: t.Sequence[Step]) -> bool:
        """Run small steps together; False when that did not work, and each has to run on its own.

        In one transaction and two round trips, or as one statement that lists them. False also when the server had
        something to say: each step's own notices belong to its outcome.
        """
        started, started_at = time.monotonic(), time.time()
        try:
            database = self._connected()
            self.blockers = ()
            self._execute_together(database, steps)
        except (TimescaleError, _NotTogether):
            return False
        spent = int((time.monotonic() - started) * 1000 / len(steps))
        outcomes = []
        for number, step in enumerate(steps):
            self.progress.begin(step)
            self.progress.end(step)
            began = started_at + number * spent / 1000
            outcomes.append(Outcome(step, OUTCOME_OF_ACTION[step.action], step.statements, spent, began))
        self.board.done(*outcomes)
        return True

    def _execute_together(self, database: Database, steps: t.Sequence[Step]) -> None:
        if steps[0].listed:
            database.execute(f"{steps[0].listed[0]} " + ", ".join(step.listed[1] for step in steps))
            if database.take_notices():
                raise _NotTogether
            return
        with database.transaction("BEGIN;\n" + ";\n".join(text for step in steps for text in step.statements)):
            if database.take_notices():
                raise _NotTogether

    def _run_step(self, step: Step) -> Outcome:
        started, started_at = time.monotonic(), time.time()
        attempt = 0
        while True:
            try:
                outcome = self._try_step(step, attempt)
                break
            except TimescaleError as error:
                attempt += 1
                if not self._again(error, attempt):
                    outcome = self._failed(step, error, attempt)
                    break
        outcome.duration_ms = int((time.monotonic() - started) * 1000)
        outcome.started_at = started_at
        return outcome

    def _try_step(self, step: Step, attempt: int) -> Outcome:
        database = self._connected()
        if attempt and _is_done(database, step):
            return Outcome(step, OUTCOME_OF_ACTION[step.action], step.statements)
        self.blockers = ()
        try:
            set_many(database, step.settings)
            self._execute(database, step)
        except StatementFailed as error:
            if error.sqlstate in _EXISTS and _is_done(database, step):
                return Outcome(step, "present", reason="Somebody else created it meanwhile, as wanted.")
            raise
        finally:
            _restore(database, step.settings)
        return Outcome(step, OUTCOME_OF_ACTION[step.action], step.statements, notices=database.take_notices())

    def _execute(self, database: Database, step: Step) -> None:
        if step.work is not None:
            step.work(database)
            return
        if step.atomic and len(step.statements) > 1:
            database.in_transaction(step.statements)
            return
        for number, text in enumerate(step.statements):
            self.progress.statement(step, number)
            database.execute(text)

    def _connected(self) -> Database:
        if self.database is None or self.database.connection.closed:
            if self.refused is not None and self._out_of_patience():
                raise self.refused[0]
            try:
                self.database = self.control.another()
            except ConnectionFailed as error:
                self.refused = (error, self.refused[1] if self.refused is not None else time.monotonic())
                raise
            self.refused = None
            self.pid = self.database.backend_pid()
        return self.database

    def _out_of_patience(self) -> bool:
        """Whether to wait no longer: a hundred steps with a few tries each would take many minutes."""
        return self.refused is not None and time.monotonic() - self.refused[1] > _PATIENCE

    def _again(self, error: TimescaleError, attempt: int) -> bool:
        if self.board.stopped or attempt > self.retries or self._out_of_patience():
            return False
        sqlstate = str(error.details.get("sqlstate", ""))
        lost = isinstance(error, ConnectionFailed) or sqlstate.startswith("08") or sqlstate.startswith("57P0")
        if lost and self.database is not None:
            self.database.close()
        if not lost and sqlstate not in _WORTH_A_RETRY:
            return False
        with self.board.changed:
            self.board.changed.wait_for(lambda: self.board.stopped, timeout=min(8.0, 0.5 * 2**attempt))
        return not self.board.stopped

    def _failed(self, step: Step, error: TimescaleError, attempts: int) -> Outcome:
        reason, hint = error.message, error.hint
        tolerated = step.tolerated.get(str(error.details.get("sqlstate", "")))
        if tolerated is not None:
            return Outcome(step, "skipped", reason=tolerated.replace("{error}", error.message))
        if error.details.get("sqlstate") == "55P03":
            who = "; ".join(self.blockers) or "a session that could not be seen"
            reason = f"Could not get a lock in {attempts} tries of {self.control.lock_timeout:g} s. Blocked by {who}."
            hint = "End that session or raise lock_timeout, then run the task again."
        details = {**error.details, "msg": reason, "hint": hint, "object": step.object.label}
        # Taken here, or the next step on this connection would get them.
        notices = self.database.take_notices() if self.database is not None else ()
        return Outcome(step, "failed", reason=reason, hint=hint, notices=notices, error=details)


def _is_done(database: Database, step: Step) -> bool:
    """Whether the object is already as wanted; False where no query can tell."""
    query = step.done_when() if callable(step.done_when) else step.done_when
    return bool(query and database.value(query))


def _restore(database: Database, names: t.Iterable[str]) -> None:
    """Undo a step's own settings: what the task's settings say, or else the server's default."""
    kept = {str(name): str(value) for name, value in database.settings.items()}
    with contextlib.suppress(StatementFailed):
        for name in names:
            if name not in kept:
                database.execute(statement("RESET {}", identifier(name)))
        set_many(database, {name: kept[name] for name in names if name in kept})


def _watch(workers: t.Sequence[_Worker], control: Database, progress: Reporter) -> None:
    """Wait for the workers; meanwhile note who blocks them, which nobody can tell afterwards."""
    next_look = time.monotonic() + _POLL
    while any(worker.is_alive() for worker in workers):
        for worker in workers:
            worker.join(timeout=0.05)
            if worker.is_alive():
                break
        if time.monotonic() >= next_look:
            _note_blockers(workers, control)
            progress.look({one.pid: one.step for one in workers if one.pid and one.step is not None}, control)
            next_look = time.monotonic() + _POLL


def _note_blockers(workers: t.Sequence[_Worker], control: Database) -> None:
    by_pid = {worker.pid: worker for worker in workers if worker.pid}
    found: dict[int, list[str]] = {}
    try:
        rows = control.rows(_BLOCKERS, {"pids": list(by_pid)})
    except StatementFailed:
        return
    for pid, blocker, user, age in rows:
        text = f"pid {blocker} of user {user or 'unknown'}" + (f", its query {age} old" if age else "")
        found.setdefault(pid, []).append(text)
    for pid, texts in found.items():
        by_pid[pid].blockers = tuple(texts)


@contextlib.contextmanager
def _stopping(board: _Board, workers: t.Sequence[_Worker]) -> t.Iterator[None]:
    """Cancel the server's statements, not only ourselves, when told to stop."""

    def stop(_signal: int, _frame: t.Any) -> None:
        board.stopped = True
        threading.Thread(target=cancel_all, daemon=True).start()

    def cancel_all() -> None:
        board.stop()
        while any(worker.is_alive() for worker in workers):  # one may just have been about to run a statement
            for worker in workers:
                if worker.database is not None:
                    worker.database.cancel()
            time.sleep(_POLL)

    with on_signals(stop):
        yield
