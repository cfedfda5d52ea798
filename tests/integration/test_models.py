"""Anthropic's and Google's real SDKs against servers that speak the vendors' wire formats."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeAlias

import pytest

from forgehand.application.ports.failures import PortFailure
from forgehand.application.ports.language_model import (
    Message,
    ModelAuthenticationFailed,
    ModelCall,
    ModelOutputInvalid,
    ModelOverloaded,
    ModelQuotaExhausted,
    ModelRateLimited,
    ModelRefused,
    ModelRequestRejected,
    ModelTruncated,
    ToolResult,
)
from forgehand.infrastructure.llm.anthropic import AnthropicModel
from forgehand.infrastructure.llm.google import GoogleModel
from tests.contracts.language_model import (
    FORM,
    INPUT_TOKENS,
    KEY,
    LOOK_UP,
    OUTPUT_TOKENS,
    QUESTION,
    SCHEMA,
    Fails,
    LanguageModelContract,
    Says,
    Scene,
    Stage,
    Wishes,
)
from tests.fakes.aimock import Aimock, start_aimock
from tests.fakes.model_server import Answer, Misbehaviour, ModelServer

Vendor: TypeAlias = AnthropicModel | GoogleModel
Build: TypeAlias = Callable[..., Vendor]

USAGE = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
GEMINI_USAGE = {"promptTokenCount": INPUT_TOKENS, "candidatesTokenCount": OUTPUT_TOKENS}
SIGNATURE = base64.b64encode(b"a thought").decode()


def claude_says(text: str = "Yes.", **changes: Any) -> Answer:
    """An answer of the Messages API."""
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": USAGE,
    }
    return Answer({**body, **changes})


def claude_fails(status: int, kind: str, message: str = "no", **headers: str) -> Answer:
    """An error of the Messages API. Header names have underscores here."""
    body = {"type": "error", "error": {"type": kind, "message": message}}
    return Answer(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def gemini_says(text: str = "Yes.", *, finish: str = "STOP", **changes: Any) -> Answer:
    """An answer of generateContent."""
    content = {"role": "model", "parts": [{"text": text}]}
    candidate = {"content": content, "finishReason": finish, "index": 0}
    return Answer({"candidates": [candidate], "usageMetadata": GEMINI_USAGE, **changes})


def gemini_fails(status: int, kind: str, message: str = "no", *details: dict[str, Any]) -> Answer:
    """An error of generateContent."""
    error = {"code": status, "message": message, "status": kind, "details": list(details)}
    return Answer({"error": error}, status)


def daily_quota() -> Answer:
    violation = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "50"}
    failure = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30s"}
    return gemini_fails(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", failure, retry)


def played(scene: Scene) -> dict[str, Any] | None:
    """The scene for aimock, which words it for both vendors; None where it has no words for it."""
    match scene:
        case Says(text):
            return {"content": text, "usage": USAGE}
        case Wishes(tool, arguments):
            return {
                "toolCalls": [{"name": tool, "arguments": arguments}],
                "usage": USAGE,
                "finishReason": "stop",  # Gemini has no finish reason of its own for calls
            }
        case Fails("truncated"):
            return {"content": '{"title": "ha', "finishReason": "length", "usage": USAGE}
        case Fails("rate_limited"):
            return _error(429, "rate_limit_error", retryAfter=7)
        case Fails("overloaded"):
            return _error(503, "overloaded_error")
        case Fails("authentication"):
            return _error(401, "authentication_error")
        case Fails("rejected"):
            return _error(404, "not_found_error")
        case _:
            return None


def _error(status: int, kind: str, **more: Any) -> dict[str, Any]:
    message = f"it went wrong\nwith {KEY}: {'long ' * 500}"
    return {"error": {"message": message, "type": kind}, "status": status, **more}


@pytest.fixture(scope="module")
def aimock() -> Iterator[Aimock]:
    with start_aimock() as server:
        yield server


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
async def anthropic() -> AsyncIterator[Build]:
    """Builds models that are closed in the end."""
    built: list[AnthropicModel] = []

    def build(url: str, model: str = "claude-sonnet-5-5", **options: Any) -> AnthropicModel:
        built.append(AnthropicModel(KEY, model, url, **options))
        return built[-1]

    yield build
    for model in built:
        await model.close()


@pytest.fixture
async def google() -> AsyncIterator[Build]:
    """Builds models that are closed in the end."""
    built: list[GoogleModel] = []

    def build(url: str, model: str = "gemini-2.5-flash", **options: Any) -> GoogleModel:
        built.append(GoogleModel(KEY, model, url, **options))
        return built[-1]

    yield build
    for model in built:
        await model.close()


@dataclass(frozen=True, slots=True)
class Theatre:
    """Plays scenes on aimock where it can, else word for word."""

    aimock: Aimock
    server: ModelServer
    build: Build
    word_for_word: dict[str, Answer | Misbehaviour]

    def play(self, *scenes: Scene) -> Vendor:
        fixtures = [played(scene) for scene in scenes]
        if None not in fixtures:
            turns = [
                {"match": {"turnIndex": turn}, "response": response} for turn, response in enumerate(fixtures)
            ]
            self.aimock.replay(turns)
            return self.build(self.aimock.url)
        for scene in scenes:
            assert isinstance(scene, Fails)
            self.server.will(self.word_for_word[scene.trouble])
        return self.build(self.server.url)


class TestAnthropicModel(LanguageModelContract):
    @pytest.fixture
    def stage(self, aimock: Aimock, server: ModelServer, anthropic: Build) -> Stage:
        credit = f"Your credit balance is too low to access the API with {KEY}."
        word_for_word: dict[str, Answer | Misbehaviour] = {
            "quota": claude_fails(400, "invalid_request_error", credit),
            "refused": claude_says(content=[], stop_reason="refusal"),
            "hangs": Misbehaviour.HANG,
        }
        return Theatre(aimock, server, anthropic, word_for_word).play


class TestGoogleModel(LanguageModelContract):
    @pytest.fixture
    def stage(self, aimock: Aimock, server: ModelServer, google: Build) -> Stage:
        word_for_word: dict[str, Answer | Misbehaviour] = {
            "quota": daily_quota(),
            "refused": gemini_says(finish="SAFETY"),
            "hangs": Misbehaviour.HANG,
        }
        return Theatre(aimock, server, google, word_for_word).play


# What only one of them does, or what only the wire shows.


async def test_claude_gets_the_instructions_first_and_marked_for_its_cache(
    server: ModelServer, anthropic: Build
) -> None:
    server.will(claude_says())
    await anthropic(server.url).complete(QUESTION)
    [call] = server.journal
    assert call.path == "/v1/messages"
    assert call.body["system"] == [
        {"type": "text", "text": QUESTION.instructions, "cache_control": {"type": "ephemeral"}}
    ]
    assert call.body["max_tokens"] == QUESTION.max_output_tokens
    assert KEY in call.headers.get("authorization", "") + call.headers.get("x-api-key", "")


async def test_gemini_gets_the_instructions_apart(server: ModelServer, google: Build) -> None:
    server.will(gemini_says())
    await google(server.url).complete(QUESTION)
    [call] = server.journal
    assert call.path == "/v1beta/models/gemini-2.5-flash:generateContent"
    assert call.body["systemInstruction"]["parts"] == [{"text": QUESTION.instructions}]
    assert call.body["generationConfig"]["maxOutputTokens"] == QUESTION.max_output_tokens
    assert call.headers["x-goog-api-key"] == KEY


async def test_claude_is_held_to_the_schema(server: ModelServer, anthropic: Build) -> None:
    server.will(claude_says('{"title": "x", "lines": 1}'))
    await anthropic(server.url).complete(FORM)
    wanted = server.journal[0].body["output_config"]["format"]
    assert wanted["type"] == "json_schema"
    assert wanted["schema"]["required"] == SCHEMA["required"]
    assert wanted["schema"]["additionalProperties"] is False


async def test_gemini_is_held_to_the_schema(server: ModelServer, google: Build) -> None:
    server.will(gemini_says('{"title": "x", "lines": 1}'))
    await google(server.url).complete(FORM)
    wanted = server.journal[0].body["generationConfig"]
    assert wanted["responseMimeType"] == "application/json"
    assert wanted["responseJsonSchema"] == SCHEMA


async def test_claude_thinks_on_after_a_tool(server: ModelServer, anthropic: Build) -> None:
    turn = [
        {"type": "thinking", "thinking": "", "signature": "sealed"},
        {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"word": "forge"}},
    ]
    server.will(claude_says(content=turn, stop_reason="tool_use"), claude_says())
    model = anthropic(server.url)
    first = await model.complete(ModelCall("", QUESTION.messages, 500, tools=(LOOK_UP,)))
    failed = Message("user", "go on", tool_results=(ToolResult("toolu_1", "no such word", failed=True),))
    await model.complete(ModelCall("", (*QUESTION.messages, first.message, failed), 500, tools=(LOOK_UP,)))
    question, repeated, result = server.journal[1].body["messages"]
    assert question == {"role": "user", "content": [{"type": "text", "text": "What is a forge?"}]}
    assert repeated == {"role": "assistant", "content": turn}
    assert [block["type"] for block in result["content"]] == ["tool_result", "text"]
    assert result["content"][0]["is_error"] is True
    assert "system" not in server.journal[1].body


async def test_gemini_thinks_on_after_a_tool(server: ModelServer, google: Build) -> None:
    parts = [
        {"text": "let me see", "thought": True},
        {"functionCall": {"name": "look_up", "args": {"word": "forge"}}, "thoughtSignature": SIGNATURE},
    ]
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
    server.will(Answer({"candidates": [candidate], "usageMetadata": GEMINI_USAGE}), gemini_says())
    model = google(server.url)
    first = await model.complete(ModelCall("", QUESTION.messages, 500, tools=(LOOK_UP,)))
    assert first.text == ""
    result = Message("user", tool_results=(ToolResult(first.tool_calls[0].id, "a workshop"),))
    await model.complete(ModelCall("", (*QUESTION.messages, first.message, result), 500, tools=(LOOK_UP,)))
    _, repeated, answered = server.journal[1].body["contents"]
    assert repeated["parts"][1]["thoughtSignature"] == SIGNATURE
    assert answered["parts"] == [
        {"functionResponse": {"name": "look_up", "response": {"output": "a workshop"}}}
    ]


async def test_one_models_thoughts_are_kept_from_another(server: ModelServer, anthropic: Build) -> None:
    turn = [{"type": "thinking", "thinking": "", "signature": "sealed"}, {"type": "text", "text": "Hm."}]
    server.will(claude_says(content=turn), claude_says())
    first = await anthropic(server.url).complete(QUESTION)
    again = ModelCall("", (*QUESTION.messages, first.message, Message("user", "And?")), 500)
    await anthropic(server.url, "claude-opus-5-5").complete(again)
    assert server.journal[1].body["messages"][1]["content"] == [{"type": "text", "text": "Hm."}]


async def test_claudes_cached_tokens_are_counted_and_priced(server: ModelServer, anthropic: Build) -> None:
    used = {
        "input_tokens": 700,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 200,
        "output_tokens": 501,
    }
    server.will(claude_says(usage=used))
    usage = (await anthropic(server.url, "claude-3-opus-latest").complete(QUESTION)).usage
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (1000, 100, 501)
    # Dollars for a million tokens: 15 in, 1.50 read from the cache, 18.75 written to it, 75 out.
    assert usage.cost == 700 * 15 + 100 * 1.5 + 200 * 18.75 + 501 * 75


async def test_geminis_thoughts_are_paid_output(server: ModelServer, google: Build) -> None:
    used = {
        "promptTokenCount": 1001,
        "cachedContentTokenCount": 100,
        "candidatesTokenCount": 40,
        "thoughtsTokenCount": 60,
    }
    server.will(gemini_says(usageMetadata=used))
    usage = (await google(server.url, "gemini-2.5-flash").complete(QUESTION)).usage
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (1001, 100, 100)
    # Dollars for a million tokens: 0.30 in, 0.03 read from the cache, 2.50 out: 523.3, rounded up.
    assert usage.cost == 524


async def test_an_unknown_model_has_no_price(server: ModelServer, anthropic: Build, google: Build) -> None:
    server.will(claude_says(), gemini_says())
    assert (await anthropic(server.url, "claude-unheard-of").complete(QUESTION)).usage.cost is None
    assert (await google(server.url, "gemini-unheard-of").complete(QUESTION)).usage.cost is None


async def test_a_long_answer_may_be_asked_for_without_streaming(
    server: ModelServer, anthropic: Build
) -> None:
    server.will(claude_says())
    reply = await anthropic(server.url).complete(ModelCall("", QUESTION.messages, 64_000))
    assert reply.text == "Yes."


def spend_limit() -> Answer:
    error = {
        "type": "invalid_request_error",
        "message": "no",
        "details": {"error_code": "enforced_spend_limit_reached"},
    }
    return Answer({"type": "error", "error": error}, 429)


CLAUDES_TROUBLES: list[tuple[Answer | Misbehaviour, type[PortFailure]]] = [
    (claude_fails(529, "overloaded_error"), ModelOverloaded),
    (claude_fails(500, "api_error"), ModelOverloaded),
    (claude_fails(408, "timeout_error"), ModelOverloaded),
    (Answer("<html>bad gateway</html>", 502), ModelOverloaded),
    (Answer("<html>a captive portal</html>"), ModelOverloaded),
    (Answer("{", headers={"content-type": "application/json"}), ModelOverloaded),
    (Answer({}), ModelOverloaded),
    (Answer([]), ModelOverloaded),
    (Misbehaviour.CUT, ModelOverloaded),
    (claude_fails(403, "permission_error"), ModelAuthenticationFailed),
    (claude_fails(403, "billing_error"), ModelQuotaExhausted),
    (claude_fails(402, "billing_error"), ModelQuotaExhausted),
    (spend_limit(), ModelQuotaExhausted),
    (claude_fails(413, "request_too_large"), ModelRequestRejected),
    (claude_fails(400, "invalid_request_error", "prompt is too long"), ModelRequestRejected),
    (claude_says(stop_reason="model_context_window_exceeded"), ModelTruncated),
    (claude_says(content=[]), ModelOutputInvalid),
]


@pytest.mark.parametrize(("trouble", "kind"), CLAUDES_TROUBLES)
async def test_claudes_troubles_have_names_and_are_not_retried(
    server: ModelServer, anthropic: Build, trouble: Answer | Misbehaviour, kind: type[PortFailure]
) -> None:
    server.will(trouble)
    with pytest.raises(kind) as caught:
        await anthropic(server.url).complete(QUESTION)
    assert "\n" not in str(caught.value)
    assert len(server.journal) == 1


KEY_INVALID = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
NO_BILLING = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "BILLING_DISABLED"}
GEMINIS_TROUBLES: list[tuple[Answer | Misbehaviour, type[PortFailure]]] = [
    (gemini_fails(503, "UNAVAILABLE"), ModelOverloaded),
    (gemini_fails(500, "INTERNAL"), ModelOverloaded),
    (Answer("<html>bad gateway</html>", 502), ModelOverloaded),
    (Answer("<html>a captive portal</html>"), ModelOverloaded),
    (Answer("{", headers={"content-type": "application/json"}), ModelOverloaded),
    (Answer({}), ModelOverloaded),
    (Answer([]), ModelOverloaded),
    (Misbehaviour.CUT, ModelOverloaded),
    (gemini_fails(400, "INVALID_ARGUMENT", "API key not valid.", KEY_INVALID), ModelAuthenticationFailed),
    (gemini_fails(403, "PERMISSION_DENIED"), ModelAuthenticationFailed),
    (gemini_fails(403, "PERMISSION_DENIED", "enable billing", NO_BILLING), ModelQuotaExhausted),
    (gemini_fails(400, "INVALID_ARGUMENT", "too many tokens"), ModelRequestRejected),
    (gemini_fails(404, "NOT_FOUND"), ModelRequestRejected),
    (Answer("not found", 404), ModelRequestRejected),
    (Answer({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}), ModelRefused),
    (gemini_says(finish="PROHIBITED_CONTENT"), ModelRefused),
    (gemini_says(finish="MALFORMED_FUNCTION_CALL"), ModelOutputInvalid),
    (gemini_says(""), ModelOutputInvalid),
]


@pytest.mark.parametrize(("trouble", "kind"), GEMINIS_TROUBLES)
async def test_geminis_troubles_have_names_and_are_not_retried(
    server: ModelServer, google: Build, trouble: Answer | Misbehaviour, kind: type[PortFailure]
) -> None:
    server.will(trouble)
    with pytest.raises(kind) as caught:
        await google(server.url).complete(QUESTION)
    assert "\n" not in str(caught.value)
    assert len(server.journal) == 1


async def test_claude_may_name_a_date_to_wait_for(server: ModelServer, anthropic: Build) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    until = format_datetime(now + timedelta(seconds=90), usegmt=True)
    server.will(
        claude_fails(429, "rate_limit_error", retry_after=until, date=format_datetime(now, usegmt=True))
    )
    with pytest.raises(ModelRateLimited) as caught:
        await anthropic(server.url).complete(QUESTION)
    assert caught.value.retry_after == timedelta(seconds=90)


@pytest.mark.parametrize("value", ["", "soon", "-5", "0", "1e400", "nan"])
async def test_a_wait_that_is_none_is_none(server: ModelServer, anthropic: Build, value: str) -> None:
    server.will(claude_fails(429, "rate_limit_error", retry_after=value))
    with pytest.raises(ModelRateLimited) as caught:
        await anthropic(server.url).complete(QUESTION)
    assert caught.value.retry_after is None


async def test_gemini_tells_the_wait_in_its_details(server: ModelServer, google: Build) -> None:
    minute = {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProject", "quotaValue": "10"}]}
    server.will(gemini_fails(429, "RESOURCE_EXHAUSTED", "quota", minute, {"retryDelay": "34.5s"}))
    with pytest.raises(ModelRateLimited) as caught:
        await google(server.url).complete(QUESTION)
    assert caught.value.retry_after == timedelta(seconds=34.5)


@pytest.fixture(params=["anthropic", "google"])
def either(request: pytest.FixtureRequest, anthropic: Build, google: Build) -> Build:
    return anthropic if request.param == "anthropic" else google


async def test_cancelling_drops_the_connection(server: ModelServer, either: Build) -> None:
    server.will(Misbehaviour.HANG)
    asking = asyncio.create_task(either(server.url).complete(QUESTION))
    async with asyncio.timeout(30):
        await server.called.wait()
    asking.cancel()
    async with asyncio.timeout(2):
        with pytest.raises(asyncio.CancelledError):
            await asking
        await server.dropped.wait()


async def test_a_call_that_takes_too_long_is_given_up(server: ModelServer, either: Build) -> None:
    server.will(Misbehaviour.HANG)
    with pytest.raises(ModelOverloaded, match=r"no answer in 0\.3 s"):
        await either(server.url, timeout=timedelta(seconds=0.3)).complete(QUESTION)
    async with asyncio.timeout(2):
        await server.dropped.wait()


async def test_a_server_that_is_not_there_is_overloaded(either: Build) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        with pytest.raises(ModelOverloaded):
            await either(f"http://127.0.0.1:{taken.getsockname()[1]}").complete(QUESTION)


async def test_calls_at_the_same_time_share_one_client(server: ModelServer, anthropic: Build) -> None:
    server.will(*[claude_says(str(number)) for number in range(5)])
    model = anthropic(server.url)
    replies = await asyncio.gather(*(model.complete(QUESTION) for _ in range(5)))
    assert sorted(reply.text for reply in replies) == ["0", "1", "2", "3", "4"]


async def test_a_closed_model_can_be_asked_again(server: ModelServer, either: Build) -> None:
    model = either(server.url)
    for _ in range(2):
        server.will(claude_says() if isinstance(model, AnthropicModel) else gemini_says())
        assert (await model.complete(QUESTION)).text == "Yes."
        await model.close()


async def test_the_journal_shows_each_call_once(aimock: Aimock, either: Build) -> None:
    aimock.replay([{"match": {"userMessage": "a forge"}, "response": {"content": "A workshop."}}])
    await either(aimock.url).complete(QUESTION)
    [entry] = aimock.journal()
    assert entry["response"]["status"] == 200
    assert entry["body"]["messages"][-1]["content"] == "What is a forge?"


async def test_an_answer_without_fixture_is_a_clear_rejection(aimock: Aimock, either: Build) -> None:
    aimock.replay([])
    with pytest.raises(ModelRequestRejected, match="No fixture matched"):
        await either(aimock.url).complete(QUESTION)
