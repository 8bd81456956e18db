# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One migration between two servers of its own, whose connections pass a proxy that can be made to fail.

``World.faulted`` runs a stage's module and lets a fault strike at the n-th statement that changes something (or, for a
stage that changes nothing, at the n-th statement at all), before or after the server gets it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.playbook import ROOT, environment, module_command, run_module
from tests.support.pool import PAIRS, Pool, Sample
from tests.support.servers import Server, ThrowawayServer

from .proxy import Proxy

OPT_IN = ["publications", "default_privileges", "event_triggers"]
JOBS = 2
TIMEOUT = 120  # seconds


@dataclass(frozen=True)
class Stage:
    """A module with the options that the role gives it at one place of the move."""

    name: str
    module: str
    options: Mapping[str, Any] = field(default_factory=dict)
    writes: bool = True
    source: bool = True


FIRST = {"row_security": "none", "dependents_of_aggregates": False, "refresh_materialized_views": False}
STAGES = (
    Stage("preflight", "timescale_preflight", {"on_problem": "warn"}, writes=False),
    Stage("post_data", "timescale_post_data", {**FIRST, "include": OPT_IN, "jobs": JOBS}),
    Stage("aggregates", "timescale_cagg_sync", {"jobs": JOBS}),
    Stage("post_data_rest", "timescale_post_data", {"include": OPT_IN, "jobs": JOBS}),
    Stage("policies", "timescale_policy_sync", {"scheduled": "paused", "jobs": JOBS}),
    Stage("statistics", "postgres_analyze", {"jobs": JOBS}, source=False),
    Stage("verify", "timescale_verify", {"jobs_scheduled": False, "include": OPT_IN}, writes=False),
    Stage("activation", "timescale_policy_sync", {"activate": True, "guard": "none"}),
)


class Run:
    """A module in a process of its own, which a fault can kill."""

    def __init__(self, module: str, options: Mapping[str, Any], env: Mapping[str, str]) -> None:
        argv, self._text = module_command(module, options)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment(env), cwd=ROOT
        )

    def finish(self) -> dict[str, Any]:
        """Its result; ``killed`` when a signal ended it, ``broken`` when it ended in any other way without a result."""
        try:
            stdout, stderr = self.process.communicate(self._text, TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return {"broken": f"it still ran after {TIMEOUT} s"}
        if self.process.returncode < 0:
            return {"killed": True}
        try:
            result: dict[str, Any] = json.loads(stdout)
        except ValueError:
            return {"broken": f"{stdout}\n{stderr}"}
        return result


class Trigger:
    """Counts the statements that pass a proxy and calls ``strike`` once, at the n-th."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.arm(set(), 0, False, None)

    def arm(self, planned: set[str], moment: int, after: bool, strike: Callable[[], None] | None) -> None:
        """Args: the statements that count (all when empty), which one of them, whether after it was passed on."""
        with self._lock:
            self.planned, self.left, self.after, self.strike = planned, moment, after, strike
            self.struck = False

    def __call__(self, text: str) -> Callable[[], None] | None:
        with self._lock:
            if self.strike is None or self.struck or not self._counts(text):
                return None
            self.left -= 1
            if self.left > 0:
                return None
            self.struck, strike = True, self.strike
        if self.after:
            return strike
        strike()
        return None

    def _counts(self, text: str) -> bool:
        return not self.planned or text in self.planned or text.startswith(("CALL ", "COPY "))


class World:
    """The two servers, their proxies, and the databases of the move that is under way.

    Args:
        small: a folder on a small file system for the target's database, empty for none.
    """

    def __init__(self, small: str = "") -> None:
        pair = next(pair for pair in reversed(PAIRS) if not pair.missing())
        self.pool = Pool(max_locks_per_transaction="64", max_connections="40", max_wal_size="256MB")
        self.pair = pair
        self.small = small
        self.source_trigger, self.target_trigger = Trigger(), Trigger()
        self.sample = self.pool.fresh(pair)
        self.sample.drop()
        self.source_proxy = self._proxy(self.sample.source, self.source_trigger)
        self.target_proxy = self._proxy(self.sample.target, self.target_trigger)
        self.run: Run | None = None
        self.strikes: list[threading.Thread] = []
        self.missed = False
        if small:
            self.target.execute("postgres", f"CREATE TABLESPACE small LOCATION '{small}'")

    @property
    def source(self) -> ThrowawayServer:
        assert isinstance(self.sample.source, ThrowawayServer)
        return self.sample.source

    @property
    def target(self) -> ThrowawayServer:
        assert isinstance(self.sample.target, ThrowawayServer)
        return self.sample.target

    @contextlib.contextmanager
    def migration(self) -> Iterator[Sample]:
        """A fresh source and a fresh prepared target."""
        self.sample = self.pool.fresh(self.pair)
        if self.small:
            self.target.execute("postgres", f"ALTER DATABASE {self.sample.target_db} SET TABLESPACE small")
        try:
            yield self.sample
        finally:
            self.sample.drop()

    def options(self, stage: Stage, *, proxied: bool = False) -> dict[str, Any]:
        """The options of a stage's module, with the connections straight or through the proxies."""
        options = {**self.sample.login(), **stage.options}
        if proxied:
            options["login_port"] = self.target_proxy.port
            options["source"] = {**options["source"], "login_port": self.source_proxy.port}
        if not stage.source:
            del options["source"]
        return options

    def checked(self, stage: Stage) -> dict[str, Any]:
        """What check mode says."""
        return run_module(stage.module, self.options(stage), check=True)

    def again(self, stage: Stage) -> dict[str, Any]:
        """A run that nothing disturbs."""
        return run_module(stage.module, self.options(stage))

    def faulted(self, stage: Stage, env: Mapping[str, str]) -> dict[str, Any]:
        """Run the stage with the triggers as they are armed."""
        with tempfile.TemporaryDirectory() as folder:
            self.run = Run(stage.module, self.options(stage, proxied=True), {"TMPDIR": folder, **env})
            try:
                return self.run.finish()
            finally:
                triggers = (self.source_trigger, self.target_trigger)
                self.missed = any(one.strike is not None and not one.struck for one in triggers)
                for trigger in triggers:
                    trigger.arm(set(), 0, False, None)
                for proxy in (self.source_proxy, self.target_proxy):
                    proxy.heal()
                for strike in self.strikes:
                    strike.join()
                self.strikes.clear()

    def aside(self, work: Callable[[], None]) -> None:
        """Do something beside the run; the run's end waits for it."""
        thread = threading.Thread(target=work, daemon=True)
        self.strikes.append(thread)
        thread.start()

    def close(self) -> None:
        """Stop the proxies and the servers."""
        self.source_proxy.close()
        self.target_proxy.close()
        self.pool.close()

    @staticmethod
    def _proxy(server: Server, trigger: Trigger) -> Proxy:
        return Proxy(server.host, server.port, trigger)


@contextlib.contextmanager
def small_folder(megabytes: int, owner: int = -1) -> Iterator[str]:
    """A folder on a file system of that size; an empty name where this user may not mount one."""
    with tempfile.TemporaryDirectory(prefix="small-") as folder:
        os.chmod(folder, 0o755)
        argv = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder]
        if os.geteuid() != 0 or subprocess.run(argv, capture_output=True, check=False).returncode:
            yield ""
            return
        try:
            inner = Path(folder, "data")
            inner.mkdir(mode=0o700)
            os.chown(inner, owner, -1)
            yield str(inner)
        finally:
            subprocess.run(["umount", folder], check=True)
