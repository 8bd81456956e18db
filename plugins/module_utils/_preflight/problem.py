# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""One line for the operator, and what the checks compare."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connection import Facts

__all__ = ["Document", "Options", "Problem", "Sides", "caution", "few", "key_of", "name_of", "severe"]

Document = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Problem:
    """One line for the operator.

    :param side: source or target.
    :param object: kind and name.
    :param text: what is wrong.
    :param remedy: what to do.
    :param severe: True when the move would fail or lose something, False for a caution.
    """

    side: str
    object: str
    text: str
    remedy: str
    severe: bool = True

    @property
    def line(self) -> str:
        return f"{self.side}, {self.object}: {self.text} {self.remedy}"

    def as_result(self) -> dict[str, str]:
        return {"side": self.side, "object": self.object, "problem": self.text, "remedy": self.remedy}


@dataclasses.dataclass(frozen=True)
class Options:
    """What the checks need besides the documents.

    :param jobs: connections that will work side by side.
    :param live: the source is connected, so that privileges there matter.
    :param owner_map: owners of jobs, role on the source to role on the target.
    :param tablespace_map: tablespace on the source to tablespace on the target.
    """

    jobs: int
    live: bool
    owner_map: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    tablespace_map: t.Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Sides:
    """Both documents, and the facts of both servers."""

    wanted: Document
    wanted_facts: Facts
    existing: Document
    facts: Facts
    options: Options

    def source(self, key: str) -> list[Document]:
        return self.wanted.get(key) or []

    def target(self, key: str) -> list[Document]:
        return self.existing.get(key) or []


def severe(side: str, subject: str, text: str, remedy: str) -> Problem:
    """The move would fail or lose something."""
    return Problem(side, subject, text, remedy)


def caution(side: str, subject: str, text: str, remedy: str) -> Problem:
    """The operator should know."""
    return Problem(side, subject, text, remedy, severe=False)


def name_of(entry: Document) -> str:
    return f"{entry['schema']}.{entry['name']}"


def key_of(entry: Document) -> tuple[str, str]:
    return entry["schema"], entry["name"]


def few(names: t.Iterable[str]) -> str:
    """At most five names: the first ones tell what to look at."""
    listed = sorted(names)
    return ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
