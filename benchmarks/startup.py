"""How long a person waits before anything happens: `python benchmarks/startup.py`.

Ratios of medians in one run, the commands in turn so that a busy moment hits all of them. The bars:
`forgehand --help` at most twice `import typer, rich.console`; `import forgehand` at most 1.5 times
`import pydantic`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 15
PAIRS = (
    ("forgehand --help", ["-m", "forgehand", "--help"], "import typer, rich.console", 2.0),
    ("import forgehand", ["-c", "import forgehand"], "import pydantic", 1.5),
)


def medians(*commands: list[str]) -> list[float]:
    """Wall seconds of each Python command."""
    taken: list[list[float]] = [[] for _ in commands]
    for _ in range(RUNS + 1):
        for command, seconds in zip(commands, taken, strict=True):
            began = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            seconds.append(time.perf_counter() - began)
    return [statistics.median(seconds[1:]) for seconds in taken]


for name, command, base, bar in PAIRS:
    own, other = medians(command, ["-c", base])
    held = "held" if own <= bar * other else "MISSED"
    print(f"{name}: {own * 1000:.0f} ms, {own / other:.2f} times `{base}` (bar {bar}: {held})")
