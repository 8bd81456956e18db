# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Makes the archive: pg_dump of the source's post-data section."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
import typing as t

from .._clients import find_client, run_client
from .._connection import Database, lock_timeout_ms
from .._errors import BadInput
from .._sql import quote_identifier
from .._timescale import EXTENSION_SCHEMAS
from .._timescale import chunks as chunk_query
from .._versions import postgres_major
from .archive import Archive, read_archive

__all__ = ["Making", "prepare"]

Making = t.Callable[[], Archive]

# Chunks in schemas of the user's. Where they are too many for a command line, their entries are dropped when read.
_NAMED_CHUNKS = 200
_CHUNKS = f"""
SELECT n.nspname, c.relname FROM ({{chunks}}) AS k
JOIN pg_catalog.pg_class AS c ON c.oid = k.relid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT EXISTS (SELECT FROM ({EXTENSION_SCHEMAS}) AS s WHERE s.oid = n.oid)
"""


def prepare(source: Database, path: str, *, client_path: str = "") -> Making:
    """Ask the source what its dump leaves out, and give what makes the dump; that asks nothing of our session.

    :param path: keep the archive there, with mode 0600; empty makes a file that is removed.
    :param client_path: the folder of pg_dump.
    """
    return functools.partial(_dump, source, _arguments(source), path, client_path)


def _dump(source: Database, arguments: list[str], path: str, client_path: str) -> Archive:
    """Run pg_dump, and kill it where a signal comes.

    :raises BadInput: there is no fitting pg_dump, or the folder cannot be written to.
    :raises TimescaleError: pg_dump failed.
    """
    client = find_client("pg_dump", postgres_major(source.server_version), folder=client_path)
    with _private_file(path) as file:
        run_client(client, [*arguments, f"--file={file}"], source)
        return read_archive(file)


def _arguments(source: Database) -> list[str]:
    schemas = [name for _oid, name in source.rows(EXTENSION_SCHEMAS)] if source.timescale else []
    # In quotes, a pattern of pg_dump means one schema and no more.
    excluded = [f"--exclude-schema={quote_identifier(name)}" for name in schemas]
    chunks = source.rows(_CHUNKS.format(chunks=chunk_query(source.timescale))) if source.timescale else []
    if len(chunks) <= _NAMED_CHUNKS:
        excluded += [f"--exclude-table={quote_identifier(schema)}.{quote_identifier(name)}" for schema, name in chunks]
    waiting = f"--lock-wait-timeout={lock_timeout_ms(source)}"  # it would wait for ever
    return ["--format=custom", "--section=post-data", "--no-owner", "--encoding=UTF8", waiting, *excluded]


@contextlib.contextmanager
def _private_file(path: str) -> t.Iterator[str]:
    """A new file of mode 0600: made under another name and renamed when it is whole, or removed."""
    folder = os.path.dirname(os.path.abspath(path)) if path else None
    try:
        descriptor, name = tempfile.mkstemp(prefix="dbops-", suffix=".dump", dir=folder)
    except OSError as error:
        raise BadInput(f"The folder of dump_file {path} cannot be written to: {error.strerror}.") from error
    os.close(descriptor)
    try:
        yield name
        if path:
            os.replace(name, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
