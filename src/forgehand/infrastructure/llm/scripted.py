"""A model that reads its answers from a script: for tests, the demo and trying out. It costs nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forgehand.application.ports.failures import PortFailure
from forgehand.application.ports.language_model import (
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
from forgehand.application.spending import estimate_tokens
from forgehand.domain.usage import Usage
from forgehand.infrastructure.llm import answers

_BUSY: Mapping[str, answers.Busy] = {"rate_limited": ModelRateLimited, "overloaded": ModelOverloaded}
_FINAL: Mapping[str, answers.Final] = {
    "authentication": ModelAuthenticationFailed,
    "quota": ModelQuotaExhausted,
    "rejected": ModelRequestRejected,
}
_CHARGED: Mapping[str, answers.Charged] = {
    "refused": ModelRefused,
    "truncated": ModelTruncated,
    "invalid": ModelOutputInvalid,
}


class InvalidScript(Exception):
    """The script cannot be read as replies. The message is one line."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScriptedToolCall(_Strict):
    """A tool call of a scripted reply."""

    name: str
    arguments: dict[str, Any] = {}
    id: str | None = None


class ScriptedUsage(_Strict):
    """What a scripted reply claims to have used; what is left out is estimated, the cost is 0."""

    input_tokens: int | None = Field(None, ge=0)
    output_tokens: int | None = Field(None, ge=0)
    cached_tokens: int = Field(0, ge=0)
    cost: int | None = Field(0, ge=0)


class ScriptedReply(_Strict):
    """One entry of a script: an answer (`text`, `output`, `tool_calls`) or an `error`.

    It answers calls whose prompt contains `when`, once, or as often as asked with `repeat`.
    `delay` and `retry_after` are seconds.
    """

    text: str = ""
    output: dict[str, Any] | None = None
    tool_calls: tuple[ScriptedToolCall, ...] = ()
    usage: ScriptedUsage = ScriptedUsage()
    error: (
        Literal[
            "rate_limited",
            "overloaded",
            "authentication",
            "quota",
            "rejected",
            "refused",
            "truncated",
            "invalid",
        ]
        | None
    ) = None
    message: str = ""
    retry_after: float | None = Field(None, gt=0)
    when: str = ""
    repeat: bool = False
    delay: float = Field(0, ge=0)


class ScriptedModel:
    """Answers each call with the first reply of the script that fits it and is not used up."""

    def __init__(
        self,
        replies: Iterable[Mapping[str, Any] | ScriptedReply],
        name: str = "script",
        *,
        input_limit: int = answers.INPUT_LIMIT,
    ) -> None:
        """Raise InvalidScript for an entry that is no reply."""
        self._replies = [_reply(entry, place) for place, entry in enumerate(replies, start=1)]
        self._name = name
        self._input_limit = input_limit
        self._calls = 0

    @classmethod
    def from_file(cls, path: Path, *, input_limit: int = answers.INPUT_LIMIT) -> ScriptedModel:
        """Read a JSON list of replies, or one reply on each line of a `.jsonl`. Raise InvalidScript."""
        try:
            text = path.read_text(encoding="utf-8")
            lines = [line for line in text.splitlines() if line.strip()]
            entries = [json.loads(line) for line in lines] if path.suffix == ".jsonl" else json.loads(text)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InvalidScript(f"the script {path} cannot be read: {reason}") from error
        if not isinstance(entries, list):
            raise InvalidScript(f"the script {path} is not a list of replies")
        try:
            return cls(entries, path.stem, input_limit=input_limit)
        except InvalidScript as error:
            raise InvalidScript(f"the script {path} cannot be used: {error}") from error

    @property
    def name(self) -> str:
        return f"scripted/{self._name}"

    @property
    def input_limit(self) -> int:
        return self._input_limit

    async def complete(self, call: ModelCall) -> ModelReply:
        reply = self._take(_prompt(call))
        self._calls += 1
        await asyncio.sleep(reply.delay)
        text = reply.text if reply.output is None else json.dumps(reply.output, ensure_ascii=False)
        usage = _usage(reply.usage, call, text)
        if reply.error:
            raise self._failure(reply, usage)
        wishes = tuple(
            ToolCall(wish.id or f"{self._calls}-{place}", wish.name, wish.arguments)
            for place, wish in enumerate(reply.tool_calls, start=1)
        )
        if not text and not wishes:
            raise answers.charged(ModelOutputInvalid, self.name, "it is empty", usage)
        found = None
        if call.schema is not None and not wishes:
            found = answers.output(text, call.schema, self.name, usage)
        return ModelReply(text, usage, found, wishes)

    async def close(self) -> None:
        """Nothing is open."""

    def _take(self, prompt: str) -> ScriptedReply:
        for place, reply in enumerate(self._replies):
            if reply.when in prompt:
                if not reply.repeat:
                    del self._replies[place]
                return reply
        raise ModelRequestRejected(
            f"{self.name} has no reply left for call {self._calls + 1}: add one to the script, or repeat one"
        )

    def _failure(self, reply: ScriptedReply, usage: Usage) -> PortFailure:
        error = reply.error or ""
        if error in _BUSY:
            wait = timedelta(seconds=reply.retry_after) if reply.retry_after else None
            return answers.busy(_BUSY[error], self.name, reply.message, wait)
        if error in _FINAL:
            return answers.final(_FINAL[error], self.name, reply.message)
        return answers.charged(_CHARGED[error], self.name, reply.message, usage)


def _reply(entry: Mapping[str, Any] | ScriptedReply, place: int) -> ScriptedReply:
    try:
        return ScriptedReply.model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "entry"
        raise InvalidScript(f"reply {place}: {where}: {first['msg']}") from error


def _prompt(call: ModelCall) -> str:
    spoken = [call.instructions]
    for message in call.messages:
        spoken += [message.text, *(result.content for result in message.tool_results)]
    return "\n".join(spoken)


def _usage(stated: ScriptedUsage, call: ModelCall, text: str) -> Usage:
    asked = stated.input_tokens
    answered = stated.output_tokens
    return Usage(
        input_tokens=estimate_tokens(_prompt(call)) if asked is None else asked,
        output_tokens=estimate_tokens(text) if answered is None else answered,
        cached_tokens=stated.cached_tokens,
        calls=1,
        cost=stated.cost,
    )
