"""A large language model, whoever serves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from forgehand.application.ports.failures import Permanent, Transient
from forgehand.domain.jobs import JsonObject
from forgehand.domain.usage import Usage


class ModelRateLimited(Transient):
    """Too many calls; `retry_after` where the provider said how long to wait."""


class ModelOverloaded(Transient):
    """The provider has no capacity right now, fails, or cannot be reached."""


class ModelAuthenticationFailed(Permanent):
    """The provider does not accept the key."""


class ModelQuotaExhausted(Permanent):
    """The account has no credit or quota left."""


class ModelRequestRejected(Permanent):
    """The provider says that the call itself is wrong: an unknown model, too long an input."""


class ModelRefused(Permanent):
    """The model declined to answer. It is paid for all the same: `usage`."""

    def __init__(self, message: str, *, usage: Usage) -> None:
        super().__init__(message)
        self.usage = usage


class ModelTruncated(Permanent):
    """The answer stopped at the output limit before it was complete. It is paid for: `usage`."""

    def __init__(self, message: str, *, usage: Usage) -> None:
        super().__init__(message)
        self.usage = usage


class ModelOutputInvalid(Transient):
    """The answer does not fit the schema that was asked for. It is paid for: `usage`."""

    def __init__(self, message: str, *, usage: Usage) -> None:
        super().__init__(message)
        self.usage = usage


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. `parameters` is a JSON Schema of an object."""

    name: str
    description: str
    parameters: JsonObject


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model's wish to call a tool."""

    id: str
    name: str
    arguments: JsonObject


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered to the call of that id."""

    call_id: str
    content: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. An assistant's turn may hold tool calls; a user's turn may hold their results.

    `verbatim` comes from the reply that this turn repeats: models that think want it back unread.
    """

    role: Literal["user", "assistant"]
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()
    verbatim: str | None = None


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call. `instructions` is the constant prefix: it goes first and is marked for the prompt cache.

    With `schema` (a JSON Schema of an object) the reply's `output` fits it.
    """

    instructions: str
    messages: tuple[Message, ...]
    max_output_tokens: int
    schema: JsonObject | None = None
    tools: tuple[Tool, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelReply:
    """The answer. `output` is the parsed object where a schema was given and no tool is called.

    `verbatim` is the turn as the provider said it, for the next call's `Message`.
    """

    text: str
    usage: Usage
    output: JsonObject | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    verbatim: str | None = None

    @property
    def message(self) -> Message:
        """This answer as a turn of the conversation."""
        return Message("assistant", self.text, self.tool_calls, verbatim=self.verbatim)


class LanguageModel(Protocol):
    """One model of one provider. It does not retry: that is the kernel's."""

    @property
    def name(self) -> str:
        """`provider/model`, as it is recorded with every answer."""
        ...

    @property
    def input_limit(self) -> int:
        """How many input tokens a call may have."""
        ...

    async def complete(self, call: ModelCall) -> ModelReply:
        """Raise one of this file's errors; when cancelled, drop the connection and raise CancelledError."""
        ...
