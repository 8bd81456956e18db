# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module prints at its end: long lists go past Ansible's own looks at every value, and must arrive unchanged."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import pytest

from ansible_collections.dbops.timescale.plugins.module_utils._module import _say

RESULT = {
    "changed": True,
    "queries": ['CREATE INDEX "a""b" ON t (x)', "COMMENT ON TABLE t IS 'ü \\ \n'"],
    "objects": [{"kind": "index", "duration_ms": 3, "started_at": 1.5, "aside": True, "hint": None}],
    "summary": {"created": 1},
    "warnings": ["Ansible reads these itself"],
}


def test_long_lists_arrive_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Ansible gets short marks in place of the lists, and the lists stand in what is printed."""
    seen: dict[str, Any] = {}

    def ansible(**result: Any) -> NoReturn:
        seen.update(result)
        print("\n" + json.dumps(result))
        raise SystemExit(0)

    with pytest.raises(SystemExit):
        _say(ansible, RESULT)
    assert json.loads(capsys.readouterr().out) == RESULT
    assert isinstance(seen["objects"], str)
    assert isinstance(seen["queries"], str)
    assert (seen["warnings"], seen["summary"]) == (RESULT["warnings"], RESULT["summary"])


def test_what_ansible_said_before_an_error_is_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """An error on the way out must not swallow what was printed already."""

    def ansible(**_result: Any) -> NoReturn:
        print("before")
        raise ValueError("on the way out")

    with pytest.raises(ValueError, match="on the way out"):
        _say(ansible, RESULT)
    assert capsys.readouterr().out == "before\n"
