"""What a job writes about itself, within bounds."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from forgehand.application.jobs.context import JobContext
from forgehand.application.jobs.recording import DROPPED, LogLines, Pace, log_line
from forgehand.application.ports.jobs import StoreUnavailable
from forgehand.application.redaction import Redactor
from forgehand.domain.jobs import EventKind, JobState, JsonObject
from tests.job_types import paint_type
from tests.unit.test_kernel import kernel_of


class Written:
    """Where a pace writes; it fails while `broken`."""

    def __init__(self) -> None:
        self.values: list[JsonObject] = []
        self.broken = False

    async def __call__(self, value: JsonObject) -> None:
        if self.broken:
            raise StoreUnavailable("the line is down")
        self.values.append(value)


async def test_many_values_become_few_and_the_last_is_never_lost() -> None:
    written = Written()
    pace = Pace(written, seconds=0.05)
    for n in range(100):
        await pace.tell({"n": n})
    assert written.values == [{"n": 0}]
    async with asyncio.timeout(5):
        while len(written.values) < 2:
            await asyncio.sleep(0.005)
    assert written.values[1] == {"n": 99}
    await pace.tell({"n": 100})
    await pace.close()
    assert written.values == [{"n": 0}, {"n": 99}, {"n": 100}]


async def test_what_a_later_write_met_is_told_to_the_next_one_and_at_the_end_to_nobody() -> None:
    written = Written()
    pace = Pace(written, seconds=0.02)
    await pace.tell({"n": 0})
    await pace.tell({"n": 1})
    written.broken = True
    await asyncio.sleep(0.1)
    with pytest.raises(StoreUnavailable):
        await pace.tell({"n": 2})
    written.broken = False
    await pace.tell({"n": 4})
    written.broken = True
    await pace.tell({"n": 5})
    await pace.close()
    assert written.values == [{"n": 0}, {"n": 4}]


async def test_a_job_that_tells_its_progress_all_the_time_leaves_four_rows_a_second() -> None:
    async def deed(job: JobContext, painted: int) -> int:
        for n in range(60):
            await job.progress(n, f"wall {n}", walls=n)
            await asyncio.sleep(0.01)
        return painted

    async with kernel_of(paint_type()) as kernel:
        kernel.brush.deed.append(deed)
        async with kernel.pumping():
            job = await kernel.ended(await kernel.submit())
        told = await kernel.data(job.id, EventKind.PROGRESS)
        kinds = [event.kind for event in await kernel.jobs.events(job.id)]
    assert 2 <= len(told) <= 6
    assert told[-1] == {"percent": 59, "note": "wall 59", "counters": {"walls": 59}}
    assert kinds[-2:] == [EventKind.PROGRESS, EventKind.COMPLETED]


async def test_after_ten_thousand_lines_one_line_says_that_more_were_dropped() -> None:
    async def none_before() -> int:
        return 0

    lines = LogLines(none_before, most=3)
    kept = [await lines.next({"n": n}) for n in range(6)]
    assert kept == [{"n": 0}, {"n": 1}, {"n": 2}, {"level": "warning", "message": DROPPED}, None, None]


async def test_the_lines_of_all_attempts_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogLines.__init__, "__defaults__", (5,))

    async def deed(job: JobContext, painted: int) -> int:
        for n in range(3):
            await job.log("info", f"line {n}")
        if job.attempt < 3:
            raise RuntimeError("again")
        return painted

    async with kernel_of(paint_type()) as kernel:
        kernel.brush.deed.append(deed)
        async with kernel.pumping():
            job = await kernel.ended(await kernel.submit())
        lines = [data["message"] for data in await kernel.data(job.id, EventKind.LOG)]
    assert lines == ["line 0", "line 1", "line 2", "line 0", "line 1", DROPPED]


def line(message: str, **fields: Any) -> dict[str, Any]:
    return dict(log_line(Redactor(["hunter22"]), "info", message, fields))


def test_a_long_message_and_large_fields_are_cut() -> None:
    cut = line("ä" * 5000, many=["x" * 100] * 1000, level="forged")
    assert len(cut["message"].encode()) <= 4096
    assert cut["message"].endswith("…")
    assert cut["level"] == "info"
    assert len(cut["clipped"].encode()) <= 16 * 1024
    assert "many" not in cut


def test_a_secret_on_the_edge_of_the_cut_is_blotted_out_first() -> None:
    cut = line("x" * 4090 + "hunter22", deep="y" * 16380 + "hunter22")
    assert "hunt" not in json.dumps(cut)


@pytest.mark.parametrize(
    "odd", ["nul \0", "half \ud800", float("nan"), float("inf"), {1: object()}, {"a": b"x"}]
)
async def test_whatever_a_job_logs_can_be_stored(odd: Any) -> None:
    async def deed(job: JobContext, painted: int) -> int:
        await job.log("info", str(odd), odd=odd)
        await job.progress(1, str(odd))
        return painted

    async with kernel_of(paint_type()) as kernel:
        kernel.brush.deed.append(deed)
        async with kernel.pumping():
            job = await kernel.ended(await kernel.submit())
        [logged] = await kernel.data(job.id, EventKind.LOG)
    assert job.state is JobState.COMPLETED
    text = json.dumps(logged, ensure_ascii=False, allow_nan=False)
    assert "\\u0000" not in text
    assert text.encode()
