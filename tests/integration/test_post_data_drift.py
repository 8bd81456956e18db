# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each attribute of each kind, changed by hand on the target, is told with both definitions; replacing settles it."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from tests.support import catalog
from tests.support.playbook import run_module
from tests.support.pool import PAIRS, Pool, Sample
from tests.support.samples import SAMPLES

RENAMED = {"kinds_here": "kinds_there"}
# The server has no other statement for these, or refuses to exchange them.
NOT_REPLACED = {
    "index places_hash",
    "unique places_at_key",
    "publication kinds_root",
    "default_privileges sensor_admin r",
}


def _changes() -> list[tuple[str, str, str, str]]:
    """Label, the target's and the source's definition, statements."""
    text = (SAMPLES / "every_kind_changed.sql").read_text(encoding="utf-8")
    found = re.findall(r"^--= (.+?) =>(.*?) =>(.*)\n((?:(?!--=).+\n)+)", text, re.MULTILINE)
    assert len(found) == text.count("\n--= ")
    return [(label, was.strip(), should.strip(), statements) for label, was, should, statements in found]


def test_each_attribute_that_differs_is_told(servers: Pool) -> None:
    pair = next((one for one in PAIRS if one.source == one.target), None) or PAIRS[0]
    sample = servers.fresh(pair, "every_kind")
    include = ["publications", "default_privileges"]
    arguments = {**sample.login(), "include": include, "tablespace_map": RENAMED}
    try:
        assert run_module("timescale_post_data", arguments).get("msg") is None
        changes = _changes()
        with contextlib.closing(sample.target.connect(sample.target_db, sample.user)) as target:
            for *_told, statements in changes:
                with target.cursor() as cursor:
                    cursor.execute(statements)
        told = run_module("timescale_post_data", arguments, diff=True)
        assert (told.get("msg"), told["changed"], told["queries"]) == (None, False, [])
        drifted = {f"{one['kind']} {one['name']}" for one in told["objects"] if one["outcome"] == "drifted"}
        assert drifted == {label for label, *_others in changes}
        before, after = _blocks(told["diff"]["before"]), _blocks(told["diff"]["after"])
        for label, was, should, _statements in changes:
            assert was in before.get(label, ""), (label, before.get(label))
            assert should in after.get(label, ""), (label, after.get(label))
            assert label in before or label in after
        _replaced(sample, arguments)
        _set_apart(sample, arguments)
    finally:
        sample.drop()


def _blocks(text: str) -> dict[str, str]:
    """A diff's blocks by kind and name; those of one name together."""
    found: dict[str, str] = {}
    for block in re.split(r"(?:^|\n)-- ", text)[1:]:
        head, _line, body = block.partition("\n")
        kind, _blank, name = head.partition(" ")
        for label in LABELS:
            if label.startswith(f"{kind} ") and (f".{label.partition(' ')[2]}" in f".{name}"):
                found[label] = found.get(label, "") + body
    return found


LABELS = sorted({label for label, *_others in _changes()})


def _replaced(sample: Sample, arguments: dict[str, Any]) -> None:
    """What can be exchanged is; the rest stays told."""
    replacing = {**arguments, "on_drift": "replace"}
    ran = run_module("timescale_post_data", replacing)
    assert ran.get("msg") is None
    again = run_module("timescale_post_data", replacing)
    left = {f"{one['kind']} {one['name']}" for one in again["objects"] if one["outcome"] == "drifted"}
    assert (again.get("msg"), again["changed"], left) == (None, False, NOT_REPLACED)
    with (
        contextlib.closing(sample.source.connect(sample.source_db)) as source,
        contextlib.closing(sample.target.connect(sample.target_db)) as target,
    ):
        differs = catalog.compare(source, target, tablespaces=RENAMED)
    names = ("places_hash", "places_at_key", "kinds_root", "sensor_admin kinds r")
    assert [line for line in differs if not any(name in line for name in names)] == []


def _set_apart(sample: Sample, arguments: dict[str, Any]) -> None:
    """A partition's trigger is made with its parent's state; a run that was killed then has not set its own yet."""
    for text in (
        "ALTER TABLE ONLY kinds.log_1 ENABLE TRIGGER log_row",
        "ALTER TABLE ONLY kinds.log_2_rest DISABLE TRIGGER log_off",
    ):
        sample.target.execute(sample.target_db, text)
    ran = run_module("timescale_post_data", arguments)
    created = {(one["kind"], one["name"], one["table"]) for one in ran["objects"] if one["outcome"] == "created"}
    assert created == {("trigger_state", "log_row", "log_1"), ("trigger_state", "log_off", "log_2_rest")}
    assert run_module("timescale_post_data", arguments)["changed"] is False
