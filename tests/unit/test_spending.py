"""Calls to models are on record, and estimated on the safe side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import pytest

from forgehand.application.jobs.context import JobContext, Level
from forgehand.application.ports.language_model import (
    Message,
    ModelCall,
    ModelOverloaded,
    ModelRefused,
)
from forgehand.application.spending import ask, estimate_tokens
from forgehand.domain.usage import Usage
from forgehand.infrastructure.llm.scripted import ScriptedModel

T = TypeVar("T")
CALL = ModelCall("Be brief.", (Message("user", "?"),), max_output_tokens=100)
STATED = {"input_tokens": 10, "output_tokens": 5, "cost": 42}
PAID = Usage(input_tokens=10, output_tokens=5, calls=1, cost=42)


@dataclass
class RecordedJob:
    """A job whose record is a list."""

    calls: list[tuple[str, str, Usage]] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)
    job_id: UUID = UUID(int=1)
    attempt: int = 1
    deadline: datetime | None = None

    async def progress(self, percent: int, note: str | None = None, **counters: int) -> None:
        raise AssertionError("asking a model is no progress by itself")

    async def log(self, level: Level, message: str, **fields: Any) -> None:
        raise AssertionError("a call is recorded, not logged")

    async def model_call(self, model: str, state: str, usage: Usage) -> None:
        self.calls.append((model, state, usage))
        self.told.set()

    async def step(self, key: str, work: Callable[[], Awaitable[T]], returns: type[T]) -> T:
        return await work()


@pytest.fixture
def job() -> RecordedJob:
    return RecordedJob()


async def test_a_call_is_on_record_before_it_is_made(job: RecordedJob) -> None:
    context: JobContext = job
    asking = asyncio.create_task(ask(ScriptedModel([{"text": "late", "delay": 3600}]), CALL, context))
    async with asyncio.timeout(2):
        await job.told.wait()
    assert job.calls == [("scripted/script", "asked", Usage())]
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert len(job.calls) == 1  # what it cost cannot be known, so nothing is claimed


async def test_an_answer_is_recorded_with_its_usage(job: RecordedJob) -> None:
    reply = await ask(ScriptedModel([{"text": "yes", "usage": STATED}]), CALL, job)
    assert reply.text == "yes"
    assert job.calls[1:] == [("scripted/script", "answered", PAID)]


async def test_a_refusal_is_recorded_with_what_it_cost(job: RecordedJob) -> None:
    with pytest.raises(ModelRefused):
        await ask(ScriptedModel([{"error": "refused", "usage": STATED}]), CALL, job)
    assert job.calls[1:] == [("scripted/script", "failed", PAID)]


async def test_a_failure_that_costs_nothing_is_recorded_too(job: RecordedJob) -> None:
    with pytest.raises(ModelOverloaded):
        await ask(ScriptedModel([{"error": "overloaded"}]), CALL, job)
    assert job.calls[1:] == [("scripted/script", "failed", Usage())]


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("abcde", 2), ("abcdef", 3), ("日本語", 4), ("\udcff", 2)]
)
def test_tokens_are_two_for_five_bytes(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


def test_an_estimate_never_shrinks_when_text_is_added() -> None:
    texts = ["x" * length + "é" * (length % 7) for length in range(200)]
    estimates = [estimate_tokens("".join(texts[:count])) for count in range(200)]
    assert estimates == sorted(estimates)
