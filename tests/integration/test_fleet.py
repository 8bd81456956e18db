# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Twenty databases in one inventory, ten at a time, some of them wrong on purpose; here and on a jump host over SSH."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.playbook import LOCALHOST, PlaybookRun, run_playbook
from tests.support.servers import Server
from tests.support.ssh import SSHD, ssh_server

HOSTS = [f"shop_{number:02}" for number in range(20)]
FORKS, JOBS = 10, 2
UNREACHABLE, NO_TABLE, WRONG_ROWS = "shop_03", "shop_08", "shop_14"
WRONG = {
    UNREACHABLE: "Cannot connect to the target",
    NO_TABLE: "table public.items",
    WRONG_ROWS: "The databases differ",
}
RIGHT = [host for host in HOSTS if host not in WRONG]
TABLES = """
CREATE TABLE public.items (id int NOT NULL, name text NOT NULL);
INSERT INTO public.items SELECT n, 'item ' || n FROM generate_series(1, 100) AS n;
"""
POST_DATA = """
ALTER TABLE public.items ADD PRIMARY KEY (id);
CREATE INDEX items_name_idx ON public.items (name);
COMMENT ON INDEX public.items_name_idx IS 'What the shop has';
"""
INDEXES = "SELECT count(*) FROM pg_index WHERE indrelid = 'public.items'::regclass"


class _Bounds(threading.Thread):
    """The most sessions of ours on the server, and the most memory of processes of a run, that samples saw."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.sessions: dict[str, int] = {}
        self.memory = 0
        self.done = threading.Event()

    def run(self) -> None:
        ask = """SELECT datname, count(*) FROM pg_stat_activity
            WHERE application_name LIKE 'dbops.timescale/%' GROUP BY datname"""
        with contextlib.closing(self.server.connect("postgres")) as opened, opened.cursor() as cursor:
            while not self.done.wait(0.05):
                cursor.execute(ask)
                for db, count in cursor.fetchall():
                    self.sessions[db] = max(self.sessions.get(db, 0), count)
                self.memory = max(self.memory, _memory())


def _memory() -> int:
    """Bytes that the largest process of a module has in memory."""
    held = [0]
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"AnsiballZ_" in (process / "cmdline").read_bytes():
                pages = (process / "statm").read_text(encoding="ascii").split()[1]
                held.append(int(pages) * os.sysconf("SC_PAGE_SIZE"))
    return max(held)


@pytest.fixture
def fleet(plain_server: Server) -> Iterator[dict[str, Any]]:
    """The databases, and each host's variables."""
    hosts = {}
    plain_server.create_database("fleet_source")
    plain_server.execute("fleet_source", TABLES)
    plain_server.create_database("fleet_target", template="fleet_source")
    plain_server.execute("fleet_source", POST_DATA)
    for host in HOSTS:
        for side in ("source", "target"):
            plain_server.create_database(f"{side}_{host}", template=f"fleet_{side}")
        hosts[host] = {
            "timescale_migrate_source": plain_server.login_vars(f"source_{host}"),
            "timescale_migrate_target": plain_server.login_vars(f"target_{host}"),
        }
    hosts[UNREACHABLE]["timescale_migrate_target"]["login_port"] = 1
    plain_server.execute(f"target_{NO_TABLE}", "DROP TABLE public.items")
    plain_server.execute(f"target_{WRONG_ROWS}", "UPDATE public.items SET name = 'another' WHERE id = 7")
    yield hosts
    for name in (
        "fleet_source",
        "fleet_target",
        *(f"{side}_{host}" for host in HOSTS for side in ("source", "target")),
    ):
        plain_server.drop_database(name)


def _run(hosts: dict[str, Any], connection: dict[str, Any], reports: Path) -> PlaybookRun:
    group = {
        "hosts": hosts,
        "vars": {
            **connection,
            "timescale_migrate_jobs": JOBS,
            # Plain databases: neither aggregates nor policies.
            "timescale_migrate_stages": ["preflight", "post_data", "statistics", "activation"],
            "timescale_migrate_activate": "none",
            "timescale_migrate_report_dir": str(reports),
        },
    }
    return run_playbook(
        "dbops.timescale.migrate", f"--forks={FORKS}", inventory={"timescale_databases": group}, timeout=900
    )


def _told_apart(run: PlaybookRun, reports: Path) -> None:
    """The others finish; recap, messages, summaries and the index name those that did not, and why."""
    assert run.rc == 2
    assert {host for host, counts in run.recap.items() if counts["failures"]} == set(WRONG)
    assert not any(counts["unreachable"] for counts in run.recap.values())
    for event in run.failures():
        assert WRONG[event.host] in event.result["msg"]
    summaries = {event.host for event in run.of(task="Tell what became of every object")}
    assert summaries == set(RIGHT)
    told = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in reports.glob("*.json")}
    assert sorted(told) == HOSTS
    index = (reports / "index.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr>.*?</tr>", index, re.DOTALL)
    for host in HOSTS:
        (row,) = [one for one in rows if f'href="{host}.html"' in one]
        assert ("failed" in row or "differs" in row) is (host in WRONG), row


def _done(server: Server) -> dict[str, int]:
    return {host: server.execute(f"target_{host}", INDEXES)[0][0] for host in HOSTS if host != NO_TABLE}


def test_twenty_databases(plain_server: Server, fleet: dict[str, Any], tmp_path: Path) -> None:
    bounds = _Bounds(plain_server)
    bounds.start()
    try:
        run = _run(fleet, LOCALHOST["all"]["hosts"]["localhost"], tmp_path)
    finally:
        bounds.done.set()
        bounds.join()
    _told_apart(run, tmp_path)
    assert _done(plain_server) == {host: 0 if host == UNREACHABLE else 2 for host in HOSTS if host != NO_TABLE}
    targets = {db: count for db, count in bounds.sessions.items() if db.startswith("target_")}
    # As guide_fleet.rst states: sessions for each database, and memory for each module.
    assert targets
    assert max(targets.values()) <= JOBS + 2
    assert 0 < bounds.memory < 200 << 20
    again = _run({host: fleet[host] for host in RIGHT[:3]}, LOCALHOST["all"]["hosts"]["localhost"], tmp_path)
    assert (again.rc, again.changed) == (0, 0)


def test_a_fleet_behind_a_jump_host(plain_server: Server, fleet: dict[str, Any], tmp_path: Path) -> None:
    """The modules run there, over SSH; reports are written here."""
    if SSHD is None:
        pytest.skip("sshd is not installed: a jump host was not tested")
    some = {host: fleet[host] for host in [*RIGHT[:3], UNREACHABLE]}
    with tempfile.TemporaryDirectory(prefix="f-") as folder, ssh_server(Path(folder)) as inventory:
        run = _run(some, inventory["all"]["hosts"]["far"], tmp_path)
    assert {host for host, counts in run.recap.items() if counts["failures"]} == {UNREACHABLE}
    assert {path.stem for path in tmp_path.glob("*.json")} == set(some)
    assert {_done(plain_server)[host] for host in RIGHT[:3]} == {2}
