# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs playbooks and modules as users do, in processes of their own, and gives back exact results.

No parameter and no variable is put into an argv: they hold passwords.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / ".ansible" / "collections"
TIMEOUT = 300  # seconds
LOCALHOST = {"all": {"hosts": {"localhost": {"ansible_connection": "local"}}}}


@dataclass
class Event:
    """What one task said on one host; ``outcome`` is ok, failed, ignored, skipped, unreachable or item_…"""

    outcome: str
    host: str
    task: str
    action: str
    tags: list[str]
    result: dict[str, Any]


@dataclass
class PlaybookRun:
    """A finished playbook."""

    rc: int
    stdout: str
    stderr: str
    events: list[Event] = field(default_factory=list)
    recap: dict[str, dict[str, int]] = field(default_factory=dict)

    def results(self, action: str = "", task: str = "") -> list[dict[str, Any]]:
        """The results of the tasks of that action (``timescale_info``, with or without its collection) or name."""
        return [one.result for one in self.of(action, task)]

    def of(self, action: str = "", task: str = "") -> list[Event]:
        """The events of the tasks of that action or name, loop items left out."""
        whole = [one for one in self.events if not one.outcome.startswith("item_")]
        return [one for one in whole if one.action.split(".")[-1].endswith(action) and task in one.task]

    def failures(self) -> list[Event]:
        """The events that failed or were unreachable."""
        return [one for one in self.events if one.outcome in ("failed", "unreachable")]

    @property
    def changed(self) -> int:
        """How many tasks changed something, over all hosts."""
        return sum(host["changed"] for host in self.recap.values())


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A clean environment: this checkout as the collection, nothing of the caller's Ansible or PostgreSQL settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PG"))}
    settings = {
        "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).with_name("callback_plugins")),
        "ANSIBLE_CALLBACKS_ENABLED": "jsonl",
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_CONFIG": str(Path(__file__).with_name("ansible.cfg")),
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join((str(COLLECTIONS), str(ROOT))),
    }
    return {**kept, **settings, **(extra or {})}


def run_playbook(
    play: str | Path | Sequence[Mapping[str, Any]],
    *arguments: str,
    variables: Mapping[str, Any] | None = None,
    inventory: str | Path | Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> PlaybookRun:
    """Run a playbook to its end.

    Args:
        play: a file, a name like ``dbops.timescale.migrate``, or the plays as data.
        arguments: more arguments of ansible-playbook: ``--check``, ``--diff``, ``-vvv``, ``--tags=…``.
        variables: extra variables; they travel in a private file.
        inventory: as ``-i`` takes it, or as data; this machine without SSH unless given.
        env: more environment, over ``environment()``.
        timeout: seconds, after which the run and its children are killed.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    with tempfile.TemporaryDirectory(prefix="playbook-") as folder:
        lines = Path(folder, "events.jsonl")
        lines.touch()
        if not isinstance(play, (str, Path)):
            play = _written(folder, "play.json", play)
        if not isinstance(inventory, (str, Path)):
            inventory = _written(folder, "inventory.json", inventory or LOCALHOST)
        extra = _written(folder, "variables.json", variables or {})
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        argv = [program, f"--inventory={inventory}", f"--extra-vars=@{extra}", *arguments, str(play)]
        rc, stdout, stderr = _finish(argv, "", environment({"JSONL_PATH": str(lines), **(env or {})}), timeout)
        run = PlaybookRun(rc, stdout, stderr)
        for line in lines.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            if event["outcome"] == "recap":
                run.recap = event["hosts"]
            else:
                run.events.append(Event(**event))
        return run


def module_command(
    name: str, parameters: Mapping[str, Any], *, check: bool = False, diff: bool = False
) -> tuple[list[str], str]:
    """The argv that runs a module in a process of its own, and the text for its stdin."""
    internal = {"_ansible_check_mode": check, "_ansible_diff": diff, "_ansible_tmpdir": None}
    return [sys.executable, "-m", "tests.support.module_process", name], json.dumps({**parameters, **internal})


def run_module(
    name: str,
    parameters: Mapping[str, Any],
    *,
    check: bool = False,
    diff: bool = False,
    env: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> dict[str, Any]:
    """Run one module of the collection without a playbook and return its result; ``failed`` tells a failure.

    Args:
        name: the module's name without its collection.
        parameters: its options.
        check: run in check mode.
        diff: ask for a diff.
        env: more environment, over ``environment()``.
        timeout: seconds, after which it is killed.

    Raises:
        AssertionError: the module ended without a result, with a traceback for example.
    """
    argv, text = module_command(name, parameters, check=check, diff=diff)
    rc, stdout, stderr = _finish(argv, text, environment(env), timeout)
    try:
        result: dict[str, Any] = json.loads(stdout)
    except ValueError:
        raise AssertionError(f"{name} ended with {rc} and no result:\n{stdout}\n{stderr}") from None
    return result


def _written(folder: str, name: str, data: Any) -> Path:
    path = Path(folder, name)
    path.touch(mode=0o600)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def _finish(argv: list[str], text: str, env: dict[str, str], timeout: float) -> tuple[int, str, str]:
    """Run a program in a session of its own, which is killed as a whole when it takes too long."""
    child = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE if text else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        stdout, stderr = child.communicate(text or None, timeout)
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise
    return child.returncode, stdout, stderr
