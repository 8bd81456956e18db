# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole playbook with the grants that the guide states, read from the guide, and no more."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg2 import sql

from tests.support.playbook import ROOT, run_module, run_playbook
from tests.support.pool import PAIRS, Pool, Sample
from tests.support.servers import Server

GUIDE = ROOT / "docs" / "docsite" / "rst" / "guide_access.rst"
READER, MOVER = "move_reader", "move_owner"


def stated(side: str) -> list[str]:
    """The statements of the guide for one side."""
    block = re.search(rf"^    -- {side}\n((?:    .+\n)+)", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert block, f"the guide has no statements for the {side}"
    return [line.strip().rstrip(";") for line in block.group(1).splitlines()]


def obey(server: Server, db: str, owner: str, statements: list[str]) -> None:
    """Run the guide's statements with this database's names."""
    for text in statements:
        role = re.fullmatch(r"CREATE ROLE (\w+) LOGIN", text)
        if role:
            server.create_role(role.group(1))
        else:
            named = text.replace("DATABASE metrics", f'DATABASE "{db}"').replace("metrics_owner", f'"{owner}"')
            server.execute(db, named)


@pytest.fixture(scope="module")
def bare(servers: Pool) -> Iterator[Sample]:
    """Nobody may anything but by the guide: the owner of the tables does not own the database."""
    made = servers.fresh(PAIRS[-1])
    target, db = made.target, made.target_db
    name = sql.Identifier(db)
    target.execute(db, sql.SQL("ALTER DATABASE {} OWNER TO postgres").format(name))
    target.execute(db, sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    target.execute(db, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    made.source.execute(
        made.source_db, sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(made.source_db))
    )
    # What the guide grants on the schema is there on the source too, or it would be a difference of grants.
    made.source.execute(made.source_db, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    on_schema = [text for text in stated("target") if "ON SCHEMA" in text]
    obey(made.source, made.source_db, made.user, [*stated("source"), *on_schema])
    obey(target, db, made.user, stated("target"))
    yield made
    made.drop()


@contextlib.contextmanager
def _without(server: Server, db: str, owner: str, grant: str) -> Iterator[None]:
    """As if one grant had not been made."""
    obey(server, db, owner, [grant.replace("GRANT", "REVOKE", 1).replace(" TO ", " FROM ")])
    yield
    obey(server, db, owner, [grant])


def _preflight(sample: Sample) -> dict[str, Any]:
    return run_module("timescale_preflight", {**sample.login(MOVER, READER), "session_role": sample.user})


def test_each_grant_is_needed_and_the_preflight_says_so(bare: Sample) -> None:
    told = _preflight(bare)
    assert not told.get("failed"), told["msg"]
    asked = {
        ("source", "GRANT pg_read_all_data"): "Grant it pg_read_all_data",
        ("target", "GRANT metrics_owner"): "The target refuses session_role sensor_admin",
        ("target", "GRANT CONNECT"): "permission denied for database",
        ("target", "GRANT TEMPORARY"): "definitions of aggregates are compared. Grant it TEMPORARY on the database.",
        ("target", "GRANT USAGE, CREATE"): "It may not create indexes in schema public. Grant it CREATE there.",
    }
    for (side, begins), expected in asked.items():
        (grant,) = [text for text in stated(side) if text.startswith(begins)]
        server, db = (bare.source, bare.source_db) if side == "source" else (bare.target, bare.target_db)
        with _without(server, db, bare.user, grant):
            told = _preflight(bare)
        assert told.get("failed"), grant
        assert expected in told["msg"], told["msg"]
    assert not _preflight(bare).get("failed")


def test_the_whole_playbook_with_these_grants(bare: Sample) -> None:
    """One role reads the source, one is a member of the owner on the target. Rows under row security are told."""
    for server, role in ((bare.source, READER), (bare.target, MOVER)):
        ask = "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = %s"
        assert server.execute("postgres", ask, (role,)) == [(False,)]
    variables = {
        "timescale_migrate_hosts": "localhost",
        "timescale_migrate_target": {**bare.target.login_vars(bare.target_db, MOVER), "session_role": bare.user},
        "timescale_migrate_source": bare.source_login(READER),
        "timescale_migrate_include": ["default_privileges"],
    }
    run = run_playbook("dbops.timescale.migrate", variables=variables)
    assert run.rc == 0, "\n".join(str(event.result.get("msg")) for event in run.failures())
    (verified,) = run.results("timescale_verify")
    assert (verified["equal"], verified["not_compared"]) == (
        True,
        ["rows public.Tenant Readings", "rows public.tenant_notes"],
    )
