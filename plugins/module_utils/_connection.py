# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Options -> libpq parameters -> a session with safe settings. Nothing else opens a connection."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import threading
import typing as t

from ._driver import extensions, psycopg2
from ._errors import BadInput, ConnectionFailed, StatementFailed
from ._pooler import require_lasting_session
from ._sql import identifier, raw, statement, typed
from ._timescale import CALLED_FUNCTIONS
from ._versions import PG_CONNECTION_CHECK, PG_IDLE_SESSION_TIMEOUT, PG_TRANSACTION_TIMEOUT, Timescale

__all__ = [
    "INSUFFICIENT_PRIVILEGE",
    "Database",
    "Facts",
    "connect",
    "libpq_parameters",
    "lock_timeout_ms",
    "statement_failed",
]

INSUFFICIENT_PRIVILEGE = "42501"  # PostgreSQL manual, appendix A
CONNECTION_LOST = "08006"
LOCK_NOT_AVAILABLE = "55P03"
# Source connections must not be steered by the environment, which names the target (libpq manual, 34.15).
# The environment is the process's: one lock keeps the two kinds of connecting apart.
_COPY_BLOCK = 65536  # bytes, what a pipe holds
_ENVIRONMENT_LOCK = threading.Lock()
_LONGEST = 2147483.0  # seconds that a timeout of the server can be
_NOTICES = 2000  # notices of one step that are kept
_OPTION_OF_KEYWORD = {
    "host": "login_host",
    "port": "login_port",
    "user": "login_user",
    "password": "login_password",
    "dbname": "login_db",
    "sslmode": "ssl_mode",
    "sslrootcert": "ca_cert",
    "sslcert": "ssl_cert",
    "sslkey": "ssl_key",
}
# Version, schema and edition of TimescaleDB, and functions beside its own that a call of ours could reach: of two that
# take the same arguments PostgreSQL chooses the one with fewer defaults (manual, 10.3). Anyone who may create in the
# extension's schema, mostly public, can make one. All arguments of add_job are named, so one without proc is harmless.
_EXTENSION = """
SELECT e.extversion, n.nspname, pg_catalog.current_setting('timescaledb.license', true), (
  SELECT pg_catalog.string_agg(p.oid::pg_catalog.regprocedure::pg_catalog.text, ', ' ORDER BY p.oid)
  FROM pg_catalog.pg_proc AS p
  WHERE p.pronamespace = e.extnamespace AND p.proname = ANY (%(called)s)
    AND p.proargtypes::pg_catalog.oid[] && ARRAY['regclass', 'regproc', 'int4']::pg_catalog.regtype[]::pg_catalog.oid[]
    AND (p.proname <> 'add_job' OR 'proc' = ANY (p.proargnames))
    AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend AS d
      WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e'
    )
)
FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'timescaledb'
"""
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")  # the weakest first
_TLS_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
# Fixed for every session, so that what a server prints does not depend on who asks.
_SESSION_SETTINGS = {
    "search_path": "",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "row_security": "off",
    "client_min_messages": "notice",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    "check_function_bodies": "off",  # a body may name what the empty path does not find; pg_restore does so too
    "default_tablespace": "",  # a role's own would move what the source has in the database's; pg_restore does so too
}

_SET_MANY = (
    "SELECT pg_catalog.pg_backend_pid(), pg_catalog.set_config(s.key, s.value, {1})"
    " FROM pg_catalog.json_each_text({0}) AS s"
)


def libpq_parameters(options: t.Mapping[str, t.Any], side: str = "target") -> dict[str, str]:
    """Map the login options of one side to libpq keywords.

    An empty or local host lets the socket win, and connect_params wins over everything, as in community.postgresql.
    What is libpq's own default anyway is not said where a service file or the environment may say something else:
    ``prefer`` would undo their ``verify-full``.

    :param options: login_host, login_port … of one side.
    :param side: ``source`` or ``target``, for messages.
    :returns: keywords for psycopg2.connect; the password is among them.
    :raises BadInput: connect_params holds no connection string under dsn, or asks for less than ssl_mode.
    """
    extra = _expanded(options.get("connect_params") or {}, side)
    given = {keyword: options.get(option) for keyword, option in _OPTION_OF_KEYWORD.items()}
    parameters = {keyword: str(value) for keyword, value in given.items() if value not in (None, "")}
    asked = _rank(parameters.get("sslmode", "prefer"))
    if "sslmode" in extra and asked > _rank("prefer") and _rank(extra["sslmode"]) < asked:
        raise BadInput(
            f"The {side}'s connect_params ask for sslmode {extra['sslmode']}, which is weaker than ssl_mode"
            f" {parameters['sslmode']}.",
            hint="Remove one of the two.",
        )
    implied = {"sslmode": "prefer", **({"port": "5432", "user": "postgres"} if "service" in extra else {})}
    parameters = {keyword: value for keyword, value in parameters.items() if implied.get(keyword) != value}
    socket = options.get("login_unix_socket")
    if socket and parameters.get("host", "localhost") == "localhost":
        parameters["host"] = str(socket)
    return {**parameters, **extra}


def _expanded(given: t.Mapping[str, t.Any], side: str) -> dict[str, str]:
    """connect_params as keywords: a connection string or URI under ``dsn`` is taken apart, keywords beside it win."""
    extra = {str(key): str(value) for key, value in given.items() if value is not None}
    text = extra.pop("dsn", "")
    try:
        return {**(extensions.parse_dsn(text) if text else {}), **extra}
    except psycopg2.Error:
        # Not its own words: they may hold a part of the text, and so the password. And no cause, for the same reason.
        raise BadInput(
            f"The dsn in the {side}'s connect_params is no connection string of libpq.",
            hint="Write postgresql://user@host:port/database?keyword=value, with %XX for what is special in a URI.",
        ) from None


def _rank(mode: str) -> int:
    """How strong an sslmode is; libpq itself refuses one that it does not know."""
    return _SSL_MODES.index(mode) if mode in _SSL_MODES else len(_SSL_MODES)


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a plan needs to know of a server; for a source that is gone it comes from a file.

    :param server_version: as libpq numbers it (150018).
    :param timescale: the extension's version, None without the extension.
    :param extension_schema: where the extension's functions live, usually public.
    :param edition: ``timescale`` or ``apache``, empty without the extension.
    """

    side: str
    server_version: int
    timescale: Timescale | None = None
    extension_schema: str = ""
    edition: str = ""


@dataclasses.dataclass
class Database:
    """One session with one of the two databases, and what is known of the server.

    :param side: ``source`` or ``target``; every message names it.
    :param parameters: libpq keywords, the password among them: never shown.
    """

    side: str
    parameters: dict[str, str]
    session_role: str
    application: str
    connection: t.Any
    read_only: bool = False
    server_version: int = 0
    timescale: Timescale | None = None
    extension_schema: str = ""
    edition: str = ""
    lock_timeout: float = 10.0
    settings: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    server_pid: int = 0
    apart: t.Any = None  # the connection of execute_apart, while it works

    @property
    def facts(self) -> Facts:
        return Facts(self.side, self.server_version, self.timescale, self.extension_schema, self.edition)

    def rows(self, query: str, parameters: t.Mapping[str, t.Any] | None = None) -> list[tuple[t.Any, ...]]:
        """Run a query and give its rows. Raises StatementFailed."""
        with self._cursor(query) as cursor:
            cursor.execute(query, parameters)
            return list(cursor.fetchall())

    def records(self, query: str, parameters: t.Mapping[str, t.Any] | None = None) -> list[dict[str, t.Any]]:
        """Run a query and give its rows by column name; columns of type json are parsed. Raises StatementFailed."""
        with self._cursor(query) as cursor:
            cursor.execute(query, parameters)
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row)) for row in cursor.fetchall()]

    def value(self, query: str, parameters: t.Mapping[str, t.Any] | None = None) -> t.Any:
        """The first column of the first row, or None when there is no row."""
        found = self.rows(query, parameters)
        return found[0][0] if found else None

    def document(self, query: str, parameters: t.Mapping[str, t.Any] | None = None) -> t.Any:
        """Run a query that gives one JSON text and parse it: a whole domain in one round trip."""
        found = self.value(query, parameters)
        return json.loads(found) if isinstance(found, str) else found

    def execute(self, text: str) -> None:
        """Run one statement that gives no rows (or whose rows do not matter). Raises StatementFailed."""
        with self._cursor(text) as cursor:
            cursor.execute(text)

    def in_transaction(self, texts: t.Sequence[str]) -> None:
        """Run statements in one transaction: all of them or none."""
        with self.transaction():
            for text in texts:
                self.execute(text)

    @contextlib.contextmanager
    def transaction(self, begin: str = "BEGIN") -> t.Iterator[None]:
        """What happens inside is committed as a whole, or rolled back when an error passes.

        :param begin: BEGIN, and further statements after it that go to the server together.
        """
        try:
            self.execute(begin)
            yield
        except BaseException:
            with contextlib.suppress(StatementFailed):
                self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")

    def copy_out(self, text: str, file: t.IO[bytes]) -> None:
        """Run COPY … TO STDOUT into a file. Raises StatementFailed."""
        with self._cursor(text) as cursor:
            cursor.copy_expert(text, file, _COPY_BLOCK)

    def copy_in(self, text: str, file: t.IO[bytes]) -> None:
        """Run COPY … FROM STDIN from a file. Raises StatementFailed."""
        with self._cursor(text) as cursor:
            cursor.copy_expert(text, file, _COPY_BLOCK)

    def take_notices(self) -> tuple[tuple[str, str], ...]:
        """What the server said since the last call, as (severity, text)."""
        taken = tuple(_split_notice(text) for text in self.connection.notices)
        self.connection.notices.clear()
        return taken

    def is_superuser(self) -> bool:
        """Whether the session's role now is one; the server reports it by itself (libpq manual, PQparameterStatus)."""
        return bool(self.connection.info.parameter_status("is_superuser") == "on")

    def backend_pid(self) -> int:
        """The server's process, as it says itself: at login a pooler tells a number of its own."""
        return self.server_pid

    def cancel(self) -> None:
        """Cancel the running statement; safe from another thread and when nothing runs."""
        for connection in (self.connection, self.apart):
            with contextlib.suppress(Exception):
                connection.cancel()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.connection.close()

    def another(self) -> Database:
        """A further session with the same settings."""
        return connect(
            self.side,
            self.parameters,
            application=self.application,
            session_role=self.session_role,
            read_only=self.read_only,
            lock_timeout=self.lock_timeout,
            settings=self.settings,
            known=self,
        )

    def execute_apart(self, before: str, text: str) -> None:
        """Run one statement in a further session, in a single message: a transaction, and nothing of it stays.

        Behind a pooler the server's session goes on to somebody else, who must not meet what comes before.

        :param before: a SET LOCAL that must come before any other statement, even before our settings.
        :raises ConnectionFailed: there is no further session. Raises StatementFailed too.
        """
        role = [statement("SET LOCAL ROLE {}", identifier(self.session_role))] if self.session_role else []
        settings = {**_session_settings(self), **{str(key): str(value) for key, value in self.settings.items()}}
        local = statement(_SET_MANY, typed(json.dumps(settings), "pg_catalog.json"), raw("true"))
        connection = _open(self.side, {**self.parameters, "client_encoding": "UTF8"})
        with contextlib.closing(dataclasses.replace(self, connection=connection)) as apart:
            connection.autocommit = True
            connection.notices = self.connection.notices
            self.apart = connection
            try:
                with apart._cursor(text) as cursor:
                    cursor.execute(";\n".join((before, *role, local, text)))
            finally:
                self.apart = None

    @contextlib.contextmanager
    def _cursor(self, text: str) -> t.Iterator[t.Any]:
        try:
            with self.connection.cursor() as cursor:
                yield cursor
        except psycopg2.Error as error:
            raise statement_failed(error, self.side, text) from error


def statement_failed(error: t.Any, side: str, text: str) -> StatementFailed:
    """Turn a driver error into ours, with SQLSTATE and the server's own words.

    A lost connection has no SQLSTATE of its own in the driver; it becomes 08006 (PostgreSQL manual, appendix A).
    """
    diagnostics = getattr(error, "diag", None)
    primary = getattr(diagnostics, "message_primary", None) or str(error).strip() or "the connection was lost"
    lost = isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError))
    sqlstate = getattr(error, "pgcode", None) or (CONNECTION_LOST if lost else "")
    detail = getattr(diagnostics, "message_detail", None)
    message = f"The {side} refused a statement: {primary}" + (f" ({detail})" if detail else "")
    hint = getattr(diagnostics, "message_hint", None) or ""
    if sqlstate == CONNECTION_LOST:
        message = f"The connection to the {side} was lost: {primary.splitlines()[0]}"
        hint = f"See the log of the {side}'s server. Then run the task again: it goes on where it was."
    if not hint and sqlstate == LOCK_NOT_AVAILABLE:
        hint = f"Wait until no session of the {side} keeps that table locked, or raise lock_timeout; then run it again."
    if not hint and sqlstate == INSUFFICIENT_PRIVILEGE:
        hint = f"Give the role that connects to the {side} that right, or connect as one that has it."
    return StatementFailed(message, hint=hint, sqlstate=sqlstate, statement=text)


def connect(
    side: str,
    parameters: dict[str, str],
    *,
    application: str,
    session_role: str = "",
    read_only: bool = False,
    lock_timeout: float = 10.0,
    settings: t.Mapping[str, t.Any] | None = None,
    known: Database | None = None,
) -> Database:
    """Open a session in autocommit mode, with every setting made after connecting (poolers refuse startup options).

    :param lock_timeout: seconds a statement may wait for a lock.
    :param settings: further GUCs for the session.
    :param known: a session with the same server, whose facts need not be asked again.
    :raises ConnectionFailed: the server cannot be reached or refuses the login.
    :raises BadInput: a certificate's file is missing, or session_role or a setting is refused.
    """
    _require_files(side, parameters)
    connection = _open(side, parameters)
    parameters = _pinned(parameters, connection)
    connection.autocommit = True
    connection.notices = collections.deque(maxlen=_NOTICES)  # the driver's own list keeps 50
    if known is None:
        _require_lasting_session(side, parameters, connection)
    database = Database(side, parameters, session_role, application, connection, read_only)
    database.lock_timeout, database.settings = lock_timeout, settings or {}
    try:
        # Catalogs that nobody analyzed look expensive, and compiling takes longer than reading them. Sessions that work
        # keep what the server says.
        _prepare(database, {"jit": "off"} if known is None else {})
        _learn(database, known)
    except BaseException:
        database.close()
        raise
    return database


def _require_lasting_session(side: str, parameters: dict[str, str], connection: t.Any) -> None:
    try:
        require_lasting_session(side, connection, lambda: _open(side, parameters))
    except psycopg2.Error as error:
        raise statement_failed(error, side, "") from error
    except BaseException:
        connection.close()
        raise


def _require_files(side: str, parameters: t.Mapping[str, str]) -> None:
    """libpq goes on without a file that is missing, and so without what it was given for (manual, 34.19)."""
    for keyword in _TLS_FILES:
        path = parameters.get(keyword, "")
        named = path and path != "system" and not path.startswith("pkcs11:") and (keyword != "sslkey" or path[0] == "/")
        if named and not os.path.exists(path):
            raise BadInput(
                f"The {side}'s {_OPTION_OF_KEYWORD.get(keyword, keyword)} {path} is not there.",
                hint="Name a file on the host that runs the module.",
            )


def _pinned(parameters: dict[str, str], connection: t.Any) -> dict[str, str]:
    """Of several hosts the one that answered: further sessions and client programs must reach the same server."""
    told = connection.info.dsn_parameters
    if "," not in told.get("host", "") or "hostaddr" in told:
        return parameters
    return {**parameters, "host": str(connection.info.host), "port": str(connection.info.port)}


def _open(side: str, parameters: dict[str, str]) -> t.Any:
    named = {key: parameters[key] for key in ("host", "port", "dbname", "user") if key in parameters}
    try:
        with _environment_of(side):
            return psycopg2.connect(**t.cast(t.Any, parameters))
    except psycopg2.Error as error:
        where = ", ".join(f"{key} {value}" for key, value in named.items())
        tls = " and ssl_mode, ca_cert, ssl_cert, ssl_key" if any(key.startswith("ssl") for key in parameters) else ""
        raise ConnectionFailed(
            f"Cannot connect to the {side} ({where}): {str(error).strip()}",
            hint=f"Check the {'login_* options' if side == 'target' else 'options under source'}{tls}, the server's"
            " pg_hba.conf, and that the database exists.",
            sqlstate=getattr(error, "pgcode", None),
        ) from error


@contextlib.contextmanager
def _environment_of(side: str) -> t.Iterator[None]:
    with _ENVIRONMENT_LOCK:
        hidden = (
            {name: value for name, value in os.environ.items() if name.startswith("PG")} if side == "source" else {}
        )
        for name in hidden:
            del os.environ[name]
        try:
            yield
        finally:
            os.environ.update(hidden)


def lock_timeout_ms(database: Database) -> int:
    """The whole milliseconds that a session's statements wait for a lock, within what a server takes."""
    return int(min(_LONGEST, max(0.001, database.lock_timeout)) * 1000)


def _session_settings(database: Database) -> dict[str, str]:
    """Our own settings of a session, by the server's version."""
    wanted: dict[str, str] = {**_SESSION_SETTINGS, "application_name": database.application}
    wanted["lock_timeout"] = f"{lock_timeout_ms(database)}ms"
    if database.server_version >= PG_CONNECTION_CHECK:
        wanted["client_connection_check_interval"] = "2s"
    # A timeout that is set on the role or the database would end a session that waits for its next step.
    if database.server_version >= PG_IDLE_SESSION_TIMEOUT:
        wanted["idle_session_timeout"] = "0"
    if database.server_version >= PG_TRANSACTION_TIMEOUT:
        wanted["transaction_timeout"] = "0"
    return wanted


def _prepare(database: Database, more: t.Mapping[str, str]) -> None:
    database.server_version = int(database.connection.server_version)
    with database._cursor(""):
        database.connection.set_client_encoding("UTF8")
    if database.session_role:
        try:
            database.execute(statement("SET SESSION ROLE {}", identifier(database.session_role)))
        except StatementFailed as error:
            raise BadInput(
                f"The {database.side} refuses session_role {database.session_role}: {error.message}",
                hint="Give a role that the login role is a member of.",
                sqlstate=error.sqlstate,
            ) from error
    database.server_pid = set_many(database, {**_session_settings(database), **more})
    try:
        set_many(database, {str(key): str(value) for key, value in database.settings.items()})
    except StatementFailed as error:
        raise BadInput(
            f"The {database.side} refuses an entry of settings: {error.message}", sqlstate=error.sqlstate
        ) from error
    if database.read_only:
        database.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")


def set_many(database: Database, settings: t.Mapping[str, str]) -> int:
    """Set several GUCs for the session in one round trip, and give the server's process (0 without a GUC)."""
    if not settings:
        return 0
    rows = database.rows(statement(_SET_MANY, typed(json.dumps(dict(settings)), "pg_catalog.json"), raw("false")))
    return int(rows[0][0])


def _learn(database: Database, known: Database | None) -> None:
    if known is not None:
        database.timescale, database.extension_schema = known.timescale, known.extension_schema
        database.edition = known.edition
        return
    found = database.rows(_EXTENSION, {"called": list(CALLED_FUNCTIONS)})
    if found:
        database.timescale, database.extension_schema = Timescale.parse(found[0][0]), str(found[0][1])
        database.edition = str(found[0][2] or "")
        if found[0][3]:
            raise BadInput(
                f"The {database.side} has functions that would be called instead of TimescaleDB's own of the same name:"
                f" {found[0][3]}.",
                hint="See who made them and why, then drop or rename them.",
            )


def _split_notice(text: str) -> tuple[str, str]:
    severity, _colon, rest = text.partition(":")
    return severity.strip(), rest.strip()
