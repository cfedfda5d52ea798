"""forgehand.testing: jobs that run when told to, while time stands still."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from forgehand import JobFailed, Order, Priority, Terms
from forgehand.application.jobs.context import JobContext
from forgehand.application.jobs.job_type import JobRequest, JobResult, JobType, Policy
from forgehand.application.jobs.running import RetryLater
from forgehand.application.jobs.submit import InvalidRequest
from forgehand.application.ports.jobs import ParentNotFound
from forgehand.application.ports.language_model import LanguageModel, Message, ModelCall
from forgehand.domain.jobs import Job, JobState, RateLimit, RetryPolicy
from forgehand.testing import START, FrozenClock, Workbench

GUIDE = (Path(__file__).parents[2] / "docs" / "testing-your-code.md").read_text()


class AskRequest(JobRequest):
    """What to ask, and how often to fail before."""

    question: str = "?"
    failures: int = 0
    naps: int = 0


class AskResult(JobResult):
    """What was answered."""

    answer: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the model."""

    model: LanguageModel

    async def execute(self, request: AskRequest, job: JobContext) -> AskResult:
        if job.attempt <= request.failures:
            raise ValueError(f"attempt {job.attempt} failed")
        if request.naps:
            raise RetryLater(timedelta(0))
        reply = await self.model.complete(ModelCall("answer", (Message("user", request.question),), 100))
        return AskResult(answer=reply.text)


RETRY = RetryPolicy(3, timedelta(minutes=1))
ASK = JobType("ask", AskRequest, AskResult, Policy(RETRY, rate=RateLimit(1), running=1), Ask)
YES = {"text": "yes", "repeat": True}


def workbench(*replies: dict[str, Any]) -> Workbench:
    return Workbench(job_types=[ASK], replies=replies or [YES])


def questions(jobs: list[Job]) -> list[str]:
    return [str(job.request["question"]) for job in jobs]


async def test_the_example_of_the_guide_holds() -> None:
    example = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)[0]
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "testing-your-code.md", "exec", dont_inherit=True), names)
    test: Callable[[], Awaitable[None]] = names["test_a_greeting_is_tried_again"]
    await test()


async def test_nothing_runs_until_told_to() -> None:
    async with workbench() as bench:
        await bench.submit("ask", question="1")
        assert [job.state for job in await bench.submitted()] == [JobState.PENDING]
        assert questions(await bench.run_due()) == ["1"]
        assert [job.result for job in await bench.submitted("ask")] == [{"answer": "yes"}]
        assert await bench.run_due() == []


async def test_jobs_run_in_the_order_of_a_worker_whatever_the_limits() -> None:
    async with workbench() as bench:
        await bench.submit_many(
            [
                Order("ask", {"question": name}, Terms(priority=priority))
                for name, priority in (("a", Priority.NORMAL), ("b", Priority.LOW), ("c", Priority.CRITICAL))
            ]
        )
        assert questions(await bench.run_due()) == ["c", "a", "b"]


async def test_many_are_submitted_or_none() -> None:
    async with workbench() as bench:
        with pytest.raises(InvalidRequest):
            await bench.submit_many([Order("ask", {}), Order("ask", {"failures": "few"})])
        assert await bench.submitted() == []
        assert len(await bench.submit_many([Order("ask", {"question": str(n)}) for n in range(120)])) == 120
        assert questions(await bench.submitted("ask")) == [str(n) for n in range(120)]


async def test_time_moves_by_hand_and_a_retry_waits_exactly_as_long_as_its_policy_says() -> None:
    async with workbench() as bench:
        await bench.submit("ask", failures=2)
        [job] = await bench.run_due()
        assert (job.condition(bench.clock()), job.run_at) == ("retrying", START + timedelta(minutes=1))
        bench.clock.advance(seconds=59)
        assert await bench.run_due() == []
        bench.clock.advance(seconds=1)
        [job] = await bench.run_due()
        assert job.run_at - bench.clock() == timedelta(minutes=2)


async def test_draining_goes_through_retries_delays_and_dependencies() -> None:
    async with workbench() as bench:
        late = await bench.submit("ask", Terms(delay=timedelta(days=3)), question="late")
        await bench.submit("ask", Terms(after=(late,)), question="later")
        await bench.submit("ask", question="hard", failures=2)
        await bench.submit("ask", question="lost", failures=9)
        drained = {str(job.request["question"]): job for job in await bench.drain()}
        states = {name: (job.state.value, job.attempts) for name, job in drained.items()}
        assert states == {
            "hard": ("completed", 3),
            "lost": ("failed", 3),
            "late": ("completed", 1),
            "later": ("completed", 1),
        }
        assert bench.clock() == START + timedelta(days=3)


async def test_a_child_runs_with_its_parent_or_fails_with_it() -> None:
    async with workbench() as bench:
        good, bad = [await bench.submit("ask", Terms(max_attempts=1), failures=n) for n in (0, 1)]
        await bench.submit("ask", Terms(after=(good,)), question="child of good")
        orphan = await bench.submit("ask", Terms(after=(bad,)), question="child of bad")
        assert questions(await bench.run_due()) == ["?", "?", "child of good"]
        assert (await bench.job(orphan)).state is JobState.FAILED


async def test_a_job_that_never_lets_go_does_not_hang_a_test() -> None:
    async with workbench() as bench:
        await bench.submit("ask", naps=1)
        with pytest.raises(RuntimeError, match="100 times"):
            await bench.drain()


async def test_the_model_says_what_the_script_says() -> None:
    async with workbench({"text": "no", "when": "rain"}, YES) as bench:
        assert (await bench.run("ask", question="sun?")).answer == "yes"
        assert (await bench.run("ask", question="rain?")).answer == "no"


async def test_running_at_once_raises_what_ended_the_job() -> None:
    async with workbench({"error": "refused", "message": "I will not"}) as bench:
        with pytest.raises(JobFailed, match="I will not"):
            await bench.run("ask")


async def test_terms_are_checked_where_they_are_given() -> None:
    async with workbench() as bench:
        with pytest.raises(InvalidRequest, match="max_attempts"):
            await bench.submit("ask", Terms(max_attempts=0))
        with pytest.raises(ParentNotFound):
            await bench.submit("ask", Terms(after=(uuid4(),)))


async def test_what_cannot_run_at_once_is_told() -> None:
    async with workbench() as bench:
        await bench._container.control().pause("ask", bench.clock())
        with pytest.raises(RuntimeError, match="paused"):
            await bench.run("ask")
        assert await bench.drain() == []


def test_a_clock_may_start_at_any_time() -> None:
    clock = FrozenClock(START + timedelta(days=1))
    assert clock.advance(hours=1, seconds=1) == clock() == START + timedelta(days=1, hours=1, seconds=1)
