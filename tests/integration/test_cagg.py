# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""timescale_cagg_sync on real servers: the aggregates of the sample, attributes, refusals, resuming."""

from __future__ import annotations

from typing import Any

from tests.support import catalog
from tests.support.playbook import run_module
from tests.support.pool import Sample

AGGREGATES = """
SELECT pg_catalog.format('%I.%I', view_schema, view_name) FROM timescaledb_information.continuous_aggregates ORDER BY 1
"""


def sync(sample: Sample, check: bool = False, user: str | None = None, **options: Any) -> dict[str, Any]:
    """Run the module on a sample."""
    return run_module("timescale_cagg_sync", {**sample.login(user), "jobs": 2, **options}, check=check)


def entries(result: dict[str, Any], outcome: str = "") -> dict[str, str]:
    """What a result says, by kind and name; of one outcome when given."""
    return {
        f"{one['kind']} {one['schema']}.{one['name']}": one["outcome"]
        for one in result["objects"]
        if not outcome or one["outcome"] == outcome
    }


def judged(foreseen: dict[str, Any]) -> dict[str, str]:
    """What check mode says, with what it cannot judge yet as created: aggregates whose parent is not there."""
    assert {one["kind"] for one in foreseen["objects"] if one["outcome"] == "pending"} <= {"continuous_aggregate"}
    return {name: "created" if outcome == "pending" else outcome for name, outcome in entries(foreseen).items()}


def rows_differ(sample: Sample) -> dict[str, tuple[int, int]]:
    """The aggregates that do not give the same rows on both sides, with the rows that only one side has."""
    differ = {}
    for (view,) in sample.source.execute(sample.source_db, AGGREGATES):
        query = f"SELECT t::text FROM {view} AS t"
        ours = {row[0] for row in sample.source.execute(sample.source_db, query)}
        theirs = {row[0] for row in sample.target.execute(sample.target_db, query)}
        if ours != theirs or not ours:
            differ[view] = (len(ours - theirs), len(theirs - ours))
    return differ


def compare(sample: Sample, *kinds: str) -> list[str]:
    """What an independent reader of the catalog says about both sides."""
    source, target = sample.source.connect(sample.source_db), sample.target.connect(sample.target_db)
    try:
        return catalog.compare(source, target, kinds=kinds)
    finally:
        source.close()
        target.close()


def test_four_beats(sample: Sample) -> None:
    foreseen = sync(sample, check=True)
    assert foreseen["changed"], foreseen
    assert sample.target.execute(sample.target_db, AGGREGATES) == []
    done = sync(sample)
    assert done.get("failed") is None, done
    assert done["queries"] == foreseen["queries"]
    assert entries(done) == judged(foreseen)
    assert "warnings" not in done, done["warnings"]
    for again in (sync(sample, check=True), sync(sample)):
        assert not again["changed"], again["queries"]
        assert set(again["summary"]) == {"present"}
    assert rows_differ(sample) == {}


def test_catalog_of_aggregates_is_the_sources(sample: Sample) -> None:
    sync(sample)
    assert compare(sample, "continuous aggregates") == []
    names = ["avg_fill_levels", "Avg Fill Levels Weekly", "counters_by_100", "fill_levels_berlin", "latest_fill"]
    told = compare(sample, "views", "relations", "comments", "columnstore settings")
    assert [line for line in told if any(name in line for name in names)] == []
