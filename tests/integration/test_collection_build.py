"""The built collection: what its tarball holds, and that the installed copy documents every module."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tooling.stage import CHECKOUT, build

# Everything that is shipped, by folder and suffix; plugins by their kind.
CONTENT = {
    ".: CHANGELOG.md CONTRIBUTING.md FILES.json LICENSE MANIFEST.json README.md",
    "changelogs: changelog.yaml config.yaml",
    "docs: architecture.md reliability.md",
    "docs/docsite: extra-docs.yml",
    "docs/docsite/rst: *.rst",
    "meta: ee-bindep.txt ee-requirements.txt execution-environment.yml runtime.yml",
    "playbooks: activate.yml check.yml migrate.yml",
    "playbooks/inventory: hosts.yml",
    "playbooks/inventory/group_vars/all: connections.yml passwords.yml",
    "playbooks/inventory_jump: hosts.yml",
    "playbooks/inventory_jump/group_vars/all: connections.yml passwords.yml",
    "plugins/action: *.py",
    "plugins/doc_fragments: *.py",
    "plugins/filter: *.py",
    "plugins/module_utils: *.py",
    "plugins/modules: *.py",
    "plugins/plugin_utils: *.py",
    "roles/timescale_migrate: README.md",
    "roles/timescale_migrate/defaults: main.yml",
    "roles/timescale_migrate/meta: argument_specs.yml main.yml",
    "roles/timescale_migrate/tasks: *.yml",
    "roles/timescale_migrate/templates: summary.txt.j2",
    "roles/timescale_migrate/vars: main.yml",
}
MANY = (".py", ".rst")  # files of which only the suffix is listed; a role's tasks too
LARGEST = 500_000  # bytes of the tarball
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
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the collection."""
    built = tmp_path_factory.mktemp("dist")
    build(built)
    (made,) = built.glob("dbops-timescale-*.tar.gz")
    return made


@pytest.fixture(scope="module")
def collections(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the tarball into an empty path without any network, and return that path."""
    installed = tmp_path_factory.mktemp("collections")
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
    found: dict[str, set[str]] = {}
    for path in root.rglob("*"):
        if path.is_file():
            folder = path.parent.relative_to(root)
            plugins = folder.parts[:1] == ("plugins",)
            many = path.suffix in MANY or folder.name == "tasks"
            name = f"*{path.suffix}" if many else path.name
            found.setdefault("/".join(folder.parts[:2]) if plugins else str(folder), set()).add(name)
    assert {f"{folder}: {' '.join(sorted(names))}" for folder, names in found.items()} == CONTENT


def test_the_tarball_is_small(tarball: Path) -> None:
    """A megabyte would mean that something strayed into it."""
    assert tarball.stat().st_size < LARGEST


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
