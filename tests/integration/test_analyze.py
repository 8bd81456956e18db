# Copyright (c) 2026, the dbops.timescale authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""postgres_analyze on real servers: what it lists, what it leaves, and what it says about the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support import samples
from tests.support.playbook import run_module
from tests.support.pool import Pool
from tests.support.servers import Server

# (PostgreSQL major, TimescaleDB version); without a version the plain sample.
PLACES = ((15, None), (16, None), (18, None), (15, "2.11.2"), (15, "2.28.3"), (18, "2.29.2"))


@dataclass
class Place:
    """A database with a sample, not analyzed by anybody."""

    server: Server
    db: str
    version: str | None
    major: int

    def run(self, user: str = samples.OWNER, **options: Any) -> dict[str, Any]:
        check = bool(options.pop("check", False))
        options.setdefault("jobs", 2)
        return run_module("postgres_analyze", {**self.server.login_vars(self.db, user), **options}, check=check)

    def ask(self, statement: str, values: Any = None) -> Any:
        return self.server.execute(self.db, statement, values)


@pytest.fixture(params=PLACES, ids=lambda place: f"{place[1] or 'plain'}-on-{place[0]}")
def place(request: pytest.FixtureRequest, servers: Pool) -> Iterator[Place]:
    """A fresh database of each kind."""
    major, version = request.param
    server = servers.server(major, version)
    db = samples.load(server, f"analyze_{major}", "fill_levels" if version else "plain", version)
    server.execute(db, "SELECT pg_stat_reset()")
    yield Place(server, db, version, major)
    server.drop_database(db)


def test_four_beats(place: Place) -> None:
    foreseen = place.run(check=True)
    assert foreseen["changed"], foreseen
    before = place.ask(COUNTS)
    assert all(count == 0 for _name, count in before)
    done = place.run()
    assert done.get("failed") is None, done
    assert sorted(done["queries"]) == sorted(foreseen["queries"])
    assert "warnings" not in done
    for again in (place.run(check=True), place.run()):
        assert not again["changed"], [entry for entry in again["objects"] if entry["outcome"] != "present"]
        assert again["queries"] == []
        assert set(again["summary"]) == {"present"}


COUNTS = """
SELECT relid::regclass::text, analyze_count FROM pg_stat_user_tables
WHERE schemaname NOT IN ('_timescaledb_catalog', '_timescaledb_config', '_timescaledb_cache') ORDER BY 1
"""
