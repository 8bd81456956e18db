# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guides and READMEs name variables, tags, playbooks, modules and roles that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles" / "timescale_migrate"
PAGES = [*sorted((ROOT / "docs" / "docsite" / "rst").glob("*.rst")), ROOT / "README.md", ROLE / "README.md"]
# Of the playbooks and the sample inventories, not of the role.
MORE_VARIABLES = {"timescale_migrate_hosts", "timescale_migrate_source_db", "timescale_migrate_target_db"}
NAMES = {
    "playbook": {path.stem for path in (ROOT / "playbooks").glob("*.yml")},
    "module": {path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")},
    "role": {ROLE.name},
}


def _variables() -> set[str]:
    specs = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text("utf-8"))
    return set(specs["argument_specs"]["main"]["options"]) | MORE_VARIABLES


def _tags() -> set[str]:
    tasks = yaml.safe_load((ROLE / "tasks" / "main.yml").read_text("utf-8"))
    return {tag for task in tasks[0]["block"] for tag in task.get("tags", [])}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    assert set(re.findall(r"\btimescale_migrate_\w+\b", text)) - _variables() == set()
    assert set(re.findall(r"--tags (\w+)", text)) - _tags() == set()
    assert set(re.findall(r"ansible-playbook (?:-\S+ \S+ )*dbops\.timescale\.(\w+)", text)) - NAMES["playbook"] == set()
    assert set(re.findall(r"dbops\.timescale\.(\w+)#module", text)) - NAMES["module"] == set()
    assert set(re.findall(r"-t role dbops\.timescale\.(\w+)|role: dbops\.timescale\.(\w+)", text)) <= {
        (ROLE.name, ""),
        ("", ROLE.name),
    }


def test_the_role_documents_every_default() -> None:
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text("utf-8"))
    assert set(defaults) == _variables() - MORE_VARIABLES - {"timescale_migrate_target"}
