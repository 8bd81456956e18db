# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Differences as lines for people. What was told before is marked and comes last."""

from __future__ import annotations

import typing as t

from .._plan import Finding

__all__ = ["differences"]

_KEYS = ("kind", "schema", "table", "name")


def differences(findings: t.Iterable[Finding], known: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """The result keys ``differences`` and ``differences_known``.

    :param known: entries of other modules' results; objects are recognised by kind, schema, table and name.
    """
    told = {tuple(str(entry.get(key) or "") for key in _KEYS) for entry in known}
    new: list[str] = []
    old: list[str] = []
    for one in findings:
        if one.outcome == "present" or one.aside:
            continue
        line = f"{one.object.label}: {one.reason}"
        if tuple(getattr(one.object, key) for key in _KEYS) in told:
            old.append(f"{line} (Told before.)")
        else:
            new.append(line)
    return {"differences": new + old, "differences_known": len(old)}
