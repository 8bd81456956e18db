# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive reader: what is written comes back, and what is broken or forged gives one clear error."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.dbops.timescale.plugins.module_utils._errors import BadInput
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.archive import Entry, read_archive
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.objects import Inventory
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.statements import document_of
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.wanted import wanted_items

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
DESCS = ["INDEX", "CONSTRAINT", "FK CONSTRAINT", "CHECK CONSTRAINT", "TRIGGER", "RULE", "POLICY", "STATISTICS"]
DESCS += ["ROW SECURITY", "MATERIALIZED VIEW DATA", "COMMENT", "INDEX ATTACH", "EVENT TRIGGER", "SOMETHING NEW"]
WORDS = [
    "ALTER",
    "TABLE",
    "ONLY",
    "CREATE",
    "INDEX",
    "TRIGGER",
    "RULE",
    "ON",
    "TO",
    "ADD",
    "CONSTRAINT",
    "p.t",
    ";",
    "PRIMARY",
    "KEY",
    "CHECK",
    "(",
    ")",
    "WITH",
    "FOREIGN",
]
WORDS += [
    "REFERENCES",
    '"',
    "'",
    "$$",
    "/*",
    "COMMENT",
    "AS",
    "POLICY",
    "STATISTICS",
    "VIEW",
    "REPLICA",
    "CLUSTER",
    "ENABLE",
]
STATEMENTS = st.one_of(TEXT, st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join))
ENTRIES = st.lists(st.tuples(st.sampled_from(DESCS), TEXT, TEXT, STATEMENTS), max_size=6)


def _number(value: int) -> bytes:
    return bytes([value < 0]) + abs(value).to_bytes(4, "little")


def _string(text: str | None) -> bytes:
    return _number(-1) if text is None else _number(len(text.encode())) + text.encode()


def _archive(entries: list[tuple[str, str, str, str]]) -> bytes:
    """As pg_dump 15 writes it (archive version 1.14)."""
    content = b"PGDMP\x01\x0e\x00\x04\x08\x01" + _number(0) + _number(0) * 7
    content += _string("db") + _string("15.1") + _string("15.1") + _number(len(entries))
    for number, (desc, schema, tag, text) in enumerate(entries, start=1):
        content += _number(number) + _number(0) + _string("1259") + _string(str(20000 + number))
        content += _string(tag) + _string(desc) + _number(4) + _string(text) + _string("") + _string(None)
        content += _string(schema) + _string("") + _string("heap") + _string("owner") + _string("false")
        content += _string(str(number - 1)) + _string(None) + bytes(9)
    return content


def _read(content: bytes) -> None:
    """Read and plan from it, as with dump_file alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.dump")
        path.write_bytes(content)
        archive = read_archive(str(path))
    wanted_items(archive, Inventory(document_of(archive)))


@given(ENTRIES)
@example([("INDEX", "", "", "CREATE/ON ONLY")])
def test_entries_come_back_and_forged_ones_do_not_crash(entries: list[tuple[str, str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.dump")
        path.write_bytes(_archive(entries))
        archive = read_archive(str(path))
    assert [(e.desc, e.schema, e.tag, e.text) for e in archive] == entries
    items = wanted_items(archive, Inventory(document_of(archive)))
    # Nothing is guessed: what has a definition was read from a statement whose names agree with the entry.
    assert all(item.thing is None or item.thing.identity == item.identity for item in items)


def test_roles_of_a_policy_stand_as_in_the_catalog() -> None:
    text = 'CREATE POLICY two ON public.t FOR SELECT TO zed, "Odd, one", alpha USING (true) WITH CHECK ((a = 1));'
    document = document_of((Entry(1, 3256, 20001, "t two", "POLICY", 4, text, "public", "", ()),))
    (policy,) = document["policies"]
    assert policy["definition"] == ('FOR SELECT TO "Odd, one", alpha, zed USING (true) WITH CHECK ((a = 1))')


@given(ENTRIES, st.data())
def test_a_broken_file_gives_one_clear_error(entries: list[tuple[str, str, str, str]], data: st.DataObject) -> None:
    content = _archive(entries)
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    with pytest.raises(BadInput):
        _read(cut)
    place = data.draw(st.integers(0, len(content) - 1))
    changed = content[:place] + bytes([data.draw(st.integers(0, 255))]) + content[place + 1 :]
    try:
        _read(changed)
    except BadInput as error:
        assert "x.dump" in error.message  # noqa: PT017  (it need not fail: the byte may stand in a text)
