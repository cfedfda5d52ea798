"""What the adapters have in common: how a failure is worded and how an answer is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeAlias

from forgehand.application.ports.failures import PortFailure
from forgehand.application.ports.language_model import (
    ModelAuthenticationFailed,
    ModelOutputInvalid,
    ModelOverloaded,
    ModelQuotaExhausted,
    ModelRateLimited,
    ModelRefused,
    ModelRequestRejected,
    ModelTruncated,
)
from forgehand.domain.jobs import JsonObject
from forgehand.domain.usage import Usage

Busy: TypeAlias = type[ModelRateLimited] | type[ModelOverloaded]
Final: TypeAlias = type[ModelAuthenticationFailed] | type[ModelQuotaExhausted] | type[ModelRequestRejected]
Charged: TypeAlias = type[ModelRefused] | type[ModelTruncated] | type[ModelOutputInvalid]

# Below the smallest window of the current models (200,000), with room left for the answer.
INPUT_LIMIT = 150_000
LONGEST_CALL = timedelta(minutes=10)

_LONGEST_QUOTE = 300
_WORDS: Mapping[type[PortFailure], str] = {
    ModelRateLimited: "asks for fewer calls: try again later",
    ModelOverloaded: "cannot be reached or has no capacity right now: try again later",
    ModelAuthenticationFailed: "does not accept the key: check the key in the settings",
    ModelQuotaExhausted: "has no credit or quota left for this key: add credit or choose another model",
    ModelRequestRejected: "rejects the call: check the model's name and the size of the request",
    ModelRefused: "declined to answer: change the request or choose another model",
    ModelTruncated: "stopped at its output limit before the answer was complete: ask for less or allow more",
    ModelOutputInvalid: "gave an answer that does not fit what was asked for: try again",
}


def busy(
    kind: Busy, model: str, said: str, retry_after: timedelta | None = None
) -> ModelRateLimited | ModelOverloaded:
    """A failure that may pass by itself."""
    return kind(_worded(kind, model, said), retry_after=retry_after)


def final(kind: Final, model: str, said: str) -> PortFailure:
    """A failure that a person has to mend."""
    return kind(_worded(kind, model, said))


def charged(kind: Charged, model: str, said: str, usage: Usage) -> PortFailure:
    """A failure that is paid for."""
    return kind(_worded(kind, model, said), usage=usage)


def quoted(said: object, *, secret: str) -> str:
    """What a provider said, as one short line of printable characters without the key."""
    text = str(said or "")
    text = " ".join((text.replace(secret, "***") if secret else text).split())
    text = "".join(character for character in text if character.isprintable())
    return text if len(text) <= _LONGEST_QUOTE else f"{text[: _LONGEST_QUOTE - 1]}…"


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """The wait that a Retry-After header asks for, in seconds or as a date; None where it asks for none.

    A date is held against the server's own clock, where it tells it.
    """
    value = headers.get("retry-after", "").strip()
    try:
        wait = timedelta(seconds=float(value))
    except (ValueError, OverflowError):
        until = _date(value)
        wait = until - (_date(headers.get("date", "")) or datetime.now(UTC)) if until else timedelta(0)
    return wait if wait > timedelta(0) else None


def output(text: str, schema: JsonObject, model: str, usage: Usage) -> JsonObject:
    """Read the object that was asked for. Raise ModelOutputInvalid unless it has all that is required.

    Types and nested rules are left to whoever gave the schema.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise charged(
            ModelOutputInvalid, model, "it is not JSON" if text else "it is empty", usage
        ) from error
    if not isinstance(found, dict):
        raise charged(ModelOutputInvalid, model, "it is not a JSON object", usage)
    missing = [name for name in schema.get("required", ()) if name not in found]
    if missing:
        raise charged(ModelOutputInvalid, model, f"it lacks {', '.join(missing)}", usage)
    return found


def _worded(kind: type[PortFailure], model: str, said: str) -> str:
    return f"{model} {_WORDS[kind]}" + (f" ({said})" if said else "")


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
