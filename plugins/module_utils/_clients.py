# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""PostgreSQL's client programs (pg_dump): finding them, and handing them a connection without showing a secret."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
import subprocess
import tempfile
import typing as t

from ._connection import Database
from ._errors import BadInput, TimescaleError
from ._versions import postgres_major

__all__ = ["Client", "find_client", "run_client", "service_file"]

SERVICE = "dbops"
# What libpq says of keywords that came after PostgreSQL 12 and were not given: an older program does not know them.
_NOT_GIVEN = {
    "channel_binding": "prefer",
    "gssdelegation": "0",
    "load_balance_hosts": "disable",
    "max_protocol_version": "",
    "min_protocol_version": "",
    "ssl_max_protocol_version": "",
    "ssl_min_protocol_version": "TLSv1.2",
    "sslcertmode": "allow",
    "sslnegotiation": "postgres",
    "sslsni": "1",
}
_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
)


class Client(t.NamedTuple):
    """A program and its major version."""

    path: str
    major: int


def find_client(name: str, minimum: int, *, folder: str = "") -> Client:
    """Find a client program that can read a server of a major version.

    The closest version that is new enough wins: an older one is refused by the program itself, a much newer
    one writes syntax that an old target may not know (PostgreSQL manual, pg_dump notes).

    :param name: pg_dump and the like.
    :param minimum: the server's major version.
    :param folder: look here only.
    :raises BadInput: none is found, or all are too old.
    """
    asked: set[Client] = set()
    # One whose folder bears the version first: none can fit better, so the others need not be asked.
    for path in sorted(_candidates(name, folder), key=lambda path: str(minimum) not in path):
        asked.update(_asked(path))
        exact = next((client for client in asked if client.major == minimum), None)
        if exact is not None:
            return exact
    found = sorted(asked, key=lambda client: client.major)
    fit = [client for client in found if client.major >= minimum]
    if fit:
        return fit[0]
    seen = ", ".join(f"{client.path} ({client.major})" for client in found) or "none at all"
    raise BadInput(
        f"{name} of PostgreSQL {minimum} or later is needed on the host that runs the module; found: {seen}.",
        hint=f"Install the package postgresql-client-{minimum}, or name its folder in client_path.",
    )


def _candidates(name: str, folder: str) -> list[str]:
    if folder:
        return [os.path.join(folder, name)]
    on_path = shutil.which(name)
    paths = [os.path.join(place, name) for pattern in _FOLDERS for place in sorted(glob.glob(pattern))]
    return ([on_path] if on_path else []) + paths


def _asked(path: str) -> list[Client]:
    try:
        # AnsibleModule.run_command is not at hand below the edge; argv is a list and no shell is involved.
        told = subprocess.run(  # pylint: disable=ansible-bad-function
            [path, "--version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    version = re.search(r"(\d+)(?:\.\d+|\w*)", told)
    return [Client(path, int(version.group(1)))] if version else []


@contextlib.contextmanager
def service_file(database: Database) -> t.Iterator[dict[str, str]]:
    """Write every connection keyword of a database to a private service file and give the child's environment.

    The file has mode 0600 in a folder of mode 0700 and is removed at the end. Nothing else of the environment that
    steers libpq reaches the child.

    :raises BadInput: a value that a service file cannot hold (libpq manual, 34.17: one line, no blanks around it).
    """
    keywords = dict(database.parameters)
    if "service" in keywords:
        # A service file cannot name another service: take what the live connection made of it.
        told = database.connection.info.dsn_parameters
        keywords = {**{key: value for key, value in told.items() if _NOT_GIVEN.get(key) != value}, **keywords}
        keywords.pop("service")
        keywords.setdefault("password", database.connection.info.password or "")
    lines = [f"{key}={_checked(key, value, database.side)}" for key, value in sorted(keywords.items()) if value != ""]
    folder = tempfile.mkdtemp(prefix="dbops-")
    try:
        path = os.path.join(folder, "service.conf")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join([f"[{SERVICE}]", *lines, ""]))
        child = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        yield {**child, "PGSERVICEFILE": path, "PGSERVICE": SERVICE, "PGAPPNAME": database.application, "LC_ALL": "C"}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _checked(key: str, value: str, side: str) -> str:
    if "\n" in value or "\r" in value or value != value.strip():
        raise BadInput(
            f"The {side}'s {key} begins or ends with a blank or holds a line break, which no service file can hold.",
            hint="Change the value, or make the dump yourself and give it as dump_file.",
        )
    return value


def run_client(client: Client, arguments: t.Sequence[str], database: Database) -> None:
    """Run a client program against a database; killed with us.

    :param arguments: argv after the program; never a secret.
    :raises TimescaleError: the program failed; its own words are in the message.
    """
    role = ["--role", database.session_role] if database.session_role else []
    with service_file(database) as environment:
        argv = [client.path, "--no-password", *role, *arguments]
        # As above; and the child must die with us, which run_command does not see to.
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            _nothing, said = process.communicate()
        except BaseException:
            process.kill()
            process.wait()
            raise
    if process.returncode:
        name = os.path.basename(client.path)
        raise TimescaleError(
            f"{name} of the {database.side} failed (exit code {process.returncode}): {said.strip()[-2000:]}",
            hint=_remedy(said, database, client),
        )


def _remedy(said: str, database: Database, client: Client) -> str:
    if "server version mismatch" in said:
        return f"Install client programs of PostgreSQL {postgres_major(database.server_version)} or later."
    if "invalid connection option" in said or "syntax error in service file" in said:
        return f"The libpq of {client.path} does not know one of the {database.side}'s connect_params: remove it."
    if "not compiled in" in said:
        return "Name the folder of a pg_dump that was built with TLS in client_path, or install one."
    if "permission denied" in said:  # the server's word: in another language the general hint below must do
        return f"Grant the {database.side}'s role pg_read_all_data (PostgreSQL 14), or USAGE and SELECT."
    if "LOCK TABLE" in said:
        return f"If a session of the {database.side} keeps a table locked, wait until it ends or raise lock_timeout."
    return "See the message of the program above."
