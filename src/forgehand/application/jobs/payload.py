"""What a job takes and gives, as it is stored."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import BaseModel

from forgehand.application.jobs.job_type import LARGEST_PAYLOAD

# An escaped NUL, but not the six characters that look like one behind a backslash of their own.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class Unstorable(ValueError):
    """It is not JSON that every database stores. The message says why, and follows a name."""


class TooLarge(Unstorable):
    """It is over LARGEST_PAYLOAD."""


def stored(model: BaseModel) -> dict[str, Any]:
    """A request or a result as JSON in snake_case. Raise Unstorable or TooLarge."""
    try:
        value: dict[str, Any] = model.model_dump(mode="json")
    except (ValueError, TypeError, RecursionError) as error:
        raise Unstorable(f"is not JSON: {_first_line(error)}") from error
    size = require_storable(value)
    if size > LARGEST_PAYLOAD:
        raise TooLarge(f"has {size} bytes, over {LARGEST_PAYLOAD}")
    return value


def require_storable(value: Any) -> int:
    """How many bytes of JSON `value` is. Raise Unstorable.

    JSON has no NaN and no infinity; PostgreSQL's has neither NUL nor lone surrogates.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except UnicodeEncodeError:
        raise Unstorable("holds half a surrogate pair") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise Unstorable(f"is not JSON: {_first_line(error)}") from error
    if _NUL.search(text):
        raise Unstorable("holds a NUL character")
    return size


def storable_text(text: str) -> str:
    """The same, with a mark in place of what no database stores."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0][:200]
