# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statement text: quoting is ours, so it is proved against what the driver does and against a table."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbops.timescale.plugins.module_utils import _sql as sql


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "NULL"),
        (True, "true"),
        (7, "7"),
        (1.5, "1.5"),
        ("it's", "'it''s'"),
        ("back\\slash", "E'back\\\\slash'"),
        ({"b": 1, "a": "x'y"}, '\'{"a": "x\'\'y", "b": 1}\''),
    ],
)
def test_literals(value: Any, text: str) -> None:
    assert sql.quote_literal(value) == text


def test_statement_fills_places_in_order_and_by_name() -> None:
    text = sql.statement("ALTER TABLE {} SET ({o})", sql.identifier("a b", 'c"d'), o=sql.raw("fillfactor = 70"))
    assert text == 'ALTER TABLE "a b"."c""d" SET (fillfactor = 70)'


def test_a_place_can_be_filled_twice() -> None:
    assert sql.statement("{0} {1} {0}", sql.literal(1), sql.literal(2)) == "1 2 1"


def test_server_printed_text_with_braces_and_percent_stays() -> None:
    assert sql.statement("SELECT {}", sql.raw("'{{ x }} %s'")) == "SELECT '{{ x }} %s'"


def test_typed_value() -> None:
    assert sql.statement("{}", sql.typed("1 day", "pg_catalog.interval")) == "'1 day'::pg_catalog.interval"


@pytest.mark.parametrize("quote", [sql.quote_identifier, sql.quote_literal])
def test_nul_is_refused(quote: Any) -> None:
    with pytest.raises(ValueError, match="NUL"):
        quote("a\0b")


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1))
def test_a_quoted_name_ends_where_it_should(name: str) -> None:
    quoted = sql.quote_identifier(name)
    assert quoted[0] == quoted[-1] == '"'
    assert quoted[1:-1].replace('""', "") == name.replace('"', "")
