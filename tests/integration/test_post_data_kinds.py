# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of post-data with every attribute arrives, and what a hypertable refuses is told exactly, by version."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.support import catalog
from tests.support.installations import version_key
from tests.support.playbook import run_module
from tests.support.pool import PAIRS, Pair, Pool, Sample
from tests.support.samples import SAMPLES

RENAMED = {"kinds_here": "kinds_there"}
INCLUDE = ["publications", "default_privileges"]
# The old version as the target too: it refuses most.
TO_THE_OLDEST = [Pair(pair.source, pair.source) for pair in PAIRS[:1] if not pair.source.given]
REFUSED = re.compile(r"^--= (\w+ .+?) (never|[\d.]+|with \w+ .+)\n([^;]+;)", re.MULTILINE)
HYPERTABLES = """
SELECT create_hypertable('refused.events', 'at', create_default_indexes => false);
SELECT create_hypertable('refused.spaced', 'at', 'device', 2, create_default_indexes => false);
SELECT create_hypertable('refused.other', 'at', create_default_indexes => false);
SELECT create_hypertable('refused.stored', 'at', create_default_indexes => false);
INSERT INTO refused.events
SELECT '2026-01-01 00:00+00'::timestamptz + n * interval '3 days', n FROM generate_series(1, 20) n;
INSERT INTO refused.spaced SELECT at, x FROM refused.events;
INSERT INTO refused.other SELECT at, x FROM refused.events;
INSERT INTO refused.stored SELECT * FROM refused.events;
ALTER TABLE refused.stored SET (timescaledb.compress, timescaledb.compress_segmentby = 'x');
"""
# TimescaleDB's for a key without the partition column, "feature not supported", "invalid table definition".
CODES = ("TS103", "0A000", "42P16")


def _label(entry: dict[str, Any]) -> str:
    return f"{entry['kind']} {entry['name']}"


def _outcomes(result: dict[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for entry in result["objects"]:
        if not entry.get("aside"):
            found.setdefault(entry["outcome"], set()).add(_label(entry))
    return found


def _differences(sample: Sample) -> list[str]:
    with (
        contextlib.closing(sample.source.connect(sample.source_db)) as source,
        contextlib.closing(sample.target.connect(sample.target_db)) as target,
    ):
        return catalog.compare(source, target, tablespaces=RENAMED)


def test_every_kind_arrives(servers: Pool, pair: Pair, tmp_path: Path) -> None:
    """Four beats as a plain owner; then the archive alone finds everything there."""
    sample = servers.fresh(pair, "every_kind")
    login = {**sample.login(), "tablespace_map": RENAMED, "dump_file": str(tmp_path / "kept.dump")}
    arguments = {**login, "include": INCLUDE}
    try:
        before = _differences(sample)
        checked = run_module("timescale_post_data", arguments, check=True)
        assert (checked.get("msg"), _differences(sample)) == (None, before)
        ran = run_module("timescale_post_data", arguments)
        assert (ran.get("msg"), ran.get("warnings"), set(_outcomes(ran))) == (None, None, {"created", "altered"})
        assert ran["queries"] == checked["queries"]
        assert _differences(sample) == []
        for again in (run_module("timescale_post_data", arguments, check=check, diff=True) for check in (True, False)):
            assert (again["changed"], again["queries"], set(_outcomes(again))) == (False, [], {"present"})
            assert again.get("warnings") is None  # the archive says what the source says
            assert again["diff"] == {"before": "", "after": ""}
        kinds = {entry["kind"] for entry in ran["objects"]}
        assert kinds >= EVERY_KIND
        login.pop("source")
        alone = run_module("timescale_post_data", login)
        assert (alone.get("msg"), alone["changed"], set(_outcomes(alone))) == (None, False, {"present"})
    finally:
        sample.drop()


# What a plain owner can move. A view's late body is a rule to PostgreSQL.
EVERY_KIND = {
    *("primary_key", "unique", "exclude", "foreign_key", "check", "index", "index_attach", "index_statistics"),
    *("cluster", "replica_identity", "trigger", "trigger_state", "rule", "rule_state", "row_security", "policy"),
    *("statistics", "statistics_target", "refresh", "comment"),
    *("publication", "publication_table", "default_privileges"),
}


@pytest.mark.parametrize("move", [*PAIRS, *TO_THE_OLDEST], ids=str)
def test_the_refusals_are_exact(servers: Pool, move: Pair) -> None:
    """Told are those that the target's version refuses, each is tried on it, and all else arrives."""
    sample = servers.fresh(move, "refused")
    target, db, user = sample.target, sample.target_db, sample.user
    arguments = {**sample.login(), "schemas": ["refused"]}
    wanted = _refused_by(target.execute(db, "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")[0][0])
    try:
        target.execute(db, HYPERTABLES, user=user)
        refused = run_module("timescale_post_data", arguments)
        assert _outcomes(refused)["unsupported"] == set(wanted), refused["msg"]
        assert (refused["failed"], refused["changed"]) == (True, False)
        told = [entry for entry in refused["objects"] if entry["outcome"] == "unsupported"]
        assert all(entry["name"] in refused["msg"] for entry in told)
        assert all(entry["reason"] and (entry["hint"] or "It needs " in entry["reason"]) for entry in told)
        assert target.execute(db, "SELECT count(*) FROM pg_constraint WHERE conname = 'points_pkey'") == [(0,)]
        taken = run_module("timescale_post_data", {**arguments, "on_unsupported": "skip"})
        assert (taken.get("msg"), set(_outcomes(taken))) == (None, {"created", "unsupported"})
        again = run_module("timescale_post_data", {**arguments, "on_unsupported": "skip"})
        assert (again.get("msg"), again["changed"], set(_outcomes(again))) == (None, False, {"present", "unsupported"})
        for label, text in wanted.items():
            if text:
                with pytest.raises(psycopg2.Error) as raised:
                    target.execute(db, text, user=user)
                assert raised.value.pgcode in CODES, (label, raised.value)
    finally:
        sample.drop()


def _refused_by(version: str) -> dict[str, str]:
    """What a version refuses: statements that try it, empty for what falls with something else."""
    text = (SAMPLES / "refused.sql").read_text(encoding="utf-8")
    found = [match.groups() for match in REFUSED.finditer(text)]
    assert len(found) == text.count("\n--= ")
    refused: dict[str, str] = {}
    for number, (label, since, statement) in enumerate(found):
        if since == "never" or (since[0].isdigit() and version_key(version) < version_key(since)):
            # A trigger whose state is refused does not arrive either, but the state needs it.
            before = [text for _label, needs, text in found[:number] if needs == f"with {label}"]
            refused[label] = "".join([*before, statement])
    for label, since, _statement in found:
        if since.startswith("with ") and since.removeprefix("with ") in refused:
            refused[label] = ""
    return refused
