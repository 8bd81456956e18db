# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""A plan is plain data: steps to run, and findings about what needs no step. Results and diffs are made here only."""

from __future__ import annotations

import dataclasses
import typing as t

if t.TYPE_CHECKING:
    from ._connection import Database

__all__ = ["Finding", "Identity", "Outcome", "Plan", "Step", "diff_of", "result_of", "whole_of", "with_findings"]

OUTCOMES = ("created", "altered", "present", "drifted", "unsupported", "skipped", "failed", "pending")

# What a step that has been run is called in the result.
OUTCOME_OF_ACTION = {
    "create": "created",
    "rebuild": "created",
    "alter": "altered",
    "drop": "altered",
    "analyze": "altered",
    "refresh": "altered",
}


@dataclasses.dataclass(frozen=True)
class Identity:
    """What an object is called. ``table`` is the relation that a constraint, index, trigger or policy belongs to."""

    kind: str
    schema: str
    name: str
    table: str = ""

    @property
    def label(self) -> str:
        """Text for people: kind schema.table.name."""
        parts = [part for part in (self.schema, self.table, self.name) if part]
        return f"{self.kind} {'.'.join(parts)}"

    def as_result(self) -> dict[str, str]:
        """For programs: the kind is one word."""
        named = {"kind": self.kind.replace(" ", "_"), "schema": self.schema, "name": self.name}
        return {**named, "table": self.table} if self.table else named


@dataclasses.dataclass
class Step:
    """One thing to do.

    :param object: what it is done to.
    :param action: create, alter, rebuild, drop, analyze or refresh.
    :param statements: SQL texts, run in order on one connection.
    :param reason: why it is needed, for the result.
    :param key: unique in the plan; the label when not given.
    :param depends_on: keys of steps that must have succeeded before. Keys that are not in the plan count as done.
    :param follows: keys of steps that must have ended before, whatever became of them.
    :param weight: bytes or rows; larger runs first.
    :param size: bytes that it reads, 0 when unknown; only for telling how long it may take.
    :param lane: steps of different lanes run on different connections; only for telling how long it may take.
    :param atomic: run all statements in one transaction (True), or each on its own in autocommit (False).
    :param batch: it is small and may share a transaction with others; if one of them fails, each runs on its own.
    :param listed: verb and object of a statement that takes a list. Small steps with one verb share one statement,
        ``verb a, b``, in place of a transaction.
    :param exclusive: names of relations that no other running step may name at all.
    :param shared: names of relations that other running steps may name as shared, but not as exclusive.
    :param done_when: a query that gives true when the object is already as wanted, or what makes that query, empty for
        none; asked before a retry and when the server says that the object exists.
    :param before: the definition that is there now, for the diff.
    :param after: the wanted definition, for the diff.
    :param planned: it stands on something that an earlier stage of the same run creates (check mode).
    :param unproved: why nobody can say beforehand whether the server takes it; in check mode it is ``pending`` then.
    :param settings: GUCs for this step alone, set before and reset after it.
    :param tolerated: SQLSTATEs that make the step ``skipped`` instead of ``failed``, each with the reason to report;
        ``{error}`` in it stands for the server's words.
    :param details: further keys for this object's entry in the result.
    :param part_of: key of the step whose object this one makes a part of; the result has one entry for all of them.
    :param work: what no statement can do, such as a copy between servers; ``statements`` then only tell it.
    """

    object: Identity
    action: str
    statements: tuple[str, ...]
    reason: str = ""
    key: str = ""
    depends_on: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    weight: int = 0
    size: int = 0
    lane: str = ""
    atomic: bool = True
    batch: bool = False
    listed: tuple[str, ...] = ()
    exclusive: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    done_when: str | t.Callable[[], str] = ""
    before: str = ""
    after: str = ""
    hint: str = ""
    planned: bool = False
    unproved: str = ""
    settings: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    tolerated: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    details: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    part_of: str = ""
    work: t.Callable[[Database], None] | None = None

    def __post_init__(self) -> None:
        self.key = self.key or self.object.label


@dataclasses.dataclass
class Finding:
    """An object without a step: present, drifted, unsupported, skipped, pending or failed, with reason and remedy.

    :param details: further keys for this object's entry in the result.
    :param aside: skipped for a reason that is no difference between the sides: the options leave it out, TimescaleDB
        keeps its own, or the role may not read it.
    """

    object: Identity
    outcome: str
    reason: str = ""
    hint: str = ""
    before: str = ""
    after: str = ""
    details: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    aside: bool = False


@dataclasses.dataclass
class Plan:
    """Steps and findings, in the order in which they are reported."""

    steps: list[Step] = dataclasses.field(default_factory=list)
    findings: list[Finding] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    def of_outcome(self, outcome: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.outcome == outcome]


@dataclasses.dataclass
class Outcome:
    """What became of a step.

    :param outcome: one of OUTCOMES.
    :param executed: the statements that were committed.
    :param duration_ms: milliseconds from the first statement to the end, retries included.
    :param started_at: seconds since 1970, 0 for what was not run.
    :param notices: what the server said meanwhile (severity, text).
    :param error: keys for fail_json when the outcome is ``failed``.
    """

    step: Step
    outcome: str
    executed: tuple[str, ...] = ()
    duration_ms: int = 0
    started_at: float = 0.0
    reason: str = ""
    hint: str = ""
    notices: tuple[tuple[str, str], ...] = ()
    error: dict[str, t.Any] = dataclasses.field(default_factory=dict)


def foreseen(plan: Plan) -> list[Outcome]:
    """The outcomes a real run would have if nothing failed; what check mode reports."""
    return [
        Outcome(
            step, "pending" if step.unproved else OUTCOME_OF_ACTION[step.action], step.statements, reason=step.unproved
        )
        for step in plan.steps
    ]


def result_of(plan: Plan, outcomes: t.Sequence[Outcome]) -> dict[str, t.Any]:
    """Make the one result shape of all modules: changed, queries, objects, summary.

    :param outcomes: of a run, or ``foreseen(plan)`` in check mode.
    """
    objects = [_finding_result(finding) for finding in plan.findings]
    objects += [_outcome_result(outcome) for outcome in outcomes]
    summary: dict[str, int] = {}
    for entry in objects:
        summary[entry["outcome"]] = summary.get(entry["outcome"], 0) + 1
    queries = [text for outcome in outcomes for text in outcome.executed]
    return {"changed": bool(queries), "queries": queries, "objects": objects, "summary": summary}


def with_findings(result: dict[str, t.Any], findings: t.Sequence[Finding]) -> dict[str, t.Any]:
    """A result with what was found after the plan had been carried out."""
    summary = dict(result["summary"])
    for finding in findings:
        summary[finding.outcome] = summary.get(finding.outcome, 0) + 1
    return {**result, "objects": result["objects"] + [_finding_result(one) for one in findings], "summary": summary}


def whole_of(outcomes: t.Sequence[Outcome]) -> list[Outcome]:
    """The same outcomes with the parts of an object put into the one that finishes it.

    A part that failed is what the whole failed of, and one that was left out is why the whole was.
    """
    parts: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.step.part_of:
            parts.setdefault(outcome.step.part_of, []).append(outcome)
    last = {outcome.step.key for outcome in outcomes}
    return [
        _joined(outcome, parts.get(outcome.step.key, []))
        for outcome in outcomes
        if outcome.step.part_of not in last or not outcome.step.part_of
    ]


def _joined(last: Outcome, parts: t.Sequence[Outcome]) -> Outcome:
    if not parts:
        return last
    executed = tuple(text for outcome in (*parts, last) for text in outcome.executed)
    joined = dataclasses.replace(last, executed=executed)
    run = [outcome for outcome in (*parts, last) if outcome.started_at]
    if run:
        joined.started_at = min(outcome.started_at for outcome in run)
        end = max(outcome.started_at + outcome.duration_ms / 1000 for outcome in run)
        joined.duration_ms = int((end - joined.started_at) * 1000)
    first = {outcome.outcome: outcome for outcome in reversed(parts)}
    cause = first.get("failed") or first.get("skipped")
    if cause is not None:
        same = cause.step.object == last.step.object
        reason = cause.reason if same else f"{cause.step.object.label}: {cause.reason}"
        error = {**cause.error, "msg": reason} if cause.outcome == "failed" else {}
        joined = dataclasses.replace(joined, outcome=cause.outcome, reason=reason, hint=cause.hint, error=error)
    return joined


def diff_of(plan: Plan) -> dict[str, str]:
    """Before and after of everything that changes or differs, as text that Ansible shows line by line."""
    parts = [(step.object.label, step.before, step.after or ";\n".join(step.statements)) for step in plan.steps]
    parts += [(f.object.label, f.before, f.after) for f in plan.of_outcome("drifted")]
    parts.sort(key=lambda part: part[0])
    return {
        "before": "".join(_diff_block(label, before) for label, before, _after in parts if before),
        "after": "".join(_diff_block(label, after) for label, _before, after in parts if after),
    }


def _diff_block(label: str, text: str) -> str:
    return f"-- {label}\n{text.rstrip()}\n"


def _finding_result(finding: Finding) -> dict[str, t.Any]:
    entry: dict[str, t.Any] = {**finding.object.as_result(), "outcome": finding.outcome}
    entry.update(reason=finding.reason, hint=finding.hint, duration_ms=0)
    if finding.aside:
        entry["aside"] = True
    return {**entry, **finding.details}


def _outcome_result(outcome: Outcome) -> dict[str, t.Any]:
    entry: dict[str, t.Any] = {**outcome.step.object.as_result(), "outcome": outcome.outcome}
    reason = outcome.reason or outcome.step.reason
    entry.update(reason=reason, hint=outcome.hint or outcome.step.hint, duration_ms=outcome.duration_ms)
    if outcome.started_at:
        entry["started_at"] = round(outcome.started_at, 3)
    if outcome.step.planned:
        entry["planned"] = True
    if outcome.notices:
        entry["notices"] = [f"{severity}: {text}" for severity, text in outcome.notices]
    return {**entry, **outcome.step.details}
