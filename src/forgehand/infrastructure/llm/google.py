"""Gemini, through google-genai. The SDK takes half a second to import, so the first call does that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
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
    import httpx2
    from google import genai
    from google.genai import errors, types

_API = "https://generativelanguage.googleapis.com"
_OUR_ID = "forgehand-"
_UNFINISHED = {"MAX_TOKENS", "CONTINUATION"}
_DECLINED = {
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "ESCALATION",
    "MODEL_ARMOR",
    "PUP_LIMITED_DISABLED",
}
_MALFORMED = {"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"}
_NO_MONEY = ("billing to be enabled", "billing account", "credits are depleted", "spending cap")


class GoogleModel:
    """One of Google's models. `base_url` has no version in it; `timeout` bounds a whole call."""

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
        self._opened_pair: tuple[genai.Client, httpx2.AsyncClient] | None = None

    @property
    def name(self) -> str:
        return f"google/{self._model}"

    @property
    def input_limit(self) -> int:
        return self._input_limit

    async def complete(self, call: ModelCall) -> ModelReply:
        client = await self._opened()
        import httpx2
        from google.genai import errors

        contents, config = self._contents(call.messages), _config(call)
        try:
            async with asyncio.timeout(self._timeout):
                answer = await client.aio.models.generate_content(
                    model=self._model, contents=contents, config=config
                )
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise answers.busy(ModelOverloaded, self.name, f"no answer in {self._timeout:g} s") from error
        except errors.APIError as error:
            raise self._translated(error) from error
        except (httpx2.HTTPError, ValueError) as error:  # ValueError: the body is no answer at all
            raise answers.busy(ModelOverloaded, self.name, self._quoted(error)) from error
        return self._read(call, answer)

    async def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        pair, self._opened_pair = self._opened_pair, None
        if pair is not None:
            client, connections = pair
            await connections.aclose()
            client.close()

    async def _opened(self) -> genai.Client:
        async with self._opening:
            if self._opened_pair is None:
                self._opened_pair = await asyncio.to_thread(self._open)
            return self._opened_pair[0]

    def _open(self) -> tuple[genai.Client, httpx2.AsyncClient]:
        import httpx2
        from google import genai
        from google.genai import types

        prices.load()
        # Our own connections: the SDK would switch to aiohttp, which retries, wherever that is installed.
        connections = httpx2.AsyncClient(timeout=self._timeout)
        options = types.HttpOptions(
            base_url=self._base_url,
            api_version="v1beta",  # knows everything that is used here; gateways and test servers speak it
            timeout=int(self._timeout * 1000),
            httpx_async_client=connections,
        )
        return genai.Client(vertexai=False, api_key=self._key, http_options=options), connections

    def _contents(self, messages: Iterable[Message]) -> list[types.ContentUnion]:
        from google.genai import types

        names: dict[str, str] = {}
        contents: list[types.ContentUnion] = []
        for message in messages:
            names.update((wish.id, wish.name) for wish in message.tool_calls)
            said = json.loads(message.verbatim) if message.verbatim else {}
            if said.get("model") == self.name:
                contents.append(types.Content.model_validate(said["content"]))
            else:
                role = "model" if message.role == "assistant" else "user"
                contents.append(types.Content(role=role, parts=list(_parts(message, names))))
        return contents

    def _read(self, call: ModelCall, answer: types.GenerateContentResponse) -> ModelReply:
        usage = self._usage(answer)
        content = self._finished(answer, usage)
        parts = content.parts or []
        text = "".join(part.text for part in parts if part.text and not part.thought)
        calls = tuple(_tool_calls(parts, before=len(call.messages)))
        if not text and not calls:
            raise answers.charged(ModelOutputInvalid, self.name, "it is empty", usage)
        found = None
        if call.schema is not None and not calls:
            found = answers.output(text, call.schema, self.name, usage)
        said = {"model": self.name, "content": content.model_dump(mode="json", exclude_none=True)}
        return ModelReply(text, usage, found, calls, json.dumps(said))

    def _finished(self, answer: types.GenerateContentResponse, usage: Usage) -> types.Content:
        feedback = answer.prompt_feedback
        if feedback and feedback.block_reason:
            raise answers.charged(ModelRefused, self.name, feedback.block_reason.value, usage)
        if not answer.candidates:
            raise answers.busy(ModelOverloaded, self.name, "its answer holds no candidate")
        candidate = answer.candidates[0]
        reason = candidate.finish_reason.value if candidate.finish_reason else ""
        if reason in _UNFINISHED:
            raise answers.charged(ModelTruncated, self.name, reason, usage)
        if reason in _DECLINED:
            raise answers.charged(ModelRefused, self.name, reason, usage)
        if reason in _MALFORMED or candidate.content is None:
            raise answers.charged(ModelOutputInvalid, self.name, reason or "it is empty", usage)
        return candidate.content

    def _usage(self, answer: types.GenerateContentResponse) -> Usage:
        used = answer.usage_metadata
        if used is None:
            return Usage(calls=1, cost=None)
        return prices.usage_of_call(
            "google",
            self._model,
            input_tokens=(used.prompt_token_count or 0) + (used.tool_use_prompt_token_count or 0),
            output_tokens=(used.candidates_token_count or 0) + (used.thoughts_token_count or 0),
            cached=used.cached_content_token_count or 0,
        )

    def _translated(self, error: errors.APIError) -> PortFailure:
        said = self._quoted(error.message or f"status {error.code}")
        details = _details(error)
        if _is_about_money(error, details):
            return answers.final(ModelQuotaExhausted, self.name, said)
        if error.code in {401, 403} or _reason(details) == "API_KEY_INVALID":
            return answers.final(ModelAuthenticationFailed, self.name, said)
        if error.code == 429:
            return answers.busy(ModelRateLimited, self.name, said, _retry_after(error, details))
        if error.code >= 500 or error.code in {408, 409, 499}:
            return answers.busy(ModelOverloaded, self.name, said, _retry_after(error, details))
        return answers.final(ModelRequestRejected, self.name, said)

    def _quoted(self, said: object) -> str:
        return answers.quoted(said, secret=self._key)


def _config(call: ModelCall) -> types.GenerateContentConfig:
    from google.genai import types

    tools: list[Any] = []
    if call.tools:
        functions = [
            types.FunctionDeclaration(
                name=tool.name, description=tool.description, parameters_json_schema=dict(tool.parameters)
            )
            for tool in call.tools
        ]
        tools.append(types.Tool(function_declarations=functions))
    return types.GenerateContentConfig(
        system_instruction=call.instructions or None,
        max_output_tokens=call.max_output_tokens,
        response_mime_type="application/json" if call.schema is not None else None,
        response_json_schema=dict(call.schema) if call.schema is not None else None,
        tools=tools or None,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )


def _parts(message: Message, names: Mapping[str, str]) -> Iterator[types.Part]:
    from google.genai import types

    for result in message.tool_results:
        yield types.Part(
            function_response=types.FunctionResponse(
                id=_their_id(result.call_id),
                name=names.get(result.call_id, result.call_id),
                response={"error" if result.failed else "output": result.content},
            )
        )
    if message.text:
        yield types.Part(text=message.text)
    for wish in message.tool_calls:
        call = types.FunctionCall(id=_their_id(wish.id), name=wish.name, args=dict(wish.arguments))
        yield types.Part(function_call=call)


def _tool_calls(parts: Iterable[types.Part], before: int) -> Iterator[ToolCall]:
    for index, part in enumerate(parts):
        if part.function_call:
            wish = part.function_call
            yield ToolCall(wish.id or f"{_OUR_ID}{before}-{index}", wish.name or "", wish.args or {})


def _their_id(call_id: str) -> str | None:
    """Gemini often leaves ids out; the ones made here are not sent back."""
    return None if call_id.startswith(_OUR_ID) else call_id


def _details(error: errors.APIError) -> list[Mapping[str, Any]]:
    body = error.details if isinstance(error.details, dict) else {}
    inner = body.get("error", body)
    found = inner.get("details") if isinstance(inner, dict) else None
    return [detail for detail in found if isinstance(detail, dict)] if isinstance(found, list) else []


def _reason(details: Iterable[Mapping[str, Any]]) -> str:
    return next((str(detail["reason"]) for detail in details if "reason" in detail), "")


def _is_about_money(error: errors.APIError, details: Iterable[Mapping[str, Any]]) -> bool:
    """A limit per minute passes; one per day, or one that is zero, needs a person."""
    violations = [
        each for detail in details for each in detail.get("violations", ()) if isinstance(each, dict)
    ]
    spent = any(
        "PerDay" in str(each.get("quotaId", "")) or str(each.get("quotaValue", "")) == "0"
        for each in violations
    )
    said = str(error.message or "").lower()
    return spent or _reason(details) == "BILLING_DISABLED" or any(words in said for words in _NO_MONEY)


def _retry_after(error: errors.APIError, details: Iterable[Mapping[str, Any]]) -> timedelta | None:
    delay = next((str(detail["retryDelay"]) for detail in details if "retryDelay" in detail), "")
    headers: Mapping[str, str] = getattr(error.response, "headers", {})
    return answers.retry_after({"retry-after": delay.removesuffix("s")} if delay else headers)
