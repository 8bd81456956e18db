# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""The whole wanted state as one file: each domain's document, read by its own reader. Lies above the domains."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
import typing as t

from ._cagg.catalog import read as read_aggregates
from ._connection import Database
from ._errors import BadInput
from ._module import SOURCE_FORMAT, facts_to_json
from ._policy.catalog import read as read_jobs
from ._post_data.catalog import read as read_post_data
from ._preflight.catalog import read as read_preflight

__all__ = ["READERS", "source_text", "write_private"]

# The keys are those that Session.wanted asks for.
READERS: dict[str, t.Callable[[Database], t.Any]] = {
    "aggregates": read_aggregates,
    "jobs": read_jobs,
    "post_data": read_post_data,
    "preflight": read_preflight,
}


def source_text(database: Database) -> str:
    """Everything that the sync modules want to know of a source, as the text of a ``source_file``.

    :param database: the session to read with; documents are read as those of a source.
    :raises StatementFailed: the server refuses to be read.
    """
    source = dataclasses.replace(database, side="source")
    # One snapshot for all, so that no document names what another does not have.
    source.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        documents = {name: reader(source) for name, reader in READERS.items()}
    finally:
        source.execute("ROLLBACK")
    content = {"format": SOURCE_FORMAT, "facts": facts_to_json(source.facts), "documents": documents}
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write_private(path: str, text: str, *, dry: bool) -> bool:
    """Put a text into a file that only its owner can read, replacing it in one go.

    :param dry: only tell.
    :returns: whether the file was, or would be, changed: other content, or readable by others.
    :raises BadInput: the file cannot be read or written.
    """
    try:
        if _is_there(path, text):
            return False
        if not dry:
            _replace(path, text)
    except OSError as error:
        raise BadInput(
            f"write_to {path} cannot be written: {error.strerror}.", hint="Check the folder and its rights."
        ) from error
    return True


def _is_there(path: str, text: str) -> bool:
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise BadInput(f"write_to {path}: the folder does not exist.", hint="Create it first.")
    if not os.path.lexists(path):
        return False
    if not os.path.isfile(path) or os.path.islink(path):
        raise BadInput(f"write_to {path} is no ordinary file.", hint="Give another path.")
    with open(path, "rb") as file:
        same = file.read() == text.encode()
    return same and not os.stat(path).st_mode & 0o077


def _replace(path: str, text: str) -> None:
    """mkstemp gives mode 0600; the rename is atomic within a folder."""
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path) or ".", prefix=".timescale_info_")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
