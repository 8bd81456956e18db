# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Which job of the source is which job of the target."""

from __future__ import annotations

import collections
import typing as t

if t.TYPE_CHECKING:
    from .kinds import Kind
    from .model import Job

    Pair = tuple[t.Optional[Job], t.Optional[Job]]
    Key = t.Callable[[Job], t.Hashable]

__all__ = ["pair"]


def pair(kind: Kind, wanted: t.Sequence[Job], existing: t.Sequence[Job]) -> list[Pair]:
    """Pair the jobs of one kind: (wanted, existing), with None where one side has no partner.

    Policies are known by their relation, refresh policies by their window too. User jobs have no key: equal ones are
    paired first, then those with the same procedure and config, then a procedure's last one on each side.
    """
    rounds: list[Key] = []
    if kind.option == "user":
        rounds = [lambda job: job.everything, lambda job: (job.proc_schema, job.proc_name, job.config)]
    elif kind.several:
        rounds = [
            lambda job: job.everything,
            lambda job: (job.relation, *(repr(job.values.get(key)) for key in kind.keys)),
        ]
    pairs: list[Pair] = []
    left, right = list(wanted), list(existing)
    for key in rounds:
        found, left, right = _round(key, left, right)
        pairs += found
    if kind.option == "user":
        found, left, right = _round(lambda job: (job.proc_schema, job.proc_name), left, right, alone=True)
    else:
        found, left, right = _round(lambda job: job.relation, left, right)
    pairs += found
    pairs.sort(key=lambda one: one[0].number if one[0] else 0)
    return pairs + [(job, None) for job in left] + [(None, job) for job in right]


def _round(
    key: Key, left: list[Job], right: list[Job], *, alone: bool = False
) -> tuple[list[Pair], list[Job], list[Job]]:
    """Pair what has the same key, in order; ``alone``: only where each side has exactly one."""
    groups: dict[t.Hashable, list[Job]] = {}
    for job in right:
        groups.setdefault(key(job), []).append(job)
    keys = [key(job) for job in left]
    counts = collections.Counter(keys)
    pairs: list[Pair] = []
    unpaired: list[Job] = []
    for job, its_key in zip(left, keys):
        group = groups.get(its_key, [])
        if group and not (alone and (len(group) > 1 or counts[its_key] > 1)):
            pairs.append((job, group.pop(0)))
        else:
            unpaired.append(job)
    return pairs, unpaired, [job for group in groups.values() for job in group]
