# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""timescale_info on real servers: what it tells, and the file it writes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import samples
from tests.support.playbook import run_module
from tests.support.pool import Pool
from tests.support.servers import Server, ThrowawayServer

PLACES = ((15, None), (15, "2.11.2"), (15, "2.28.3"), (18, "2.29.2"))
Place = tuple[Server, str, "str | None"]


@pytest.fixture(params=PLACES, ids=lambda place: f"{place[1] or 'plain'}-on-{place[0]}")
def place(request: pytest.FixtureRequest, servers: Pool) -> Iterator[Place]:
    """A fresh database with a sample: server, name, TimescaleDB version."""
    major, version = request.param
    server = servers.server(major, version)
    db = samples.load(server, f"info_{major}", "fill_levels" if version else "plain", version)
    yield server, db, version
    server.drop_database(db)


def _run(place: Place, user: str = samples.OWNER, **options: Any) -> dict[str, Any]:
    check, diff = bool(options.pop("check", False)), bool(options.pop("diff", False))
    result = run_module("timescale_info", {**place[0].login_vars(place[1], user), **options}, check=check, diff=diff)
    assert "traceback" not in str(result).lower(), result
    return result


def test_it_tells_what_the_views_tell(place: Place) -> None:
    server, db, version = place
    result = _run(place)
    assert result["changed"] is False
    assert (result["facts"]["timescale"], result["facts"]["database"]) == (version, db)
    assert result["facts"]["server_version"] == server.version
    if version is None:
        assert (result["hypertables"], result["aggregates"], result["jobs"]) == ([], [], [])
        assert result["facts"]["edition"] == ""
        return
    told = [(h["schema"], h["name"], h["chunks"], h["size_bytes"]) for h in result["hypertables"]]
    assert told == server.execute(
        db,
        "SELECT hypertable_schema, hypertable_name, num_chunks,"
        " hypertable_size(format('%I.%I', hypertable_schema, hypertable_name)::regclass)"
        " FROM timescaledb_information.hypertables WHERE hypertable_schema <> '_timescaledb_internal' ORDER BY 1, 2",
    )
    told = [(a["schema"], a["name"], a["materialized_only"], a["materialization_name"]) for a in result["aggregates"]]
    assert told == server.execute(
        db,
        "SELECT view_schema, view_name, materialized_only, materialization_hypertable_name"
        " FROM timescaledb_information.continuous_aggregates ORDER BY 1, 2",
    )
    told = [(j["id"], j["proc_name"], j["scheduled"], j["owner"]) for j in result["jobs"] if j["id"] >= 1000]
    assert told == server.execute(
        db,
        "SELECT job_id, proc_name, scheduled, owner::text FROM timescaledb_information.jobs"
        " WHERE job_id >= 1000 ORDER BY 1",
    )
    assert [h["compressed_chunks"] for h in result["hypertables"] if h["name"] == "fill_measurements"] == [2]


def test_a_hierarchy_is_told_by_public_names(place: Place) -> None:
    if place[2] is None:
        assert _run(place)["aggregates"] == []
        return
    on = {a["name"]: (a["on_schema"], a["on_name"]) for a in _run(place)["aggregates"]}
    assert on["avg_fill_levels"] == ("public", "fill_measurements")
    assert on["avg_fill_levels_daily"] == ("public", "avg_fill_levels")


def test_filters_and_sizes(place: Place) -> None:
    result = _run(place, schemas=["rep*", "public"], exclude_schemas=["public"], sizes=False)
    assert result["sizes"] is None
    assert result["hypertables"] == []
    assert {a["schema"] for a in result["aggregates"]} <= {"reports"}
    assert bool(result["aggregates"]) == (place[2] is not None)
    assert all(a["size_bytes"] is None for a in result["aggregates"])
    assert {j["schema"] for j in result["jobs"]} <= {"reports", None}


def test_privileges(place: Place) -> None:
    owner = _run(place)["privileges"]
    assert (owner["role"], owner["superuser"], owner["not_owned"], owner["database_owner"]) == (
        samples.OWNER,
        False,
        0,
        True,
    )
    reader = _run(place, "sensor_reader")["privileges"]
    assert reader["not_owned"] > 0
    assert not reader["create_schema"]
    assert "reports" in reader["not_create_in"]
    assert not any(name.startswith("_timescaledb_i") for name in reader["not_create_in"])
    assert _run(place, "postgres")["privileges"]["superuser"] is True


def test_the_file_four_beats(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert _run(place, write_to=str(path), check=True)["changed"]
    assert not path.exists()
    written = _run(place, write_to=str(path), diff=True)
    assert written["changed"]
    assert written["source_file"] == str(path)
    assert written["diff"]["after"] == path.read_text(encoding="utf-8")
    assert os.stat(path).st_mode & 0o777 == 0o600
    stamp = os.stat(path).st_mtime_ns
    for check in (True, False):
        assert not _run(place, write_to=str(path), check=check)["changed"]
    assert os.stat(path).st_mtime_ns == stamp
    assert os.listdir(tmp_path) == ["state.json"]
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["format"] == "dbops.timescale/1"
    assert set(content["documents"]) == {"aggregates", "jobs", "post_data", "preflight"}
    assert content["facts"]["timescale"] == place[2]
    assert place[0].passwords[samples.OWNER] not in path.read_text(encoding="utf-8")


def test_a_file_that_others_can_read_is_replaced(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    _run(place, write_to=str(path))
    path.chmod(0o644)
    assert _run(place, write_to=str(path))["changed"]
    assert os.stat(path).st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("name", "told"), [("nowhere/x.json", "the folder does not exist"), ("", "no ordinary file")])
def test_bad_paths(plain_server: Server, tmp_path: Path, name: str, told: str) -> None:
    result = _run((plain_server, "postgres", None), "postgres", write_to=str(tmp_path / name))
    assert result["failed"]
    assert told in result["msg"]


def test_nothing_can_be_written(servers: Pool) -> None:
    """Every statement of the module runs in a read-only transaction: the server's own log tells."""
    server = servers.server(15)
    if not isinstance(server, ThrowawayServer):
        pytest.skip("the log of a given server cannot be read")
    server.create_database("info_log")
    server.execute("info_log", "ALTER DATABASE info_log SET log_statement = 'all'")
    before = len(server.logfile.read_text(encoding="utf-8"))
    _run((server, "info_log", None), "postgres")
    log = server.logfile.read_text(encoding="utf-8")[before:]
    server.drop_database("info_log")
    assert 0 <= log.find("SESSION CHARACTERISTICS AS TRANSACTION READ ONLY") < log.find("json_build_object")
