# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What a report says, as plain data: chosen from the results of a run's tasks. No password is among what is chosen."""

from __future__ import annotations

import datetime
import re
import shlex
import typing as t

__all__ = ["FORMAT", "STAGES", "TOLD", "file_name", "label_of", "report_data"]

FORMAT = "dbops.timescale/report/1"
STAGES = {
    "preflight": "Preflight",
    "post_data": "Post-data",
    "aggregates": "Continuous aggregates",
    "post_data_rest": "Post-data, the rest",
    "policies": "Policies and jobs",
    "statistics": "Statistics",
    "verification": "Verification",
    "activation": "Activation",
}
# What is taken from a task's result. Everything else stays out: the invocation holds connection options.
_TAKEN = ("msg", "hint", "object", "sqlstate", "statement", "summary", "problems", "cautions", "equal", "warnings")
_SETTLED = ("created", "altered", "present")  # what tells more first
_START = (
    "Start the jobs that the source has on. When applications already write to the target, add"
    " -e timescale_migrate_verify=none: the databases differ then, and rightly."
)
# Options of ansible-playbook, by the keys under which it keeps them.
_FLAGS = {"ask_vault_pass": "--ask-vault-pass", "ask_pass": "--ask-pass", "become_ask_pass": "--ask-become-pass"}
_VALUES = {"vault_ids": "--vault-id", "vault_password_files": "--vault-password-file", "extra_vars": "-e"}
TOLD = ("failed", "drifted", "unsupported", "pending", "skipped")  # worst first


def report_data(stages: t.Mapping[str, t.Any], about: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Choose and order what a report says of one database.

    :param stages: results of the role's tasks, by the keys of STAGES; one that did not run may be empty or missing.
    :param about: host, check_mode, source and target (login options), inventory (list of paths).
        ``command_line`` has the options that the run was given, as ansible-playbook keeps them.
    """
    told = [_stage(key, title, stages.get(key)) for key, title in STAGES.items()]
    data: dict[str, t.Any] = {
        "format": FORMAT,
        "host": str(about["host"]),
        "file": file_name(str(about["host"])),
        "check_mode": bool(about.get("check_mode")),
        "written_at": datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0).isoformat(),
        "source": _place(about.get("source")),
        "target": _place(about.get("target")),
        "versions": _versions(told),
        "stages": told,
    }
    last = _last(told)
    data["counts"] = _counts(entry for entry in last if entry["stage"] != STAGES["verification"])
    data["attention"], data["aside"] = _unsettled(last)
    data["outcome"], data["verdict"] = _verdict(data)
    return {**data, "commands": _commands(data, about)}


def file_name(host: str) -> str:
    """A host's name as the name of a file, without anything that leads elsewhere; index is taken."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", host).lstrip(".") or "database"
    return f"{name}_" if name == "index" else name


def label_of(entry: t.Mapping[str, t.Any]) -> str:
    """An object's name for people."""
    return ".".join(str(entry[key]) for key in ("schema", "table", "name") if entry.get(key))


def _stage(key: str, title: str, result: t.Any) -> dict[str, t.Any]:
    result = result if isinstance(result, dict) else {}
    run = result.get("run") if isinstance(result.get("run"), dict) else {}
    taken = {name: result[name] for name in _TAKEN if result.get(name) not in (None, "", [], {})}
    state = _state(result)
    if state == "skipped":
        taken = {}
    return {
        "key": key,
        "title": title,
        "state": state,
        "started_at": run.get("started_at"),
        "elapsed_ms": run.get("elapsed_ms"),
        "versions": run.get("versions") or {},
        "statements": len(result.get("queries") or []),
        "objects": [entry for entry in result.get("objects") or [] if isinstance(entry, dict)],
        **taken,
    }


def _state(result: t.Mapping[str, t.Any]) -> str:
    if not result or result.get("skipped"):
        return "skipped" if result else "not run"
    if result.get("failed"):
        return "failed"
    return "changed" if result.get("changed") else "ok"


def _place(options: t.Any) -> str:
    """Where a database is, without how one logs in. What is no port is not shown: it may be a password gone astray."""
    if not isinstance(options, dict) or not options.get("login_db"):
        return ""
    extra = options.get("connect_params")
    extra = extra if isinstance(extra, dict) else {}
    given = next((key for key in ("dsn", "service") if extra.get(key)), "")
    if given:
        return f"as connect_params.{given} says, {options['login_db']}"
    host = extra.get("host") or options.get("login_host") or options.get("login_unix_socket") or "localhost"
    port = str(extra.get("port") or options.get("login_port") or 5432)
    return f"{host}:{port if re.fullmatch('[0-9,]+', port) else '?'}/{options['login_db']}"


def _versions(stages: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {}
    for stage in stages:
        found.update(stage["versions"])
    return found


def _last(stages: t.Sequence[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """What the last stage that speaks of it says of each object; what a stage did is more than that it is there now."""
    last: dict[tuple[str, ...], dict[str, t.Any]] = {}
    for stage in stages:
        for entry in stage["objects"]:
            place = _identity(stage["key"], entry)
            if place not in last or not _says_it_all(last[place].get("outcome"), entry.get("outcome")):
                last[place] = {"stage": stage["title"], **entry}
    return list(last.values())


def _says_it_all(before: t.Any, now: t.Any) -> bool:
    """Whether what a stage did to an object tells more than what a later one says of it, and both are well."""
    return before in _SETTLED and now in _SETTLED and _SETTLED.index(before) <= _SETTLED.index(now)


def _counts(entries: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, int]:
    """How many objects have each outcome."""
    counts: dict[str, int] = {}
    for entry in entries:
        if not entry.get("aside"):
            counts[str(entry.get("outcome"))] = counts.get(str(entry.get("outcome")), 0) + 1
    return counts


def _unsettled(last: t.Sequence[dict[str, t.Any]]) -> tuple[list[dict[str, t.Any]], list[dict[str, t.Any]]]:
    """Everything that is not as the source has it, worst first, and apart from it what is no difference.

    What a later stage settled is left out. What the verification may not read is unknown, so it is never set aside.
    """
    found = [entry for entry in last if entry.get("outcome") not in _SETTLED]
    order = {outcome: place for place, outcome in enumerate(TOLD)}
    found.sort(key=lambda entry: order.get(str(entry.get("outcome")), len(order)))
    aside = [entry for entry in found if entry.get("aside") and entry["stage"] != STAGES["verification"]]
    return [entry for entry in found if entry not in aside], aside


def _identity(stage: str, entry: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """Both runs of post-data speak of the same objects, and so do policies and their activation."""
    room = {"post_data_rest": "post_data", "activation": "policies"}.get(stage, stage)
    return (
        room,
        *(str(entry.get(key, "")) for key in ("kind", "schema", "table", "name")),
        str(entry.get("stage", "")),
    )


def _verdict(data: t.Mapping[str, t.Any]) -> tuple[str, str]:
    """One word and one sentence."""
    failed = [stage["title"] for stage in data["stages"] if stage["state"] == "failed"]
    if failed:
        return (
            "failed",
            f"It stopped at: {', '.join(failed)}. What is done stays done; the next run goes on from there.",
        )
    left = len(data["attention"])
    if any(stage.get("equal") is False for stage in data["stages"]):
        return "differs", "The comparison found differences between the two databases."
    if all(stage["state"] in ("not run", "skipped") for stage in data["stages"]):
        return "not run", "No stage has run."
    if data["check_mode"]:
        return (
            "foreseen",
            f"Nothing was changed. This is what a run would do; {_objects(left, 'needs', 'need')} a decision.",
        )
    if left:
        return "attention", f"Every stage ended, and {_objects(left, 'is', 'are')} not as the source has them."
    if any(stage.get("equal") for stage in data["stages"]):
        return "done", "Every stage ended, and the comparison found both databases the same."
    return "done", "Every stage ended and nothing is left. The databases were not compared."


def _objects(number: int, one: str, many: str) -> str:
    return f"1 object {one}" if number == 1 else f"{number} objects {many}"


def _commands(data: t.Mapping[str, t.Any], about: t.Mapping[str, t.Any]) -> list[dict[str, str]]:
    """What to type next, complete but for values that may be secret."""
    commands = _next(data, about)
    given = (about.get("command_line") or {}).get("extra_vars") or ()
    if any(not str(one).startswith("@") for one in given):
        commands[0]["why"] += " Add the variables that were given with -e: their values may be secret."
    return commands


def _repeated(given: t.Mapping[str, t.Any]) -> list[str]:
    """Options of the run that the next one needs, too; of variables only the names of files."""
    words = [option for key, option in _FLAGS.items() if given.get(key)]
    for key, option in _VALUES.items():
        for value in given.get(key) or ():
            if key != "extra_vars" or str(value).startswith("@"):
                words += [option, str(value)]
    return words


def _next(data: t.Mapping[str, t.Any], about: t.Mapping[str, t.Any]) -> list[dict[str, str]]:
    where: list[str] = []
    for path in about.get("inventory") or []:
        where += ["-i", str(path)]
    limit = [*where, *_repeated(about.get("command_line") or {}), "--limit", str(about["host"])]

    def command(playbook: str, *more: str) -> str:
        return shlex.join(["ansible-playbook", f"dbops.timescale.{playbook}", *limit, *more])

    again = {"why": "Run again: what is done is not done twice.", "command": command("migrate")}
    look = {"why": "See beforehand what a run would do.", "command": command("migrate", "--check", "--diff")}
    activate = {"why": _START, "command": command("activate")}
    started = any(stage["key"] == "activation" and stage["state"] in ("ok", "changed") for stage in data["stages"])
    if data["outcome"] in ("foreseen", "not run"):
        return [{"why": "Do it.", "command": command("migrate")}]
    if data["outcome"] == "failed" or data["outcome"] == "differs":
        return [look, again]
    return [look, again] if started else [look, again, activate]
