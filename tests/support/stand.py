# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A source and a prepared target that stand until they are told to go, for molecule.

    python -m tests.support.stand up FOLDER        starts them, writes FOLDER/variables.json, waits for its removal
    python -m tests.support.stand compare FOLDER   prints what differs, read by tests/support/catalog.py; 1 if anything

With TimescaleDB on the machine it is the widest version pair, else the plain PostgreSQL sample.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import psycopg2

from . import catalog
from .pool import Pool, Sample, available_pairs

VARIABLES = "variables.json"


def up(folder: Path) -> int:
    """Start both sides and keep them until the file of variables is gone."""
    pairs = available_pairs()
    pool = Pool()
    try:
        sample = pool.fresh(pairs[-1]) if pairs else pool.plain_pair()
        path = folder / VARIABLES
        descriptor = os.open(path.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(_variables(sample, str(pairs[-1]) if pairs else "plain PostgreSQL"), file)
        path.with_suffix(".new").rename(path)
        while path.exists():
            time.sleep(0.2)
    finally:
        pool.close()
    return 0


def _variables(sample: Sample, told: str) -> dict[str, Any]:
    source = sample.source.login_vars(sample.source_db, sample.user)
    target = sample.target.login_vars(sample.target_db, sample.user)
    return {
        "timescale_migrate_source": source,
        "timescale_migrate_target": target,
        "timescale_migrate_include": ["publications", "default_privileges", "event_triggers"],
        "stand_is": told,
        "stand_dsn": [sample.source.dsn(sample.source_db), sample.target.dsn(sample.target_db)],
    }


def compare(folder: Path) -> int:
    """Compare both sides by catalog and print each difference."""
    dsns = json.loads((folder / VARIABLES).read_text(encoding="utf-8"))["stand_dsn"]
    with (
        contextlib.closing(psycopg2.connect(dsns[0])) as source,
        contextlib.closing(psycopg2.connect(dsns[1])) as target,
    ):
        source.autocommit = target.autocommit = True  # a definition that the target cannot print is no end
        differences = catalog.compare(source, target)
    print("\n".join(differences) or "nothing differs")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit({"up": up, "compare": compare}[sys.argv[1]](Path(sys.argv[2])))
