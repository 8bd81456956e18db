# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Object parity: what the planners of the sync modules would do is what differs. Lies above the domains."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ._cagg.catalog import read as read_aggregates
from ._cagg.plan import make_plan as plan_aggregates
from ._cagg.target import Existing, key_of, look
from ._connection import Database
from ._errors import Interrupted, TimescaleError
from ._plan import Finding, Identity, Plan, Step
from ._policy.catalog import read as read_jobs
from ._policy.context import ACTIVE_THERE
from ._policy.plan import Options as JobOptions
from ._policy.plan import make_plan as plan_jobs
from ._post_data.selection import Options as PostDataOptions
from ._post_data.task import compare as compare_post_data

__all__ = ["compare_objects"]

_REASONS = {"create": "The target does not have it.", "refresh": "It is not filled on the target."}
# What the scopes owners, grants and comments compare, with roles that stand for others.
_ELSEWHERE = ("owner", "acl", "comment", "columns")

Options = t.Mapping[str, t.Any]


def compare_objects(source: Database, target: Database, options: Options) -> Plan:
    """Findings for everything that post-data, aggregates and jobs consist of; no steps.

    What cannot be compared, for want of pg_dump for example, is a finding with the outcome ``failed``.

    :param options: include, schemas, exclude_schemas, owner_map, tablespace_map, jobs_scheduled, client_path.
    :raises Interrupted: the run was told to stop.
    """
    parts = {"timescale_post_data": _post_data}
    if source.timescale is not None:
        parts.update(timescale_cagg_sync=_aggregates, timescale_policy_sync=_jobs)
    result = Plan()
    for module, compare in parts.items():
        try:
            if target.timescale is None and module != "timescale_post_data":
                raise TimescaleError("The target database has no extension timescaledb.")
            plan = compare(source, target, options)
        except Interrupted:
            raise
        except TimescaleError as error:
            what = Identity("comparison", "", f"what {module} brings over")
            result.findings.append(Finding(what, "failed", error.message, error.hint))
            continue
        result.findings += [_compared(finding) for finding in plan.findings if not finding.aside]
        result.findings += [_to_do(step, f"Run {module}.") for step in plan.steps]
        result.warnings += plan.warnings
    return result


def _post_data(source: Database, target: Database, options: Options) -> Plan:
    chosen = PostDataOptions(
        schemas=tuple(options["schemas"]),
        exclude_schemas=tuple(options["exclude_schemas"]),
        include=tuple(options["include"]),
        tablespaces=options["tablespace_map"],
    )
    return compare_post_data(source, target, chosen, options["client_path"] or "")


def _aggregates(source: Database, target: Database, options: Options) -> Plan:
    wanted = read_aggregates(source)
    # Definitions are compared as the target prints them, of temporary views in a transaction that is rolled back.
    with contextlib.closing(dataclasses.replace(target, read_only=False).another()) as writable:
        existing = look(writable, wanted, source.facts)
    globs = {"include": _globs(options["schemas"]), "exclude": _globs(options["exclude_schemas"])}
    chosen = {**globs, "refresh": "none", "history": "ignore"}
    return plan_aggregates(_with_elsewhere(wanted, existing), source.facts, existing, target.facts, chosen)


def _with_elsewhere(wanted: dict[str, t.Any], existing: Existing) -> dict[str, t.Any]:
    """The wanted objects with the owners, grants and comments that they have on the target."""
    document = existing.document
    there = {key_of(entry): entry for entry in document["aggregates"] + document["dependents"]}

    def same(entry: dict[str, t.Any]) -> dict[str, t.Any]:
        found = there.get(key_of(entry))
        return {**entry, **{name: found[name] for name in _ELSEWHERE}} if found else entry

    return {**wanted, **{kind: [same(entry) for entry in wanted[kind]] for kind in ("aggregates", "dependents")}}


def _jobs(source: Database, target: Database, options: Options) -> Plan:
    wanted, existing = read_jobs(source), read_jobs(target)
    chosen = JobOptions(
        include=_globs(options["schemas"]),
        exclude=_globs(options["exclude_schemas"]),
        owner_map=options["owner_map"],
    )
    plan = plan_jobs(wanted, source.facts, existing, target.facts, chosen)
    if options["jobs_scheduled"]:
        # Only the activation turns a job on that is there.
        activation = dataclasses.replace(chosen, activate=True)
        paused = plan_jobs(wanted, source.facts, existing, target.facts, activation).steps
        held = {step.object for step in paused}
        plan.findings = [one for one in plan.findings if one.object not in held or one.outcome != "present"]
        reason = "It is paused on the target and active on the source."
        plan.steps += [dataclasses.replace(step, reason=reason) for step in paused]
    else:
        # The operator may have turned on what the source has paused.
        plan.findings = [_present(one) if one.reason == ACTIVE_THERE else one for one in plan.findings]
    return plan


def _present(finding: Finding) -> Finding:
    return dataclasses.replace(finding, outcome="present", reason="", hint="")


def _globs(schemas: t.Sequence[str]) -> list[str]:
    return [f"{pattern}.*" for pattern in schemas]


def _compared(finding: Finding) -> Finding:
    """A sync module leaves alone what only the target has, or what cannot be moved; here that is a difference."""
    return dataclasses.replace(finding, outcome="drifted") if finding.outcome == "skipped" else finding


def _to_do(step: Step, hint: str) -> Finding:
    reason = step.reason or _REASONS.get(step.action, "It differs.")
    after = step.after or ";\n".join(step.statements)
    return Finding(step.object, "drifted", reason, step.hint or hint, step.before, after)
