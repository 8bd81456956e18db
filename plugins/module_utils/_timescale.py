# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Where TimescaleDB keeps things, by version: what more than one domain reads, for an empty search_path."""

from __future__ import annotations

from ._versions import TS_CHUNK_BY_RELID, TS_COLUMNSTORE_STATUS, TS_FUNCTIONS_SCHEMA, TS_JOB_CATALOG, Timescale

__all__ = [
    "CALLED_FUNCTIONS",
    "COMPRESSED_HYPERTABLES",
    "CONTINUOUS_AGGREGATES",
    "EXTENSION_SCHEMAS",
    "HYPERTABLES",
    "chunks",
    "companions",
    "functions_schema",
    "has_columnstore",
    "job_table",
]

# What the collection calls in the schema where the extension was created.
CALLED_FUNCTIONS = (
    "add_compaction_policy",
    "add_compression_policy",
    "add_continuous_aggregate_policy",
    "add_job",
    "add_reorder_policy",
    "add_retention_policy",
    "alter_job",
    "approximate_row_count",
    "delete_job",
    "refresh_continuous_aggregate",
    "set_chunk_time_interval",
    "show_chunks",
)

# The extension's own schemas, by membership: a user's schema may begin with _timescaledb too. Columns: oid, nspname.
EXTENSION_SCHEMAS = """
SELECT n.oid, n.nspname
FROM pg_catalog.pg_namespace AS n
JOIN pg_catalog.pg_depend AS d
  ON d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.objid = n.oid AND d.deptype = 'e'
JOIN pg_catalog.pg_extension AS e
  ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid
WHERE e.extname = 'timescaledb'
"""

# Hypertables that a user made (materializations included, see the last column).
# Columns: id, relid, schema_name, table_name, is_materialization. Internal compressed hypertables are left out.
HYPERTABLES = """
SELECT h.id, c.oid AS relid, h.schema_name, h.table_name,
       EXISTS (SELECT FROM _timescaledb_catalog.continuous_agg AS a WHERE a.mat_hypertable_id = h.id)
       AS is_materialization
FROM _timescaledb_catalog.hypertable AS h
JOIN pg_catalog.pg_namespace AS n ON n.nspname = h.schema_name
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = h.table_name
WHERE h.id NOT IN (
  SELECT o.compressed_hypertable_id FROM _timescaledb_catalog.hypertable AS o
  WHERE o.compressed_hypertable_id IS NOT NULL
)
"""

# Columns: mat_hypertable_id, raw_hypertable_id, view_schema, view_name, view_oid, materialization_oid.
CONTINUOUS_AGGREGATES = """
SELECT a.mat_hypertable_id, a.raw_hypertable_id, a.user_view_schema AS view_schema, a.user_view_name AS view_name,
       v.oid AS view_oid, m.oid AS materialization_oid
FROM _timescaledb_catalog.continuous_agg AS a
JOIN pg_catalog.pg_namespace AS vn ON vn.nspname = a.user_view_schema
JOIN pg_catalog.pg_class AS v ON v.relnamespace = vn.oid AND v.relname = a.user_view_name
JOIN _timescaledb_catalog.hypertable AS h ON h.id = a.mat_hypertable_id
JOIN pg_catalog.pg_namespace AS mn ON mn.nspname = h.schema_name
JOIN pg_catalog.pg_class AS m ON m.relnamespace = mn.oid AND m.relname = h.table_name
"""

_CHUNKS_BY_NAME = """
SELECT k.hypertable_id, c.oid AS relid
FROM _timescaledb_catalog.chunk AS k
JOIN pg_catalog.pg_namespace AS n ON n.nspname = k.schema_name
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = k.table_name
"""
_CHUNKS_BY_RELID = """
SELECT k.hypertable_id, k.relid::pg_catalog.oid AS relid
FROM _timescaledb_catalog.chunk AS k
"""


# A compressed chunk keeps its batches in a table of its own, which ANALYZE of the hypertable takes along (2.11 and
# later). Columns: chunk, companion.
_COMPANIONS_BY_ID = """
SELECT c.oid AS chunk, z.oid AS companion
FROM _timescaledb_catalog.chunk AS k
JOIN _timescaledb_catalog.chunk AS kz ON kz.id = k.compressed_chunk_id
JOIN pg_catalog.pg_namespace AS n ON n.nspname = k.schema_name
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = k.table_name
JOIN pg_catalog.pg_namespace AS nz ON nz.nspname = kz.schema_name
JOIN pg_catalog.pg_class AS z ON z.relnamespace = nz.oid AND z.relname = kz.table_name
"""
_COMPANIONS_BY_RELID = """
SELECT s.relid::pg_catalog.oid AS chunk, s.compress_relid::pg_catalog.oid AS companion
FROM _timescaledb_catalog.compression_settings AS s
JOIN _timescaledb_catalog.chunk AS k ON k.relid = s.relid
WHERE s.compress_relid IS NOT NULL
"""
# The inner hypertables that hold compressed chunks; gone in 2.29.
COMPRESSED_HYPERTABLES = """
SELECT c.oid AS relid
FROM _timescaledb_catalog.hypertable AS h
JOIN _timescaledb_catalog.hypertable AS o ON o.compressed_hypertable_id = h.id
JOIN pg_catalog.pg_namespace AS n ON n.nspname = h.schema_name
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = h.table_name
"""


def functions_schema(version: Timescale) -> str:
    """The schema of internal functions and policy procedures: it changed in TimescaleDB 2.12."""
    return "_timescaledb_functions" if version >= TS_FUNCTIONS_SCHEMA else "_timescaledb_internal"


def job_table(version: Timescale) -> str:
    """The catalog table of jobs: it moved in TimescaleDB 2.25."""
    return "_timescaledb_catalog.bgw_job" if version >= TS_JOB_CATALOG else "_timescaledb_config.bgw_job"


def has_columnstore(version: Timescale) -> str:
    """Whether a row h of _timescaledb_catalog.hypertable has the columnstore on: since 2.29 a bit of its status."""
    return "(h.status & 4) <> 0" if version >= TS_COLUMNSTORE_STATUS else "h.compression_state = 1"


def chunks(version: Timescale) -> str:
    """A query for all chunks that exist as relations: hypertable_id, relid (TimescaleDB 2.29 keeps the oid)."""
    return _CHUNKS_BY_RELID if version >= TS_CHUNK_BY_RELID else _CHUNKS_BY_NAME


def companions(version: Timescale) -> str:
    """A query for the tables that hold the columnstore data of chunks. Columns: chunk, companion (oids)."""
    return _COMPANIONS_BY_RELID if version >= TS_CHUNK_BY_RELID else _COMPANIONS_BY_ID
