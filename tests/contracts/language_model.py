"""What every adapter of LanguageModel promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import pytest

from forgehand.application.ports.failures import PortFailure
from forgehand.application.ports.language_model import (
    LanguageModel,
    Message,
    ModelAuthenticationFailed,
    ModelCall,
    ModelOutputInvalid,
    ModelOverloaded,
    ModelQuotaExhausted,
    ModelRateLimited,
    ModelRefused,
    ModelReply,
    ModelRequestRejected,
    ModelTruncated,
    Tool,
    ToolResult,
)

_F = TypeVar("_F", bound=PortFailure)

KEY = "key-that-nobody-may-see-0123456789"
INPUT_TOKENS, OUTPUT_TOKENS = 120, 34
Trouble = Literal[
    "rate_limited", "overloaded", "authentication", "quota", "rejected", "refused", "truncated", "hangs"
]


@dataclass(frozen=True, slots=True)
class Says:
    """The provider answers with this text, having used INPUT_TOKENS and OUTPUT_TOKENS."""

    text: str


@dataclass(frozen=True, slots=True)
class Wishes:
    """The provider answers with a call of this tool."""

    tool: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fails:
    """The provider fails in this way. A rate limit names seven seconds; its words hold the key."""

    trouble: Trouble


Scene: TypeAlias = Says | Wishes | Fails


class ClosableModel(LanguageModel, Protocol):
    """Every adapter of ours can be closed."""

    async def close(self) -> None: ...


Stage: TypeAlias = Callable[..., ClosableModel]

SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "lines": {"type": "integer"}},
    "required": ["title", "lines"],
    "additionalProperties": False,
}
LOOK_UP = Tool(
    "look_up",
    "Look a word up.",
    {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
)
QUESTION = ModelCall("You are terse.", (Message("user", "What is a forge?"),), max_output_tokens=500)
FORM = ModelCall(
    "You fill in forms.", (Message("user", "Fill this in."),), max_output_tokens=500, schema=SCHEMA
)


class LanguageModelContract:
    """Subclass it with a fixture `stage`: called with scenes, it gives the model that will play them."""

    async def test_a_question_is_answered(self, stage: Stage) -> None:
        reply = await stage(Says("A workshop.")).complete(QUESTION)
        assert reply.text == "A workshop."
        assert reply.output is None
        assert reply.tool_calls == ()

    async def test_every_answer_tells_what_it_used(self, stage: Stage) -> None:
        usage = (await stage(Says("A workshop.")).complete(QUESTION)).usage
        assert (usage.input_tokens, usage.output_tokens, usage.calls) == (INPUT_TOKENS, OUTPUT_TOKENS, 1)
        assert usage.cost is not None

    async def test_the_name_tells_provider_and_model(self, stage: Stage) -> None:
        provider, _, model = stage(Says("x")).name.partition("/")
        assert provider
        assert model

    async def test_there_is_room_for_input(self, stage: Stage) -> None:
        assert stage(Says("x")).input_limit > 1000

    async def test_a_schema_gives_an_object(self, stage: Stage) -> None:
        reply = await stage(Says('{"title": "Café", "lines": 3}')).complete(FORM)
        assert reply.output == {"title": "Café", "lines": 3}

    @pytest.mark.parametrize("said", ["I would rather chat.", '["title"]', '{"title": "no lines"}', '{"tit'])
    async def test_an_answer_that_does_not_fit_is_invalid_and_paid(self, stage: Stage, said: str) -> None:
        error = await _failure(stage(Says(said)), FORM, ModelOutputInvalid)
        assert error.usage.output_tokens == OUTPUT_TOKENS

    async def test_tools_are_called_and_their_results_go_back(self, stage: Stage) -> None:
        model = stage(Wishes("look_up", {"word": "forge"}), Says("A workshop."))
        asked = Message("user", "What is a forge?")
        first = await model.complete(ModelCall("Use the tool.", (asked,), 500, tools=(LOOK_UP,)))
        [wish] = first.tool_calls
        assert (wish.name, wish.arguments) == ("look_up", {"word": "forge"})

        second = await model.complete(_continued(asked, first, "a workshop with fire"))

        assert second.text == "A workshop."
        assert second.tool_calls == ()

    async def test_a_tool_may_be_called_before_the_object_is_given(self, stage: Stage) -> None:
        call = ModelCall("Use the tool.", (Message("user", "Go."),), 500, schema=SCHEMA, tools=(LOOK_UP,))
        reply = await stage(Wishes("look_up", {"word": "forge"})).complete(call)
        assert reply.output is None
        assert [wish.name for wish in reply.tool_calls] == ["look_up"]

    async def test_a_rate_limit_says_how_long_to_wait(self, stage: Stage) -> None:
        error = await _failure(stage(Fails("rate_limited")), QUESTION, ModelRateLimited)
        assert error.retry_after == timedelta(seconds=7)

    async def test_no_capacity_is_overloaded(self, stage: Stage) -> None:
        await _failure(stage(Fails("overloaded")), QUESTION, ModelOverloaded)

    async def test_a_wrong_key_is_said_so(self, stage: Stage) -> None:
        error = await _failure(stage(Fails("authentication")), QUESTION, ModelAuthenticationFailed)
        assert "key" in str(error)

    async def test_an_empty_account_is_said_so(self, stage: Stage) -> None:
        error = await _failure(stage(Fails("quota")), QUESTION, ModelQuotaExhausted)
        assert "credit" in str(error)

    async def test_a_wrong_call_is_rejected(self, stage: Stage) -> None:
        await _failure(stage(Fails("rejected")), QUESTION, ModelRequestRejected)

    async def test_a_refusal_is_paid(self, stage: Stage) -> None:
        error = await _failure(stage(Fails("refused")), QUESTION, ModelRefused)
        assert error.usage.input_tokens == INPUT_TOKENS

    async def test_half_an_answer_is_truncated_and_paid(self, stage: Stage) -> None:
        error = await _failure(stage(Fails("truncated")), FORM, ModelTruncated)
        assert error.usage.output_tokens == OUTPUT_TOKENS

    async def test_a_cancelled_call_ends_at_once(self, stage: Stage) -> None:
        asking = asyncio.create_task(stage(Fails("hangs")).complete(QUESTION))
        done, _ = await asyncio.wait({asking}, timeout=0.5)
        assert not done
        asking.cancel()
        async with asyncio.timeout(2):
            with pytest.raises(asyncio.CancelledError):
                await asking

    async def test_it_can_be_closed_twice(self, stage: Stage) -> None:
        model = stage(Says("A workshop."))
        await model.complete(QUESTION)
        await model.close()
        await model.close()


async def _failure(model: LanguageModel, call: ModelCall, kind: type[_F]) -> _F:
    """The failure, which is one short line for a person and holds no secret."""
    with pytest.raises(kind) as caught:
        await model.complete(call)
    message = str(caught.value)
    assert message.startswith(model.name)
    assert "\n" not in message
    assert len(message) < 600
    assert KEY not in message
    return caught.value


def _continued(asked: Message, first: ModelReply, result: str) -> ModelCall:
    answered = Message("user", tool_results=(ToolResult(first.tool_calls[0].id, result),))
    return ModelCall("Use the tool.", (asked, first.message, answered), 500, tools=(LOOK_UP,))
