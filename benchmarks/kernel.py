"""`python -m benchmarks.kernel [ROW …]`: measure the kernel beside its peers and print a table of bars."""

from __future__ import annotations

import argparse
import os
import platform
import sys

from benchmarks.rows import ROWS
from benchmarks.systems import Bench
from benchmarks.table import HEAD


def main() -> int:
    """Exit 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernel", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; all unless given")
    parser.add_argument("--runs", type=int, default=5, help="of each system, the median counts (5)")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of everything, once: to see that it works"
    )
    options = parser.parse_args()
    if unknown := set(options.rows) - ROWS.keys():
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}; {_load()}")
    print(f"\n{HEAD}")
    missed = 0
    with Bench(runs=1 if options.quick else options.runs, scale=0.1 if options.quick else 1) as bench:
        for name in options.rows or ROWS:
            for line in ROWS[name](bench):
                missed += line.held is False
                print(line, flush=True)
    print(f"\n{_load()}; bars missed: {missed}")
    return 1 if missed else 0


def _load() -> str:
    return "load {:.1f} {:.1f} {:.1f}".format(*os.getloadavg())


if __name__ == "__main__":
    sys.exit(main())
