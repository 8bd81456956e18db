# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Validation by doing: the planned objects are created without data, one after the other, and rolled back."""

from __future__ import annotations

import contextlib
import dataclasses

from .._connection import Database, lock_timeout_ms
from .._errors import BadInput, StatementFailed
from .._plan import Finding, Plan, Step
from .._sql import literal, statement

__all__ = ["LOCK_TIMEOUT", "validate_deep"]

LOCK_TIMEOUT = 2.0  # seconds; creation locks the hypertable, and whoever writes to it waits behind us
_LOCK_NOT_AVAILABLE = ("55P03", "40P01")  # PostgreSQL manual, appendix A


def validate_deep(target: Database, plan: Plan) -> None:
    """Create what the plan creates, in a transaction that is rolled back; what is refused becomes a finding.

    :param plan: its steps that are refused are taken out, with those that stand on them.
    :raises BadInput: a lock was not to be had in time.
    """
    if not any(step.action == "create" for step in plan.steps):
        return
    refused: dict[str, Finding] = {}
    # What stands on an aggregate that is made anew can be tried once that is in its place, and what needs a name that
    # something else has, once that is dropped.
    later = {step.key for step in plan.steps if step.action in ("rebuild", "drop")}
    target.execute("BEGIN")
    try:
        patience = min(int(LOCK_TIMEOUT * 1000), lock_timeout_ms(target))
        target.execute(statement("SET LOCAL lock_timeout = {}", literal(f"{patience}ms")))
        for step in plan.steps:
            lost = [key for key in step.depends_on if key in refused]
            if lost:
                reason = f"It stands on {refused[lost[0]].object.label}, which the target will not have."
                refused[step.key] = Finding(step.object, "skipped", reason)
            elif later.intersection(step.depends_on):
                later.add(step.key)
            elif step.action == "create":
                finding = _attempt(target, step)
                if finding is not None:
                    refused[step.key] = finding
    finally:
        with contextlib.suppress(StatementFailed):
            target.execute("ROLLBACK")
        target.take_notices()
    plan.findings += [_told(plan, key, finding) for key, finding in refused.items()]
    plan.steps = [step for step in plan.steps if step.key not in refused]


def _attempt(target: Database, step: Step) -> Finding | None:
    target.execute("SAVEPOINT dbops_timescale")
    try:
        for text in step.statements:
            target.execute(text)
    except StatementFailed as error:
        if error.sqlstate in _LOCK_NOT_AVAILABLE:
            raise BadInput(
                f"validate: deep could not lock what {step.object.label} needs within {LOCK_TIMEOUT:g} s.",
                hint="Nothing was changed. Run the task again, or set validate: plain.",
                sqlstate=error.sqlstate,
            ) from error
        target.execute("ROLLBACK TO SAVEPOINT dbops_timescale")
        hint = error.hint or "Write it for the target's TimescaleDB and create it by hand."
        return Finding(step.object, "unsupported", f"{error.message.rstrip('.')}.", hint)
    target.execute("RELEASE SAVEPOINT dbops_timescale")
    step.unproved = ""
    return None


def _told(plan: Plan, key: str, finding: Finding) -> Finding:
    """With the wanted definition, for the diff."""
    step = next(step for step in plan.steps if step.key == key)
    return dataclasses.replace(finding, after=step.after or ";\n".join(step.statements))
