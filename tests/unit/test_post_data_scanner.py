# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statements are cut and read with respect for quotes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbops.timescale.plugins.module_utils._post_data import scanner
from ansible_collections.dbops.timescale.plugins.module_utils._sql import quote_identifier, quote_literal


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (";;", []),
        ("SELECT 1;", ["SELECT 1"]),
        ("SELECT ';'; SELECT \";\"", ["SELECT ';'", 'SELECT ";"']),
        ("SELECT $a$;$b$;$a$; X;", ["SELECT $a$;$b$;$a$", "X"]),
        (r"SELECT E'\';'; X", [r"SELECT E'\';'", "X"]),
        ("-- ;\nA; /* ; /* ; */ */ B;", ["A", "B"]),
        ("CREATE RULE r AS ON DELETE TO t DO (A; B); C;", ["CREATE RULE r AS ON DELETE TO t DO (A; B)", "C"]),
    ],
)
def test_cut(text: str, found: list[str]) -> None:
    assert scanner.cut(text) == found


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20
)


@given(NAMES, NAMES, NAMES)
def test_any_name_survives(schema: str, table: str, name: str) -> None:
    relation = f"{quote_identifier(schema)}.{quote_identifier(table)}"
    rest = f"ADD CONSTRAINT {quote_identifier(name)} CHECK (({quote_literal(name)} <> ''))"
    text = f"ALTER TABLE ONLY {relation}\n    {rest}"
    assert scanner.without_only(text) == f"ALTER TABLE {relation} {rest}"
    assert scanner.relation(text) == (schema, table)
    index = f"CREATE UNIQUE INDEX {quote_identifier(name)} ON ONLY {relation} USING btree (x)"
    assert scanner.relation(index) == (schema, table)
    assert scanner.cut(f"{text};\n\n{index};") == [text, index]


@pytest.mark.parametrize(
    ("text", "relation"),
    [
        ("CREATE TRIGGER t BEFORE INSERT ON public.a FOR EACH ROW EXECUTE FUNCTION f()", ("public", "a")),
        ("CREATE RULE r AS ON DELETE TO public.a DO INSTEAD NOTHING", ("public", "a")),
        ("CREATE STATISTICS public.s ON (a), b FROM public.t", ("public", "t")),
        ("CREATE POLICY p ON public.t FOR SELECT TO r", ("public", "t")),
        ("REFRESH MATERIALIZED VIEW public.m", ("public", "m")),
        ("CREATE OR REPLACE VIEW public.v AS SELECT 1", ("public", "v")),
        ("COMMENT ON INDEX public.i IS 'x'", ()),
        ("", ()),
    ],
)
def test_relation(text: str, relation: tuple[str, ...]) -> None:
    assert scanner.relation(text) == relation


def test_only_stays_where_it_is_no_head() -> None:
    for text in ("CREATE INDEX i ON ONLY public.t USING btree (x)", "ALTER TABLE public.only ADD CHECK (true)"):
        assert scanner.without_only(text) == text


@pytest.mark.parametrize(
    ("definition", "columns"),
    [
        ('UNIQUE (a, "B c")', ("a", "B c")),
        ("PRIMARY KEY (a) INCLUDE (b)", ("a",)),
        ("EXCLUDE USING btree (at WITH =, x WITH =)", ("at", "x")),
        (
            'CREATE UNIQUE INDEX i ON public.t USING btree (lower(a), ((b + 1)), "c" DESC, d COLLATE "C")',
            ("c", "d"),
        ),
    ],
)
def test_columns(definition: str, columns: tuple[str, ...]) -> None:
    assert scanner.columns(definition) == columns


@pytest.mark.parametrize(
    ("query", "empty"),
    [
        ("SELECT NULL::integer AS id,\n    NULL::numeric(10,2) AS n;", True),
        (' SELECT (NULL::text COLLATE "C") AS "a, b",\n    NULL::"My ""Type" AS c', True),
        ("SELECT NULL::integer AS id, t.x FROM public.t", False),
        ("SELECT NULL::integer AS id FROM public.t", False),
        ("SELECT 1 AS id, NULL::integer AS x", False),
        ("SELECT NULL::integer AS id UNION SELECT 1", False),
        ("VALUES (1)", False),
        ("", False),
    ],
)
def test_the_empty_body_of_a_view(query: str, empty: bool) -> None:
    assert scanner.is_placeholder(query) is empty


def test_words_in_a_row() -> None:
    trigger = "CREATE TRIGGER delete AFTER INSERT ON t WHEN (new.statement) FOR EACH ROW EXECUTE FUNCTION p.delete()"
    assert scanner.holds(trigger, "FOR", "EACH", "ROW")
    assert not scanner.holds(trigger, "REFERENCING", ("NEW", "OLD"))
    assert scanner.before(trigger, "ON") == ("CREATE", "TRIGGER", "DELETE", "AFTER", "INSERT")
