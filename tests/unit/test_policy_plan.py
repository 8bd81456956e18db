# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of policies from small documents: rules that need no server."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ansible_collections.dbops.timescale.plugins.module_utils._connection import Facts
from ansible_collections.dbops.timescale.plugins.module_utils._plan import Plan
from ansible_collections.dbops.timescale.plugins.module_utils._policy import catalog
from ansible_collections.dbops.timescale.plugins.module_utils._policy.context import Options
from ansible_collections.dbops.timescale.plugins.module_utils._policy.model import Name
from ansible_collections.dbops.timescale.plugins.module_utils._policy.plan import make_plan
from ansible_collections.dbops.timescale.plugins.module_utils._versions import Timescale

TANKS = {"schema": "public", "name": "tanks", "aggregate": False}
HOURLY = {"schema": "public", "name": "hourly", "aggregate": True}
Document = dict[str, Any]


def facts(version: str, side: str = "target") -> Facts:
    return Facts(side, 150000, Timescale.parse(version), "public", "timescale")


def relation(ref: dict[str, Any], **more: Any) -> dict[str, Any]:
    entry: Document = {
        **ref,
        "owner": "anna",
        "time_column": "at",
        "time_type": "timestamp with time zone",
        "integer_now": None,
    }
    return {**entry, "raw": None, "columnstore": None, "indexes": [], **more}


def job(proc: str, ref: dict[str, Any] | None, config: str | None = None, **more: Any) -> dict[str, Any]:
    builtin = proc.startswith("policy_")
    entry: Document = {"id": 1000, "builtin": builtin, "proc_schema": "_timescaledb_functions" if builtin else "public"}
    entry.update(
        proc_name=proc, name="", owner="anna", scheduled=True, schedule_interval="1 day", max_runtime="00:00:00"
    )
    entry.update(max_retries=-1, retry_period="00:05:00", fixed_schedule=False, initial_start=None, timezone=None)
    entry.update(check_schema=None, check_name=None, attached=ref, relation=ref if builtin else None, config=config)
    return {**entry, "intervals": {}, **more}


def document(*jobs: dict[str, Any], relations: tuple[dict[str, Any], ...] = ()) -> Document:
    procedures = ["policy_retention", "policy_compression", "policy_refresh_continuous_aggregate", "policy_reorder"]
    routines = [{"schema": "_timescaledb_functions", "name": name, "check": False} for name in procedures]
    routines.append({"schema": "public", "name": "work", "check": False})
    hourly = relation(HOURLY, raw=TANKS)
    return {
        "jobs": list(jobs),
        "relations": list(relations) or [relation(TANKS), hourly],
        "routines": routines,
        "roles": [{"name": "anna", "login": True, "usage": True, "set": True}],
        "server": {"user": "anna", "workers": 16, "processes": 32, "parallel": 8, "databases": 3},
    }


def planned(
    wanted: Document, existing: Document, source: str = "2.28.3", target: str = "2.28.3", **options: Any
) -> Plan:
    blocked = options.pop("blocked", None)
    return make_plan(wanted, facts(source, "source"), existing, facts(target), Options(**options), blocked)


RETENTION = job("policy_retention", TANKS, '{"drop_after": "30 days"}', name="Retention Policy")


def test_creation_and_its_pause_are_one_statement() -> None:
    (step,) = planned(document(RETENTION), document(), scheduled="paused").steps
    (text,) = step.statements
    assert text.count("add_retention_policy") == text.count("alter_job") == 1
    assert "scheduled => false" in text


def test_what_the_source_has_paused_is_created_paused() -> None:
    (step,) = planned(document({**RETENTION, "scheduled": False}), document(), scheduled="source").steps
    assert "scheduled => false" in step.statements[0]


def test_a_blocked_retention_policy_is_created_paused_and_says_why() -> None:
    blocked = {Name("public", "tanks"): "rows are not yet materialized."}
    (step,) = planned(document(RETENTION), document(), blocked=blocked).steps
    assert "scheduled => false" in step.statements[0]
    assert "rows are not yet materialized" in step.reason


@pytest.mark.parametrize(
    ("source", "target", "given", "expected"),
    [("2.14.2", "2.15.0", 0, -1), ("2.15.0", "2.28.3", 0, 0), ("2.11.2", "2.14.2", 0, 0), ("2.11.2", "2.28.3", 3, 3)],
)
def test_max_retries_zero_by_version(source: str, target: str, given: int, expected: int) -> None:
    (step,) = planned(document({**RETENTION, "max_retries": given}), document(), source, target).steps
    assert f"max_retries => {expected}," in step.statements[0]


def test_keys_that_the_target_no_longer_knows_are_left_out() -> None:
    config = '{"start_offset": "3 days", "end_offset": null, "process_hypertable_invalidations": true}'
    refresh = job("policy_refresh_continuous_aggregate", HOURLY, config)
    assert "process_hyper" in planned(document(refresh), document(), "2.22.0", "2.26.0").steps[0].statements[0]
    assert "process_hyper" not in planned(document(refresh), document(), "2.22.0", "2.27.0").steps[0].statements[0]


HELPERS = {
    "policy_process_hypertable_invalidations": "Not copied: the refresh policies do its work.",
    "policy_recompression": "Not copied: the columnstore policy recompresses by itself.",
}
COMPRESSION = job("policy_compression", HOURLY, '{"compress_after": "9 days"}', id=1001)


@pytest.mark.parametrize("procedure", HELPERS)
def test_jobs_that_newer_versions_do_without_are_told_and_not_copied(procedure: str) -> None:
    """TimescaleDB 2.21 to 2.26 had a policy for invalidations, old versions one for compressing again."""
    helper = job(procedure, HOURLY, None)
    plan = planned(document(helper, COMPRESSION), document(COMPRESSION), "2.22.0", "2.28.3")
    assert plan.steps == []
    (found,) = [one for one in plan.findings if one.outcome != "present"]
    assert (found.outcome, found.reason) == ("skipped", HELPERS[procedure])
    assert any(f"{procedure} of public.hourly is not copied" in told for told in plan.warnings)


@pytest.mark.parametrize(
    ("procedure", "config", "target"),
    [
        ("policy_process_hypertable_invalidations", '{"compress_after": "9 days"}', "2.24.0"),
        ("policy_recompression", '{"compress_after": "9 days", "recompress": false}', "2.28.3"),
    ],
)
def test_helpers_whose_work_nothing_does_are_unsupported(procedure: str, config: str, target: str) -> None:
    compression = {**COMPRESSION, "config": config}
    plan = planned(document(job(procedure, HOURLY, None), compression), document(compression), "2.22.0", target)
    (found,) = [one for one in plan.findings if one.outcome != "present"]
    assert found.outcome == "unsupported"


def test_an_alteration_keeps_the_timezone_and_the_state() -> None:
    wanted = {**RETENTION, "timezone": "Asia/Tokyo"}
    existing = {**wanted, "max_retries": 4, "scheduled": False}
    (step,) = planned(document(wanted), document(existing)).steps
    assert "timezone => 'Asia/Tokyo'" in step.statements[0]
    assert "scheduled =>" not in step.statements[0]
    assert "1000" not in step.statements[0], "no id of a database"


def test_jobs_that_are_due_at_once_need_workers() -> None:
    """The server of the documents has 16 workers, of which 3 databases may take one each."""
    work = [job("work", None, f'{{"n": {n}}}', id=1000 + n) for n in range(14)]
    paused = [{**one, "scheduled": False} for one in work]
    at_once = "14 jobs are due at once"
    assert at_once in str(planned(document(*work), document()).warnings)
    assert at_once in str(planned(document(*work), document(*paused), activate=True).warnings)
    for plan in (
        planned(document(*work), document(*paused), activate=True, stagger=60),
        planned(document(*work[:13]), document(*paused[:13]), activate=True),
        planned(document(*work), document(), scheduled="paused"),
        planned(document(*work), document(*work), activate=True),
    ):
        assert plan.warnings == []


def test_first_starts_keep_the_order_of_the_stages() -> None:
    refresh = job("policy_refresh_continuous_aggregate", HOURLY, '{"start_offset": null, "end_offset": null}', id=1002)
    fixed = {**RETENTION, "fixed_schedule": True, "initial_start": "2026-01-01T03:00:00+00:00"}
    jobs = [{**one, "scheduled": False} for one in (fixed, refresh, COMPRESSION)]
    wanted = [{**one, "scheduled": True} for one in jobs]
    steps = planned(document(*wanted), document(*jobs), activate=True, stagger=300).steps
    turns = [re.findall(r"now\(\) \+ '([0-9.]+) seconds'", step.statements[0]) for step in steps]
    assert [step.object.kind for step in steps] == ["refresh_policy", "columnstore_policy", "retention_policy"]
    assert turns == [["0.000"], ["100.000"], ["200.000"]]
    assert "GREATEST(slot.next_start, " in steps[2].statements[0]
    assert "initial_start => '2026-01-01T03:00:00+00:00'" in steps[2].statements[0]


def test_an_active_job_is_never_paused() -> None:
    wanted, existing = {**RETENTION, "scheduled": False}, RETENTION
    for activate in (False, True):
        plan = planned(document(wanted), document(existing), activate=activate)
        assert plan.steps == []
        assert [finding.outcome for finding in plan.findings] == ["drifted"]


def test_refresh_comes_before_columnstore_and_settings_before_both() -> None:
    on = {"segmentby": ["tank"], "orderby": None, "interval": None, "sparse": None}
    refresh = job("policy_refresh_continuous_aggregate", HOURLY, '{"start_offset": null, "end_offset": null}', id=1002)
    hourly = job("policy_compression", HOURLY, '{"compress_after": "9 days"}', id=1000)
    tanks = job("policy_compression", TANKS, '{"compress_after": "9 days"}', id=1001)
    wanted = document(
        hourly, tanks, refresh, relations=(relation(TANKS, columnstore=on), relation(HOURLY, columnstore=on))
    )
    target = document(relations=(relation(TANKS), relation(HOURLY, columnstore=on)))
    steps = {step.key: step.depends_on for step in planned(wanted, target).steps}
    assert steps["columnstore_policy public.hourly"] == ("refresh_policy public.hourly",)
    assert steps["columnstore_policy public.tanks"] == ("columnstore_settings public.tanks",)


def test_an_aggregate_counts_as_there_in_check_mode_only() -> None:
    retention = job("policy_retention", HOURLY, '{"drop_after": "30 days"}')
    target = document(relations=(relation(TANKS),))
    (step,) = planned(document(retention), target, check_mode=True).steps
    assert step.planned is True
    (finding,) = planned(document(retention), target).findings
    assert finding.outcome == "unsupported"


def test_equal_user_jobs_are_counted() -> None:
    work = job("work", None, '{"n": 1}')
    three = [{**work, "id": 1000 + number} for number in range(3)]
    plan = planned(document(*three), document(three[0]))
    assert [step.key for step in plan.steps] == ["job public.work", "job public.work #2"]
    assert plan.steps[1].depends_on == ("job public.work",), "equal jobs must not be made side by side"
    assert [">= 2" in str(plan.steps[0].done_when), ">= 3" in str(plan.steps[1].done_when)] == [True, True]


def test_a_procedure_with_an_id_in_its_config_is_warned_of() -> None:
    plan = planned(document(job("work", None, '{"hypertable_id": 7}')), document())
    assert "hypertable_id" in plan.warnings[0]


def test_what_cannot_be_set_is_told() -> None:
    wanted, existing = job("work", None, None), job("work", None, '{"n": 1}')
    plan = planned(document(wanted), document(existing))
    assert plan.steps == []
    assert "config is" in plan.findings[0].reason


def test_a_job_made_by_hand_from_the_extensions_procedure_is_unsupported() -> None:
    by_hand = {**job("policy_retention", TANKS, '{"drop_after": "3 days"}'), "attached": None}
    (finding,) = planned(document(by_hand), document()).findings
    assert finding.outcome == "unsupported"
    assert "exclude: _timescaledb_functions.policy_retention" in finding.hint
    kept = planned(document(by_hand, RETENTION), document(), exclude=["_timescaledb_functions.policy_retention"])
    assert [step.object.kind for step in kept.steps] == ["retention_policy"], "the policies of its table stay"
    assert kept.findings == []
    assert planned(document(by_hand), document(), kinds=["refresh"]).findings == []


def test_prune_spares_a_kind_that_the_source_has_not() -> None:
    plan = planned(document(), document(RETENTION), prune=True)
    assert plan.steps == []
    assert "no job of this kind" in plan.findings[0].reason


def test_a_relation_under_an_odd_name_is_quoted() -> None:
    odd = {"schema": 'a"b', "name": "it's\\", "aggregate": False}
    wanted = document(job("policy_retention", odd, '{"drop_after": "30 days"}'), relations=(relation(odd),))
    (step,) = planned(wanted, document(relations=(relation(odd),))).steps
    assert """E'"a""b"."it''s\\\\"'::pg_catalog.regclass""" in step.statements[0]


@pytest.mark.parametrize("version", ["2.0.0", "2.8.1", "2.10.1", "2.13.0", "2.19.3", "2.25.0", "2.29.2"])
def test_the_reading_names_each_versions_catalog(version: str) -> None:
    text = catalog.jobs_query(Timescale.parse(version), 150000)
    parsed = Timescale.parse(version)
    assert ("_timescaledb_catalog.bgw_job" in text) is (parsed >= (2, 25, 0))
    assert ("_timescaledb_functions" in text) is (parsed >= (2, 12, 0))
    assert ("hypertable_compression" in text) is (parsed < (2, 14, 0))
    assert "{" not in text.replace("'{}'", "").replace("#>> '{}'", "")
