# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make demo``: a small migration between two throwaway servers, told as it happens.

Everything is real: the servers, the sample database, the playbook of the collection. What arrived is compared by
tests/support/catalog.py, which shares no code with the collection.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from tests.support import catalog, samples
from tests.support.installations import Installation, available, find
from tests.support.playbook import PlaybookRun, run_playbook
from tests.support.pool import PAIRS
from tests.support.prepare import prepare_target
from tests.support.servers import Server, start

WIDTH = 100
SHOWN = 3  # statements of each stage
DATABASE = "fill_levels"
TITLES = {
    "timescale_preflight": "preflight",
    "timescale_post_data": "post-data",
    "timescale_cagg_sync": "aggregates",
    "timescale_policy_sync": "policies",
    "postgres_analyze": "statistics",
}
SETTLED = ("created", "altered", "present")
HOW_TO_GET_TIMESCALEDB = (
    "TimescaleDB is not installed here, so this was the plain PostgreSQL half: post-data and statistics.",
    "Install the package timescaledb-2-postgresql-15 (or run servers with it: see TIMESCALE_TEST_SOURCE in README.md).",
)

Side = tuple[Installation, str | None]


def main() -> int:
    """Run the demo and return the exit code."""
    sides = _choose()
    if sides is None:
        print("No PostgreSQL server was found. `make env` installs one by pip; see requirements.in.")
        return 1
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        source, target = (stack.enter_context(start(side[0], scheduler=False)) for side in sides)
        good = _Demo(source, target, sides).run()
    print(f"\nTook {time.monotonic() - began:.0f} s. Both servers are stopped and removed.")
    return 0 if good else 1


def _choose() -> tuple[Side, Side] | None:
    """The widest pair of versions that is installed, else two plain servers."""
    for pair in reversed(PAIRS):
        old, new = find(pair.source.major, pair.source.timescaledb), find(pair.target.major, pair.target.timescaledb)
        if old and new and not os.environ.get("DEMO_PLAIN"):
            return (old, pair.source.timescaledb), (new, pair.target.timescaledb)
    carrying = [one for one in available() if one.timescaledb]
    if carrying and not os.environ.get("DEMO_PLAIN"):
        one = carrying[0]
        return (one, one.timescaledb[0]), (one, one.timescaledb[-1])
    if not available():
        return None
    return (available()[-1], None), (available()[0], None)


class _Demo:
    """Two servers, one migration."""

    def __init__(self, source: Server, target: Server, sides: tuple[Side, Side]) -> None:
        self.source, self.target, self.sides = source, target, sides
        self.sample = "fill_levels" if sides[0][1] else "plain"

    def run(self) -> bool:
        """Tell the whole story; True when everything arrived and the second run changed nothing."""
        self._prepare()
        before = self._catalog(self.target)
        foreseen = self._play("Check mode: what would be done", "--check", "--diff")
        _show_statements(foreseen)
        real = self._play("The real run")
        _show_rest(real)
        second = self._play("The second run")
        print(f"  {_recap(second)}")
        runs_are_good = not any(run.rc for run in (foreseen, real, second)) and second.changed == 0
        everything = self._show_what_arrived(before)
        if self.sides[0][1] is None:
            print("\n" + "\n".join(HOW_TO_GET_TIMESCALEDB))
        return runs_are_good and everything

    def _prepare(self) -> None:
        _title("Two servers")
        for name, (installation, version) in zip(("source", "target"), self.sides):
            extension = f"TimescaleDB {version}" if version else "no TimescaleDB"
            print(f"  {name}: PostgreSQL {installation.version}, {extension}")
        with _timed("the sample database is loaded into the source"):
            samples.load(self.source, DATABASE, self.sample, self.sides[0][1])
        with _timed("the target gets its tables, hypertables and rows, as the earlier steps of a migration leave it"):
            samples.create_roles(self.target)
            prepare_target(self.source, DATABASE, self.target, DATABASE, self.sides[1][1])
        for server in (self.source, self.target):
            # The last comparison reads all rows, also those that forced row security hides from their owner.
            server.execute(server.maintenance_db, f"ALTER ROLE {samples.OWNER} BYPASSRLS")

    def _play(self, title: str, *arguments: str) -> PlaybookRun:
        _title(f"{title}: ansible-playbook dbops.timescale.migrate {' '.join(arguments)}".rstrip())
        variables = {
            "timescale_migrate_hosts": "localhost",
            "timescale_migrate_include": ["publications", "default_privileges", "event_triggers"],
            "timescale_migrate_source": self.source.login_vars(DATABASE, samples.OWNER),
            "timescale_migrate_target": self.target.login_vars(DATABASE, samples.OWNER),
        }
        began = time.monotonic()
        run = run_playbook("dbops.timescale.migrate", *arguments, variables=variables)
        for title_, result in _stages(run):
            print(f"  {title_:<11} {_told(result)}")
        for event in run.failures():
            print(f"\n  FAILED: {event.task}\n  {event.result.get('msg', '')}")
        print(f"  ({time.monotonic() - began:.0f} s)")
        return run

    def _catalog(self, server: Server) -> catalog.Catalog:
        with contextlib.closing(server.connect(DATABASE)) as connection:
            return catalog.read(connection)

    def _show_what_arrived(self, before: catalog.Catalog) -> bool:
        _title("What arrived, compared by catalog and not by the tool itself")
        with (
            contextlib.closing(self.source.connect(DATABASE)) as wanted,
            contextlib.closing(self.target.connect(DATABASE)) as found,
        ):
            source, target = catalog.read(wanted), catalog.read(found)
            differences = catalog.compare(wanted, found)
        print(f"  {'':<28}{'source':>8}{'target before':>15}{'target now':>12}")
        for kind in source:
            numbers = [_count(one.get(kind, {})) for one in (source, before, target)]
            if any(numbers):
                print(f"  {kind:<28}{numbers[0]:>8}{numbers[1]:>15}{numbers[2]:>12}")
        if not differences:
            print("\n  Every object of the source is on the target, with the same definition.")
        for line in differences:
            print(f"  not the same: {line[: 2 * WIDTH]}")
        return not differences


def _stages(run: PlaybookRun) -> Iterator[tuple[str, dict[str, Any]]]:
    for event in run.events:
        title = TITLES.get(event.action.split(".")[-1])
        if title and event.outcome != "skipped":
            yield "activation" if "activation" in event.tags else title, event.result


def _told(result: dict[str, Any]) -> str:
    """One line on a stage."""
    if "problems" in result:
        cautions = len(result["cautions"])
        return f"{len(result['problems'])} problems, {cautions} cautions"
    counts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(result.get("summary", {}).items()))
    number = len(result.get("queries", []))
    return f"{number:>4} statements   {counts or 'nothing to do'}"


def _recap(run: PlaybookRun) -> str:
    return ", ".join(
        f"{host}: "
        + " ".join(
            f"{key}={value}" for key, value in sorted(counts.items()) if key in ("ok", "changed", "failed", "failures")
        )
        for host, counts in run.recap.items()
    )


def _show_statements(run: PlaybookRun) -> None:
    """The first statements of each stage; the diff of a real run shows them all."""
    print("\n  Some of the statements (the diff of --diff has them all):")
    for title, result in _stages(run):
        queries = result.get("queries", [])
        for text in queries[:SHOWN]:
            print(f"    {title:<11} {_shortened(text)}")
        if len(queries) > SHOWN:
            print(f"    {'':<11} … and {len(queries) - SHOWN} more")


def _show_rest(run: PlaybookRun) -> None:
    """Whatever is neither made nor there, with its reason."""
    last = dict(_stages(run))
    told: dict[str, int] = {}
    rest = [(title, entry) for title, result in last.items() for entry in result.get("objects", [])]
    for title, entry in rest:
        if entry["outcome"] not in SETTLED:
            line = f"{title}: {entry['outcome']} {entry['kind']} {entry['name']}: {entry['reason']}"
            told[line] = told.get(line, 0) + 1
    for line, number in told.items():
        print(f"  {line}" + (f" ({number} of them)" if number > 1 else ""))


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WIDTH - 16 else line[: WIDTH - 18] + " …"


def _count(objects: dict[str, Any]) -> int:
    """Objects of a kind; several alike are a list."""
    return sum(len(values) if isinstance(values, list) else 1 for values in objects.values())


def _title(text: str) -> None:
    print(f"\n{text}\n{'-' * min(len(text), WIDTH)}", flush=True)


@contextlib.contextmanager
def _timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"  {what} ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
