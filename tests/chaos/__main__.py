"""`python -m tests.chaos`: let the storm pass and print the account; exit 1 where it does not balance."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.account import table
from tests.chaos.cuts import endure
from tests.chaos.stage import Crew, servers
from tests.chaos.storm import Weather, ride


def main() -> int:
    asked = _asked()
    weather = Weather(asked.jobs, asked.seconds, asked.kills, asked.freezes, asked.seed)
    crew = Crew(asked.workers, asked.slots, asked.lease, break_fence=asked.break_fence)
    folder = Path(tempfile.mkdtemp(prefix="forgehand-chaos-"))
    began = time.monotonic()
    with servers(asked.store, folder) as standing:
        if asked.cuts:
            outcome = asyncio.run(endure(asked.jobs, asked.cuts, crew, standing, folder))
        else:
            outcome = asyncio.run(ride(weather, crew, standing, folder))
    rows = [
        ("store", asked.store),
        ("seed", asked.seed),
        ("seconds in all", round(time.monotonic() - began)),
        ("seconds from calm to the last end", round(outcome.calm_seconds, 1)),
        *sorted(outcome.done.items()),
    ]
    print(table(outcome.account, rows), flush=True)
    if outcome.account.balanced:
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    print(f"the ledgers and the workers' logs are in {folder}", file=sys.stderr)
    return 1


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--store", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--seconds", type=float, default=150, help="how long the storm lasts")
    parser.add_argument("--kills", type=int, default=36, help="SIGKILLs; the other blows go with it")
    parser.add_argument("--freezes", type=int, default=12, help="SIGSTOPs for longer than a lease")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lease", type=float, default=2.5)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--slots", type=int, default=3, help="jobs at once in a worker")
    parser.add_argument(
        "--cuts", type=int, default=0, help="instead of a storm: cut all connections so often"
    )
    parser.add_argument("--break-fence", action="store_true", help="the account must then not balance")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
