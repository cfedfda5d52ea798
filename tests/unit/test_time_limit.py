"""The time limit of an attempt, however its job takes it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from forgehand.application.jobs import time_limit
from forgehand.application.jobs.time_limit import TimeLimit, TimeLimitExceeded

SOON, LATER = timedelta(milliseconds=10), timedelta(hours=1)


@pytest.fixture(autouse=True)
def _again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limit, "CLEAN_UP", 0.01)


def cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def test_what_takes_too_long_is_cancelled_and_told() -> None:
    with pytest.raises(TimeLimitExceeded, match=r"longer than 0\.01 s"):
        async with TimeLimit(SOON):
            await asyncio.sleep(30)
    assert cancelling() == 0


async def test_what_ends_in_time_hears_nothing() -> None:
    async with TimeLimit(SOON):
        pass
    await asyncio.sleep(0.03)
    assert cancelling() == 0


async def test_a_job_that_swallows_its_time_limit_is_cancelled_again_and_again() -> None:
    swallowed = 0

    async def deaf() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 3:
                    raise

    with pytest.raises(TimeLimitExceeded):
        async with TimeLimit(SOON):
            await deaf()
    assert (swallowed, cancelling()) == (3, 0)


async def test_what_ends_by_itself_however_late_has_ended() -> None:
    done = ""
    async with TimeLimit(SOON):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            done = "late"
    assert (done, cancelling()) == ("late", 0)


async def test_an_error_made_of_the_time_limit_stays_that_error() -> None:
    async def turn() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            raise KeyError("lost in the clean-up") from None

    with pytest.raises(KeyError):
        async with TimeLimit(SOON):
            await turn()
    assert cancelling() == 0


async def test_who_is_cancelled_by_another_is_cancelled_whatever_the_limit_says() -> None:
    cleaning = asyncio.Event()

    async def work() -> None:
        async with TimeLimit(SOON):
            try:
                await asyncio.sleep(30)
            finally:
                cleaning.set()
                await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await cleaning.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_is_cancelled_in_time_is_cancelled() -> None:
    async def work() -> None:
        async with TimeLimit(LATER):
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
