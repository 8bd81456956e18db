"""The built collection: what its tarball holds, and that the installed copy documents every module."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tooling.stage import CHECKOUT, build

TOP_LEVEL = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "FILES.json",
    "LICENSE",
    "MANIFEST.json",
    "README.md",
    "changelogs",
    "docs",
    "meta",
    "playbooks",
    "plugins",
    "roles",
}
MODULES = sorted(path.stem for path in (CHECKOUT / "plugins" / "modules").glob("[a-z]*.py"))


def _run(program: str, *arguments: str, collections: Path) -> str:
    """Run a program of Ansible that sees the given collections only; return what it printed."""
    answer = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *arguments],
        cwd=collections,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    assert answer.returncode == 0, answer.stdout
    return answer.stdout


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the collection, install it into an empty path without any network, and return that path."""
    built, installed = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("collections")
    build(built)
    (tarball,) = built.glob("dbops-timescale-*.tar.gz")
    _run(
        "ansible-galaxy",
        "collection",
        "install",
        "--offline",
        "-p",
        str(installed),
        str(tarball),
        collections=installed,
    )
    return installed


def test_tarball_holds_what_users_need_and_nothing_else(collections: Path) -> None:
    """Neither tests nor tools nor anything of the checkout's own folders is shipped."""
    root = collections / "ansible_collections" / "dbops" / "timescale"
    assert {path.name for path in root.iterdir()} == TOP_LEVEL
    strays = [path for path in root.rglob("*") if path.suffix == ".pyc" or path.name == "__pycache__"]
    assert strays == []


def test_every_module_is_in_the_installed_copy(collections: Path) -> None:
    """The installed modules are those of the checkout."""
    installed = collections / "ansible_collections" / "dbops" / "timescale" / "plugins" / "modules"
    assert MODULES
    assert sorted(path.stem for path in installed.glob("[a-z]*.py")) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_ansible_doc_reads_the_installed_module(collections: Path, module: str) -> None:
    """Each module's documentation, with its fragments, is readable for a user."""
    text = _run("ansible-doc", "-t", "module", f"dbops.timescale.{module}", collections=collections)
    assert f"dbops.timescale.{module}" in text
    assert "EXAMPLES:" in text
    assert "RETURN VALUES:" in text
