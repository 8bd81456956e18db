# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Reads the list of contents of an archive that pg_dump wrote in its custom format.

The layout follows what pg_dump of PostgreSQL 12 to 18 writes (archive versions 1.14 to 1.16): a header, then one
record per entry. An entry of the post-data section carries its whole statement text, so nothing else has to be read.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from .._errors import BadInput

__all__ = ["Archive", "Entry", "read_archive"]

MAGIC = b"PGDMP"
OLDEST, NEWEST = (1, 14), (1, 16)
COMPRESSION_BYTE = (1, 15)  # the header names the algorithm in one byte
RELKIND = (1, 16)  # entries tell the kind of their relation
CUSTOM_FORMAT = 1
POST_DATA = 4
ATTACHED = ("COMMENT", "SECURITY LABEL")
DATE_PARTS = 7  # second, minute, hour, day, month, year, daylight saving


@dataclasses.dataclass(frozen=True)
class Entry:
    """One entry of the list of contents.

    :param dump_id: its number in this archive, to which dependencies refer.
    :param catalog: oid of the system catalog that held the object, 0 when there is none.
    :param oid: the object's oid on the source, 0 when it has none of its own.
    :param tag: the name shown to people; blanks inside make it ambiguous.
    :param desc: what it is (INDEX, FK CONSTRAINT, TRIGGER …).
    :param text: its statements.
    """

    dump_id: int
    catalog: int
    oid: int
    tag: str
    desc: str
    section: int
    text: str
    schema: str
    tablespace: str
    dependencies: tuple[int, ...]


# The entries of an archive's post-data section, in restore order.
Archive = tuple[Entry, ...]


def read_archive(path: str) -> Archive:
    """Read an archive's list of contents.

    :raises BadInput: the file cannot be read, is no archive in custom format, is of another archive version, is cut
        off, or is not in UTF-8.
    """
    try:
        with open(path, "rb") as file:
            return _Reader(path, file).archive()
    except OSError as error:
        raise BadInput(f"dump_file {path} cannot be read: {error.strerror}.", hint="Check path and rights.") from error


def _post_data(entries: t.Sequence[Entry]) -> t.Iterator[Entry]:
    """The section's entries, and those that only speak of one (COMMENT, SECURITY LABEL), which are in no section."""
    kept = {entry.dump_id for entry in entries if entry.section == POST_DATA}
    for entry in entries:
        if entry.dump_id in kept or (entry.desc in ATTACHED and kept.intersection(entry.dependencies)):
            yield entry


class _Reader:
    """The primitives of the format: bytes, signed numbers, strings."""

    def __init__(self, path: str, file: t.BinaryIO) -> None:
        self.path = path
        self.file = file
        self.size = os.fstat(file.fileno()).st_size
        self.version = (0, 0)
        self.int_size = 0
        self.offset_size = 0

    def archive(self) -> Archive:
        if self.file.read(len(MAGIC)) != MAGIC:
            raise self._bad("is no archive of pg_dump in custom format")
        self._header()
        _database, _server_version, _client_version = self._text(), self._text(), self._text()
        entries = [self._entry() for _number in range(self._number())]
        self._check_session(entries)
        return tuple(_post_data(entries))

    def _header(self) -> None:
        major, minor, _revision = self._bytes(3)
        self.version = (major, minor)
        if not OLDEST <= self.version <= NEWEST:
            raise self._bad(f"has archive version {major}.{minor}; versions 1.14 to 1.16 can be read")
        self.int_size, self.offset_size, kind = self._bytes(3)
        if kind != CUSTOM_FORMAT:
            raise self._bad("is an archive in another format than custom")
        if self.version >= COMPRESSION_BYTE:
            self._bytes(1)
        else:
            self._number()
        for _part in range(DATE_PARTS):
            self._number()

    def _entry(self) -> Entry:
        dump_id, _has_data = self._number(), self._number()
        catalog, oid = self._digits(self._text()), self._digits(self._text())
        tag, desc, section = self._text(), self._text(), self._number()
        text, _drop, _copy = self._text(), self._text(), self._text()
        schema, tablespace, _access_method = self._text(), self._text(), self._text()
        if self.version >= RELKIND:
            self._number()
        _owner, _with_oids = self._text(), self._text()
        dependencies = tuple(self._dependencies())
        self._bytes(1 + self.offset_size)
        return Entry(dump_id, catalog, oid, tag, desc, section, text, schema, tablespace, dependencies)

    def _dependencies(self) -> t.Iterator[int]:
        while True:
            text = self._string()
            if text is None:
                return
            yield self._digits(text)

    def _check_session(self, entries: t.Sequence[Entry]) -> None:
        """The texts mean what they say only in the encoding and with the string syntax that they were written in."""
        settings = {entry.desc: entry.text for entry in entries if entry.desc in ("ENCODING", "STDSTRINGS")}
        encoding = re.search(r"'(\w+)'", settings.get("ENCODING", ""))
        if encoding and encoding.group(1) != "UTF8":
            raise self._bad(f"is in the encoding {encoding.group(1)}", "Dump again with --encoding=UTF8.")
        if "'off'" in settings.get("STDSTRINGS", ""):
            raise self._bad(
                "was made with standard_conforming_strings = off",
                "Dump again with PGOPTIONS='-c standard_conforming_strings=on'.",
            )

    def _bytes(self, count: int) -> bytes:
        # A forged length must not become memory.
        found = self.file.read(count) if count <= self.size else b""
        if len(found) != count:
            raise self._bad("is cut off")
        return found

    def _digits(self, text: str) -> int:
        if not re.fullmatch(r"[0-9]{0,20}", text):
            raise self._bad("holds an entry whose number is none")
        return int(text or 0)

    def _number(self) -> int:
        negative = self._bytes(1)[0]
        value = int.from_bytes(self._bytes(self.int_size), "little")
        return -value if negative else value

    def _string(self) -> str | None:
        length = self._number()
        if length < 0:
            return None
        try:
            return self._bytes(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._bad("is not in UTF-8", "Dump again with --encoding=UTF8.") from error

    def _text(self) -> str:
        return self._string() or ""

    def _bad(self, what: str, hint: str = "Make it with pg_dump -Fc --section=post-data.") -> BadInput:
        return BadInput(f"dump_file {self.path} {what}.", hint=hint)
