# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""prune, validate and row_security of timescale_cagg_sync on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.test_cagg import AGGREGATES, compare, entries, rows_differ, sync
from tests.integration.test_cagg_refusals import COUNTERS, HOURLY, of_kind, on_source, on_target, refused, unchanged
from tests.support.installations import find
from tests.support.pool import PAIRS, Pool, Sample
from tests.support.servers import start

EXTRA = """CREATE MATERIALIZED VIEW public."Extra.Ticks" WITH (timescaledb.continuous) AS
    SELECT time_bucket(200::bigint, tick) AS bucket, count(*) AS n FROM public.counters GROUP BY 1 WITH NO DATA"""
ON_EXTRA = """CREATE MATERIALIZED VIEW public.extra_child WITH (timescaledb.continuous) AS
    SELECT time_bucket(400::bigint, bucket) AS bucket, sum(n) AS n FROM public."Extra.Ticks" GROUP BY 1 WITH NO DATA"""
NAMES = ["public.Extra.Ticks", "public.extra_child"]


@pytest.fixture
def moved(servers: Pool) -> Iterator[Sample]:
    """Two servers: what is tested here does not depend on the versions."""
    made = servers.fresh(PAIRS[-1])
    yield made
    made.drop()


def aggregates(moved: Sample) -> set[str]:
    return {name for (name,) in moved.target.execute(moved.target_db, AGGREGATES)}


def test_prune_drops_only_what_is_named(moved: Sample) -> None:
    sync(moved, refresh="none")
    wanted = aggregates(moved)
    on_target(moved, EXTRA, ON_EXTRA, user="sensor_admin")
    there = aggregates(moved)
    for options in (
        {},
        {"prune_allow": NAMES},
        {"prune": True},
        {"prune": True, "prune_allow": NAMES, "exclude": ["*"]},
    ):
        unchanged(moved, refresh="none", **options)
        assert aggregates(moved) == there
    kept = sync(moved, refresh="none", prune=True, prune_allow=NAMES[:1])
    assert not kept["changed"]
    assert "public.extra_child stands on it" in of_kind(kept, "continuous_aggregate", "Extra.Ticks")[0]["reason"]
    chosen: dict[str, Any] = {"refresh": "none", "prune": True, "prune_allow": [*NAMES, "public.avg_fill_levels"]}
    foreseen, done = sync(moved, check=True, **chosen), sync(moved, **chosen)
    assert done.get("failed") is None, done["msg"]
    dropped = ['DROP MATERIALIZED VIEW "public"."extra_child"', 'DROP MATERIALIZED VIEW "public"."Extra.Ticks"']
    assert sorted(foreseen["queries"]) == sorted(dropped)
    assert done["queries"] == foreseen["queries"]
    assert aggregates(moved) == wanted
    unchanged(moved, **chosen)


def test_prune_does_not_cascade(moved: Sample) -> None:
    sync(moved, refresh="none")
    on_target(moved, EXTRA, 'CREATE VIEW public.on_extra AS SELECT * FROM public."Extra.Ticks"', user="sensor_admin")
    chosen: dict[str, Any] = {"refresh": "none", "prune": True, "prune_allow": NAMES}
    done = sync(moved, **chosen)
    assert not done["changed"]
    assert "public.on_extra stands on it" in of_kind(done, "continuous_aggregate", "Extra.Ticks")[0]["reason"]
    on_target(moved, "DROP VIEW public.on_extra")
    assert sync(moved, **chosen)["queries"] == ['DROP MATERIALIZED VIEW "public"."Extra.Ticks"']


def test_prune_is_refused_without_any_aggregate_on_the_source(moved: Sample, servers: Pool) -> None:
    on_target(moved, EXTRA, user="sensor_admin")
    for (name,) in moved.source.execute(moved.source_db, AGGREGATES)[::-1]:
        on_source(moved, f"DROP MATERIALIZED VIEW IF EXISTS {name} CASCADE")
    refused(moved, "the source has no continuous aggregate at all", prune=True, prune_allow=NAMES)
    on_source(moved, "DROP EXTENSION timescaledb CASCADE")
    refused(moved, "the source has no TimescaleDB", prune=True, prune_allow=NAMES)
    assert not sync(moved)["changed"]


def test_row_security_is_suspended(moved: Sample) -> None:
    on_target(moved, "ALTER TABLE public.counters ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    login: dict[str, Any] = {"user": "postgres", "source": moved.source_login("postgres")}
    refused(moved, "set row_security: suspend", **login)
    chosen: dict[str, Any] = {"row_security": "suspend", "refresh": "none", **login}
    foreseen, done = sync(moved, check=True, **chosen), sync(moved, **chosen)
    assert done.get("failed") is None, done["msg"]
    assert done["queries"] == foreseen["queries"]
    assert entries(done)[COUNTERS] == "created"
    state = "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = 'public.counters'::regclass"
    assert moved.target.execute(moved.target_db, state) == [(True, True)]
    unchanged(moved, **chosen)
    on_target(moved, "ALTER TABLE public.counters NO FORCE ROW LEVEL SECURITY")
    done = sync(moved, row_security="suspend")
    assert done.get("failed") is None, done["msg"]
    assert rows_differ(moved) == {}
    assert compare(moved, "continuous aggregates") == []


def _with_halves(moved: Sample) -> None:
    """An aggregate of the source whose function the target lacks, and a view on it."""
    on_source(moved, "CREATE FUNCTION public.halved(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT $1 / 2'")
    on_source(
        moved,
        """CREATE MATERIALIZED VIEW reports.halves WITH (timescaledb.continuous) AS
           SELECT time_bucket('1 day', bucket) AS day, public.halved(max(avg_fill_level)) AS half
           FROM public.avg_fill_levels GROUP BY 1 WITH NO DATA""",
        "CREATE VIEW reports.on_halves AS SELECT max(half) AS half FROM reports.halves",
        user="sensor_admin",
    )


def test_deep_validation_finds_what_stands_on_something_missing(moved: Sample) -> None:
    _with_halves(moved)
    plain = sync(moved, check=True)
    assert plain.get("failed") is None, plain["msg"]
    told = {one["name"]: one["reason"] for one in plain["objects"] if one["outcome"] == "pending"}
    assert set(told) == {"halves", "avg_fill_levels_daily", "Avg Fill Levels Weekly"}
    assert all("whether the target takes its query is known when" in reason for reason in told.values())
    proved = sync(moved, check=True, validate="deep", on_unsupported="skip")
    assert "pending" not in proved["summary"], proved["summary"]
    refused(moved, "halved(numeric) does not exist", validate="deep")
    foreseen, done = (sync(moved, check=check, validate="deep", on_unsupported="skip") for check in (True, False))
    assert done.get("failed") is None, done["msg"]
    assert done["queries"] == foreseen["queries"]
    for result in (foreseen, done):
        assert entries(result)["continuous_aggregate reports.halves"] == "unsupported"
        assert entries(result)["view reports.on_halves"] == "skipped"
        assert entries(result)[HOURLY] == "created"
    unchanged(moved, validate="deep", on_unsupported="skip")


def test_what_fails_takes_along_what_stands_on_it_and_nothing_else(moved: Sample) -> None:
    _with_halves(moved)
    done = sync(moved)
    assert done["failed"]
    assert "halved(numeric) does not exist" in done["msg"]
    assert {name for name in done["remaining"] if "halves" in name} == {
        "continuous aggregate reports.halves",
        "view reports.on_halves",
    }
    assert (entries(done)[HOURLY], entries(done)[COUNTERS]) == ("created", "created")
    on_target(moved, "CREATE FUNCTION public.halved(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT $1 / 2'")
    later = sync(moved)
    assert later.get("failed") is None, later["msg"]
    assert entries(later)["view reports.on_halves"] == "created"


@pytest.mark.parametrize("lock_timeout", [10, 0])
def test_deep_validation_does_not_wait_long(moved: Sample, lock_timeout: float) -> None:
    holder = moved.target.connect(moved.target_db, autocommit=False)
    try:
        with holder.cursor() as cursor:
            cursor.execute("CREATE TABLE public.counters_by_100 (nothing_yet integer)")
        told = sync(moved, check=True, validate="deep", lock_timeout=lock_timeout)
    finally:
        holder.close()
    assert told["failed"]
    assert "validate: deep could not lock" in told["msg"]


def test_a_right_that_is_missing_has_a_remedy_of_its_own(moved: Sample) -> None:
    moved.target.create_role("bystander")
    on_target(
        moved,
        "GRANT CREATE ON SCHEMA public, reports TO bystander",
        "REVOKE USAGE ON SCHEMA public FROM PUBLIC",
        "REVOKE USAGE ON SCHEMA public FROM bystander",
    )
    told = sync(moved, check=True, user="bystander")
    assert told["failed"]
    assert "permission denied" in told["msg"]
    assert ". Give the role that connects to the target that right" in told["msg"]
    assert "Write it for" not in told["msg"]


def test_the_apache_edition_is_no_obstacle_where_there_is_nothing_to_bring() -> None:
    installation = find(15, "2.28.3")
    if installation is None:
        pytest.skip("TimescaleDB 2.28.3 on PostgreSQL 15 is not installed")
    with start(installation, scheduler=False, **{"timescaledb.license": "apache"}) as server:
        for name in ("old", "new"):
            server.create_database(name, extension_version="2.28.3")
        result = sync(Sample(server, "old", server, "new", "postgres"))
        assert (result.get("failed"), result["changed"], result["objects"]) == (None, False, []), result
