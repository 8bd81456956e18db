# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to a server: TLS in every strength, for our sessions and for pg_dump, and the other ways libpq knows."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.certificates import Authority, speak_tls, with_tls
from tests.support.installations import available, client_program
from tests.support.playbook import run_module
from tests.support.pool import Pool, Sample
from tests.support.servers import Server, ThrowawayServer, start

# Roles by how they may come in over TCP.
WITH_CERTIFICATE, ONLY_TLS, ANY_WAY = "with_certificate", "only_tls", "any_way"
HBA = f"""
local all all scram-sha-256
hostssl all {WITH_CERTIFICATE} all scram-sha-256 clientcert=verify-full
hostssl all {ONLY_TLS} all scram-sha-256
hostnossl all {WITH_CERTIFICATE},{ONLY_TLS} all reject
host all all all scram-sha-256
"""
MODULES = ("timescale_preflight", "timescale_post_data", "timescale_verify", "postgres_analyze", "timescale_info")
DUMPING = ("timescale_post_data", "timescale_verify")
ONE_SIDED = ("postgres_analyze", "timescale_info")
Options = dict[str, Any]


class Secured:
    """A server that speaks TLS under the name ``localhost``, a plain sample on it, and the files of both parties."""

    def __init__(self, server: ThrowawayServer, folder: Path) -> None:
        self.server = server
        self.authority = Authority(folder, "ours")
        self.stranger = Authority(folder, "others")
        self.certificate = self.authority.issue("server", ("localhost",))
        self.expired = self.authority.issue("server", ("localhost",), days=-1)
        self.client = self.authority.issue(WITH_CERTIFICATE)
        self.foreign_client = self.stranger.issue(WITH_CERTIFICATE + "-by-others")
        self.other_client = self.authority.issue("somebody_else")
        self.sample: Sample

    def options(self, user: str = ONLY_TLS, **more: Any) -> Options:
        """What both sides are given: verify-full, which the further options can change."""
        login = {"ssl_mode": "verify-full", "ca_cert": str(self.authority.root), "login_host": "localhost", **more}
        sides = [{**self.server.login_vars(db, user), **login} for db in (self.sample.source_db, self.sample.target_db)]
        return {**sides[1], "source": sides[0]}

    def logins(self, since: int) -> list[str]:
        """The server log's lines of sessions that came in over TCP, from that byte on."""
        time.sleep(0.1)
        text = self.server.logfile.read_bytes()[since:].decode()
        return [line for line in text.splitlines() if "connection authorized:" in line]


@pytest.fixture(scope="module")
def tls(servers: Pool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    installation = next((one for one in available() if with_tls(one)), None)
    if installation is None:
        pytest.skip("no server that was built with TLS is installed: TLS was not tested")
    settings = {"autovacuum": "off", "log_connections": "on", "listen_addresses": "127.0.0.1,::1"}
    with start(installation, scheduler=False, **settings) as server:
        made = Secured(server, tmp_path_factory.mktemp("certificates"))
        speak_tls(server, made.certificate, made.authority.root, HBA)
        for role in (WITH_CERTIFICATE, ONLY_TLS, ANY_WAY):
            server.create_role(role, "LOGIN SUPERUSER")
        made.sample = servers.plain_pair(server)
        yield made


@pytest.fixture
def clear(tls: Secured) -> Sample:
    """The same for tests of other things than TLS."""
    return tls.sample


def accepted(options: Options, module: str = "timescale_post_data", **env: str) -> dict[str, Any]:
    """Foresee the move: our sessions to both sides, and pg_dump to the source."""
    result = run_module(module, options, check=True, env=env)
    assert not result.get("failed"), result["msg"]
    if module == "timescale_post_data":
        assert result["queries"]
    return result


def refused(options: Options, *told: str, side: str = "target", **env: str) -> dict[str, Any]:
    result = run_module("timescale_post_data", options, env=env)
    assert result.get("failed"), "it went on"
    assert result["changed"] is False
    assert f"Cannot connect to the {side} (" in result["msg"]
    for text in told:
        assert text in result["msg"], result["msg"]
    assert "traceback" not in str(result).lower()
    return result


def refused_on_both(tls: Secured, options: Options, right: Options, *told: str) -> None:
    """The options are refused for the target, and for the source where the target's are right."""
    message = refused(options, *told)["msg"]
    assert "ssl_mode, ca_cert, ssl_cert, ssl_key" in message
    refused({**right, "source": options["source"]}, *told, side="source")


# -- the server's certificate ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_every_module_speaks_tls(tls: Secured, module: str) -> None:
    """The role may come in without TLS; each session and each pg_dump uses it all the same."""
    options = tls.options(ANY_WAY)
    began = tls.server.logfile.stat().st_size
    accepted({key: value for key, value in options.items() if key != "source" or module not in ONE_SIDED}, module)
    logins = [line for line in tls.logins(began) if f"user={ANY_WAY}" in line]
    assert [line for line in logins if "SSL enabled" not in line] == []
    assert any("application_name=dbops.timescale/" in line for line in logins) is (module in DUMPING)


def test_without_tls_when_told(tls: Secured) -> None:
    """The reading of the log above can fail."""
    began = tls.server.logfile.stat().st_size
    accepted(tls.options(ANY_WAY, ssl_mode="disable"))
    assert any("SSL enabled" not in line for line in tls.logins(began) if f"user={ANY_WAY}" in line)
    refused(tls.options(ssl_mode="disable"), "pg_hba.conf rejects connection", "no encryption")


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_an_authority_that_did_not_sign(tls: Secured, mode: str) -> None:
    """With a file of authorities, require checks as verify-ca does (libpq manual, 34.19.1)."""
    wrong = tls.options(ssl_mode=mode, ca_cert=str(tls.stranger.root))
    refused_on_both(tls, wrong, tls.options(), "certificate verify failed")


def test_a_certificate_of_another_host(tls: Secured) -> None:
    wrong = tls.options(login_host="127.0.0.1")
    refused_on_both(tls, wrong, tls.options(), 'does not match host name "127.0.0.1"')
    for enough in ("verify-ca", "require"):
        accepted(tls.options(login_host="127.0.0.1", ssl_mode=enough))


@contextlib.contextmanager
def _certificate(tls: Secured, certificate: tuple[Path, Path]) -> Iterator[None]:
    """The server has that certificate for a while."""
    try:
        speak_tls(tls.server, certificate, tls.authority.root, HBA)
        time.sleep(0.2)
        yield
    finally:
        speak_tls(tls.server, tls.certificate, tls.authority.root, HBA)
        time.sleep(0.2)


def test_a_certificate_that_has_expired(tls: Secured) -> None:
    with _certificate(tls, tls.expired):
        for mode in ("require", "verify-ca", "verify-full"):
            refused(tls.options(ssl_mode=mode), "certificate verify failed")
    accepted(tls.options())


def test_a_server_without_tls(tls: Secured) -> None:
    told = "server does not support SSL, but SSL was required"
    try:
        tls.server.execute("postgres", "ALTER SYSTEM SET ssl = off")
        tls.server.execute("postgres", "SELECT pg_reload_conf()")
        time.sleep(0.2)
        for mode in ("require", "verify-ca", "verify-full"):
            refused(tls.options(ANY_WAY, ssl_mode=mode), told)
        accepted(tls.options(ANY_WAY, ssl_mode="prefer"))
    finally:
        speak_tls(tls.server, tls.certificate, tls.authority.root, HBA)
        time.sleep(0.2)


# -- the client's certificate ----------------------------------------------------------------------------------------


def _with_client(tls: Secured, files: tuple[Path, Path], **more: Any) -> Options:
    return tls.options(WITH_CERTIFICATE, ssl_cert=str(files[0]), ssl_key=str(files[1]), **more)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (lambda _tls: None, "connection requires a valid client certificate"),
        (lambda tls: tls.foreign_client, "alert unknown ca"),
        (lambda tls: tls.other_client, f'authentication failed for user "{WITH_CERTIFICATE}"'),
    ],
    ids=["none", "of another authority", "of another role"],
)
def test_a_client_certificate_that_does_not_do(
    tls: Secured, files: Callable[[Secured], tuple[Path, Path] | None], told: str
) -> None:
    chosen = files(tls)
    wrong = _with_client(tls, chosen) if chosen else tls.options(WITH_CERTIFICATE)
    refused_on_both(tls, wrong, tls.options(), told)


def test_a_key_that_others_can_read(tls: Secured, tmp_path: Path) -> None:
    key = tmp_path / "open.key"
    key.write_bytes(tls.client[1].read_bytes())
    key.chmod(0o644)
    refused(_with_client(tls, (tls.client[0], key)), f'private key file "{key}" has group or world access')


@pytest.mark.parametrize("option", ["ca_cert", "ssl_cert", "ssl_key"])
@pytest.mark.parametrize("side", ["target", "source"])
def test_a_file_that_is_missing_is_no_file_left_out(tls: Secured, option: str, side: str) -> None:
    """libpq would go on: with require it would check nothing, and send no certificate."""
    right = tls.options(ssl_mode="require")
    wrong = {option: "/no/such/file"}
    options = {**right, **wrong} if side == "target" else {**right, "source": {**right["source"], **wrong}}
    result = run_module("timescale_post_data", options)
    assert result["failed"]
    assert f"The {side}'s {option} /no/such/file is not there." in result["msg"]


# -- ssl_mode is never weakened --------------------------------------------------------------------------------------


def test_connect_params_do_not_weaken_ssl_mode(tls: Secured) -> None:
    """All pairs of modes: tests/unit/test_connection.py."""
    result = run_module("timescale_post_data", tls.options(connect_params={"sslmode": "require"}))
    assert result["failed"]
    told = "The source's connect_params ask for sslmode require, which is weaker than ssl_mode verify-full."
    assert told in result["msg"]


def test_the_default_does_not_weaken_the_environment_or_a_service(tls: Secured, tmp_path: Path) -> None:
    """The address is not the certificate's: who checks names must refuse."""
    login = tls.options(login_host="127.0.0.1", ssl_mode="prefer")
    accepted(login)
    refused(login, "does not match host name", PGSSLMODE="verify-full")
    service = tmp_path / ".pg_service.conf"
    service.write_text("[strict]\nsslmode=verify-full\n", encoding="utf-8")
    strict = {"connect_params": {"service": "strict"}}
    refused({**login, **strict}, "does not match host name", HOME=str(tmp_path))
    refused(
        {**login, "source": {**login["source"], **strict}},
        "does not match host name",
        side="source",
        HOME=str(tmp_path),
    )


@pytest.fixture
def recorder(tls: Secured, tmp_path: Path) -> Path:
    """A folder with a pg_dump that first writes down its service file."""
    program = client_program("pg_dump", tls.server.version // 10000)
    script = tmp_path / "pg_dump"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] || cat "$PGSERVICEFILE" >{tmp_path}/given\nexec {program} "$@"\n',
        encoding="utf-8",
    )
    script.chmod(0o755)
    return tmp_path


def _given(recorder: Path) -> dict[str, str]:
    lines = (recorder / "given").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_pg_dump_is_given_all_of_it(tls: Secured, recorder: Path) -> None:
    options = _with_client(tls, tls.client, connect_params={"channel_binding": "require"})
    accepted({**options, "client_path": str(recorder)})
    given = _given(recorder)
    assert {key: given[key] for key in ("sslmode", "sslrootcert", "sslcert", "sslkey", "channel_binding")} == {
        "sslmode": "verify-full",
        "sslrootcert": str(tls.authority.root),
        "sslcert": str(tls.client[0]),
        "sslkey": str(tls.client[1]),
        "channel_binding": "require",
    }


def test_a_pg_dump_without_tls_is_refused(tls: Secured) -> None:
    """It would be a dump in clear text."""
    wanted = tls.server.version // 10000
    installation = next((one for one in available() if with_tls(one) is False and one.major >= wanted), None)
    if installation is None:
        pytest.skip("every pg_dump here was built with TLS: one without was not tested")
    options = {**tls.options(ANY_WAY), "client_path": str(installation.bindir)}
    result = run_module("timescale_post_data", options)
    assert result["failed"]
    assert "pg_dump of the source failed" in result["msg"]
    assert "Name the folder of a pg_dump that was built with TLS in client_path" in result["hint"]
    assert result["changed"] is False


# -- passwords, sockets, addresses -----------------------------------------------------------------------------------


def _ways(sample: Sample, **login: Any) -> Options:
    """Both sides as the owner, with those options instead of the usual ones; None takes one away."""

    def changed(options: Options) -> Options:
        return {key: value for key, value in {**options, **login}.items() if value is not None}

    target = changed(sample.target.login_vars(sample.target_db, sample.user))
    return {**target, "source": changed(sample.source_login())}


def _passfile(folder: Path, server: Server, user: str, mode: int = 0o600) -> Path:
    password = server.passwords[user].replace("\\", "\\\\").replace(":", "\\:")
    path = folder / "passfile"
    path.write_text(f"*:{server.port}:*:{user}:{password}\n", encoding="utf-8")
    path.chmod(mode)
    return path


def test_a_password_file(clear: Sample, tmp_path: Path) -> None:
    path = _passfile(tmp_path, clear.target, clear.user)
    params = {"passfile": str(path)}
    accepted(_ways(clear, login_password=None, connect_params=params))
    path.chmod(0o644)  # libpq does not read it then
    told = refused(_ways(clear, login_password=None, connect_params=params), "no password supplied")
    assert clear.target.passwords[clear.user] not in str(told)


def test_a_service_that_names_everything_but_the_database(clear: Sample, tmp_path: Path) -> None:
    server = clear.target
    (tmp_path / ".pg_service.conf").write_text(
        f"[shop]\nhost={server.host}\nport={server.port}\nuser={clear.user}\npassword={server.passwords[clear.user]}\n",
        encoding="utf-8",
    )
    nothing = dict.fromkeys(("login_host", "login_port", "login_user", "login_password"))
    accepted(_ways(clear, **nothing, connect_params={"service": "shop"}), HOME=str(tmp_path))
    refused(
        _ways(clear, **nothing, connect_params={"service": "shop"}),
        'definition of service "shop" not found',
        HOME=str(tmp_path / "elsewhere"),
    )


def test_a_unix_socket(clear: Sample) -> None:
    if not clear.target.socket_dir:
        pytest.skip("the server was given; its socket is not known")
    accepted(_ways(clear, login_host=None, login_unix_socket=clear.target.socket_dir))
    accepted(_ways(clear, login_host="localhost", login_unix_socket=clear.target.socket_dir))


def test_ipv6(tls: Secured) -> None:
    try:
        with socket.create_connection(("::1", tls.server.port), timeout=1):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6: it was not tested")
    accepted(tls.options(login_host="::1", ssl_mode="verify-ca"))
    refused(tls.options(login_host="::1"), 'does not match host name "::1"')


def _uri(server: Server, user: str, db: str, *hosts: str, query: str = "") -> str:
    password = quote(server.passwords[user], safe="")
    return f"postgresql://{user}:{password}@{','.join(hosts)}/{db}?{query}"


def test_several_hosts_in_one_uri(tls: Secured, recorder: Path) -> None:
    """The first one does not answer. All that follows reaches the one that did, pg_dump too."""
    hosts = ("localhost:1", f"localhost:{tls.server.port}")
    query = f"target_session_attrs=read-write&sslmode=verify-full&sslrootcert={quote(str(tls.authority.root))}"
    sides = [
        {"login_db": db, "connect_params": {"dsn": _uri(tls.server, ONLY_TLS, db, *hosts, query=query)}}
        for db in (tls.sample.source_db, tls.sample.target_db)
    ]
    result = accepted({**sides[1], "source": sides[0], "client_path": str(recorder)})
    assert tls.server.passwords[ONLY_TLS] not in str(result)
    given = _given(recorder)
    assert (given["host"], given["port"], given["sslmode"]) == ("localhost", str(tls.server.port), "verify-full")


@pytest.mark.parametrize("text", ["postgresql://u:S3kret-x%zz@h/d", "host=h password=S3kret-x nonsense", "S3kret-x"])
def test_a_dsn_that_cannot_be_read_is_not_shown(clear: Sample, text: str) -> None:
    for check in (True, False):
        result = run_module("timescale_post_data", _ways(clear, connect_params={"dsn": text}), check=check)
        assert result["failed"]
        assert "The dsn in the source's connect_params is no connection string of libpq." in result["msg"]
        assert "S3kret-x" not in str(result)


def test_a_dsn_without_a_host_is_no_source(clear: Sample) -> None:
    source = {"login_db": "d", "connect_params": {"dsn": "dbname=d user=u"}}
    result = run_module("timescale_post_data", {**_ways(clear), "source": source})
    assert result["failed"]
    assert "source names no server" in result["msg"]


def test_hosts_as_lists(clear: Sample) -> None:
    server = clear.target
    params = {"host": f"{server.host},{server.host}", "port": f"1,{server.port}"}
    accepted(_ways(clear, login_host=None, login_port=None, connect_params=params))


def test_passwords_are_scram(clear: Sample) -> None:
    """The servers of the tests take nothing else, so all other tests prove it too."""
    ask = "SELECT DISTINCT left(rolpassword, 13) FROM pg_authid WHERE rolcanlogin"
    assert clear.target.execute("postgres", ask) == [("SCRAM-SHA-256",)]
