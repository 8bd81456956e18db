# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Injects faults into every stage of a move and counts what went wrong.

For each fault: the disturbed run, a second run that must complete, a third that must change nothing. A disturbed run
that claims success while the second still finds work is a *wrong success*. After the last stage both catalogs are
compared by the tests' own reader: what differs is a *lost object*. Moments are statements of the stage's own plan.

    python -m tests.faults.suite [--each N] [--seed N]
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import pwd
import random
import time
from dataclasses import dataclass, field
from typing import Any

from tests.support import catalog

from .kinds import KINDS, ONLY, Moment
from .world import STAGES, Stage, World, small_folder

TARGET_MEGABYTES = 400


@dataclass
class Score:
    """What was injected, and everything that went wrong."""

    injected: collections.Counter[str] = field(default_factory=collections.Counter)
    stages: collections.Counter[str] = field(default_factory=collections.Counter)
    stopped: collections.Counter[str] = field(default_factory=collections.Counter)
    missed: int = 0  # the run ended before the moment came
    left_out: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def schedule(each: int, chance: random.Random) -> list[dict[str, str]]:
    """Moves, each a fault per stage, so that every kind comes at least ``each`` times."""
    queues: dict[str, list[str]] = {stage.name: [] for stage in STAGES}
    for kind in KINDS:
        places = list(ONLY.get(kind, tuple(queues)))
        chance.shuffle(places)
        for number in range(each):
            shortest = sorted(places, key=lambda place: len(queues[place]))[0]
            queues[shortest if number % 2 else places[number % len(places)]].append(kind)
    for queue in queues.values():
        chance.shuffle(queue)
    longest = max(len(queue) for queue in queues.values())
    return [{s: q[number] for s, q in queues.items() if number < len(q)} for number in range(longest)]


def one_fault(world: World, stage: Stage, kind: str, chance: random.Random, score: Score) -> bool:
    """Inject one fault into a stage; note what is wrong. Whether the disturbed run claimed success."""
    where = f"{kind} in {stage.name}"
    queries = world.checked(stage).get("queries", []) if stage.writes else []
    moment = Moment(set(queries), chance.randint(1, max(1, len(queries))), chance.random() < 0.5)
    if not queries:
        moment.number = chance.randint(2, 12)
    try:
        with KINDS[kind](world, stage, moment, chance) as env:
            result = world.faulted(stage, env)
    except NotImplementedError as reason:
        score.left_out[kind] = str(reason)
        return False
    success = not (result.get("failed") or result.get("killed") or result.get("broken"))
    if world.missed:
        score.missed += 1
    else:
        score.injected[kind] += 1
        score.stages[stage.name] += 1
        score.stopped[kind] += not success
    if result.get("broken"):
        score.wrong.append(f"{where}: no result: {result['broken'][-800:]}")
    if result.get("failed"):
        score.messages.setdefault(kind, str(result["msg"])[:300])
        _check_message(where, world, result, score)
    return success


def _check_message(where: str, world: World, result: dict[str, Any], score: Score) -> None:
    text = json.dumps(result)
    if not result.get("msg") or "Traceback" in text:
        score.wrong.append(f"{where}: no clear message: {text[:800]}")
    servers = (world.source, world.target)
    if any(password in text for server in servers for password in server.passwords.values()):
        score.wrong.append(f"{where}: a password in the result")


def settle(world: World, stage: Stage, kind: str, success: bool, score: Score) -> None:
    """The second run completes, the third changes nothing."""
    where = f"{kind or 'nothing'} in {stage.name}"
    second = world.again(stage)
    if second.get("failed"):
        score.wrong.append(f"{where}: the second run failed: {second['msg'][:800]}")
        return
    if success and second["changed"] and kind not in ("application at work on the target", ""):
        score.wrong.append(f"{where}: wrong success, the second run found {second['queries'][:3]}")
    third = world.again(stage)
    if third.get("failed") or third["changed"]:
        score.wrong.append(f"{where}: the third run was not idle: {str(third.get('msg') or third['queries'])[:800]}")


def move(world: World, faults: dict[str, str], chance: random.Random, score: Score) -> None:
    """One whole move with a fault in some stages."""
    with world.migration() as sample:
        for stage in STAGES:
            kind = faults.get(stage.name, "")
            success = one_fault(world, stage, kind, chance, score) if kind else False
            settle(world, stage, kind, success, score)
        with (
            contextlib.closing(sample.source.connect(sample.source_db)) as source,
            contextlib.closing(sample.target.connect(sample.target_db)) as target,
        ):
            score.lost += catalog.compare(source, target)


def inject(each: int, seed: int, moves: int = 0) -> Score:
    """Run the suite.

    Args:
        each: faults of every kind.
        seed: of the random numbers.
        moves: only so many moves, 0 for all.
    """
    chance, score = random.Random(seed), Score()
    with small_folder(TARGET_MEGABYTES, pwd.getpwnam("postgres").pw_uid) as small:
        world = World(small)
        try:
            planned = schedule(each, chance)
            for number, faults in enumerate(planned[: moves or None], 1):
                began = time.monotonic()
                move(world, faults, chance, score)
                seconds = time.monotonic() - began
                print(
                    f"move {number} of {moves or len(planned)}: {len(faults)} faults, {seconds:.0f} s,"
                    f" {len(score.wrong)} wrong, {len(score.lost)} lost",
                    flush=True,
                )
        finally:
            world.close()
    return score


def main() -> int:
    """Run the suite and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--each", type=int, default=15, help="faults of every kind")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--moves", type=int, default=0, help="only so many moves")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    score = inject(given.each, given.seed, given.moves)
    print(f"\n{'fault':45} {'injected':>8} {'stopped the run':>16}")
    for kind in KINDS:
        print(f"{kind:45} {score.injected[kind]:8} {score.stopped[kind]:16}  {score.left_out.get(kind, '')}")
    print(f"\nmoments that came too late to strike (not counted): {score.missed}")
    print("stages: " + ", ".join(f"{name} {count}" for name, count in score.stages.items()))
    for kind, message in score.messages.items():
        print(f"- {kind}: {message}")
    for line in (*score.wrong, *score.lost):
        print(f"WRONG {line}")
    total = sum(score.injected.values())
    print(f"\n{total} faults, wrong successes and other failures {len(score.wrong)}, lost objects {len(score.lost)}")
    return 1 if score.wrong or score.lost else 0


if __name__ == "__main__":
    raise SystemExit(main())
