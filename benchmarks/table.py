"""The table that is printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.systems import Run, System


@dataclass(frozen=True, slots=True)
class Line:
    """One measured thing. `held` is None where there is no bar."""

    what: str
    figure: str
    bar: str = "–"
    held: bool | None = None

    def __str__(self) -> str:
        verdict = {None: "", True: "held", False: "**missed**"}[self.held]
        return f"| {self.what} | {self.figure} | {self.bar} | {verdict} |"


HEAD = "| | measured | bar | |\n|---|---|---|---|"


def rate(what: str, runs: Sequence[Run], at_least: float | None = None) -> Line:
    """Jobs a second, the median of `runs`, and this process's CPU time for each."""
    rates = [run.rate for run in runs]
    cpu = median(run.cpu / run.n for run in runs) * 1e6
    figure = f"{median(rates):,.0f}/s ({min(rates):,.0f}–{max(rates):,.0f}; {cpu:,.0f} µs of CPU each)"
    if at_least is None:
        return Line(what, figure)
    return Line(what, figure, f"≥ {at_least:,.0f}/s", median(rates) >= at_least)


def ratio(peer: System, ours: Sequence[Run], theirs: Sequence[Run], at_least: float) -> Line:
    """Ours to theirs, median to median."""
    found = median(run.rate for run in ours) / median(run.rate for run in theirs)
    return Line(f"— to {peer.name}", f"{found:.2f}×", f"≥ {at_least:g}×", found >= at_least)


def at_most(what: str, value: float, bar: float, unit: str, digits: int = 1) -> Line:
    return Line(what, f"{value:,.{digits}f} {unit}", f"≤ {bar:g} {unit}", value <= bar)
