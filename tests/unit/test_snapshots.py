# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans from catalogs of real servers, statement for statement, on machines without TimescaleDB."""

from __future__ import annotations

import json
import re

import pytest

from tests.support import snapshots

CASES = [(pair, domain) for pair in snapshots.pairs() for domain in snapshots.DOMAINS]


def test_the_pairs_are_recorded() -> None:
    assert snapshots.pairs() == ["2.11.2-to-2.28.3", "2.11.2-to-2.29.2", "2.28.3-to-2.28.3"]


@pytest.mark.parametrize(("move", "domain"), CASES, ids=str)
def test_plans(move: str, domain: str) -> None:
    """A plan that changed on purpose is recorded again: python -m tests.record_snapshots --plans."""
    golden = json.loads((snapshots.PLANS / f"{move}-{domain}.json").read_text(encoding="utf-8"))
    planned = json.loads(snapshots.text_of(snapshots.plan_to_json(snapshots.make_plan(move, domain))))
    assert planned["steps"] == golden["steps"]
    assert planned == golden


@pytest.mark.parametrize("move", snapshots.pairs())
def test_statements_hold_no_id_of_a_database(move: str) -> None:
    """Jobs and materializations are named by lookups or public names: numbers belong to one database."""
    for domain in snapshots.DOMAINS:
        for step in snapshots.make_plan(move, domain).steps:
            for text in step.statements:
                assert not re.search(r"_materialized_hypertable_\d|_hyper_\d+_\d+_chunk", text), text
                assert not re.search(r"mat_hypertable_id\W+\d|\bjob_id\W+=>\W*\d", text), text


@pytest.mark.parametrize("move", snapshots.pairs())
def test_the_secret_of_a_connection_is_in_no_snapshot(move: str) -> None:
    for folder in (move, move.split("-to-")[0]):
        for file in (snapshots.FOLDER / folder).iterdir():
            assert not re.search(r'password"\s*:\s*"[^"]', file.read_text(encoding="utf-8")), file
