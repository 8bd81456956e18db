# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Compares what aggregates hold, up to the lower of the two watermarks."""

from __future__ import annotations

import typing as t

from .._plan import Finding, Identity
from .slices import aggregate_checks, shown

__all__ = ["aggregate_checks", "unmaterialized"]


def unmaterialized(wanted: list[dict[str, t.Any]], existing: list[dict[str, t.Any]]) -> list[Finding]:
    """Aggregates that the target lacks, or whose stored part ends before the source's: that part is not compared."""
    there = {(one["schema"], one["name"]): one for one in existing}
    findings = []
    for one in wanted:
        identity = Identity("contents", one["schema"], one["name"])
        other = there.get((one["schema"], one["name"]))
        if other is None:
            reason = "The target has no such continuous aggregate; the source holds its contents."
            findings.append(Finding(identity, "drifted", reason, "Run timescale_cagg_sync."))
        elif one["axis"] and other["axis"] and other["watermark"] < one["watermark"] and one["axis"]["ranges"]:
            findings.append(_behind(identity, one, other))
    return findings


def _behind(identity: Identity, one: dict[str, t.Any], other: dict[str, t.Any]) -> Finding:
    type_name = one["axis"]["type"]
    ends = shown(other["watermark"], type_name)
    until = shown(one["watermark"], type_name)
    reason = f"The target has stored its buckets up to {ends}, the source up to {until}."
    if ends is None or not other["axis"]["ranges"]:
        reason = f"The target has stored no buckets, the source has up to {until}."
    watermarks = {"source": until, "target": ends}
    return Finding(
        Identity("watermark", identity.schema, identity.name),
        "drifted",
        reason,
        "Refresh it: CALL refresh_continuous_aggregate.",
        details={"watermarks": watermarks},
    )
