# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaves a target database as the earlier steps of the vendor's procedure leave it.

That is: roles, pre-data without the continuous aggregates and without what reads them, hypertables, rows. No
constraint, index or trigger, no aggregate, no policy, no columnstore setting, no statistics.
"""

from __future__ import annotations

import subprocess
import tempfile
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from .installations import client_program
from .servers import Server

# Schemas that belong to the extension, by membership: a user's schema may begin with _timescaledb too.
EXTENSION_SCHEMAS = """
SELECT n.nspname FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
JOIN pg_catalog.pg_namespace n ON n.oid = d.objid AND d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
WHERE e.extname = 'timescaledb' AND d.deptype = 'e' ORDER BY 1
"""

# Whatever reads an aggregate, over any number of steps, by rule, SQL body or row type; the aggregates are among it.
WAITING = """
WITH RECURSIVE waiting (class, id) AS (
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::oid,
           pg_catalog.format('%I.%I', view_schema, view_name)::pg_catalog.regclass::oid
    FROM timescaledb_information.continuous_aggregates
    UNION
    SELECT CASE WHEN r.oid IS NULL THEN d.classid ELSE 'pg_catalog.pg_class'::pg_catalog.regclass END,
           COALESCE(r.ev_class, d.objid)
    FROM waiting w LEFT JOIN pg_catalog.pg_type t ON t.typrelid = w.id
    JOIN pg_catalog.pg_depend d ON (d.refclassid = w.class AND d.refobjid = w.id)
        OR (d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.refobjid = t.oid)
    LEFT JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
    WHERE r.oid IS NOT NULL OR d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
)
"""

# The relations among it, and chunks.
NOT_IN_PRE_DATA = (
    WAITING
    + """
SELECT n.nspname, c.relname FROM waiting w JOIN pg_catalog.pg_class c ON c.oid = w.id
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE w.class = 'pg_catalog.pg_class'::pg_catalog.regclass
UNION SELECT cn.nspname, c.relname FROM _timescaledb_catalog.hypertable h
JOIN pg_catalog.pg_namespace n ON n.nspname = h.schema_name
JOIN pg_catalog.pg_class p ON p.relnamespace = n.oid AND p.relname = h.table_name
JOIN pg_catalog.pg_inherits i ON i.inhparent = p.oid JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
"""
)

# The functions among it.
WAITING_FUNCTIONS = (
    WAITING
    + """
SELECT n.nspname, p.proname FROM waiting w JOIN pg_catalog.pg_proc p ON p.oid = w.id
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE w.class = 'pg_catalog.pg_proc'::pg_catalog.regclass
"""
)

HYPERTABLES = """
SELECT h.schema_name, h.table_name, h.associated_schema_name, h.associated_table_prefix,
       pg_catalog.json_agg(pg_catalog.json_build_object(
           'column', d.column_name, 'interval', d.interval_length, 'slices', d.num_slices, 'type', d.column_type::text,
           'now', CASE WHEN d.integer_now_func IS NOT NULL
                       THEN pg_catalog.format('%I.%I', d.integer_now_func_schema, d.integer_now_func) END
       ) ORDER BY d.id)
FROM _timescaledb_catalog.hypertable h JOIN _timescaledb_catalog.dimension d ON d.hypertable_id = h.id
WHERE NOT EXISTS (SELECT FROM _timescaledb_catalog.continuous_agg a WHERE a.mat_hypertable_id = h.id)
GROUP BY h.id ORDER BY h.id DESC
"""

# Tables that hold rows: every user table that is no chunk and no extension member; partitions rather than their root.
TABLES = """
SELECT n.nspname, c.relname, (
    SELECT pg_catalog.json_agg(a.attname ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname <> ALL (%s)
ORDER BY 1, 2
"""

CREATE_HYPERTABLE = """
SELECT public.create_hypertable(%s::regclass, %s::name, chunk_time_interval => %s::bigint,
    create_default_indexes => false, associated_schema_name => %s, associated_table_prefix => %s)
"""
ADD_DIMENSION = """
SELECT public.add_dimension(%s::regclass, %s::name, number_partitions => %s::int, chunk_time_interval => %s::bigint)
"""
ID_SEQUENCE = "_timescaledb_catalog.hypertable_id_seq"

SEQUENCES = "SELECT schemaname, sequencename, last_value FROM pg_catalog.pg_sequences WHERE schemaname <> ALL (%s)"

OWNER = """
SELECT r.rolname FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba
WHERE d.datname = pg_catalog.current_database()
"""

ROLES = """
SELECT r.rolname, r.rolcanlogin, r.rolinherit, r.rolcreaterole, r.rolcreatedb FROM pg_catalog.pg_roles r
WHERE r.rolname NOT LIKE 'pg\\_%' AND NOT r.rolsuper ORDER BY 1
"""


def prepare_target(
    source: Server, source_db: str, target: Server, target_db: str, version: str | None = None, owner: str | None = None
) -> str:
    """Create ``target_db`` and bring it to where this collection takes over; return its name.

    Args:
        source: the server with the wanted state.
        source_db: the database there.
        target: the server that gets a new database; may be the same server.
        target_db: the new database's name.
        version: of TimescaleDB on the target; None for a plain PostgreSQL database.
        owner: the role that owns all of it, as with ``pg_restore --no-owner``. None keeps the source's owners.
    """
    reader = source.connect(source_db)
    try:
        _create_roles(reader, target)
        database_owner = _rows(reader, OWNER)[0][0]
        target.create_database(target_db, extension_version=version, owner=owner or database_owner)
        schemas = [row[0] for row in _rows(reader, EXTENSION_SCHEMAS)]
        left_out = _rows(reader, NOT_IN_PRE_DATA) if schemas else []
        functions = _rows(reader, WAITING_FUNCTIONS) if schemas else []
        with tempfile.NamedTemporaryFile(prefix="pre-data-") as archive:
            major = max(source.version, target.version) // 10000
            _dump(source, source_db, archive.name, major, schemas, left_out)
            _restore(target, target_db, archive.name, major, owner, functions)
        writer = target.connect(target_db)
        try:
            if schemas and version:
                _hypertables(reader, writer)
            _copy(reader, writer, schemas, left_out)
        finally:
            writer.close()
    finally:
        reader.close()
    return target_db


def _rows(connection: Connection, query: str, values: Any = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())


def _create_roles(reader: Connection, target: Server) -> None:
    """The source's roles that are not on the target; attributes, no passwords."""
    known = {row[0] for row in target.execute(target.maintenance_db, "SELECT rolname FROM pg_catalog.pg_roles")}
    words = ("LOGIN", "INHERIT", "CREATEROLE", "CREATEDB")
    for name, *flags in _rows(reader, ROLES):
        if name not in known:
            target.create_role(name, " ".join(word if flag else f"NO{word}" for word, flag in zip(words, flags)))


def _literal_pattern(*parts: str) -> str:
    """A pattern of pg_dump that matches exactly one name."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def _dump(server: Server, db: str, archive: str, major: int, schemas: list[str], left_out: list[Any]) -> None:
    """Dump the pre-data section without those schemas and relations."""
    argv = [client_program("pg_dump", major), "-Fc", "--section=pre-data", f"--file={archive}"]
    argv += [f"--exclude-schema={_literal_pattern(schema)}" for schema in schemas]
    argv += [f"--exclude-table={_literal_pattern(*names)}" for names in left_out]
    _run(argv, server.child_env(db))


def _restore(server: Server, db: str, archive: str, major: int, owner: str | None, functions: list[Any]) -> None:
    """Restore an archive without those functions; any error ends it."""
    program = client_program("pg_restore", major)
    entries = _run([program, "--list", archive], server.child_env(db)).splitlines(keepends=True)
    with tempfile.NamedTemporaryFile("w", prefix="entries-") as chosen:
        # Only the extension's owner may set its comment, and it comes with the extension anyway.
        unwanted = [" COMMENT - EXTENSION "]
        for schema, name in functions:
            unwanted += [f" FUNCTION {schema} {name}(", f" {schema} FUNCTION {name}("]
        chosen.writelines(entry for entry in entries if not any(text in entry for text in unwanted))
        chosen.flush()
        argv = [program, "--exit-on-error", f"--use-list={chosen.name}", f"--dbname={db}"]
        if owner:
            argv += ["--no-owner", f"--role={owner}"]
        _run([*argv, archive], server.child_env(db))


def _run(argv: list[str], env: dict[str, str]) -> str:
    """What a program printed; anything but success is an error."""
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def _hypertables(reader: Connection, writer: Connection) -> None:
    """Make the source's hypertables out of the target's plain tables, with all their dimensions.

    In the opposite order, and with a gap behind them: no id of the target shall be right by chance.
    """
    for schema, table, chunk_schema, prefix, dimensions in _rows(reader, HYPERTABLES):
        relation = sql.Identifier(schema, table).as_string(writer)
        main, *others = dimensions
        prefix = None if prefix.startswith("_hyper_") else prefix
        with writer.cursor() as cursor:
            cursor.execute(CREATE_HYPERTABLE, (relation, main["column"], main["interval"], chunk_schema, prefix))
            for each in others:
                cursor.execute(ADD_DIMENSION, (relation, each["column"], each["slices"], each["interval"]))
            if main["now"]:
                cursor.execute("SELECT public.set_integer_now_func(%s::regclass, %s::regproc)", (relation, main["now"]))
    with writer.cursor() as cursor:
        cursor.execute("SELECT setval(s, nextval(s) + 3) FROM (VALUES (%s::regclass)) AS v (s)", (ID_SEQUENCE,))


def _copy(reader: Connection, writer: Connection, schemas: list[str], left_out: list[Any]) -> None:
    """Copy all rows by COPY, and the sequences' positions."""
    for schema, table, columns in _rows(reader, TABLES, (schemas,)):
        if (schema, table) in left_out:
            continue
        names = sql.SQL(", ").join(sql.Identifier(column) for column in columns or ())
        relation = sql.Identifier(schema, table)
        take = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(names, relation).as_string(reader)
        give = sql.SQL("COPY {} ({}) FROM STDIN").format(relation, names).as_string(writer)
        with tempfile.SpooledTemporaryFile(max_size=1 << 24) as rows, reader.cursor() as out, writer.cursor() as into:
            out.copy_expert(take, rows)
            rows.seek(0)
            into.copy_expert(give, rows)
    for schema, name, last in _rows(reader, SEQUENCES, (schemas,)):
        if last is not None:
            sequence = sql.Identifier(schema, name).as_string(writer)
            _rows(writer, "SELECT pg_catalog.setval(%s::regclass, %s)", (sequence, last))
