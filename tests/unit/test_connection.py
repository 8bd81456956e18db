# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options -> libpq keywords, versions, and what a service file can hold."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dbops.timescale.plugins.module_utils._clients import find_client, service_file
from ansible_collections.dbops.timescale.plugins.module_utils._connection import Database, libpq_parameters
from ansible_collections.dbops.timescale.plugins.module_utils._errors import BadInput
from ansible_collections.dbops.timescale.plugins.module_utils._versions import Timescale, postgres_major


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"login_db": "d", "login_host": "", "login_port": 5432}, {"dbname": "d", "port": "5432"}),
        ({"login_db": "d", "login_host": "localhost", "login_unix_socket": "/s"}, {"dbname": "d", "host": "/s"}),
        ({"login_db": "d", "login_host": "db1", "login_unix_socket": "/s"}, {"dbname": "d", "host": "db1"}),
        ({"ca_cert": "/c", "ssl_mode": "verify-full"}, {"sslrootcert": "/c", "sslmode": "verify-full"}),
        ({"login_db": "d", "ssl_mode": "prefer"}, {"dbname": "d"}),
        (
            {"login_port": 5432, "login_user": "postgres", "connect_params": {"service": "s"}},
            {"service": "s"},
        ),
        (
            {"login_port": 5433, "login_user": "u", "connect_params": {"service": "s"}},
            {"service": "s", "port": "5433", "user": "u"},
        ),
        (
            {"login_user": "u", "connect_params": {"dsn": "postgresql://a:1,b:2/d%20b"}},
            {"user": "u", "host": "a,b", "port": "1,2", "dbname": "d b"},
        ),
        ({"login_host": "h", "connect_params": {"dsn": "host=a user=u", "user": "v"}}, {"host": "a", "user": "v"}),
        ({"login_port": 1, "connect_params": {"port": 2, "keepalives": 1}}, {"port": "2", "keepalives": "1"}),
    ],
)
def test_libpq_parameters(options: dict[str, Any], expected: dict[str, str]) -> None:
    assert libpq_parameters(options) == expected


MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@pytest.mark.parametrize("asked", MODES)
@pytest.mark.parametrize("also", MODES)
def test_connect_params_do_not_weaken_ssl_mode(asked: str, also: str) -> None:
    """The default, prefer, is no demand."""
    weaker = MODES.index(also) < MODES.index(asked) and asked != "prefer" and asked != "allow"
    for params in ({"sslmode": also}, {"dsn": f"postgresql://h/d?sslmode={also}"}, {"dsn": f"host=h sslmode={also}"}):
        options = {"login_db": "d", "ssl_mode": asked, "connect_params": params}
        if weaker:
            with pytest.raises(BadInput, match=f"source's connect_params ask for sslmode {also}, .* ssl_mode {asked}"):
                libpq_parameters(options, "source")
        else:
            assert libpq_parameters(options, "source")["sslmode"] == also


@pytest.mark.parametrize(("text", "version"), [("2.28.3", (2, 28, 3)), ("2.30.0-dev", (2, 30, 0)), ("2.9", (2, 9, 0))])
def test_timescale_versions(text: str, version: tuple[int, int, int]) -> None:
    assert Timescale.parse(text) == version


def test_versions_compare_as_numbers() -> None:
    assert Timescale.parse("2.9.3") < Timescale.parse("2.11.2")
    assert postgres_major(150018) == 15


def _database(**parameters: str) -> Database:
    return Database("source", parameters, "", "dbops.timescale/test", None)


def test_the_service_file_is_private_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "of the target")
    with service_file(_database(host="h", dbname="d b", password="p=w#;'")) as environment:
        path = Path(environment["PGSERVICEFILE"])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert path.read_text(encoding="utf-8") == "[dbops]\ndbname=d b\nhost=h\npassword=p=w#;'\n"
        assert "PGPASSWORD" not in environment
    assert not path.parent.exists()


@pytest.mark.parametrize("password", [" leading", "trailing ", "two\nlines"])
def test_what_a_service_file_cannot_hold_is_refused_without_showing_it(password: str) -> None:
    with pytest.raises(BadInput) as caught, service_file(_database(password=password)):
        pass
    assert password not in str(caught.value)
    assert "password" in str(caught.value)


def test_an_old_client_is_named(tmp_path: Path) -> None:
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 11.22'\n", encoding="utf-8")
    os.chmod(program, 0o755)
    with pytest.raises(BadInput, match=r"PostgreSQL 15 or later is needed.*\(11\)"):
        find_client("pg_dump", 15, folder=str(tmp_path))
    assert find_client("pg_dump", 11, folder=str(tmp_path)).major == 11
