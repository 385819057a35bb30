"""`make torture`: kills at random and at every named point, rotations, a server that misbehaves; then the oracle is asked.

    bugs     agents with a seeded bug each: what is not caught here would not be caught below either
    points   for every crash point, agents that die there one after the other, `--points` of them; each must get there
    random   one long load; the agent is killed after a random time and started again, so often as `--kills` says
    million  a million records, 200 kills
    logrotate  files with the same first line, rotated by the real logrotate in every mode, `--logrotate` seconds, without kills and with
    always   after the last kill the faults stop, the agent drains, a fresh record must pass, and the ledger must balance

Seeds are printed; `--seed` replays. The histogram tells which point the agent had passed last when it was killed: a thousand kills that all
land in `epoll` would prove nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.logrotate import PROGRAM
from tests.torture.catch import catch_all
from tests.torture.kills import million, random_kills
from tests.torture.logrotate import rotated_by_logrotate
from tests.torture.points import REACHABLE, at_points
from tests.torture.scene import Load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.torture.kills import Outcome


def main() -> int:
    """Run what is asked for; the exit code says whether the promise was kept."""
    options = parse()
    folder = Path(tempfile.mkdtemp(prefix="outrider-torture-"))
    print(f"seed {options.seed}", flush=True)
    kept = [run(folder / run.__name__, options) for run in (run_bugs, run_points, run_random, run_million, run_logrotate)]
    if all(kept):
        shutil.rmtree(folder)
        print("kept: nothing lost, repeated, invented or out of order")
        return 0
    print(f"NOT KEPT: see {folder}, and replay with --seed {options.seed}")
    return 1


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000, help="random kills under load; 0 = none")
    parser.add_argument("--points", type=int, default=20, help="agents that die at each crash point; 0 = none")
    parser.add_argument("--million", type=int, default=1_000_000, help="records of the million; 0 = none")
    parser.add_argument("--logrotate", type=float, default=60.0, help="seconds of rotations by logrotate, without and with kills; 0 = none")
    parser.add_argument("--bugs", type=int, default=1, help="whether to see that seeded bugs are caught")
    parser.add_argument("--rate", type=int, default=5000, help="records a second of the random kills")
    parser.add_argument("--jobs", type=int, default=2, help="how many points or bugs are tried at the same time")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    return parser.parse_args()


def run_bugs(folder: Path, options: argparse.Namespace) -> bool:
    """Agents with a seeded bug: print for each whether it was caught."""
    if not options.bugs:
        return True
    catches = catch_all(folder, options.jobs)
    for one in catches:
        print(one)
    print(f"seeded bugs caught: {sum(one.caught for one in catches)} of {len(catches)}", flush=True)
    return all(one.caught for one in catches)


def run_points(folder: Path, options: argparse.Namespace) -> bool:
    """Deaths at every crash point: print the result of each."""
    if not options.points:
        return True
    kept, short = True, []
    for seed, one in at_points(folder, options.seed, REACHABLE, options.points, options.jobs):
        print(f"{one.point:<28} died {one.died:>2} of {one.lives} in {one.seconds:.0f} s (seed {seed}): {one.verdict}", flush=True)
        kept = kept and one.verdict.clean
        short += [] if one.died == one.lives else [one.point]
    print(
        f"points at which every agent died: {len(REACHABLE) - len(short)} of {len(REACHABLE)}; not at: {', '.join(short) or 'none'}",
        flush=True,
    )
    return kept and not short


def run_random(folder: Path, options: argparse.Namespace) -> bool:
    """Random kills under load: print the result."""
    if not options.kills:
        return True
    load = Load(options.seed, count=10**9, rate=options.rate, rotate_every=options.rate)
    return tell(f"random kills at {options.rate} records/s", random_kills(folder, load, options.kills))


def run_million(folder: Path, options: argparse.Namespace) -> bool:
    """The million records: print the result."""
    if not options.million:
        return True
    return tell(f"{options.million} records", million(folder, options.seed, count=options.million))


def run_logrotate(folder: Path, options: argparse.Namespace) -> bool:
    """The real logrotate: print the result of each mode."""
    if not options.logrotate or PROGRAM is None:
        print("logrotate: skipped" + (", it is not installed" if options.logrotate else ""))
        return True
    kept = True
    for kills in (False, True):
        found, summary = rotated_by_logrotate(folder / f"{kills}", options.seed, options.logrotate, kills=kills)
        kept = kept and not any(found.values())
        print(f"logrotate for {options.logrotate:.0f} s, {summary}")
        for mode, fault in found.items():
            print(f"  {mode:<24} {fault or 'each line once'}", flush=True)
    return kept


def tell(what: str, outcome: Outcome) -> bool:
    """Print an outcome with its histogram."""
    print(f"{what}, {outcome.kills} kills in {outcome.seconds:.0f} s: {outcome.verdict}")
    for line in histogram(outcome):
        print(line)
    sys.stdout.flush()
    return outcome.verdict.clean


def histogram(outcome: Outcome) -> Iterator[str]:
    """Where the kills landed."""
    for point, count in outcome.landed.most_common():
        yield f"  {count:>5}  {point}"


if __name__ == "__main__":
    sys.exit(main())
