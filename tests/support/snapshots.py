# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of real catalogs, and the plans made from them.

    tests/unit/snapshots/2.11.2/aggregates.json            a source with the sample, as source_file has it
    tests/unit/snapshots/2.11.2-to-2.29.2/aggregates.json  the prepared target of a pair, as the plan takes it
    tests/unit/snapshots/plans/2.11.2-to-2.29.2-aggregates.json

``tests/record_snapshots.py`` writes them, ``tests/unit/test_snapshots.py`` plans from them where no server is.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.dbops.timescale.plugins.module_utils._cagg.plan import make_plan as plan_aggregates
from ansible_collections.dbops.timescale.plugins.module_utils._cagg.target import Existing
from ansible_collections.dbops.timescale.plugins.module_utils._connection import Facts
from ansible_collections.dbops.timescale.plugins.module_utils._module import facts_from_json
from ansible_collections.dbops.timescale.plugins.module_utils._plan import Plan
from ansible_collections.dbops.timescale.plugins.module_utils._policy.plan import Options as PolicyOptions
from ansible_collections.dbops.timescale.plugins.module_utils._policy.plan import make_plan as plan_jobs
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.archive import Archive, Entry
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.objects import Inventory
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.plan import make_plan as plan_post_data
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.selection import Options as PostDataOptions
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.wanted import wanted_items
from ansible_collections.dbops.timescale.plugins.modules.timescale_cagg_sync import own_spec

FOLDER = Path(__file__).resolve().parents[1] / "unit" / "snapshots"
PLANS = FOLDER / "plans"
DOMAINS = ("aggregates", "jobs", "post_data")
AGGREGATE_OPTIONS = {name: option.get("default") for name, option in own_spec().options.items()}
FIRST_USER_OID = 16384
OID_KEYS = ("oid", "relation", "relations", "referenced", "rule", "parent", "object", "index", "constraint", "function")


def pairs() -> list[str]:
    """The pairs that have been recorded, as ``2.11.2-to-2.29.2``."""
    return sorted(folder.name for folder in FOLDER.glob("*-to-*") if folder.is_dir())


def load(folder: str, name: str) -> Any:
    """One snapshot."""
    return json.loads((FOLDER / folder / f"{name}.json").read_text(encoding="utf-8"))


def text_of(content: Any) -> str:
    """How a snapshot is written: the same content gives the same text."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def facts_of(folder: str, side: str) -> Facts:
    """The versions that a snapshot was taken from."""
    return dataclasses.replace(facts_from_json(load(folder, "facts")), side=side)


def make_plan(pair: str, domain: str) -> Plan:
    """The plan for a prepared target, in check mode: earlier stages count as done."""
    source = pair.split("-to-")[0]
    wanted, existing = load(source, domain), load(pair, domain)
    source_facts, target_facts = facts_of(source, "source"), facts_of(pair, "target")
    if domain == "jobs":
        return plan_jobs(wanted, source_facts, existing, target_facts, PolicyOptions(check_mode=True))
    if domain == "aggregates":
        return plan_aggregates(wanted, source_facts, existing_from_json(existing), target_facts, AGGREGATE_OPTIONS)
    inventory = Inventory(wanted)
    items = wanted_items(archive_from_json(load(source, "archive")), inventory)
    return plan_post_data(items, inventory, Inventory(existing), target_facts, PostDataOptions(check_mode=True))


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """A plan as plain data: everything that decides what is run, in the order of the plan."""
    return {
        "steps": [
            {
                "key": step.key,
                "action": step.action,
                "statements": list(step.statements),
                "reason": step.reason,
                "depends_on": list(step.depends_on),
                "atomic": step.atomic,
                "planned": step.planned,
            }
            for step in plan.steps
        ],
        "findings": [
            {"object": f.object.label, "outcome": f.outcome, "reason": f.reason, "hint": f.hint} for f in plan.findings
        ],
        "warnings": plan.warnings,
    }


def existing_to_json(existing: Existing) -> dict[str, Any]:
    """What the aggregates' plan takes of a target."""
    return {
        "document": existing.document,
        "surroundings": existing.surroundings,
        "texts": [[list(key), text] for key, text in existing.texts.items()],
        "printed": [[list(key), *answers] for key, answers in existing.printed.items()],
    }


def existing_from_json(stored: dict[str, Any]) -> Existing:
    """The reverse of ``existing_to_json``."""
    texts = {tuple(key): text for key, text in stored["texts"]}
    printed = {tuple(key): (wanted, found) for key, wanted, found in stored["printed"]}
    return Existing(stored["document"], stored["surroundings"], texts, printed)


def archive_from_json(stored: dict[str, Any]) -> Archive:
    """The archive of post-data, which is kept as the list of its entries."""
    return tuple(Entry(**{**entry, "dependencies": tuple(entry["dependencies"])}) for entry in stored["entries"])


def with_small_oids(*documents: Any) -> list[Any]:
    """The same documents with oids counted from 16384 in their order, so that two recordings are equal."""
    oids = sorted({oid for document in documents for oid in _oids(document)})
    numbers = {oid: FIRST_USER_OID + place for place, oid in enumerate(oids)}
    return [_renumbered(document, numbers) for document in documents]


def _oids(value: Any, key: str = "") -> Iterator[int]:
    if isinstance(value, dict):
        for inner, content in value.items():
            yield from _oids(content, inner)
    elif isinstance(value, (list, tuple)):
        for content in value:
            yield from _oids(content, key)
    elif isinstance(value, int) and key in OID_KEYS and value >= FIRST_USER_OID:
        yield value


def _renumbered(value: Any, numbers: dict[int, int], key: str = "") -> Any:
    if isinstance(value, dict):
        return {inner: _renumbered(content, numbers, inner) for inner, content in value.items()}
    if isinstance(value, (list, tuple)):
        return [_renumbered(content, numbers, key) for content in value]
    if isinstance(value, str):
        return re.sub(r"(?<=RI_ConstraintTrigger_[ac]_)\d+", lambda m: str(numbers.get(int(m[0]), m[0])), value)
    return numbers.get(value, value) if isinstance(value, int) and key in OID_KEYS else value
