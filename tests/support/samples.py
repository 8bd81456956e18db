# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads the sample databases of ``tests/samples``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg2

from .installations import version_key
from .servers import Server

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
OWNER = "sensor_admin"
TABLESPACES = ("kinds_here", "kinds_there")
READERS = ("sensor_reader", "sensor_writer")
FILES = {
    "plain": ("plain.sql",),
    "fill_levels": ("plain.sql", "fill_levels.sql"),
    "every_kind": ("every_kind.sql",),
    "refused": ("refused.sql",),
    "aggregates": ("plain.sql", "fill_levels.sql", "aggregates.sql"),
}
MARK = re.compile(
    r"^--: (?P<how>step|alone) (?P<name>.+?)(?: (?P<bound>since|before) (?P<version>[\d.]+))?$"
    r"(?P<text>.*?)(?=^--: |\Z)",
    re.MULTILINE | re.DOTALL,
)


class Part(NamedTuple):
    """One marked part of a sample file; ``alone`` is a single statement outside any transaction."""

    name: str
    alone: bool
    text: str


def parts(sample: str, version: str | None) -> Iterator[Part]:
    """The parts of a sample that a TimescaleDB of that version (or a server without one) takes."""
    text = "".join((SAMPLES / file).read_text(encoding="utf-8") for file in FILES[sample])
    for found in MARK.finditer(text):
        if found["bound"]:
            later = version is not None and version_key(version) >= version_key(found["version"])
            if later != (found["bound"] == "since"):
                continue
        yield Part(found["name"], found["how"] == "alone", found["text"])


def create_roles(server: Server) -> None:
    """The roles that the samples name. All may log in; none is a superuser."""
    for role in (OWNER, *READERS):
        server.create_role(role)


def create_tablespaces(server: Server) -> None:
    """The tablespaces of every_kind.sql, in the data folder, where everybody may create."""
    there = {name for (name,) in server.execute(server.maintenance_db, "SELECT spcname FROM pg_catalog.pg_tablespace")}
    connection = server.connect(server.maintenance_db)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET allow_in_place_tablespaces = on")
            for name in TABLESPACES:
                if name not in there:
                    cursor.execute(f"CREATE TABLESPACE {name} LOCATION ''")
                    cursor.execute(f"GRANT CREATE ON TABLESPACE {name} TO PUBLIC")
    finally:
        connection.close()


def load(server: Server, db: str, sample: str, version: str | None = None, *, workers: bool = True) -> str:
    """Create a database that holds a sample, owned by ``sensor_admin``, and return its name.

    Args:
        server: where.
        db: the new database's name.
        sample: a key of ``FILES``.
        version: of TimescaleDB; all but ``plain`` need one.
        workers: False stops the database's scheduler, if the server has one, before the sample's jobs are made.

    Raises:
        RuntimeError: a part of the sample fails; the text names the part.
    """
    create_roles(server)
    if sample == "every_kind":
        create_tablespaces(server)
    server.create_database(db, extension_version=version, owner=OWNER)
    if version and not workers:
        server.stop_workers(db)
    connection = server.connect(db, OWNER)
    try:
        for part in parts(sample, version):
            with connection.cursor() as cursor:
                try:
                    cursor.execute(part.text)
                except psycopg2.Error as err:
                    raise RuntimeError(f"{sample}, {part.name}: {err}") from err
    finally:
        connection.close()
    return db
