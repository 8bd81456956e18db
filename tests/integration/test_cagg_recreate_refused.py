# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""on_drift: recreate where the exchange could not be finished: it is told while planning, before anything is built."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.test_cagg_history import SETUP, contents
from tests.integration.test_cagg_recreate import STORED, made, on_target, recreate
from tests.support.playbook import run_module
from tests.support.pool import PAIRS, Pool, Sample


@pytest.fixture
def drifted(servers: Pool) -> Iterator[Sample]:
    """Between two servers of one version each: what is tested with it does not depend on versions."""
    sample = made(servers, PAIRS[-1])
    yield sample
    sample.drop()


# What is made on the target, what the refusal names, and what takes it away again.
HELD = [
    (
        ("CREATE POLICY few ON public.guarded USING (device IN (SELECT h.device FROM public.hourly h))",),
        "policy few on public.guarded stands on it",
        "DROP POLICY few ON public.guarded",
    ),
    (
        ("CREATE RULE seen AS ON INSERT TO public.guarded DO ALSO SELECT max(h.n) FROM public.hourly h",),
        "rule seen on public.guarded stands on it",
        "DROP RULE seen ON public.guarded",
    ),
    (
        (
            """CREATE FUNCTION public.how_many() RETURNS bigint LANGUAGE sql
               BEGIN ATOMIC SELECT count(*) FROM public.hourly; END""",
            "CREATE TRIGGER quiet BEFORE UPDATE ON public.guarded FOR EACH ROW WHEN (public.how_many() > 1)"
            " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        ),
        "trigger quiet on public.guarded stands on it",
        "DROP FUNCTION public.how_many CASCADE",
    ),
    (
        ("CREATE VIEW public.inside AS SELECT count(*) AS n FROM {stored}",),
        "view public.inside reads its materialization by its internal name",
        "DROP VIEW public.inside",
    ),
    (
        ("CREATE VIEW public.highest AS SELECT max(h.top) AS top FROM public.hourly h",),
        "view public.highest reads its column top, which the new one does not have",
        "DROP VIEW public.highest",
    ),
]


def test_what_would_hold_up_the_exchange(drifted: Sample) -> None:
    on_target(drifted, "CREATE TABLE public.guarded (device int)")
    ((stored,),) = on_target(drifted, STORED.format("hourly"))
    before = contents(drifted.target, drifted.target_db)
    for statements, told, away in HELD:
        for statement in statements:
            on_target(drifted, statement.format(stored=stored))
        refused = recreate(drifted, check=True)
        assert refused.get("failed"), (told, refused["queries"])
        assert told in refused["msg"]
        on_target(drifted, away)
    for statement in HELD[0][0]:
        on_target(drifted, statement)
    refused = recreate(drifted)
    assert HELD[0][1] in refused["msg"]
    assert not refused["changed"]
    assert contents(drifted.target, drifted.target_db) == before


def test_on_another_parent_that_is_not_there_yet(drifted: Sample) -> None:
    for level in ("weekly", "daily", "hourly"):
        on_target(drifted, f"DROP MATERIALIZED VIEW public.{level}")
    daily = SETUP[4].replace("public.hourly", "public.raw").replace("bucket)", "at)")
    on_target(drifted, daily.replace("sum(total)", "sum(value)").replace("sum(n)", "count(*)"))
    for check in (True, False):
        refused = recreate(drifted, check)
        assert refused["failed"]
        assert "public.hourly, on which the source's stands, is not there yet" in refused["msg"]
    assert recreate(drifted, on_unsupported="skip")["changed"]
    done = recreate(drifted)
    assert done.get("failed") is None, done["msg"]
    assert contents(drifted.target, drifted.target_db) == contents(drifted.source, drifted.source_db)


def test_what_belongs_to_somebody_else(drifted: Sample) -> None:
    for statement in (
        "GRANT USAGE, CREATE ON SCHEMA public TO sensor_admin",
        "ALTER TABLE public.raw OWNER TO sensor_admin",
        *(f"ALTER MATERIALIZED VIEW public.{level} OWNER TO sensor_admin" for level in ("hourly", "daily", "weekly")),
        "CREATE VIEW public.theirs AS SELECT max(n) AS n FROM public.hourly",
        "ALTER VIEW public.theirs OWNER TO sensor_reader",
    ):
        on_target(drifted, statement)
    options = {**drifted.login("sensor_admin", "postgres"), "on_drift": "recreate"}
    refused = run_module("timescale_cagg_sync", options, check=True)
    assert refused.get("failed"), refused["queries"]
    assert "view public.theirs belongs to sensor_reader" in refused["msg"]
    on_target(drifted, "DROP VIEW public.theirs")
    done = run_module("timescale_cagg_sync", options)
    assert done.get("failed") is None, done["msg"]
    assert contents(drifted.target, drifted.target_db) == contents(drifted.source, drifted.source_db)
