# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Queries in views and rules: majors print the same one differently (PostgreSQL 16 leaves qualifications out).

Where two texts differ, the target's server parses and prints both, in a transaction that is rolled back.
"""

from __future__ import annotations

import contextlib
import dataclasses

from .._connection import Database
from .._errors import StatementFailed
from .._plan import Identity
from .._sql import identifier, raw, statement
from . import scanner
from .objects import Inventory, Thing

__all__ = ["settle"]

_NAME = "dbops_printed"
_VIEW = f"SELECT pg_catalog.pg_get_viewdef('pg_temp.{_NAME}'::pg_catalog.regclass)"
_RULE = f"""SELECT pg_catalog.pg_get_ruledef(r.oid) FROM pg_catalog.pg_rewrite AS r
WHERE r.ev_class = 'pg_temp.{_NAME}'::pg_catalog.regclass"""


def settle(target: Database, wanted: Inventory, existing: Inventory) -> None:
    """Give the source's rules and views the target's text where both mean the same."""
    differing = [identity for identity in wanted.things if _differs(identity, wanted, existing)]
    if not differing:
        return
    with contextlib.closing(dataclasses.replace(target, read_only=False).another()) as scratch:
        for identity in differing:
            ours, theirs = wanted.things[identity], existing.things[identity]
            printed = _print(scratch, ours)
            if printed and printed == _print(scratch, theirs):
                wanted.things[identity] = dataclasses.replace(ours, definition=theirs.definition)


def _differs(identity: Identity, wanted: Inventory, existing: Inventory) -> bool:
    there = existing.things.get(identity)
    if identity.kind != "rule" or there is None or there.definition == wanted.things[identity].definition:
        return False
    return not scanner.is_placeholder(there.definition)


def _print(scratch: Database, rule: Thing) -> str:
    """How the target prints it, empty where it does not take it."""
    text, query = _temporary(rule)
    scratch.execute("BEGIN")
    try:
        for one in text:
            scratch.execute(one)
        return str(scratch.value(query))
    except StatementFailed:
        return ""
    finally:
        scratch.execute("ROLLBACK")


def _temporary(rule: Thing) -> tuple[tuple[str, ...], str]:
    place = identifier("pg_temp", _NAME)
    if rule.identity.name == "_RETURN" or rule.relation is None:
        return (statement("CREATE VIEW {} AS {}", place, raw(rule.definition.rstrip("; \n"))),), _VIEW
    like = statement("CREATE TABLE {} (LIKE {})", place, identifier(*rule.relation))
    head = list(scanner.tokens(rule.definition))
    at = next((number for number, token in enumerate(head) if token.is_word("TO")), 0)
    renamed = f"{rule.definition[: head[at].end]} pg_temp.{_NAME}{rule.definition[head[at + 3].end :]}"
    return (like, renamed), _RULE
