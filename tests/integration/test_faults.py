# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The short form of ``make test-faults``: a fault in every stage of some moves; nothing is lost, no false success."""

from __future__ import annotations

import os
import random

import pytest

from tests.faults.suite import inject
from tests.support.pool import available_pairs

MOVES = 4


def test_faults_lose_nothing() -> None:
    if not available_pairs():
        pytest.skip("no pair of TimescaleDB versions is installed")
    seed = int(os.environ.get("FAULTS_SEED", random.SystemRandom().randrange(2**32)))
    print(f"seed {seed} (repeat it with FAULTS_SEED={seed})")
    score = inject(each=MOVES, seed=seed, moves=MOVES)
    assert (score.wrong, score.lost) == ([], []), f"seed {seed}"
    assert sum(score.injected.values()) >= 4 * MOVES, score
