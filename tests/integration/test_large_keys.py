# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of large plain tables: an index first, NOT VALID before VALIDATE; also when a run ended in between."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import samples
from tests.support.playbook import run_module
from tests.support.pool import Pool
from tests.support.servers import Server

TABLES = """
CREATE TABLE public."A" (id int NOT NULL, "B c" int, code text);
CREATE TABLE public.facts (id int NOT NULL, a int, other int);
CREATE TABLE public.small (id int NOT NULL, a int);
CREATE TABLE public.parts (id int NOT NULL, a int) PARTITION BY RANGE (id);
CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES FROM (0) TO (1000000);
INSERT INTO public."A" SELECT g, g, md5(g::text) FROM generate_series(1, 40000) g;
INSERT INTO public.facts SELECT g, g, g % 100 + 1 FROM generate_series(1, 40000) g;
INSERT INTO public.small SELECT g, g FROM generate_series(1, 10) g;
INSERT INTO public.parts SELECT g, g FROM generate_series(1, 40000) g;
"""
OBJECTS = """
ALTER TABLE public."A" ADD CONSTRAINT "A key" PRIMARY KEY (id, "B c") INCLUDE (code) WITH (fillfactor = 70);
ALTER TABLE public."A" ADD CONSTRAINT "A-id" UNIQUE (id);
ALTER TABLE public."A" ADD CONSTRAINT later UNIQUE ("B c") DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE public."A" CLUSTER ON later;
ALTER TABLE public.facts ADD PRIMARY KEY (id);
ALTER TABLE public.facts ADD FOREIGN KEY (a) REFERENCES public."A" (id) ON DELETE CASCADE;
ALTER TABLE public.facts ADD FOREIGN KEY (other) REFERENCES public."A" (id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE public.facts ADD CONSTRAINT unproven FOREIGN KEY (a) REFERENCES public."A" (id) NOT VALID;
ALTER TABLE public.small ADD PRIMARY KEY (id);
ALTER TABLE public.small ADD FOREIGN KEY (a) REFERENCES public.facts;
ALTER TABLE public.parts ADD PRIMARY KEY (id);
ALTER TABLE public.parts ADD FOREIGN KEY (a) REFERENCES public."A" (id);
COMMENT ON CONSTRAINT later ON public."A" IS 'the third';
"""
SINCE_15 = 'ALTER TABLE public."A" ADD CONSTRAINT alone UNIQUE NULLS NOT DISTINCT (code);'
KEYS = """SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(k.oid), convalidated,
    obj_description(k.oid, 'pg_constraint'), x.indexdef, c.indisclustered, c.indimmediate
    FROM pg_constraint k LEFT JOIN pg_indexes x ON x.indexname = k.conname
    LEFT JOIN pg_index c ON c.indexrelid = conindid
    WHERE k.connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'f') ORDER BY 1, 2"""
_NUMBERS = itertools.count(1)


@pytest.fixture
def arguments(servers: Pool) -> Iterator[tuple[Server, str, dict[str, Any]]]:
    """A server, the name of a target that has only the tables, and the module's arguments."""
    server = servers.plain()
    samples.create_roles(server)
    number = next(_NUMBERS)
    source, target = f"keys_source_{number}", f"keys_target_{number}"
    for db in (source, target):
        server.create_database(db, owner=samples.OWNER)
        server.execute(db, f"SET ROLE {samples.OWNER}; {TABLES}")
    newer = SINCE_15 if server.version >= 150000 else ""
    server.execute(source, f"SET ROLE {samples.OWNER}; {OBJECTS}{newer}")
    yield (
        server,
        target,
        {
            **server.login_vars(target, samples.OWNER),
            "source": server.login_vars(source, samples.OWNER),
            "jobs": 3,
        },
    )
    for db in (source, target):
        server.drop_database(db)


def _by_statement(ran: dict[str, Any], *words: str) -> list[str]:
    return [text for text in ran["queries"] if all(word in text for word in words)]


def test_four_beats(arguments: tuple[Server, str, dict[str, Any]]) -> None:
    """Large plain tables get their keys in two statements, the others in one, and all are what the source has."""
    server, target, given = arguments
    foreseen = run_module("timescale_post_data", given, check=True)
    ran = run_module("timescale_post_data", given)
    assert not ran.get("failed"), ran.get("msg")
    assert ran["queries"] == foreseen["queries"]
    assert ran["summary"] == foreseen["summary"]
    firsts = _by_statement(ran, "CREATE UNIQUE INDEX")
    assert len(firsts) == len(_by_statement(ran, "USING INDEX")) == (6 if server.version >= 150000 else 5)
    assert not any('"small"' in text or '"parts"' in text for text in firsts)
    assert len(_by_statement(ran, "VALIDATE CONSTRAINT")) == 2
    assert len(_by_statement(ran, "FOREIGN KEY", "NOT VALID")) == 3  # one of them is so on the source
    names = [one["name"] for one in ran["objects"]]
    assert names.count("A key") == names.count("facts_a_fkey") == 1
    assert server.execute(target, KEYS) == server.execute(given["source"]["login_db"], KEYS)
    for check in (True, False):
        again = run_module("timescale_post_data", given, check=check)
        assert (again["changed"], again["queries"], set(again["summary"])) == (False, [], {"present"})


def test_sessions_get_memory_by_what_the_server_has(arguments: tuple[Server, str, dict[str, Any]]) -> None:
    """The result tells the settings, and the sessions that work really have them; the operator's own win."""
    server, target, given = arguments
    server.execute(
        target,
        """CREATE TABLE public.used (memory text, workers text);
        CREATE FUNCTION public.note() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
            INSERT INTO public.used VALUES (pg_catalog.current_setting('maintenance_work_mem'),
                pg_catalog.current_setting('max_parallel_maintenance_workers')); END $$;
        CREATE EVENT TRIGGER note ON ddl_command_start EXECUTE FUNCTION public.note()""",
    )
    ran = run_module("timescale_post_data", {**given, "settings": {"max_parallel_maintenance_workers": 1}})
    assert ran["settings"]["max_parallel_maintenance_workers"] == "1"
    told = ran["settings"]["maintenance_work_mem"]
    ((memory, workers),) = server.execute(target, "SELECT DISTINCT memory, workers FROM public.used")
    assert workers == "1"
    assert server.execute(target, "SELECT pg_size_bytes(%s) = pg_size_bytes(%s)", (memory, told)) == [(True,)]


def test_what_a_dead_run_left_is_taken_up(arguments: tuple[Server, str, dict[str, Any]]) -> None:
    """An index without its key is attached, not built twice; a key that is not valid is validated."""
    server, target, given = arguments
    server.execute(
        target,
        f"""SET ROLE {samples.OWNER};
        CREATE UNIQUE INDEX "A-id" ON public."A" (id);
        CREATE UNIQUE INDEX "A key" ON public."A" (id, "B c") INCLUDE (code) WITH (fillfactor = 70);
        ALTER TABLE public."A" ADD CONSTRAINT "A-id" UNIQUE USING INDEX "A-id";
        ALTER TABLE public.facts ADD CONSTRAINT facts_a_fkey FOREIGN KEY (a) REFERENCES public."A" (id)
            ON DELETE CASCADE NOT VALID""",
    )
    before = server.execute(target, """SELECT '"A key"'::regclass::oid""")
    ran = run_module("timescale_post_data", given)
    assert not ran.get("failed"), ran.get("msg")
    assert server.execute(target, """SELECT '"A key"'::regclass::oid""") == before
    assert not _by_statement(ran, "CREATE UNIQUE INDEX", '"A key"')
    outcomes = {one["name"]: (one["outcome"], one["reason"]) for one in ran["objects"]}
    assert outcomes["A key"] == ("created", "Its index was there already.")
    assert outcomes["facts_a_fkey"][0] == "altered"
    assert server.execute(target, KEYS) == server.execute(given["source"]["login_db"], KEYS)
    assert not run_module("timescale_post_data", given)["changed"]


def test_rows_that_break_a_key_are_named(arguments: tuple[Server, str, dict[str, Any]]) -> None:
    """The one entry of the key says which row, and what needs it is left out; the next run completes."""
    server, target, given = arguments
    server.execute(target, """INSERT INTO public."A" VALUES (7, 70000, 'twice')""")
    server.execute(target, "UPDATE public.facts SET other = 0 WHERE id = 1")
    ran = run_module("timescale_post_data", given)
    outcomes = {one["name"]: (one["outcome"], one["reason"]) for one in ran["objects"] if one["kind"] != "comment"}
    assert ran["failed"]
    assert ran["sqlstate"] == "23505"
    assert outcomes["A-id"][0] == "failed"
    assert "Key (id)=(7) is duplicated" in outcomes["A-id"][1]
    assert outcomes["facts_other_fkey"][0] == "skipped"
    server.execute(target, 'DELETE FROM public."A" WHERE "B c" = 70000')
    ran = run_module("timescale_post_data", given)
    assert ran["sqlstate"] == "23503"
    assert [one["name"] for one in ran["objects"] if one["outcome"] == "failed"] == ["facts_other_fkey"]
    server.execute(target, "UPDATE public.facts SET other = 5 WHERE id = 1")
    assert not run_module("timescale_post_data", given).get("failed")
    assert server.execute(target, KEYS) == server.execute(given["source"]["login_db"], KEYS)
