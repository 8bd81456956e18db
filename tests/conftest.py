# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for tests on real servers. Nothing starts until a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from tests.support.pool import Pair, Pool, Sample
    from tests.support.servers import Server

# No test fails for being slow: a busy machine needs more than hypothesis's 200 ms for an example.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for ``pair`` once for each pair of versions; a pair that is not installed skips loudly."""
    if "pair" in metafunc.fixturenames:
        from tests.support.pool import PAIRS

        metafunc.parametrize("pair", PAIRS, ids=str, scope="session")


@pytest.fixture(scope="session")
def servers() -> Iterator[Pool]:
    """The servers that all tests share."""
    from tests.support.pool import Pool

    pool = Pool()
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def plain_server(servers: Pool) -> Server:
    """Any PostgreSQL server."""
    return servers.plain()


@pytest.fixture
def sample(servers: Pool, pair: Pair) -> Iterator[Sample]:
    """A fresh source with the fill-level sample and a fresh prepared target."""
    made = servers.fresh(pair)
    yield made
    made.drop()


@pytest.fixture
def plain_sample(servers: Pool) -> Iterator[Sample]:
    """A fresh source with the plain PostgreSQL sample and a fresh prepared target."""
    made = servers.plain_pair()
    yield made
    made.drop()
