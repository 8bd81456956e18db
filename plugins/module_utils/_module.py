# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""The one edge: spec -> connect -> read -> plan -> apply -> exit_json / fail_json."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import random
import sys
import time
import typing as t
import uuid
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule

from ._apply import apply_plan
from ._argspec import ArgumentSpec
from ._connection import Database, Facts, connect, libpq_parameters
from ._driver import require_driver
from ._errors import BadInput, Interrupted, TimescaleError
from ._plan import Outcome, Plan, diff_of, foreseen, result_of, whole_of
from ._progress_report import FOLDER_VARIABLE, Reporter, interruptible
from ._versions import Timescale

__all__ = ["SOURCE_FORMAT", "Session", "run_module"]

SOURCE_FORMAT = "dbops.timescale/1"
_PARTS = {"facts", "documents"}
HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
# libpq keywords whose values may be shown (manual, 34.1.2); what stands under any other key may be a secret.
_OPEN_KEYWORDS = frozenset(
    [
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "passfile",
        "connect_timeout",
        "client_encoding",
        "application_name",
        "fallback_application_name",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "sslcrl",
        "sslsni",
        "gssencmode",
        "krbsrvname",
        "service",
        "target_session_attrs",
        "load_balance_hosts",
        "channel_binding",
        "require_auth",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
        "sslnegotiation",
        "sslcompression",
    ]
)
_ANSIBLES = ("warnings", "deprecations", "exception")  # keys of a result that Ansible itself reads
_COLLECT_AFTER = 200_000  # objects
_LOCK_CLASS = 0x7DB0  # the first half of every advisory lock key of the collection
_GONE_RUN_WAIT = 30.0  # seconds that the backends of a dead run are waited for


class TaskFailed(TimescaleError):
    """Some steps failed, or the plan holds what the operator must decide; ``result`` tells everything."""


class _Module(AnsibleModule):
    """An AnsibleModule that never shows a value given under a key it does not know.

    Ansible shows all arguments of a task that failed its check, also a password under a mistyped key.
    """

    checked = False  # until AnsibleModule itself has checked the arguments

    def fail_json(self, msg: str, **kwargs: t.Any) -> t.NoReturn:
        if not self.checked:
            given = self.params if isinstance(self.params, dict) else {}
            kwargs["invocation"] = {"module_args": {key: HIDDEN for key in given if not key.startswith("_ansible")}}
            for value in _texts(given):
                msg = msg.replace(value, "********") if len(value) > 3 else msg
            super().fail_json(msg, **kwargs)
        _say(super().fail_json, {"msg": msg, **kwargs})

    def exit_json(self, **kwargs: t.Any) -> t.NoReturn:
        _say(super().exit_json, kwargs)

    def _log_invocation(self) -> None:
        """The system's log gets what results show: Ansible's own line would hold a password in connect_params."""
        shown = {key: str(value) for key, value in _without_secrets(self.params).items()}
        log: t.Any = self.log  # AnsibleModule's is not typed
        log("Invoked with " + " ".join(f"{key}={value}" for key, value in shown.items()), log_args=shown)


def _say(ansible: t.Callable[..., t.NoReturn], result: dict[str, t.Any]) -> t.NoReturn:
    """Let Ansible print a result, and put the long parts of it into what it printed.

    Ansible looks at every value twice, for secrets and for types of its own. Ours hold neither (see run_module), and
    with thousands of objects those looks take longer than comparing two databases.
    """
    long = {str(uuid.uuid4()): key for key, value in result.items() if key not in _ANSIBLES and isinstance(value, list)}
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            ansible(**{**result, **{key: mark for mark, key in long.items()}})
    finally:
        text = said.getvalue()
        for mark, key in long.items():
            text = text.replace(f'"{mark}"', json.dumps(result[key]))
        sys.stdout.write(text)


def _texts(value: t.Any) -> list[str]:
    """Every string below a value given under a name that may be a secret's."""
    found: list[str] = []
    for key, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, dict):
            found += _texts(inner)
        elif isinstance(inner, (str, int)) and ("pass" in str(key).lower() or key == "login_port"):
            found.append(str(inner))
    return found


class Session:
    """One task: its options, its databases, and how its plan is carried out.

    :param target: the database the task manages.
    :param source: where the wanted state is read from, None with source_file or without a source.
    """

    def __init__(self, module: AnsibleModule, name: str, *, writes: bool = True) -> None:
        self.module = module
        self.name = name
        self.writes = writes
        self.params: dict[str, t.Any] = module.params
        self.check_mode = bool(module.check_mode)
        # A check-mode run must not look like the remains of a real one.
        self.application = f"dbops.timescale/{name}" + (" (check)" if self.check_mode else "")
        self.progress = Reporter(os.environ.get(FOLDER_VARIABLE, ""), bool(self.params.get("progress", False)))
        self.progress.phase("reading")
        self.source: Database | None = None
        if self.params.get("source"):
            _refuse_half_given(self.params["source"])
        _require_database("target", self.params)
        self.target = self._connect("target", self.params)
        self._file: dict[str, t.Any] | None = None

    # -- reading ---------------------------------------------------------------------------------------------------

    def open_source(self) -> None:
        """Connect to the source, or load source_file; make sure that it is not the target itself.

        :raises BadInput: the file is not one of ours, or both sides are one database.
        """
        if self.params.get("source"):
            self.source = self._connect("source", self.params["source"])
            _refuse_same_database(self.source, self.target)
        elif self.params.get("source_file"):
            self._file = load_source_file(self.params["source_file"])

    def wanted(self, domain: str, read: t.Callable[[Database], t.Any]) -> tuple[Facts, t.Any]:
        """The source's facts and its document of one domain, from the live source or from source_file.

        :raises BadInput: neither is given, or the file lacks the domain.
        """
        if self.source is not None:
            return self.source.facts, read(self.source)
        if self._file is None:
            raise BadInput("Neither source nor source_file is given.", hint="Give one of them.")
        if domain not in self._file["documents"]:
            raise BadInput(
                f"{self.params['source_file']} holds nothing about {domain}.",
                hint="Write it again with timescale_info of this release.",
            )
        return facts_from_json(self._file["facts"]), self._file["documents"][domain]

    def read_both(
        self,
        domain: str,
        read: t.Callable[[Database], t.Any],
        read_target: t.Callable[[Database], t.Any] | None = None,
    ) -> tuple[Facts, t.Any, t.Any]:
        """What wanted() gives, and the target's document, read from both servers at the same time.

        :param read_target: reads the target where less is asked of it.
        :raises BadInput: as wanted() does.
        """
        with ThreadPoolExecutor(max_workers=1) as other:
            existing = other.submit(read_target or read, self.target)
            facts, wanted = self.wanted(domain, read)
            return facts, wanted, existing.result()

    def require_writable_target(self) -> None:
        """Refuse a standby, a read-only session and a database that is restored before anything is planned."""
        standby, read_only, restoring = self.target.rows(
            "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only'),"
            " pg_catalog.current_setting('timescaledb.restoring', true)"
        )[0]
        if standby or read_only == "on":
            what = "is a standby" if standby else "is read-only (default_transaction_read_only)"
            raise BadInput(f"The target {what}.", hint="Name the primary, or make the database writable.")
        if restoring == "on":  # statements on a hypertable would leave its chunks out
            raise BadInput(
                "On the target timescaledb.restoring is on, so hypertables do not work.",
                hint="Run SELECT timescaledb_post_restore() there.",
            )

    def source_facts(self) -> Facts | None:
        """The source's facts, live or from source_file, None when only an archive is given."""
        if self.source is not None:
            return self.source.facts
        return facts_from_json(self._file["facts"]) if self._file is not None else None

    def require_extension(self, wanted: Facts | None) -> bool:
        """Whether the source has TimescaleDB, as far as it is known.

        :raises BadInput: the source has it and the target lacks it.
        """
        if wanted is None or wanted.timescale is None:
            return False
        if self.target.timescale is None:
            raise BadInput(
                "The target database has no extension timescaledb.",
                hint="Run CREATE EXTENSION timescaledb there (and preload the library), then repeat the earlier steps.",
            )
        return True

    def require_timescale(self, wanted: Facts) -> bool:
        """Whether there is anything of TimescaleDB to bring over.

        :returns: False when the source has no TimescaleDB.
        :raises BadInput: the source has it and the target lacks it, or runs the Apache edition.
        """
        if not self.require_extension(wanted):
            return False
        if self.target.edition == "apache":
            raise BadInput(
                "The target runs TimescaleDB's Apache edition (timescaledb.license = apache), which has no continuous"
                " aggregates, policies or compression.",
                hint="Set timescaledb.license = timescale in the server's configuration and restart it.",
            )
        return True

    def versions(self) -> dict[str, dict[str, str]]:
        """PostgreSQL's and TimescaleDB's versions of both sides, as far as they are known."""
        known = {"target": self.target.facts}
        source = self.source_facts()
        if source is not None:
            known["source"] = source
        return {
            side: {
                "postgresql": f"{facts.server_version // 10000}.{facts.server_version % 10000}",
                "timescaledb": str(facts.timescale or ""),
            }
            for side, facts in known.items()
        }

    # -- acting ----------------------------------------------------------------------------------------------------

    def carry_out(
        self, plan: Plan, *, on_unsupported: str = "fail", on_drift: str = "warn", **extra: t.Any
    ) -> dict[str, t.Any]:
        """Apply a plan, or only tell it in check mode, and make the result.

        :param on_unsupported: fail (nothing is changed) or skip.
        :param on_drift: warn, or fail (nothing is changed).
        :param extra: further keys of the result.
        :raises TaskFailed: the plan is refused as a whole, or a step failed.
        """
        self._refuse(plan, on_unsupported, on_drift)
        for text in plan.warnings:
            self.module.warn(text)
        outcomes = whole_of(foreseen(plan) if self.check_mode else self._apply(plan, extra))
        result = {**result_of(plan, outcomes), **extra}
        if self.module._diff:
            result["diff"] = diff_of(plan)
        _raise_failures(outcomes, result)
        return result

    @contextlib.contextmanager
    def only_run(self) -> t.Iterator[None]:
        """Hold the advisory lock of this module on the target, and wait for what a dead run left behind.

        :raises BadInput: another run holds it, or backends of a dead run still work.
        """
        if self.check_mode:
            yield
            return
        key = sum(ord(letter) * 31**place for place, letter in enumerate(self.name)) % 2**31
        parameters = {"class": _LOCK_CLASS, "key": key}
        if not self.target.value("SELECT pg_catalog.pg_try_advisory_lock(%(class)s, %(key)s)", parameters):
            raise BadInput(
                f"Another run of {self.name} works on this target: {_holder(self.target, parameters)}.",
                hint="Wait for it to end, then run the task again.",
            )
        _await_dead_run(self.target, self.application)
        yield

    def databases(self) -> list[Database]:
        return [database for database in (self.source, self.target) if database is not None]

    def close(self) -> None:
        for database in self.databases():
            database.close()

    def _connect(self, side: str, options: dict[str, t.Any]) -> Database:
        return connect(
            side,
            libpq_parameters(options, side),
            application=self.application,
            session_role=options.get("session_role") or "",
            read_only=side == "source" or not self.writes,
            lock_timeout=float(self.params.get("lock_timeout", 10.0)),
            settings=self.params.get("settings") if side == "target" else None,
        )

    def _apply(self, plan: Plan, extra: dict[str, t.Any]) -> list[Outcome]:
        try:
            return apply_plan(
                plan,
                self.target,
                jobs=int(self.params.get("jobs", 1)),
                retries=int(self.params.get("lock_retries", 3)),
                progress=self.progress,
            )
        except Interrupted as error:
            done = whole_of(error.details.pop("outcomes", []))
            raise TaskFailed(error.message, hint=error.hint, result={**result_of(plan, done), **extra}) from error

    def _refuse(self, plan: Plan, on_unsupported: str, on_drift: str) -> None:
        unsupported, drifted = plan.of_outcome("unsupported"), plan.of_outcome("drifted")
        refused = unsupported if on_unsupported == "fail" else []
        option = "on_unsupported" if refused else "on_drift"
        refused = refused or (drifted if on_drift == "fail" else [])
        if refused:
            told = "\n".join(f"- {f.object.label}: {f.reason} {f.hint}".rstrip() for f in refused)
            remedy = "skip" if option == "on_unsupported" else "warn"
            raise TaskFailed(
                f"Nothing was changed. The target would not hold {len(refused)} objects as the source does:\n{told}",
                hint=f"Settle them, or set {option}: {remedy} to go on without.",
                result=result_of(plan, []),
            )
        for finding in unsupported + drifted:
            self.module.warn(f"{finding.outcome}: {finding.object.label}: {finding.reason} {finding.hint}".rstrip())


def run_module(
    name: str, spec: ArgumentSpec, work: t.Callable[[Session], dict[str, t.Any]], *, writes: bool = True
) -> t.NoReturn:
    """Make the module, run its work, and turn what comes out into exit_json or fail_json.

    :param work: reads, plans and carries out; gives the result.
    :param writes: False for a module that only reads; then its session on the target is read only too.
    """
    # Plans and results hold no cycles, and the collector would look through all of them again and again.
    gc.set_threshold(_COLLECT_AFTER)
    make: t.Any = _Module  # AnsibleModule's constructor is not typed
    module: _Module = make(supports_check_mode=True, **spec.to_kwargs())
    module.checked = True
    if "jobs" in module.params:
        module.params["jobs"] = max(1, module.params["jobs"])  # as its documentation says
    invocation = {"module_args": _without_secrets(module.params)}
    # Statements and names are results: a password that equals a name must not blank them. No password is ever in them.
    module.no_log_values = set()
    missing = require_driver()
    if missing:
        module.fail_json(msg=missing, invocation=invocation)
    run: dict[str, t.Any] = {"started_at": round(time.time(), 3), "versions": {}}
    try:
        with interruptible(), contextlib.closing(Session(module, name, writes=writes)) as session:
            try:
                if writes:
                    session.require_writable_target()
                with session.progress.watched(session.databases):
                    result = work(session)
            finally:
                run.update(versions=session.versions(), elapsed_ms=int((time.time() - run["started_at"]) * 1000))
    except TimescaleError as error:
        module.fail_json(**{**_failure(error), "run": run}, invocation=invocation)
    module.exit_json(**{**result, "run": run}, invocation=invocation)


def facts_to_json(facts: Facts) -> dict[str, t.Any]:
    """Facts as they stand in source_file."""
    return {
        "server_version": facts.server_version,
        "timescale": str(facts.timescale) if facts.timescale else None,
        "extension_schema": facts.extension_schema,
        "edition": facts.edition,
    }


def facts_from_json(stored: dict[str, t.Any]) -> Facts:
    """The reverse of facts_to_json; the side is always the source."""
    version = Timescale.parse(stored["timescale"]) if stored.get("timescale") else None
    return Facts("source", int(stored["server_version"]), version, stored["extension_schema"], stored["edition"])


def load_source_file(path: str) -> dict[str, t.Any]:
    """Read a file that timescale_info wrote. Raises BadInput when it is not one."""
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError) as error:
        raise BadInput(f"source_file {path} cannot be read: {error}", hint="Write it with timescale_info.") from error
    if not isinstance(content, dict) or content.get("format") != SOURCE_FORMAT or not content.keys() >= _PARTS:
        raise BadInput(
            f"source_file {path} is not a file of this release ({SOURCE_FORMAT}).", hint="Write it with timescale_info."
        )
    return content


def _failure(error: TimescaleError) -> dict[str, t.Any]:
    details = dict(error.details)
    result = details.pop("result", {"changed": False, "queries": [], "objects": [], "summary": {}})
    return {**result, "msg": str(error), "hint": error.hint, **details}


def _raise_failures(outcomes: t.Sequence[Outcome], result: dict[str, t.Any]) -> None:
    failed = [outcome for outcome in outcomes if outcome.outcome == "failed"]
    if not failed:
        return
    remaining = [o.step.object.label for o in outcomes if o.outcome in ("failed", "skipped")]
    first = dict(failed[0].error)
    told = "\n".join(f"- {outcome.step.object.label}: {outcome.reason}" for outcome in failed)
    done = len(outcomes) - len(remaining)
    raise TaskFailed(
        f"{len(failed)} of {len(outcomes)} steps failed, {done} are done:\n{told}",
        hint=first.pop("hint", "") or "Settle the cause and run the task again: what is done is not done twice.",
        result=result,
        remaining=remaining,
        **{key: value for key, value in first.items() if key in ("sqlstate", "statement", "object")},
    )


def _without_secrets(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    def cleaned(key: str, value: t.Any) -> t.Any:
        if key == "connect_params" and value:
            return {inner: text if inner in _OPEN_KEYWORDS else HIDDEN for inner, text in value.items()}
        if key == "source" and value:
            return _without_secrets(value)
        return HIDDEN if value and key == "login_password" else value

    return {key: cleaned(key, value) for key, value in params.items()}


def _refuse_half_given(options: dict[str, t.Any]) -> None:
    """An empty host, as an undefined inventory variable gives, must not become the local server."""
    if not {"host", "hostaddr", "service"} & set(libpq_parameters(options, "source")):
        raise BadInput(
            "source names no server: source.login_host and source.login_unix_socket are empty.",
            hint="Give the source whole; no environment variable and no default fills it. Or name a host, a"
            " service or a dsn in its connect_params.",
        )
    _require_database("source", options)


def _require_database(side: str, options: dict[str, t.Any]) -> None:
    """An empty name must not become libpq's default, which is the database called like the user."""
    if not {"dbname", "service"} & set(libpq_parameters(options, side)):
        option = "login_db" if side == "target" else "source.login_db"
        raise BadInput(f"{option} is empty: it names no database.", hint="Name the database.")


def _refuse_same_database(source: Database, target: Database) -> None:
    """One database under two names is found by a lock taken here and seen there, not by comparing options."""
    key = {"class": _LOCK_CLASS, "key": random.SystemRandom().randrange(2**31)}
    target.value("SELECT pg_catalog.pg_advisory_lock(%(class)s, %(key)s)::pg_catalog.text", key)
    seen = source.value(
        "SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks AS l"
        " JOIN pg_catalog.pg_database AS d ON d.oid = l.database AND d.datname = pg_catalog.current_database()"
        " WHERE l.locktype = 'advisory' AND l.classid::pg_catalog.int8 = %(class)s"
        " AND l.objid::pg_catalog.int8 = %(key)s",
        key,
    )
    target.value("SELECT pg_catalog.pg_advisory_unlock(%(class)s, %(key)s)", key)
    if seen:
        raise BadInput(
            "Source and target are the same database.", hint="Check login_host, login_port and login_db of both sides."
        )


def _holder(target: Database, parameters: dict[str, int]) -> str:
    rows = target.rows(
        "SELECT l.pid, a.usename, a.client_addr::pg_catalog.text, a.backend_start::pg_catalog.text"
        " FROM pg_catalog.pg_locks AS l LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid"
        " WHERE l.locktype = 'advisory' AND l.granted AND l.classid::pg_catalog.int8 = %(class)s"
        " AND l.objid::pg_catalog.int8 = %(key)s",
        parameters,
    )
    if not rows:
        return "it ended just now"
    pid, user, address, since = rows[0]
    return f"pid {pid}, user {user or 'unknown'}, from {address or 'the local socket'}, since {since or 'unknown'}"


def _await_dead_run(target: Database, application: str) -> None:
    """Backends of a killed run may still build an index; running beside them would fail in confusing ways."""
    query = (
        "SELECT a.pid FROM pg_catalog.pg_stat_activity AS a"
        " WHERE (a.application_name = %(name)s OR pg_catalog.left(a.application_name, %(length)s) = %(name)s || ' ')"
        " AND pg_catalog.right(a.application_name, 7) <> '(check)'"
        " AND a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid()"
        " AND a.state IS DISTINCT FROM 'idle'"
    )
    named = {"name": application, "length": len(application) + 1}
    until = time.monotonic() + _GONE_RUN_WAIT
    pids = target.rows(query, named)
    while pids and time.monotonic() < until:
        time.sleep(0.5)
        pids = target.rows(query, named)
    if pids:
        raise BadInput(
            f"Backends of an earlier run still work on the target: pid {', '.join(str(pid) for (pid,) in pids)}.",
            hint="Wait for them, or end them with pg_terminate_backend, then run the task again.",
        )
