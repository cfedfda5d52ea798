"""Claude, through Anthropic's SDK. The SDK takes a second to import, so the first call does that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

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
    ModelReply,
    ModelRequestRejected,
    ModelTruncated,
    ToolCall,
)
from forgehand.domain.usage import Usage
from forgehand.infrastructure.llm import answers, prices

if TYPE_CHECKING:
    import anthropic
    from anthropic.types import Message as Answer

_API = "https://api.anthropic.com"
_UNFINISHED = {"max_tokens", "model_context_window_exceeded", "pause_turn"}
_PASSING = {408, 409, 499}


class AnthropicModel:
    """One of Anthropic's models. `base_url` has no `/v1`; `timeout` bounds a whole call."""

    def __init__(
        self,
        api_key: str,
        model: str,
        base_url: str | None = None,
        *,
        input_limit: int = answers.INPUT_LIMIT,
        timeout: timedelta = answers.LONGEST_CALL,
    ) -> None:
        self._key = api_key
        self._model = model
        self._base_url = base_url or _API
        self._input_limit = input_limit
        self._timeout = timeout.total_seconds()
        self._opening = asyncio.Lock()
        self._client: anthropic.AsyncAnthropic | None = None

    @property
    def name(self) -> str:
        return f"anthropic/{self._model}"

    @property
    def input_limit(self) -> int:
        return self._input_limit

    async def complete(self, call: ModelCall) -> ModelReply:
        client = await self._opened()
        import anthropic

        request = self._request(call)
        try:
            async with asyncio.timeout(self._timeout):
                answer = await client.messages.create(**request, timeout=self._timeout)
        except TimeoutError as error:
            raise answers.busy(ModelOverloaded, self.name, f"no answer in {self._timeout:g} s") from error
        except anthropic.APIStatusError as error:
            raise self._translated(error) from error
        except (anthropic.AnthropicError, ValueError) as error:  # ValueError: the body is not JSON
            raise answers.busy(ModelOverloaded, self.name, self._quoted(error.__cause__ or error)) from error
        return self._read(call, answer)

    async def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _opened(self) -> anthropic.AsyncAnthropic:
        async with self._opening:
            if self._client is None:
                self._client = await asyncio.to_thread(self._open)
            return self._client

    def _open(self) -> anthropic.AsyncAnthropic:
        import anthropic

        prices.load()
        return anthropic.AsyncAnthropic(
            api_key=self._key, base_url=self._base_url, timeout=self._timeout, max_retries=0
        )

    def _request(self, call: ModelCall) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._model,
            "max_tokens": call.max_output_tokens,
            "messages": [
                {"role": message.role, "content": self._content(message)} for message in call.messages
            ],
        }
        if call.instructions:
            request["system"] = [
                {"type": "text", "text": call.instructions, "cache_control": {"type": "ephemeral"}}
            ]
        if call.schema is not None:
            request["output_config"] = {"format": {"type": "json_schema", "schema": _strict(call)}}
        if call.tools:
            request["tools"] = [
                {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}
                for tool in call.tools
            ]
        return request

    def _content(self, message: Message) -> list[dict[str, Any]]:
        said = json.loads(message.verbatim) if message.verbatim else {}
        # Thinking belongs to the model that thought it: another one gets the plain turn.
        blocks: list[dict[str, Any]] = said["content"] if said.get("model") == self.name else []
        return blocks or list(_blocks(message))

    def _read(self, call: ModelCall, answer: Answer) -> ModelReply:
        if not getattr(answer, "content", None) and not getattr(answer, "stop_reason", None):
            raise answers.busy(ModelOverloaded, self.name, "its answer is no message")
        usage = self._usage(answer)
        if answer.stop_reason == "refusal":
            raise answers.charged(ModelRefused, self.name, self._reason(answer), usage)
        if answer.stop_reason in _UNFINISHED:
            raise answers.charged(ModelTruncated, self.name, answer.stop_reason or "", usage)
        text = "".join(block.text for block in answer.content if block.type == "text")
        calls = tuple(
            ToolCall(block.id, block.name, block.input)
            for block in answer.content
            if block.type == "tool_use"
        )
        if not text and not calls:
            raise answers.charged(ModelOutputInvalid, self.name, "it is empty", usage)
        found = None
        if call.schema is not None and not calls:
            found = answers.output(text, call.schema, self.name, usage)
        return ModelReply(text, usage, found, calls, self._verbatim(answer))

    def _verbatim(self, answer: Answer) -> str:
        content = [block.model_dump(mode="json", exclude_unset=True) for block in answer.content]
        return json.dumps({"model": self.name, "content": content})

    def _usage(self, answer: Answer) -> Usage:
        used = getattr(answer, "usage", None)
        if used is None:
            return Usage(calls=1, cost=None)
        read, written = used.cache_read_input_tokens or 0, used.cache_creation_input_tokens or 0
        return prices.usage_of_call(
            "anthropic",
            self._model,
            input_tokens=used.input_tokens + read + written,
            output_tokens=used.output_tokens,
            cached=read,
            written=written,
        )

    def _reason(self, answer: Answer) -> str:
        return self._quoted(answer.stop_details.explanation if answer.stop_details else None)

    def _translated(self, error: anthropic.APIStatusError) -> PortFailure:
        said = self._quoted(error.api_message or f"status {error.status_code}")
        status = error.status_code
        if _is_about_money(error):
            return answers.final(ModelQuotaExhausted, self.name, said)
        if status == 429:
            return answers.busy(
                ModelRateLimited, self.name, said, answers.retry_after(error.response.headers)
            )
        if status >= 500 or status in _PASSING:
            return answers.busy(ModelOverloaded, self.name, said, answers.retry_after(error.response.headers))
        if status in {401, 403}:
            return answers.final(ModelAuthenticationFailed, self.name, said)
        return answers.final(ModelRequestRejected, self.name, said)

    def _quoted(self, said: object) -> str:
        return answers.quoted(said, secret=self._key)


def _strict(call: ModelCall) -> dict[str, Any]:
    import anthropic

    return anthropic.transform_schema(dict(call.schema or {}))


def _blocks(message: Message) -> Iterator[dict[str, Any]]:
    # Results come before the text: the API refuses them the other way round.
    for result in message.tool_results:
        yield {
            "type": "tool_result",
            "tool_use_id": result.call_id,
            "content": result.content,
            "is_error": result.failed,
        }
    if message.text:
        yield {"type": "text", "text": message.text}
    for wish in message.tool_calls:
        yield {"type": "tool_use", "id": wish.id, "name": wish.name, "input": dict(wish.arguments)}


def _is_about_money(error: anthropic.APIStatusError) -> bool:
    cause = f"{error.type} {error.error_code}"
    said = (error.api_message or "").lower()
    return (
        error.status_code == 402
        or "billing" in cause
        or "spend_limit" in cause
        or "credit balance" in said  # an account without credit is a plain 400
        or "api usage limits" in said
    )
