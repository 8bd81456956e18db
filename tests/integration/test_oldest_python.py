# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules run with the oldest Python that the collection promises, through a real playbook."""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import Server

ROOT = Path(__file__).parents[2]
OLDEST = "3.9"
MODULES = ("timescale_info", "postgres_analyze")


def _oldest_python() -> str:
    """An interpreter of the oldest version that starts; pyenv's shims do not count, they may point nowhere."""
    places = glob.glob(os.path.expanduser(f"~/.pyenv/versions/{OLDEST}.*/bin/python{OLDEST}"))
    for path in filter(None, [shutil.which(f"python{OLDEST}"), *places]):
        if subprocess.run([path, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            return path
    pytest.skip(f"Python {OLDEST} is not installed: the modules were not run with the oldest Python")


@pytest.fixture(scope="session")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("oldest") / "venv"
    subprocess.run([_oldest_python(), "-m", "venv", str(folder)], check=True)
    subprocess.run([str(folder / "bin/pip"), "install", "-q", "psycopg2-binary==2.9.12"], check=True, timeout=600)
    return str(folder / "bin/python")


@pytest.mark.parametrize("module", MODULES)
def test_runs_with_the_oldest_python(module: str, interpreter: str, plain_server: Server, tmp_path: Path) -> None:
    plain_server.create_database("oldest")
    try:
        login = {key: value for key, value in plain_server.login_vars("oldest").items() if value is not None}
        play = [
            {
                "hosts": "localhost",
                "gather_facts": False,
                "tasks": [{"name": "Run", f"dbops.timescale.{module}": login}],
            }
        ]
        path = tmp_path / "play.json"
        path.write_text(json.dumps(play), encoding="utf-8")
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                "-i",
                "localhost,",
                "-c",
                "local",
                "-e",
                f"ansible_python_interpreter={interpreter}",
                str(path),
            ],
            env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible/collections")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "failed=0" in done.stdout
    finally:
        plain_server.drop_database("oldest")
