# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""What stands in the way of a move, found by comparing two preflight documents. No database access."""

from __future__ import annotations

from .._connection import Facts
from .objects import OBJECT_CHECKS
from .problem import Document, Options, Problem, Sides
from .servers import SERVER_CHECKS

__all__ = ["Options", "Problem", "find_problems"]


def find_problems(
    wanted: Document, wanted_facts: Facts, existing: Document, facts: Facts, options: Options
) -> list[Problem]:
    """All problems and cautions, severe ones first.

    :param wanted: the source's document.
    :param existing: the target's document.
    """
    sides = Sides(wanted, wanted_facts, existing, facts, options)
    found = [problem for check in SERVER_CHECKS + OBJECT_CHECKS for problem in check(sides)]
    return sorted(found, key=lambda problem: not problem.severe)
