# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Which continuous aggregates have buckets that only the source holds so far.

timescale_cagg_sync copies them; timescale_policy_sync asks before a retention policy becomes active.
"""

from __future__ import annotations

import typing as t

from ._cagg.catalog import read_existing, used_hypertables
from ._cagg.extents import read_extents
from ._cagg.history import find_history, perhaps_left
from ._cagg.target import Existing, key_of

if t.TYPE_CHECKING:
    from ._connection import Database

__all__ = ["history_left"]


def history_left(source: Database | None, target: Database, wanted: dict[str, t.Any]) -> dict[tuple[str, str], str]:
    """Find what has still to be copied.

    :param source: None when the source is known from a file only; then a range in which the target's aggregate has
        nothing, and the source's has chunks, counts.
    :param wanted: the source's aggregates document.
    :returns: schema and name -> what is left, in words.
    :raises StatementFailed: a side refuses to be read.
    """
    document = read_existing(target)
    document["hypertables"] = used_hypertables(document, wanted)
    read_extents(target, [entry for entry in document["hypertables"] if "extent" not in entry])
    existing = Existing(document, {}, {}, {})
    hidden = {key_of(entry)[:2] for entry in wanted["aggregates"] if entry["slices"] and not entry["readable"]}
    unknown = dict.fromkeys(hidden, "perhaps some of the buckets, which its role may not read on the source,")
    if source is None:
        perhaps = dict.fromkeys(perhaps_left(target, wanted, existing), "buckets (as far as the file can tell)")
        return {**{key[:2]: what for key, what in perhaps.items()}, **unknown}
    pieces = find_history(source, target, wanted, existing, lambda entry: key_of(entry)[:2] not in hidden)
    buckets = {key[:2]: sum(piece.buckets for piece in found if not piece.same) for key, found in pieces.items()}
    return {**{name: f"{count} buckets" for name, count in buckets.items() if count}, **unknown}
