# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL servers for tests: throwaway ones, started and removed here, or one that the user runs already.

    with start(find(15, "2.28.3")) as server:
        server.create_database("shop", extension_version="2.28.3")
        with server.connect("shop") as connection: ...

Passwords are random; every connection, TCP or socket, needs one (scram-sha-256).
"""

from __future__ import annotations

import atexit
import getpass
import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TypeVar

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import make_dsn, parse_dsn

from .installations import Installation, available, client_program, find

__all__ = ["GivenServer", "Server", "ThrowawayServer", "available", "client_program", "find", "start"]

ServerT = TypeVar("ServerT", bound="Server")
READY_AFTER = 60  # seconds
SETTINGS = {
    "autovacuum": "on",
    "fsync": "off",
    "full_page_writes": "off",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] %d %a ",
    "max_connections": "100",
    "max_locks_per_transaction": "256",
    "max_worker_processes": "64",
    "password_encryption": "scram-sha-256",
    "shared_buffers": "64MB",
}
TIMESCALE_SETTINGS = {
    "shared_preload_libraries": "timescaledb",
    "timescaledb.telemetry_level": "off",
    "timescaledb.max_background_workers": "32",
}
HBA = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\nlocal replication all scram-sha-256\n"


class Server:
    """How a server is reached, and what tests do with it."""

    def __init__(self, host: str, port: int, user: str, password: str, socket_dir: str = "") -> None:
        self.host = host
        self.port = port
        self.user = user
        self.socket_dir = socket_dir
        self.passwords = {user: password}
        self.more: dict[str, Any] = {}
        self.databases: list[str] = []
        self.roles: list[str] = []

    def parameters(self, db: str, user: str | None = None, *, by_socket: bool = False) -> dict[str, Any]:
        """The libpq keywords for a database."""
        name = user or self.user
        host = self.socket_dir if by_socket and self.socket_dir else self.host
        known = {"host": host, "port": self.port, "user": name, "password": self.passwords[name], "dbname": db}
        return {**self.more, **known}

    def dsn(self, db: str, user: str | None = None) -> str:
        """The libpq connection string for a database (it holds the password: never put it into an argv)."""
        return str(make_dsn(**self.parameters(db, user)))

    def connect(self, db: str, user: str | None = None, autocommit: bool = True) -> Connection:
        """Open a connection; each statement commits by itself unless ``autocommit`` is False."""
        opened: Connection = psycopg2.connect(**self.parameters(db, user, by_socket=True))
        opened.autocommit = autocommit
        return opened

    def login_vars(self, db: str, user: str | None = None) -> dict[str, Any]:
        """The connection options that the collection's modules take."""
        given = self.parameters(db, user)
        names = {"host": "host", "port": "port", "user": "user", "password": "password", "db": "dbname"}
        login = {f"login_{name}": given[keyword] for name, keyword in names.items()}
        return {**login, "connect_params": self.more} if self.more else login

    def child_env(self, db: str, user: str | None = None) -> dict[str, str]:
        """The environment for a client program: no ``PG*`` of the caller, the connection by ``PG*`` of its own."""
        given = self.parameters(db, user)
        names = {"dbname": "PGDATABASE"}
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        return {**clean, **{names.get(key, f"PG{key.upper()}"): str(value) for key, value in given.items()}}

    def execute(self, db: str, statement: str | sql.Composable, values: Any = None, user: str | None = None) -> Any:
        """Run one statement in a connection of its own and return its rows, or None where it has none."""
        opened = self.connect(db, user)
        try:
            with opened.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall() if cursor.description else None
        finally:
            opened.close()

    def create_role(self, name: str, attributes: str = "LOGIN") -> None:
        """Create a role with a random password, unless it is there and its password is known."""
        if name in self.passwords:
            return
        password = secrets.token_urlsafe(12)
        there = self.execute(self.maintenance_db, "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", (name,))
        verb = sql.SQL("ALTER ROLE" if there else "CREATE ROLE")
        clauses = (verb, sql.Identifier(name), sql.SQL(attributes), sql.SQL("PASSWORD"), sql.Literal(password))
        self.execute(self.maintenance_db, sql.SQL(" ").join(clauses))
        self.passwords[name] = password
        if not there:
            self.roles.append(name)

    def create_database(
        self, name: str, extension_version: str | None = None, owner: str | None = None, template: str | None = None
    ) -> str:
        """Create a database, with that version of TimescaleDB where one is named, and return its name."""
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        for keyword, value in (("OWNER", owner), ("TEMPLATE", template)):
            if value:
                statement += sql.SQL(f" {keyword} ") + sql.Identifier(value)
        self.execute(self.maintenance_db, statement)
        self.databases.append(name)
        if extension_version:
            create = sql.SQL("CREATE EXTENSION timescaledb VERSION {}").format(sql.Literal(extension_version))
            self.execute(name, create)
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, and end whatever is connected to it."""
        force = " WITH (FORCE)" if self.version >= 130000 else ""
        drop = sql.SQL("DROP DATABASE IF EXISTS {}" + force).format(sql.Identifier(name))
        self.execute(self.maintenance_db, drop)
        if name in self.databases:
            self.databases.remove(name)

    def stop_workers(self, db: str) -> None:
        """Stop TimescaleDB's scheduler in one database, until the server starts again."""
        found = "SELECT pronamespace::regnamespace::text FROM pg_proc WHERE proname = 'stop_background_workers'"
        schema = self.execute(db, found)[0][0]
        self.execute(db, sql.SQL("SELECT {}.stop_background_workers()").format(sql.Identifier(schema)))

    @property
    def maintenance_db(self) -> str:
        """A database that is always there."""
        return "postgres"

    @property
    def version(self) -> int:
        """The server's version as a number, 150004 for 15.4."""
        rows = self.execute(self.maintenance_db, "SELECT current_setting('server_version_num')::int")
        return int(rows[0][0])

    def stop(self) -> None:
        """Leave the server as it was found."""

    def __enter__(self: ServerT) -> ServerT:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()


class GivenServer(Server):
    """A server that the user runs already, named by a URI; ``stop`` drops the databases and roles made there."""

    def __init__(self, uri: str) -> None:
        given = parse_dsn(uri)
        self._database = given.get("dbname", "postgres")
        user = given.get("user", getpass.getuser())
        super().__init__(given.get("host", "localhost"), int(given.get("port", 5432)), user, given.get("password", ""))
        self.more = {key: value for key, value in given.items() if key not in self.parameters("")}

    @property
    def maintenance_db(self) -> str:
        return str(self._database)

    def timescaledb_version(self) -> str | None:
        """The version that ``CREATE EXTENSION timescaledb`` makes there."""
        question = "SELECT default_version FROM pg_catalog.pg_available_extensions WHERE name = 'timescaledb'"
        rows = self.execute(self.maintenance_db, question)
        return str(rows[0][0]) if rows else None

    def stop(self) -> None:
        for name in list(self.databases):
            self.drop_database(name)
        while self.roles:
            self.execute(self.maintenance_db, sql.SQL("DROP ROLE {}").format(sql.Identifier(self.roles.pop())))


class ThrowawayServer(Server):
    """A server of our own in a temporary folder; ``stop``, or the end of this process in any way, removes it."""

    def __init__(self, installation: Installation, *, scheduler: bool, settings: dict[str, str]) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="pgtest-"))
        self._os_user = other_user()
        self._hand_over(self.base)
        self.base.chmod(0o755)
        argv = [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py")), str(self.base), self._os_user]
        self._keeper = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/", start_new_session=True
        )
        atexit.register(self.stop)
        super().__init__("127.0.0.1", free_port(), "postgres", secrets.token_urlsafe(12), str(self.base))
        self.scheduler = scheduler
        try:
            self.installation = self._runnable(installation)
            self._initdb(settings)
            self.start()
        except BaseException:
            self.stop()
            raise

    @property
    def logfile(self) -> Path:
        """The server's log."""
        return self.base / "server.log"

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            RuntimeError: it did not start; the text ends with the log's last lines.
        """
        self._tell("start", argv=[self.installation.program("postgres"), "-D", str(self.base / "data")])
        until = time.monotonic() + READY_AFTER
        while True:
            try:
                return self.connect(self.maintenance_db).close()
            except psycopg2.OperationalError as err:
                if time.monotonic() > until or self._tell("look")["rc"] != 0:
                    raise RuntimeError(f"{self.installation} did not start: {err}\n{self._log_tail()}") from err
            time.sleep(0.05)

    def restart(self, mode: str = "fast") -> None:
        """Stop the server (``smart``, ``fast`` or ``immediate``) and start it again."""
        self._tell("stop", mode=mode)
        self.start()

    def halt(self, mode: str = "fast") -> None:
        """Stop the server but keep its data; ``start`` brings it back."""
        self._tell("stop", mode=mode)

    def stop(self) -> None:
        """Stop the server and remove all of it. A second call does nothing."""
        atexit.unregister(self.stop)
        if self._keeper.stdin and not self._keeper.stdin.closed:
            self._keeper.stdin.close()
        self._keeper.wait()
        if self._keeper.stdout:
            self._keeper.stdout.close()

    def _hand_over(self, path: Path) -> None:
        if self._os_user:
            os.chown(path, pwd.getpwnam(self._os_user).pw_uid, -1)

    def _tell(self, do: str, **more: Any) -> dict[str, Any]:
        """Give the keeper one command and wait for its answer."""
        stdin, stdout = self._keeper.stdin, self._keeper.stdout
        if stdin is None or stdout is None or stdin.closed:
            raise RuntimeError("this server has been removed")
        stdin.write(json.dumps({"do": do, **more}) + "\n")
        stdin.flush()
        answer: dict[str, Any] = json.loads(stdout.readline())
        return answer

    def _runnable(self, installation: Installation) -> Installation:
        """The installation, or a copy of it where the other user may not reach it (a private home, say)."""
        probe = [installation.program("initdb"), "--version"]
        if self._tell("run", argv=probe)["rc"] == 0:
            return installation
        root = installation.bindir.parent
        place = self.base / "programs" / root.parent.name
        shutil.copytree(root, place / root.name, symlinks=True)
        libraries = root.parent.with_name(f"{root.parent.name}.libs")  # where a pip package keeps shared libraries
        if libraries.is_dir():
            shutil.copytree(libraries, place.with_name(libraries.name), symlinks=True)
        copied = Installation(place / root.name / "bin", installation.version, installation.timescaledb)
        answer = self._tell("run", argv=[copied.program("initdb"), "--version"])
        if answer["rc"] != 0:
            raise RuntimeError(f"the user {self._os_user} can run neither {root} nor a copy of it: {answer['output']}")
        return copied

    def _initdb(self, settings: dict[str, str]) -> None:
        """Make the data folder and write the configuration."""
        data, secret = self.base / "data", self.base / "secret"
        secret.touch(mode=0o600)
        secret.write_text(self.passwords["postgres"] + "\n", encoding="utf-8")
        self._hand_over(secret)
        options = ["--username=postgres", f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        argv = [self.installation.program("initdb"), f"--pgdata={data}", "--no-sync", *options]
        answer = self._tell("run", argv=argv)
        secret.unlink()
        if answer["rc"] != 0:
            raise RuntimeError(f"initdb of {self.installation} failed: {answer['output']}")
        wanted = {**SETTINGS, "port": str(self.port), "listen_addresses": self.host}
        wanted["unix_socket_directories"] = self.socket_dir
        if self.installation.timescaledb:
            wanted.update(TIMESCALE_SETTINGS)
            if not self.scheduler:
                wanted["timescaledb.max_background_workers"] = "0"
        lines = [f"{name} = '{value}'\n" for name, value in {**wanted, **settings}.items()]
        with open(data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.writelines(lines)
        (data / "pg_hba.conf").write_text(HBA, encoding="utf-8")

    def _log_tail(self) -> str:
        lines = self.logfile.read_text(errors="replace").splitlines() if self.logfile.exists() else []
        return "\n".join(lines[-20:])


def start(installation: Installation, *, scheduler: bool = True, **settings: str) -> ThrowawayServer:
    """Start a throwaway server.

    Args:
        installation: whose programs to run.
        scheduler: whether TimescaleDB's scheduler runs jobs by itself. Without it a job is only run by ``run_job``.
        settings: more lines for ``postgresql.conf``.
    """
    return ThrowawayServer(installation, scheduler=scheduler, settings=settings)


def other_user() -> str:
    """The user that runs the server: nobody else, unless we are root, as which PostgreSQL refuses to run."""
    if os.geteuid() != 0:
        return ""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody to run it")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
