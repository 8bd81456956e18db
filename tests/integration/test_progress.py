# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that is followed in a terminal, here and over SSH: lines, estimate, and an end without a follower."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dbops.timescale.plugins.module_utils._progress import line_of
from ansible_collections.dbops.timescale.plugins.module_utils._progress_report import FOLDER_VARIABLE, STATUS
from tests.support.playbook import LOCALHOST, ROOT, environment, module_command, run_playbook
from tests.support.servers import Server
from tests.support.ssh import SSHD, ssh_server

TABLES = 4
ROWS = 1000
LINE = re.compile(r"\] (\d+) of 4 steps done, (\d+)%, .*?/s(?:, (\d+):(\d\d) left)?")
KEYS = {"changed", "queries", "objects", "summary", "run", "settings", "invocation", "warnings", "_ansible_no_log"}
SLOW = "CREATE FUNCTION public.slow(x int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN {} RETURN x; END $$"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short one: the path of SSH's socket is limited to about a hundred bytes."""
    with tempfile.TemporaryDirectory(prefix="p-") as made:
        yield Path(made)


@pytest.fixture(params=["local", "ssh"])
def inventory(request: pytest.FixtureRequest, folder: Path) -> Iterator[dict[str, Any]]:
    if request.param == "local":
        host = {"ansible_connection": "local", "ansible_remote_tmp": str(folder / "remote")}
        yield {"all": {"hosts": {"localhost": {**LOCALHOST["all"]["hosts"]["localhost"], **host}}}}
        return
    if SSHD is None:
        pytest.skip("sshd is not installed: following over SSH was not tested")
    with ssh_server(folder) as made:
        yield made


@pytest.fixture
def sides(plain_server: Server) -> Iterator[dict[str, Any]]:
    """Indexes that are made at once on the source, and take seconds on the target."""
    for name, body in (("moving_source", ""), ("moving_target", "PERFORM pg_catalog.pg_sleep(0.005);")):
        plain_server.create_database(name)
        plain_server.execute(name, SLOW.format(body).replace("%", "%%"))
        for number in range(TABLES):
            plain_server.execute(name, f"CREATE TABLE public.t{number} (x int, filler char(500))")
            plain_server.execute(
                name, f"INSERT INTO public.t{number} SELECT g, '' FROM pg_catalog.generate_series(1, {ROWS}) AS g"
            )
            if name == "moving_source":
                plain_server.execute(name, f"CREATE INDEX i{number} ON public.t{number} (public.slow(x))")
    yield {**plain_server.login_vars("moving_target"), "source": plain_server.login_vars("moving_source"), "jobs": 2}
    for name in ("moving_source", "moving_target"):
        plain_server.drop_database(name)


def _play(arguments: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    task = {"dbops.timescale.timescale_post_data": arguments, **more}
    return [{"hosts": "all", "gather_facts": False, "tasks": [task]}]


def _started(folder: Path, play: Any, inventory: Any) -> tuple[subprocess.Popen[bytes], int]:
    """Start ansible-playbook in a terminal of its own."""
    for name, content in (("play.json", play), ("inventory.json", inventory)):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    ours, theirs = pty.openpty()
    argv = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(folder / "inventory.json")]
    env = {**environment(), "TERM": "xterm", "COLUMNS": "200", "JSONL_PATH": str(folder / "events.jsonl")}
    (folder / "events.jsonl").touch()
    given = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell's children ignore Ctrl-C
    process = subprocess.Popen(
        [*argv, str(folder / "play.json")], stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
    )
    signal.signal(signal.SIGINT, given)
    os.close(theirs)
    return process, ours


def _lines(terminal: int, seconds: float = 90) -> Iterator[tuple[float, str]]:
    """What the terminal shows, line by line with its time."""
    held, until = b"", time.monotonic() + seconds
    while time.monotonic() < until:
        if not select.select([terminal], [], [], 0.5)[0]:
            continue
        try:
            read = os.read(terminal, 65536)
        except OSError:
            return
        *whole, held = (held + read).split(b"\n")
        for line in whole:
            yield time.monotonic(), line.decode().strip()


def _building(server: Server) -> int:
    with contextlib.closing(server.connect("moving_target")) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'dbops.timescale/%'"
            " AND state = 'active' AND datname = 'moving_target'"
        )
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def test_lines_move_and_the_estimate_holds(folder: Path, inventory: dict[str, Any], sides: dict[str, Any]) -> None:
    process, terminal = _started(folder, _play(sides), inventory)
    shown = list(_lines(terminal))
    told = "\n".join(line for _at, line in shown)
    assert process.wait(timeout=30) == 0, told
    found = [(at, LINE.search(line)) for at, line in shown]
    points = [(at, match) for at, match in found if match]
    assert len(points) >= 3, told
    percents = [int(match.group(2)) for _at, match in points]
    assert percents == sorted(percents), told
    assert percents[-1] > percents[0], told
    end = next(at for at, line in shown if line.startswith(("changed:", "PLAY RECAP")))
    assert all(at <= end for at, _match in points), told
    last_at, last = points[-1]
    guess = int(last.group(3)) * 60 + int(last.group(4))
    assert end - last_at <= 2 * guess + 5, told
    assert guess <= 2 * (end - last_at) + 5, told
    event = json.loads((folder / "events.jsonl").read_text("utf-8").splitlines()[0])
    result = event["result"]
    assert result["summary"]["created"] == TABLES
    assert set(result) <= KEYS, "a followed task's result has more"
    assert list((folder / "remote").glob("*")) == []


@pytest.mark.parametrize("by", ["interrupt", "kill"])
def test_without_its_follower_a_module_ends(
    folder: Path, inventory: dict[str, Any], sides: dict[str, Any], plain_server: Server, by: str
) -> None:
    plain_server.execute(
        "moving_target",
        SLOW.format("PERFORM pg_catalog.pg_sleep(0.1);").replace("CREATE", "CREATE OR REPLACE", 1),
    )
    process, terminal = _started(folder, _play(sides), inventory)
    assert any(LINE.search(line) for _at, line in _lines(terminal)), "no line was shown"
    assert _building(plain_server) >= 1
    if by == "interrupt":
        os.write(terminal, b"\x03")
        process.send_signal(signal.SIGINT)
    else:
        for pid in (*_children(process.pid), process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 16
    while _building(plain_server) and time.monotonic() < until:
        time.sleep(0.3)
    assert _building(plain_server) == 0
    os.close(terminal)
    process.wait(timeout=10)


def _children(parent: int) -> list[int]:
    """Ansible's workers: direct children."""
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text("ascii").split()]


def test_check_mode_with_diff_is_as_without_a_terminal(folder: Path, sides: dict[str, Any]) -> None:
    play = _play(sides, check_mode=True, diff=True)
    process, terminal = _started(folder, play, LOCALHOST)
    shown = "\n".join(line for _at, line in _lines(terminal))
    assert process.wait(timeout=30) == 0, shown
    event = json.loads((folder / "events.jsonl").read_text("utf-8").splitlines()[0])
    quiet = run_playbook(play).results("timescale_post_data")[0]
    assert set(event["result"]) == set(quiet)
    assert event["result"]["diff"] == quiet["diff"]
    assert shown.count("+CREATE INDEX") == TABLES
    assert "steps done" not in shown


def test_async_stays_the_users_own(folder: Path, sides: dict[str, Any]) -> None:
    """A task that is started and left, in a terminal: nothing follows it, and nothing of ours stays behind."""
    play = _play({**sides, "progress": True}, **{"async": 60, "poll": 0, "register": "started"})
    status = {"jid": "{{ started.ansible_job_id }}"}
    wait = {"register": "ended", "until": "ended is finished", "retries": 60, "delay": 1}
    play[0]["tasks"] += [
        {"ansible.builtin.async_status": status, **wait},
        {"ansible.builtin.async_status": {**status, "mode": "cleanup"}},
    ]
    remote = folder / "remote"
    # Ansible's wrapper of async tasks does not quote the interpreter, and the checkout may lie behind a blank.
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    host = {
        **LOCALHOST["all"]["hosts"]["localhost"],
        "ansible_python_interpreter": str(python),
        "ansible_remote_tmp": str(remote),
        "ansible_async_dir": str(remote),
    }
    process, terminal = _started(folder, play, {"all": {"hosts": {"localhost": host}}})
    shown = "\n".join(line for _at, line in _lines(terminal))
    assert process.wait(timeout=30) == 0, shown
    assert "steps done" not in shown
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text("utf-8").splitlines()]
    assert [one["result"]["summary"] for one in events if "summary" in one.get("result", {})] == [{"created": TABLES}]
    until = time.monotonic() + 20  # Ansible's wrapper removes its own folder when it ends, after the job
    while list(remote.glob("*")) and time.monotonic() < until:
        time.sleep(0.1)
    assert list(remote.glob("*")) == []


def test_a_comparison_tells_its_slices(folder: Path, sides: dict[str, Any], plain_server: Server) -> None:
    """One table is locked: its slice is the one that runs while the others are done."""
    (folder / "follow").mkdir()
    with contextlib.closing(plain_server.connect("moving_target", autocommit=False)) as holder:
        with holder.cursor() as cursor:
            cursor.execute("LOCK TABLE public.t2")
        argv, text = module_command("timescale_verify", {**sides, "scope": ["rows"]})
        env = environment({FOLDER_VARIABLE: str(folder / "follow")})
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=ROOT)
        try:
            assert process.stdin is not None
            process.stdin.write(text)
            process.stdin.close()
            figures = _figures(folder / "follow" / STATUS)
        finally:
            holder.rollback()
            result = json.loads(process.stdout.read()) if process.stdout else {}
            process.wait(timeout=30)
    assert (figures["steps"], figures["done"]) == (2 * TABLES, 2 * TABLES - 1)
    assert [(one["object"], one["doing"]) for one in figures["running"]] == [("rows public.t2", "target")]
    assert 0 < figures["bytes_done"] < figures["bytes"]
    assert figures["left"] is not None
    assert "7 of 8 steps done" in line_of(figures)
    assert result["equal"], result
    assert "progress" not in set(result) - {"invocation"}


def _figures(status: Path) -> dict[str, Any]:
    """The status when one query is left."""
    figures: dict[str, Any] = {}
    until = time.monotonic() + 8  # the lock timeout is 10 s
    while time.monotonic() < until and figures.get("steps", 0) - figures.get("done", 0) != 1:
        time.sleep(0.1)
        with contextlib.suppress(OSError):
            figures = json.loads(status.read_text("utf-8"))
    return figures


def test_quiet_where_nobody_looks(sides: dict[str, Any], plain_server: Server) -> None:
    plain_server.execute(
        "moving_target", SLOW.format("PERFORM pg_catalog.pg_sleep(0.001);").replace("CREATE", "CREATE OR REPLACE", 1)
    )
    run = run_playbook(_play(sides))
    assert run.rc == 0, run.stdout
    assert "steps done" not in run.stdout + run.stderr
