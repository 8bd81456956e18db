"""The action groups of meta/runtime.yml against the modules: a missing member would connect to the wrong server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (CHECKOUT / "plugins" / "modules").glob("[a-z]*.py"))


@pytest.fixture(scope="module")
def groups() -> dict[str, list[str]]:
    """Return the action groups as written."""
    runtime = yaml.safe_load((CHECKOUT / "meta" / "runtime.yml").read_text("utf-8"))
    found: dict[str, list[str]] = runtime["action_groups"]
    return found


@pytest.fixture(scope="module")
def options() -> dict[str, dict[str, Any]]:
    """Return every module's documented options, its fragments included."""
    names = [f"dbops.timescale.{module}" for module in MODULES]
    answer = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-doc")), "--json", "-t", "module", *names],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".ansible" / "collections")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    documents = json.loads(answer.stdout)
    return {module: documents[f"dbops.timescale.{module}"]["doc"]["options"] for module in MODULES}


def test_there_are_modules() -> None:
    """Without modules the tests below would compare nothing with nothing."""
    assert MODULES


def test_all_holds_every_module(groups: dict[str, list[str]]) -> None:
    """module_defaults of the group must reach every module."""
    assert sorted(groups["all"]) == MODULES


def test_sync_holds_the_modules_with_a_source(groups: dict[str, list[str]], options: dict[str, dict[str, Any]]) -> None:
    """A module outside the group would not get the source; one without the option would refuse it."""
    assert sorted(groups["sync"]) == [module for module in MODULES if "source" in options[module]]


def test_groups_name_no_module_twice(groups: dict[str, list[str]]) -> None:
    """A name given twice is a slip of the pen."""
    assert all(len(members) == len(set(members)) for members in groups.values())
