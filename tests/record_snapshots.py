# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records catalogs of real servers, and the plans made from them, into tests/unit/snapshots.

    python -m tests.record_snapshots            everything that is installed here
    python -m tests.record_snapshots --plans    only the plans, from the recorded catalogs

Read the difference before it is committed: it is what a change of the code does to statements.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

from ansible_collections.dbops.timescale.plugins.module_utils._cagg.target import look
from ansible_collections.dbops.timescale.plugins.module_utils._connection import Database, connect, libpq_parameters
from ansible_collections.dbops.timescale.plugins.module_utils._documents import READERS
from ansible_collections.dbops.timescale.plugins.module_utils._module import facts_to_json
from ansible_collections.dbops.timescale.plugins.module_utils._post_data.dump import prepare
from tests.support import snapshots
from tests.support.pool import Pool, Sample, available_pairs


def record_sources_and_targets() -> None:
    """Load the sample on each pair of versions and read both sides with the modules' own code."""
    pool = Pool()
    try:
        for pair in available_pairs():
            made = pool.fresh(pair)
            _record(made, pair.source.timescaledb, str(pair))
            made.drop()
    finally:
        pool.close()


def record_plans() -> None:
    """Plan from what has been recorded."""
    for pair in snapshots.pairs():
        for domain in snapshots.DOMAINS:
            plan = snapshots.plan_to_json(snapshots.make_plan(pair, domain))
            _write(snapshots.PLANS / f"{pair}-{domain}.json", plan)


def _record(made: Sample, version: str, pair: str) -> None:
    source = _open("source", made.source_login())
    target = _open("target", made.target.login_vars(made.target_db, made.user))
    documents = {name: reader(source) for name, reader in READERS.items()}
    archive: Any = {"entries": [dataclasses.asdict(entry) for entry in prepare(source, "")()]}
    documents["post_data"], archive = snapshots.with_small_oids(documents["post_data"], archive)
    for name, document in {**documents, "archive": archive, "facts": facts_to_json(source.facts)}.items():
        _write(snapshots.FOLDER / version / f"{name}.json", document)
    existing = look(target, documents["aggregates"], source.facts)
    there: dict[str, Any] = {
        "facts": facts_to_json(target.facts),
        "aggregates": snapshots.existing_to_json(existing),
        "jobs": READERS["jobs"](target),
        "post_data": snapshots.with_small_oids(READERS["post_data"](target))[0],
    }
    for name, document in there.items():
        _write(snapshots.FOLDER / pair / f"{name}.json", document)
    source.close()
    target.close()


def _open(side: str, login: dict[str, Any]) -> Database:
    return connect(side, libpq_parameters(login), application="record_snapshots", read_only=side == "source")


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(snapshots.text_of(content), encoding="utf-8")


if __name__ == "__main__":
    if "--plans" not in sys.argv[1:]:
        record_sources_and_targets()
    record_plans()
