# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Named version floors of PostgreSQL and TimescaleDB. Every comparison goes through a name here."""

from __future__ import annotations

import re
import typing as t

__all__ = ["Timescale", "postgres_major"]


class Timescale(t.NamedTuple):
    """A TimescaleDB version; compare with the floors below, which are tuples too."""

    major: int
    minor: int
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> Timescale:
        """Read extversion ("2.28.3", "2.30.0-dev"). Raises ValueError for anything else."""
        match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
        if match is None:
            raise ValueError(f"not a TimescaleDB version: {text!r}")
        return cls(int(match.group(1)), int(match.group(2)), int(match.group(3) or 0))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def postgres_major(server_version: int) -> int:
    """The major version of a libpq version number (150018 -> 15)."""
    return server_version // 10000


# PostgreSQL, as libpq numbers it
PG_TRIGGER_PARENT = 130000  # pg_trigger.tgparentid
PG_PROGRESS_ANALYZE = 130000  # pg_stat_progress_analyze
PG_PROGRESS_COPY = 140000  # pg_stat_progress_copy
PG_CONNECTION_CHECK = 140000  # client_connection_check_interval
PG_IDLE_SESSION_TIMEOUT = 140000
PG_TRANSACTION_TIMEOUT = 170000
PG_SQL_BODY = 140000  # functions with a parsed body (BEGIN ATOMIC)
PG_ANALYZED_EMPTY = 140000  # reltuples = -1 for "never analyzed"
PG_PUBLICATION_FILTER = 150000  # row filters and column lists of publications
PG_EXTENDED_INHERITED = 150000  # extended statistics of a tree, beside those of the parent alone
PG_COUNTERS_IN_MEMORY = 150000  # before, activity counters are what a file said up to half a second ago
PG_SET_OPTION = 160000  # a member may act as a role only WITH SET
PG_MAINTAIN = 170000  # MAINTAIN privilege
PG_OPERATOR_CLASS_PARAMETERS = 170000  # handed to index_create by its caller; TimescaleDB hands none to chunks
PG_ANALYZE_ONLY = 180000  # ANALYZE ONLY parent

# TimescaleDB
TS_MINIMUM = Timescale(2, 0, 0)
TS_BUCKET_FUNCTION = Timescale(2, 6, 0)  # continuous_aggs_bucket_function
TS_FINALIZED = Timescale(2, 7, 0)  # aggregates that hold results instead of partials
TS_FIXED_SCHEDULES = Timescale(2, 9, 0)  # initial_start, timezone, fixed_schedule; hierarchical aggregates
TS_CHECK_CONFIG = Timescale(2, 8, 0)
TS_POLICY_INTERVAL = Timescale(2, 8, 0)  # schedule_interval of add_retention_policy and add_compression_policy
TS_OWNER_OID = Timescale(2, 10, 2)  # bgw_job.owner: name -> regrole
TS_WATERMARK_TABLE = Timescale(2, 11, 0)  # continuous_aggs_watermark
TS_FUNCTIONS_SCHEMA = Timescale(2, 12, 0)  # _timescaledb_internal -> _timescaledb_functions
TS_ALTER_SCHEDULE = Timescale(2, 12, 0)  # alter_job(fixed_schedule, initial_start, timezone)
TS_REPLICA_IDENTITY = Timescale(2, 12, 0)
TS_VALIDATE_QUERY = Timescale(2, 13, 0)
TS_COMPRESSION_BY_RELID = Timescale(2, 14, 0)  # compression_settings takes the place of hypertable_compression
TS_RETRIES_ZERO_IS_NONE = Timescale(2, 15, 0)  # max_retries = 0
TS_FK_TO_HYPERTABLE = Timescale(2, 16, 0)
TS_CHUNK_SKIPPING = Timescale(2, 16, 0)  # enable_chunk_skipping
TS_REPLICA_IDENTITY_COLUMNSTORE = Timescale(2, 16, 0)
TS_TRANSITION_TABLES = Timescale(2, 18, 0)  # statement triggers of hypertables
TS_UNIQUE_ON_COMPRESSED = Timescale(2, 19, 0)
TS_TRIGGER_STATE_COLUMNSTORE = Timescale(2, 28, 3)
TS_CONSTRAINT_ON_COMPRESSED = Timescale(2, 18, 0)
TS_JOB_NAME = Timescale(2, 20, 0)
TS_FK_ON_COMPRESSED = Timescale(2, 20, 0)  # before, a chunk lost its foreign keys when it was compressed
TS_MATERIALIZATION_RANGES = Timescale(2, 22, 0)  # what an interrupted refresh has taken from the log
TS_INDEX_BY_DEFINITION = Timescale(2, 22, 0)  # chunk indexes are known by definition; the table chunk_index is gone
TS_HYPERCORE_GONE = Timescale(2, 22, 0)  # hypercore_use_access_method in a policy's config
TS_DEFAULTS_AT_COMPRESSION = Timescale(2, 22, 0)  # segmentby and orderby not given are chosen at compression
TS_JOB_CATALOG = Timescale(2, 25, 0)  # bgw_job moves to _timescaledb_catalog
TS_CREATED_BEFORE_ALTERABLE = Timescale(2, 26, 3)  # alter_job works on a retention policy by creation time
# Refreshes of two windows of one aggregate no longer wait for each other since 2.21, and double no rows since 2.26.3.
TS_WINDOWS_TOGETHER = Timescale(2, 26, 3)
TS_WINDOWS_TOGETHER_IN_HIERARCHIES = Timescale(2, 29, 0)  # before, such refreshes could deadlock
TS_TRIGGER_STATE = Timescale(2, 27, 0)  # ENABLE / DISABLE TRIGGER on hypertables
TS_INVALIDATIONS_BY_REFRESH = Timescale(2, 27, 0)  # process_hypertable_invalidations in a policy's config is gone
TS_ANALYZE_VIEW = Timescale(2, 28, 0)  # ANALYZE of an aggregate does its materialization
TS_DATABASE_OWNER = Timescale(2, 28, 0)  # the database's owner has the rights of owners of hypertables and jobs
TS_COLUMNSTORE_STATUS = Timescale(2, 29, 0)  # a bit of hypertable.status says whether the columnstore is on
TS_NO_DROPPED_CHUNKS = Timescale(2, 26, 0)  # dropped chunks leave nothing in the catalog
TS_REFRESH_OPTIONS = Timescale(2, 28, 0)  # a refresh by hand works in batches unless told otherwise
TS_DIRECT_COMPRESS = Timescale(2, 29, 0)  # direct_compress and granular_refresh_column of hypertables
TS_CHUNK_BY_RELID = Timescale(2, 29, 0)
