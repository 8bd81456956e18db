# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""When stages and steps ran, as pictures of one row each. Labels are text beside them, so that they never shrink."""

from __future__ import annotations

import datetime
import typing as t

from .data import label_of
from .markup import duration, text

__all__ = ["timeline"]

_WIDTH = 1000.0
_LANE = 7  # height of a row of steps
_LANES = 12  # rows of steps that are drawn at most
_STEPS = 1500  # steps that are drawn for one stage; the longest


def timeline(stages: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """One row for each stage that ran, on one time axis."""
    ran = [stage for stage in stages if stage["started_at"] and stage["elapsed_ms"] is not None]
    if not ran:
        return ""
    begin = min(stage["started_at"] for stage in ran)
    end = max(stage["started_at"] + stage["elapsed_ms"] / 1000 for stage in ran)
    scale = _WIDTH / max(end - begin, 0.001)
    rows = [_row(stage, begin, scale) for stage in ran]
    axis = "".join(f"<span>{text(label)}</span>" for label in (_clock(begin), _clock((begin + end) / 2), _clock(end)))
    return (
        f'<div class="time">\n{"".join(rows)}<span class="gap"></span><div class="axis">{axis}</div>\n</div>\n'
        '<p class="soft">Times are UTC. The upper bar of a row is the stage, the lower ones are its steps.</p>'
    )


def _row(stage: t.Mapping[str, t.Any], begin: float, scale: float) -> str:
    lanes = _packed(stage["objects"])
    height = 12 + (2 + _LANE * len(lanes) if lanes else 0)
    bars = [
        _bar(
            "stage",
            stage["state"] == "failed",
            stage["started_at"] - begin,
            stage["elapsed_ms"],
            0,
            12,
            scale,
            f"{stage['title']}: {duration(stage['elapsed_ms'])}",
        )
    ]
    for place, lane in enumerate(lanes):
        for step in lane:
            title = f"{step.get('kind')} {label_of(step)}: {duration(step['duration_ms'])}, {step.get('outcome')}"
            bars.append(
                _bar(
                    "step",
                    step.get("outcome") == "failed",
                    step["started_at"] - begin,
                    step["duration_ms"],
                    14 + place * _LANE,
                    _LANE - 1,
                    scale,
                    title,
                )
            )
    picture = (
        f'<svg viewBox="0 0 {_WIDTH:.0f} {height}" height="{height}" preserveAspectRatio="none" role="img"'
        f' aria-label="{text(stage["title"])}">{"".join(bars)}</svg>'
    )
    name = f"{text(stage['title'])} <small>{text(duration(stage['elapsed_ms']))}</small>"
    return f'<div class="name">{name}</div>{picture}\n'


def _bar(kind: str, bad: bool, start: float, elapsed_ms: float, top: int, height: int, scale: float, title: str) -> str:
    left = min(max(start * scale, 0.0), _WIDTH - 1)
    width = max(1.0, min(elapsed_ms / 1000 * scale, _WIDTH - left))
    return (
        f'<rect class="{kind}{" bad" if bad else ""}" x="{left:.1f}" y="{top}" width="{width:.1f}" height="{height}">'
        f"<title>{text(title)}</title></rect>"
    )


def _packed(objects: t.Iterable[t.Mapping[str, t.Any]]) -> list[list[t.Mapping[str, t.Any]]]:
    """Steps in as few rows as do not overlap: in truth the connections they ran on."""
    steps = [one for one in objects if one.get("started_at") and one.get("duration_ms") is not None]
    steps = sorted(sorted(steps, key=lambda one: -one["duration_ms"])[:_STEPS], key=lambda one: one["started_at"])
    lanes: list[list[t.Mapping[str, t.Any]]] = []
    ends: list[float] = []
    for step in steps:
        free = next((n for n, end in enumerate(ends) if end <= step["started_at"] + 0.001), None)
        if free is None:
            if len(lanes) == _LANES:
                continue
            lanes.append([])
            ends.append(0.0)
            free = len(lanes) - 1
        lanes[free].append(step)
        ends[free] = step["started_at"] + step["duration_ms"] / 1000
    return lanes


def _clock(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%H:%M:%S")
