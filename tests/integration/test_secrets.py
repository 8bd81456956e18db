# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A password is only where it must be: not in a process, an output, a log, a cache, a report or an open file."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from psycopg2 import sql

from tests.support.playbook import COLLECTIONS, ROOT, PlaybookRun, run_module, run_playbook
from tests.support.pool import Sample
from tests.support.servers import Server, ThrowawayServer

# Its parts are looked for too, so that an escaped or quoted form is found as well.
SECRETS = ("Xq7/never'shown-Zk2", "Tb4%never:shown-Yw9")
PARTS = ("never'shown-Zk2", "never:shown-Yw9", "shown-Zk2", "shown-Yw9")
WRONG = "Pf6-never-right-Mv3"
PLAYBOOK = "dbops.timescale.migrate"
JOURNAL = '''
"""Stands in for the journal of systemd: what a module logs is kept in a file."""
import json, os
def sendv(*fields):
    with open(os.environ["TEST_JOURNAL"], "a", encoding="utf-8") as file:
        file.write(repr(fields))
def send(**fields):
    sendv(fields)
'''


class _Watch(threading.Thread):
    """Samples every process's arguments and environment, and every new file that holds a secret."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.commands: set[str] = set()
        self.leaks: set[str] = set()
        self.files: dict[str, tuple[int, int]] = {}
        self.done = threading.Event()
        self._old = set(self._paths())

    def run(self) -> None:
        while not self.done.wait(0.01):
            for process in Path("/proc").glob("[0-9]*"):
                for what in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        self._look(what, (process / what).read_bytes())
            for path in set(self._paths()) - self._old:
                with contextlib.suppress(OSError):
                    if _holds(path.read_bytes()):
                        modes = path.stat().st_mode, path.parent.stat().st_mode
                        self.files[str(path)] = (stat.S_IMODE(modes[0]), stat.S_IMODE(modes[1]))

    def _look(self, what: str, content: bytes) -> None:
        text = content.replace(b"\0", b" ").decode(errors="replace")
        if what == "cmdline":
            self.commands.add(text)
        if _holds(content):
            self.leaks.add(f"{what}: {text}")

    def _paths(self) -> Iterator[Path]:
        """Files of runs: in the temporary folder (not those of servers) and in Ansible's own."""
        for place in (Path(tempfile.gettempdir()), self.folder):
            for name in place.iterdir():
                if name.name.startswith(("dbops-", "ansible", "playbook-", "remote")) and name.is_dir():
                    yield from (path for path in name.rglob("*") if path.is_file())


def _holds(content: bytes) -> bool:
    return any(part.encode() in content for part in (*SECRETS, *PARTS, WRONG))


@contextlib.contextmanager
def _password(server: Server, role: str, password: str) -> Iterator[None]:
    """A superuser of that name for a while."""
    server.create_role(role, "LOGIN SUPERUSER")
    alter = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
    server.execute(server.maintenance_db, alter)
    server.passwords[role] = password
    yield


@pytest.fixture
def journal(tmp_path: Path) -> dict[str, str]:
    """An environment in which modules find a journal to log to."""
    package = tmp_path / "python" / "systemd"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "journal.py").write_text(JOURNAL, encoding="utf-8")
    (package / "daemon.py").write_text("def booted():\n    return True\n", encoding="utf-8")
    (tmp_path / "journal").touch()
    path = os.pathsep.join((str(package.parent), str(COLLECTIONS), str(ROOT)))
    return {"PYTHONPATH": path, "TEST_JOURNAL": str(tmp_path / "journal")}


@contextlib.contextmanager
def _logged(server: Server, *databases: str) -> Iterator[list[str]]:
    """Every statement and every login of those databases is in the log, which is in the list afterwards."""
    texts: list[str] = []
    names = [sql.Identifier(db) for db in databases]
    for name in names:
        server.execute("postgres", sql.SQL("ALTER DATABASE {} SET log_statement = 'all'").format(name))
    began = server.logfile.stat().st_size if isinstance(server, ThrowawayServer) else 0
    yield texts
    if isinstance(server, ThrowawayServer):
        texts.append(server.logfile.read_bytes()[began:].decode(errors="replace"))


def _run(sample: Sample, folder: Path, env: dict[str, str], *arguments: str, **more: Any) -> PlaybookRun:
    """A role of the target by login_password, another of the source by a URI that holds its password."""
    source, target = sample.source, sample.target
    uri = (
        f"postgresql://secret_source:{quote(source.passwords['secret_source'], safe='')}"
        f"@{source.host}:{source.port}/{sample.source_db}"
    )
    target_login = target.login_vars(sample.target_db, "secret_target")
    variables = {
        "timescale_migrate_hosts": "localhost",
        "timescale_migrate_target": target_login,
        "timescale_migrate_source": {"login_db": sample.source_db, "connect_params": {"dsn": uri}},
        "timescale_migrate_report_dir": str(folder / "reports"),
        **more,
    }
    settings = {
        "ANSIBLE_CACHE_PLUGIN": "jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(folder / "facts"),
        "ANSIBLE_LOG_PATH": str(folder / "ansible.log"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "ansible-local"),
        "ANSIBLE_REMOTE_TEMP": str(folder / "remote"),
        "ANSIBLE_INJECT_FACT_VARS": "True",
    }
    return run_playbook(PLAYBOOK, *arguments, variables=variables, env={**env, **settings})


def _written(folder: Path) -> list[str]:
    """The files that runs left behind and that hold a secret."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and _holds(path.read_bytes())]


def test_a_whole_run_shows_no_password(plain_sample: Sample, tmp_path: Path, journal: dict[str, str]) -> None:
    server = plain_sample.target
    watch = _Watch(tmp_path)
    with (
        _password(server, "secret_target", SECRETS[0]),
        _password(server, "secret_source", SECRETS[1]),
        _logged(server, plain_sample.source_db, plain_sample.target_db) as log,
    ):
        watch.start()
        try:
            run = _run(plain_sample, tmp_path, journal, "-vvvv", "--diff")
        finally:
            watch.done.set()
            watch.join()
    assert run.rc == 0, [event.result.get("msg") for event in run.failures()]
    assert not _holds((run.stdout + run.stderr).encode())
    assert not _holds(repr(run.events).encode())
    assert any("pg_dump" in line for line in watch.commands), "the samples were too coarse to see anything"
    assert watch.leaks == set()
    assert watch.files, "no file held a password: the samples were too coarse"
    opened = {path: modes for path, modes in watch.files.items() if modes[0] & 0o077 and modes[1] & 0o077}
    assert opened == {}
    assert "pg_catalog" in "".join(log)
    assert not _holds("".join(log).encode())
    text = (tmp_path / "journal").read_text(encoding="utf-8")
    assert "login_password" in text
    assert "timescale_post_data" in text
    assert (tmp_path / "reports" / "index.html").exists()
    assert (tmp_path / "ansible.log").exists()
    assert _written(tmp_path) == []


def test_errors_show_no_password(plain_sample: Sample, tmp_path: Path, journal: dict[str, str]) -> None:
    """The server refuses it, for each way in which it can be given."""
    login = plain_sample.login()
    bare = {key: value for key, value in login.items() if key != "login_password"}
    where = f"{plain_sample.target.host}:{plain_sample.target.port}/{plain_sample.target_db}"
    ways: list[dict[str, Any]] = [
        {**login, "login_password": WRONG},
        {**bare, "connect_params": {"password": WRONG}},
        {**bare, "connect_params": {"dsn": f"postgresql://sensor_admin:{WRONG}@{where}"}},
        {**bare, "connect_params": {"password": WRONG, "no_such_keyword": WRONG}},
        {**bare, "connect_params": {"dsn": f"postgresql://sensor_admin:{WRONG}@{where}?no_such_keyword=1"}},
        {**bare, "connect_params": f"password={WRONG}"},
        {**bare, "connect_params": {"passwrd": WRONG}},
        {**login, "source": {**login["source"], "login_password": WRONG}},
        {**login, "source": {**login["source"], "connect_params": {"password": WRONG}}},
    ]
    with _logged(plain_sample.target, plain_sample.target_db) as log:
        for options in ways:
            result = run_module("timescale_post_data", options, env=journal)
            assert result.get("failed"), options
            assert not _holds(repr(result).encode()), result
    assert not _holds("".join(log).encode())
    assert _written(tmp_path) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"timescale_migrate_target": f"postgresql://u:{WRONG}@h/d"},
        {"timescale_migrate_target": {"login_db": "d", "login_password": WRONG, "ssl_mode": "strong"}},
        {"timescale_migrate_target": {"login_password": WRONG}},
        {"timescale_migrate_source": {"login_db": "d", "login_host": "h", "login_password": WRONG, "login_prt": 1}},
        {"timescale_migrate_source": {"login_db": "d", "login_password": [WRONG], "login_port": WRONG}},
    ],
    ids=["a URI", "a mode", "no database", "an unknown option", "wrong types"],
)
def test_variables_that_do_not_fit_show_no_password(
    plain_sample: Sample, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    for role in ("secret_source", "secret_target"):
        plain_sample.target.create_role(role)
    run = _run(plain_sample, tmp_path, {}, "-vvvv", "--tags=preflight", **wrong)
    assert run.rc != 0
    assert not _holds((run.stdout + run.stderr).encode())
    assert not _holds(repr(run.events).encode())
    assert _written(tmp_path) == []
