# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far data reaches, asked of many relations at once: hostile names, empty outer chunks, no plpgsql."""

from __future__ import annotations

import contextlib
from typing import Any

from ansible_collections.dbops.timescale.plugins.module_utils._cagg.extents import ask_all, read_extents
from ansible_collections.dbops.timescale.plugins.module_utils._connection import connect, libpq_parameters
from tests.support.pool import Pool

COLUMN = """at $ask$ '"%s {}"""
DAY = 86_400_000_000


def entry(name: str) -> dict[str, Any]:
    """A plain table stands for a hypertable of three chunks of a day."""
    slices = [[0, DAY], [DAY, 2 * DAY], [2 * DAY, 3 * DAY]]
    kind = "timestamp with time zone"
    named = {"schema": "public", "name": name, "time_column": COLUMN, "time_type": kind}
    return {**named, "slices": slices, "readable": True}


def test_many_at_once(servers: Pool) -> None:
    server = servers.plain()
    server.create_database("extents")
    column = '"' + COLUMN.replace('"', '""') + '"'
    times = {
        "whole": ["1970-01-01 00:00+00", "1970-01-03 05:00+00", "infinity", "-infinity"],
        "middle": ["1970-01-02 01:00+00", "1970-01-02 02:00+00"],
        "nothing": [],
    }
    texts = [f"CREATE TABLE public.{name}{n} ({column} timestamptz)" for name in times for n in range(30)]
    texts += [
        f"INSERT INTO public.{name}{n} VALUES ('{value}')"
        for name, values in times.items()
        for value in values
        for n in range(30)
    ]
    server.execute("extents", ";".join(texts))
    server.create_role("reader_of_extents")
    server.execute("extents", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_of_extents")
    wanted = {"whole": [0, 2 * DAY + DAY // 24 * 5], "middle": [DAY + DAY // 24, DAY + DAY // 12], "nothing": None}
    try:
        for without in (False, True):
            if without:
                server.execute("extents", "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC")
            login = libpq_parameters(server.login_vars("extents", "reader_of_extents"))
            with contextlib.closing(connect("source", login, application="test", read_only=True)) as database:
                entries = [entry(f"{name}{number}") for name in times for number in range(30)]
                read_extents(database, entries)
                assert {one["name"].rstrip("0123456789"): one["extent"] for one in entries} == wanted
                assert [one["extent"] for one in entries[::30]] == list(wanted.values())
                assert ask_all(database, [f"pg_catalog.to_json({n})" for n in range(45)]) == list(range(45))
                assert ask_all(database, []) == []
    finally:
        server.drop_database("extents")
