# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers that a whole test session shares, and fresh databases on them.

Servers start when they are first asked for. TimescaleDB's scheduler is off unless a test asks for it. Samples are made
once and then copied as database templates, so a fresh pair of databases takes a fraction of a second.

``TIMESCALE_TEST_SOURCE`` and ``TIMESCALE_TEST_TARGET`` (URIs of superusers) name servers that the user runs already;
then these are the one version pair, and no server is started for it.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import Any

import pytest

from . import samples
from .installations import Installation, available, find
from .prepare import prepare_target
from .servers import GivenServer, Server, ThrowawayServer, start

SOURCE_URI = "TIMESCALE_TEST_SOURCE"
TARGET_URI = "TIMESCALE_TEST_TARGET"


@dataclass(frozen=True)
class Wanted:
    """One side of a pair: a TimescaleDB version on a PostgreSQL major; the URI's variable for a given server."""

    timescaledb: str
    major: int
    given: str = ""

    def __str__(self) -> str:
        return self.given or f"TimescaleDB {self.timescaledb} on PostgreSQL {self.major}"


@dataclass(frozen=True)
class Pair:
    """A source and a target that every feature is tested on."""

    source: Wanted
    target: Wanted

    def __str__(self) -> str:
        return "given" if self.source.given else f"{self.source.timescaledb}-to-{self.target.timescaledb}"

    def missing(self) -> list[Wanted]:
        """The sides that are not installed here."""
        return [one for one in (self.source, self.target) if not one.given and not find(one.major, one.timescaledb)]


def _pairs() -> tuple[Pair, ...]:
    if os.environ.get(SOURCE_URI) and os.environ.get(TARGET_URI):
        return (Pair(Wanted("", 0, SOURCE_URI), Wanted("", 0, TARGET_URI)),)
    old, new, newest = Wanted("2.11.2", 15), Wanted("2.28.3", 15), Wanted("2.29.2", 18)
    return (Pair(old, new), Pair(new, new), Pair(old, newest))


PAIRS = _pairs()


def available_pairs() -> list[Pair]:
    """The pairs whose two sides are installed here."""
    return [pair for pair in PAIRS if not pair.missing()]


@dataclass
class Sample:
    """A source that holds a sample and a target that has its tables and rows."""

    source: Server
    source_db: str
    target: Server
    target_db: str
    user: str = samples.OWNER

    def login(self, user: str | None = None, source_user: str | None = None) -> dict[str, Any]:
        """The connection options of a module that reads the source and manages the target."""
        return {**self.target.login_vars(self.target_db, user or self.user), "source": self.source_login(source_user)}

    def source_login(self, user: str | None = None) -> dict[str, Any]:
        """The connection options of the source."""
        return self.source.login_vars(self.source_db, user or self.user)

    def drop(self) -> None:
        """Drop both databases."""
        self.source.drop_database(self.source_db)
        self.target.drop_database(self.target_db)


class Pool:
    """Starts servers on demand and keeps them until ``close``.

    Args:
        settings: more lines for ``postgresql.conf`` of every server.
    """

    def __init__(self, **settings: str) -> None:
        self._settings = {"autovacuum": "off", **settings}
        self._servers: dict[tuple[str, bool], Server] = {}
        self._templates: set[tuple[Server, str]] = set()
        self._numbers = itertools.count(1)

    def server(self, major: int | None = None, timescaledb: str | None = None, *, scheduler: bool = False) -> Server:
        """The shared server of that major that carries that TimescaleDB version; skips the test where there is none."""
        installation = find(major, timescaledb)
        if installation is None:
            wanted = f"TimescaleDB {timescaledb} on " if timescaledb else ""
            pytest.skip(f"{wanted}PostgreSQL {major or 'of any version'} is not installed")
        return self._running(installation, scheduler)

    def plain(self) -> Server:
        """The shared server of any installation, one that runs already if there is one."""
        if self._servers:
            return next(iter(self._servers.values()))
        if not available():
            pytest.skip("PostgreSQL is not installed")
        return self._running(available()[-1], False)

    def side(self, wanted: Wanted, *, scheduler: bool = False) -> tuple[Server, str]:
        """The server of one side of a pair, and the TimescaleDB version to create there."""
        if not wanted.given:
            return self.server(wanted.major, wanted.timescaledb, scheduler=scheduler), wanted.timescaledb
        key = (os.environ[wanted.given], False)
        server = self._servers.setdefault(key, GivenServer(key[0]))
        version = server.timescaledb_version() if isinstance(server, GivenServer) else None
        if not version:
            pytest.skip(f"the server that {wanted.given} names has no TimescaleDB")
        return server, version

    def fresh(self, pair: Pair, sample: str = "fill_levels", *, scheduler: bool = False) -> Sample:
        """A new source with a sample and a new prepared target.

        Args:
            pair: the versions.
            sample: a key of ``samples.FILES``.
            scheduler: whether the target's server runs jobs by itself.
        """
        for one in pair.missing():
            pytest.skip(f"{one} is not installed")
        source, source_version = self.side(pair.source)
        target, target_version = self.side(pair.target, scheduler=scheduler)
        number = next(self._numbers)
        made = Sample(source, f"source_{number}", target, f"target_{number}")
        self._source(made, sample, source_version)
        self._target(made, sample, source_version, target_version)
        return made

    def plain_pair(self, server: Server | None = None) -> Sample:
        """As ``fresh``, for the plain PostgreSQL sample on one server without TimescaleDB in its databases."""
        place = server or self.plain()
        number = next(self._numbers)
        made = Sample(place, f"source_{number}", place, f"target_{number}")
        samples.load(place, made.source_db, "plain")
        prepare_target(place, made.source_db, place, made.target_db)
        return made

    def close(self) -> None:
        """Stop all servers."""
        for server in self._servers.values():
            server.stop()
        self._servers.clear()

    def _running(self, installation: Installation, scheduler: bool) -> Server:
        key = (str(installation.bindir), scheduler)
        if key not in self._servers:
            # No autovacuum: what is analyzed, and when, is the tests' own business.
            self._servers[key] = start(installation, scheduler=scheduler, **self._settings)
        return self._servers[key]

    def _source(self, made: Sample, sample: str, version: str) -> None:
        template = f"sample_{sample}_{version}"
        if not _can_copy(made.source):
            samples.load(made.source, made.source_db, sample, version, workers=False)
            return
        if (made.source, template) not in self._templates:
            samples.load(made.source, template, sample, version)
            self._templates.add((made.source, template))
        made.source.create_database(made.source_db, owner=samples.OWNER, template=template)

    def _target(self, made: Sample, sample: str, source_version: str, version: str) -> None:
        template = f"prepared_{sample}_{source_version}_{version}"
        samples.create_roles(made.target)
        if sample == "every_kind":
            samples.create_tablespaces(made.target)
        if not _can_copy(made.target):
            prepare_target(made.source, made.source_db, made.target, made.target_db, version)
            return
        if (made.target, template) not in self._templates:
            prepare_target(made.source, made.source_db, made.target, template, version)
            self._templates.add((made.target, template))
        made.target.create_database(made.target_db, owner=samples.OWNER, template=template)


def _can_copy(server: Server) -> bool:
    """Whether databases can be templates: not while a scheduler may be connected to them."""
    return isinstance(server, ThrowawayServer) and not server.scheduler
