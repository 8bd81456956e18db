# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which statement a relation gets, by version, and why: no server here."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dbops.timescale.plugins.module_utils._connection import Facts
from ansible_collections.dbops.timescale.plugins.module_utils._errors import BadInput
from ansible_collections.dbops.timescale.plugins.module_utils._statistics.plan import (
    Options,
    make_plan,
    without_statistics,
)
from ansible_collections.dbops.timescale.plugins.module_utils._versions import Timescale

TREE = {
    "parts": 3, "missing": 0, "stale": 0, "denied": 0, "rows": 900, "analyzed_rows": 900, "changes": 0,
    "autoanalyzed_rows": 0, "pages": 30, "live": 900, "apart": None,
}  # fmt: skip


def _facts(server: int = 150000, timescale: str = "") -> Facts:
    return Facts("target", server, Timescale.parse(timescale) if timescale else None)


def _relation(name: str = "t", **changed: Any) -> dict[str, Any]:
    relation: dict[str, Any] = {
        "schema": "s", "name": name, "kind": "r", "relation": None, "hypertable": False, "catalog": False, "may": True,
        "readable": True, "analyzed": True, "columns": 2, "rows": 100, "changes": 0, "pages": 1, "live": 100,
        "threshold": 50, "scale_factor": 0.1, "missing": False, "stale": False, "bare": False, "lack_inherited": 0,
        "tree": None, "ancestors": [],
    }  # fmt: skip
    return {**relation, **changed}


def _queries(relation: dict[str, Any], facts: Facts, **options: Any) -> list[str]:
    return [text for step in make_plan([relation], facts, Options(**options)).steps for text in step.statements]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [(_facts(150000, "2.11.2"), 'ANALYZE "s"."t"'), (_facts(180000, "2.29.2"), 'ANALYZE ONLY "s"."t"')],
)
def test_a_hypertable_by_the_statement_that_does_each_chunk_once(facts: Facts, expected: str) -> None:
    assert _queries(_relation(hypertable=True, tree=TREE, missing=True), facts) == [expected]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (_facts(150000, "2.11.2"), 'ANALYZE "_timescaledb_internal"."m_7"'),
        (_facts(150000, "2.28.3"), 'ANALYZE "s"."t"'),
        (_facts(180000, "2.29.2"), 'ANALYZE "s"."t"'),
    ],
)
def test_an_aggregate_by_its_public_name_where_that_works(facts: Facts, expected: str) -> None:
    relation = _relation(relation=["_timescaledb_internal", "m_7"], hypertable=True, tree=TREE, missing=True)
    assert _queries(relation, facts) == [expected]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"missing": True}, "no statistics"),
        ({"stale": True, "changes": 61}, "61 changes since the last ANALYZE, the limit is 60"),
        ({"hypertable": True, "tree": {**TREE, "missing": 2}}, "Of its 3 chunks, 2 have no statistics"),
        ({"hypertable": True, "tree": {**TREE, "stale": 1}}, "Of its 3 chunks, 1 changed"),
        ({"tree": TREE, "lack_inherited": 1}, "of its 3 parts together"),
        ({"kind": "p", "tree": TREE, "analyzed": False}, "no statistics"),
        ({"tree": {**TREE, "autoanalyzed_rows": 151}}, "151 changes in its 3 parts"),
    ],
)
def test_reasons(changed: dict[str, Any], reason: str) -> None:
    (step,) = make_plan([_relation(**changed)], _facts(), Options()).steps
    assert reason in step.reason


@pytest.mark.parametrize(
    "changed", [{}, {"tree": {**TREE, "changes": 150}}, {"tree": {**TREE, "rows": 0}, "lack_inherited": 1}]
)
def test_nothing_to_do(changed: dict[str, Any]) -> None:
    plan = make_plan([_relation(**changed)], _facts(), Options())
    assert (plan.steps, [finding.outcome for finding in plan.findings]) == ([], ["present"])


def test_a_partition_is_done_with_its_parent_or_alone() -> None:
    child = _relation("p1", missing=True, ancestors=[["s", "p"]])
    fresh, stale = (_relation("p", kind="p", tree=TREE, lack_inherited=lack) for lack in (0, 1))
    assert [step.object.name for step in make_plan([fresh, child], _facts(), Options()).steps] == ["p1"]
    assert [step.object.name for step in make_plan([stale, child], _facts(), Options()).steps] == ["p"]
    forbidden = {**stale, "may": False}
    assert [step.object.name for step in make_plan([forbidden, child], _facts(), Options()).steps] == ["p1"]


def test_largest_first_and_every_stage_before_the_next() -> None:
    relations = [_relation("small", missing=True, bare=True), _relation("big", missing=True, bare=True, pages=1000)]
    steps = make_plan(relations, _facts(), Options(stages=True)).steps
    order = [step.key for step in sorted(steps, key=lambda step: -step.weight)]
    stages = (" at 1", " at 10", "")
    assert order == [f"table s.{name}{stage}" for stage in stages for name in ("big", "small")]


def test_catalogs_that_the_role_may_not_analyze_are_no_findings() -> None:
    plan = make_plan([_relation(catalog=True, may=False, missing=True)], _facts(), Options())
    assert (plan.steps, plan.findings) == ([], [])


def test_columns_need_one_table() -> None:
    with pytest.raises(BadInput, match="names 2"):
        make_plan([_relation("a"), _relation("b")], _facts(), Options(columns=["x"]))


def test_chunks_of_others_are_skipped_not_tried() -> None:
    relation = _relation(hypertable=True, tree={**TREE, "denied": 2})
    plan = make_plan([relation], _facts(), Options())
    assert plan.steps == []
    assert [finding.outcome for finding in plan.findings] == ["skipped", "present"]
    assert "Of its 3 chunks, 2 need ANALYZE" in plan.findings[0].reason
    assert without_statistics([relation], Options()) == [relation]
