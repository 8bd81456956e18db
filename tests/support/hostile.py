# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody who may create things in a database can lay out for those who connect to it later.

``plant`` makes a twin of everything built in that an unqualified name could mean instead: functions and operators in
``public``, relations and types in a schema of a user, and puts both before pg_catalog in every search_path. Each
twin that is reached writes ``MARK`` into the server's log and raises an error.
"""

from __future__ import annotations

import json

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from .servers import Server

MARK = "PLANTED: "
SCHEMA = "Trap's"

# Types whose values SQL can pass to a function in any language.
_FUNCTIONS = """
DO $do$
DECLARE
    twin record;
BEGIN
    FOR twin IN
        SELECT p.oid, p.proname, pg_catalog.oidvectortypes(p.proargtypes) AS arguments, p.proretset AS many,
               pg_catalog.format_type(p.prorettype, NULL) AS result, p.provolatile
        FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
        WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND p.prokind = 'f' AND p.provariadic = 0
          AND NOT EXISTS (
            SELECT FROM pg_catalog.unnest(p.proargtypes::oid[]) AS u (id)
            JOIN pg_catalog.pg_type t ON t.oid = u.id WHERE t.typtype = 'p')
          AND (p.prorettype = 'void'::pg_catalog.regtype OR NOT EXISTS (
            SELECT FROM pg_catalog.pg_type t WHERE t.oid = p.prorettype AND t.typtype = 'p'))
          AND p.proname NOT LIKE 'binary_upgrade%%'
    LOOP
        EXECUTE pg_catalog.format(
            'CREATE OR REPLACE FUNCTION public.%%I(%%s) RETURNS %%s %%s LANGUAGE plpgsql AS %%L',
            twin.proname, twin.arguments, CASE WHEN twin.many THEN 'SETOF ' ELSE '' END || twin.result,
            CASE twin.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END,
            pg_catalog.format(
                'BEGIN RAISE LOG %%L; RAISE EXCEPTION %%L; END', %(mark)s || 'function ' || twin.proname, %(mark)s));
    END LOOP;
END
$do$
"""
_OPERATORS = """
DO $do$
DECLARE
    twin record;
BEGIN
    FOR twin IN
        SELECT o.oprname, o.oprleft::pg_catalog.regtype::text AS l, o.oprright::pg_catalog.regtype::text AS r,
               p.proname, o.oprleft = 0 AS is_prefix
        FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode
        WHERE o.oprnamespace = 'pg_catalog'::pg_catalog.regnamespace AND EXISTS (
            SELECT FROM pg_catalog.pg_proc q WHERE q.pronamespace = 'public'::pg_catalog.regnamespace
            AND q.proname = p.proname AND q.proargtypes = p.proargtypes)
    LOOP
        EXECUTE pg_catalog.format(
            'CREATE OPERATOR public.%%s (%%s RIGHTARG = %%s, FUNCTION = public.%%I)', twin.oprname,
            CASE WHEN twin.is_prefix THEN '' ELSE 'LEFTARG = ' || twin.l || ',' END, twin.r, twin.proname);
    END LOOP;
END
$do$
"""
_RELATIONS = """
DO $do$
DECLARE
    twin record;
BEGIN
    FOR twin IN SELECT c.relname FROM pg_catalog.pg_class c
        WHERE c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace AND c.relkind IN ('r', 'v')
    LOOP
        EXECUTE pg_catalog.format(
            'CREATE VIEW %%I.%%I AS SELECT public.pg_backend_pid() AS oid', %(schema)s, twin.relname);
    END LOOP;
    FOR twin IN SELECT t.typname FROM pg_catalog.pg_type t WHERE t.typname IN (
        'bool', 'int4', 'int8', 'interval', 'json', 'jsonb', 'name', 'oid', 'regclass', 'text', 'timestamptz')
    LOOP
        EXECUTE pg_catalog.format(
            'CREATE DOMAIN %%I.%%I AS pg_catalog.%%I CHECK (public.pg_backend_pid() > 0)',
            %(schema)s, twin.typname, twin.typname);
    END LOOP;
END
$do$
"""
# A type of a user, whose casts are the user's too, and a table that is read with it.
_CASTS = """
CREATE TYPE public.colour AS ENUM ('red', 'green');
CREATE FUNCTION public.colour_text(public.colour) RETURNS text LANGUAGE plpgsql AS
    'BEGIN RAISE LOG ''PLANTED: cast''; RAISE EXCEPTION ''PLANTED: ''; END';
CREATE FUNCTION public.colour_bigint(public.colour) RETURNS bigint LANGUAGE plpgsql AS
    'BEGIN RAISE LOG ''PLANTED: cast''; RAISE EXCEPTION ''PLANTED: ''; END';
CREATE CAST (public.colour AS text) WITH FUNCTION public.colour_text(public.colour) AS IMPLICIT;
CREATE CAST (public.colour AS bigint) WITH FUNCTION public.colour_bigint(public.colour) AS IMPLICIT;
CREATE TABLE public.painted (id bigint NOT NULL, colour public.colour NOT NULL, at timestamptz NOT NULL);
INSERT INTO public.painted VALUES (1, 'red', '2026-01-01'), (2, 'green', '2026-01-02');
CREATE VIEW public.peeked AS SELECT public.pg_backend_pid() AS pid;
CREATE MATERIALIZED VIEW public.kept_peek AS SELECT public.pg_backend_pid() AS pid WITH NO DATA;
CREATE FUNCTION public.on_painted() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE LOG ''PLANTED: trigger''; RAISE EXCEPTION ''PLANTED: ''; END';
"""
_POST_DATA = """
ALTER TABLE public.painted ADD PRIMARY KEY (id);
CREATE INDEX painted_colour_idx ON public.painted (colour);
CREATE TRIGGER painted_any BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.painted
    FOR EACH STATEMENT EXECUTE FUNCTION public.on_painted();
"""


def plant(server: Server, db: str, role: str, *, source: bool) -> None:
    """Plant it all in a database, and put it before pg_catalog in the search_path of the database and of a role.

    Args:
        server: where.
        db: the database.
        role: who will connect.
        source: whether it gets post-data too, which is to be moved.
    """
    values = {"schema": SCHEMA, "mark": MARK}
    server.execute(db, sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
    server.execute(db, "SET check_function_bodies = off; " + _FUNCTIONS, values)
    for text in (_OPERATORS, _RELATIONS):
        server.execute(db, text, values)
    server.execute(db, _CASTS + (_POST_DATA if source else ""))
    path = sql.SQL("SET search_path = {}, public, pg_catalog").format(sql.Identifier(SCHEMA))
    server.execute(db, sql.SQL("ALTER DATABASE {} ").format(sql.Identifier(db)) + path)
    in_database = sql.SQL("ALTER ROLE {} IN DATABASE {} ").format(sql.Identifier(role), sql.Identifier(db))
    server.execute(db, in_database + path)


# Names that mean something to SQL, to a shell, to Python's and Ansible's templates, to HTML, or look like another one.
NASTY = (
    'it\'s "quoted"',
    "back\\slash \\n \\'",
    "two\nlines\r\n\tand a tab",
    "100 % of %s %(all)s %%",
    "{{ 7 * 7 }} {% raw %}",
    "$$ $1 $body$ $(id) `id`",
    "'; DROP TABLE x; --",
    "<script>alert(1)</script>&amp;",
    "\u0440\u0430\u0443\u0440\u0430l and paypal",  # Cyrillic letters
    "\u202egnp.exe\u200b",
    "水" * 21,  # 63 bytes, the longest there is
    "a.b.c",
    " leading and trailing ",
    "/* no comment */",
)
_TABLE = """
CREATE SCHEMA {name} AUTHORIZATION {owner};
CREATE TABLE {relation} (
    at timestamptz NOT NULL, {name} text DEFAULT {literal}, value float NOT NULL DEFAULT 1,
    CONSTRAINT {check} CHECK (value > 0 AND {name} <> {other})
);
ALTER TABLE {relation} OWNER TO {owner};
SELECT public.create_hypertable({regclass}, 'at', chunk_time_interval => interval '1 day');
INSERT INTO {relation}
    SELECT t, {literal}, 1 FROM generate_series('2026-01-01'::timestamptz, '2026-01-04', interval '6 hours') t;
CREATE INDEX {index} ON {relation} ({name}, at) WHERE {name} <> {other};
CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS {body};
CREATE TRIGGER {trigger} BEFORE UPDATE ON {relation} FOR EACH ROW WHEN (NEW.{name} <> {other})
    EXECUTE FUNCTION {function}({literal});
COMMENT ON TABLE {relation} IS {literal};
COMMENT ON INDEX {index_path} IS {literal};
COMMENT ON TRIGGER {trigger} ON {relation} IS {literal};
COMMENT ON CONSTRAINT {check} ON {relation} IS {literal};
CREATE PROCEDURE {procedure}(job_id int, config jsonb) LANGUAGE plpgsql AS {body_of_procedure};
ALTER PROCEDURE {procedure}(int, jsonb) OWNER TO {owner};
SELECT public.add_job({procedure_text}, interval '1 day', config => {config});
"""
_AGGREGATE = """
CREATE MATERIALIZED VIEW {view} WITH (timescaledb.continuous) AS
SELECT public.time_bucket('1 day', at) AS {name}, count(*) AS {other_name}, max({name}) AS {third}
FROM {relation} WHERE {name} <> {other} GROUP BY 1;
"""
_AFTER_AGGREGATE = """
COMMENT ON VIEW {view} IS {literal};
ALTER MATERIALIZED VIEW {view} OWNER TO {owner};
SELECT public.add_continuous_aggregate_policy({view_text}, NULL, interval '1 hour', interval '1 hour');
SELECT public.add_retention_policy({regclass}, interval '1000 years');
"""


def _cut(text: str) -> str:
    """The longest beginning that a name may have."""
    return text.encode()[:63].decode(errors="ignore")


def load_nasty(server: Server, db: str) -> None:
    """Make objects of every kind under every nasty name; their owner has a name like that too."""
    connection = server.connect(db)
    try:
        with connection.cursor() as cursor:
            for name in NASTY:
                places = _places(connection, name)
                owner = _cut("r" + name)
                server.create_role(owner)
                cursor.execute(sql.SQL(_TABLE).format(owner=sql.Identifier(owner), **places))
                cursor.execute(sql.SQL(_AGGREGATE).format(**places))
                cursor.execute(sql.SQL(_AFTER_AGGREGATE).format(owner=sql.Identifier(owner), **places))
    finally:
        connection.close()


def _places(connection: Connection, name: str) -> dict[str, sql.Composable]:
    def path(*parts: str) -> sql.Identifier:
        return sql.Identifier(*parts)

    def text(*parts: str) -> sql.Composable:
        return sql.Literal(sql.Identifier(*parts).as_string(connection))

    function, procedure, view, index = (_cut(letter + name) for letter in "fpvi")
    body = f"BEGIN RETURN NEW; /* {name.replace('*/', '* /').replace('/*', '/ *')} */ END"
    return {
        "name": path(name),
        "relation": path(name, name),
        "regclass": text(name, name),
        "literal": sql.Literal(name),
        "other": sql.Literal(name + "!"),
        "check": path(_cut("c" + name)),
        "index": path(index),
        "index_path": path(name, index),
        "trigger": path(_cut("t" + name)),
        "function": path(name, function),
        "body": sql.Literal(body),
        "procedure": path(name, procedure),
        "procedure_text": text(name, procedure),
        "body_of_procedure": sql.Literal("BEGIN END"),
        "config": sql.Literal(json.dumps({name: [name, {"{{ inner }}": name}]})),
        "view": path(name, view),
        "view_text": text(name, view),
        "other_name": path(_cut("n" + name)),
        "third": path(_cut("m" + name)),
    }
