# Copyright (c) 2026, the dbops.timescale authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing databases: what is the same is equal, and each planted difference is found, alone and in its slice."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.playbook import run_module
from tests.support.pool import Sample

DATA = ["rows", "sequences", "owners", "grants", "comments"]

# statement on the target -> what must be told: kind, schema and name, and a word of the reason
PLANTED = {
    "row-too-few": (
        "DELETE FROM public.fill_measurements WHERE sensor_id = 7 AND \"time\" = '2026-02-01 05:00+00'",
        ("rows", "public", "fill_measurements"),
        "2026-01-29 00:00:00Z to 2026-02-05 00:00:00Z",
    ),
    "row-changed": (
        "UPDATE public.channel_readings SET value = value + 1e-6 WHERE ctid = (SELECT max(ctid) FROM ONLY {chunk})",
        ("rows", "public", "channel_readings"),
        "with other content",
    ),
    "plain-row-changed": (
        "UPDATE public.sensors SET tags = '{other}' WHERE id = 3",
        ("rows", "public", "sensors"),
        "with other content",
    ),
    "sequence-behind": (
        "SELECT setval('public.deliveries_id_seq', 17)",
        ("sequence position", "public", "deliveries_id_seq"),
        "public.deliveries.id already holds 500",
    ),
    "grant-lost": (
        "REVOKE SELECT ON public.fill_measurements FROM sensor_reader",
        ("grant", "public", "SELECT to sensor_reader"),
        "Only the source",
    ),
    "column-grant-lost": (
        "REVOKE UPDATE (fill_level) ON public.fill_measurements FROM sensor_writer",
        ("grant", "public", "UPDATE to sensor_writer"),
        "Only the source",
    ),
    "comment-lost": (
        "COMMENT ON SCHEMA _timescaledb_app IS NULL",
        ("comment", "", "schema"),
        "Only the source has a comment",
    ),
    "owner-changed": (
        "ALTER FUNCTION public.counters_now() OWNER TO postgres",
        ("owner", "public", "function"),
        "sensor_admin",
    ),
}


def _verify(sample: Sample, **options: Any) -> dict[str, Any]:
    result = run_module("timescale_verify", {**sample.login("postgres", "postgres"), **options})
    assert not result.get("failed"), result["msg"]
    assert (result["changed"], result["queries"]) == (False, [])
    return result


def _differences(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in result["objects"] if entry["outcome"] != "present"]


def test_rows_that_were_copied_are_equal(sample: Sample) -> None:
    result = _verify(sample, scope=DATA)
    assert _differences(result) == []
    assert result["equal"]
    rows = {entry["name"]: entry["rows"] for entry in result["objects"] if entry["kind"] == "rows"}
    assert rows["fill_measurements"] == {"source": 35040, "target": 35040}


def test_what_the_target_lacks_is_told(sample: Sample) -> None:
    result = _verify(sample)
    missing = {entry["name"] for entry in _differences(result) if entry.get("only_on") == "source"}
    assert {"avg_fill_levels", "avg_fill_levels_daily", "latest_fill", "fill_summary"} <= missing
    assert not result["equal"]


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_difference_is_found_alone(sample: Sample, name: str) -> None:
    statement, (kind, schema, called), word = PLANTED[name]
    chunk = sample.target.execute(
        sample.target_db, "SELECT min(c::text) FROM public.show_chunks('public.channel_readings') AS c"
    )[0][0]
    sample.target.execute(sample.target_db, statement.replace("{chunk}", chunk))
    result = _verify(sample, scope=DATA)
    found = _differences(result)
    assert [(one["kind"], one["schema"], one["name"]) for one in found] == [(kind, schema, called)], found
    assert word in found[0]["reason"]
    assert not result["equal"]


def test_a_role_may_stand_for_another(sample: Sample) -> None:
    sample.target.execute(sample.target_db, "ALTER TABLE public.sensors OWNER TO postgres")
    assert [one["kind"] for one in _differences(_verify(sample, scope=["owners"]))] != []
    mapped = _verify(sample, scope=["owners"], owner_map={"sensor_admin": "postgres"})
    assert "sensors" not in str([one["table"] for one in _differences(mapped) if one["table"] == "public.sensors"])


def test_a_source_is_needed(sample: Sample) -> None:
    login = {key: value for key, value in sample.login().items() if key != "source"}
    assert "source" in run_module("timescale_verify", login)["msg"]
