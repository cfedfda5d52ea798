"""Keeping secrets out of everything that is written down."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_BLOT = "[redacted]"
_SHAPES = re.compile(
    r"gh[pousr]_[A-Za-z0-9]{16,}"
    r"|github_pat_[A-Za-z0-9_]{16,}"
    r"|sk-[A-Za-z0-9_-]{16,}"
    r"|xai-[A-Za-z0-9_-]{16,}"
    r"|AIza[A-Za-z0-9_-]{30,}"
    r"|fh_[A-Za-z0-9_-]{32,}"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
    r"|(?i:(?<=bearer )[A-Za-z0-9._~+/=-]{8,})"
)
_SHORTEST = 6


class Redactor:
    """Blots out the known secrets, and whatever has the shape of one (tokens, keys, passwords in URLs)."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # A shorter "secret" would blot out ordinary words.
        self._secrets = sorted({it for it in secrets if len(it) >= _SHORTEST}, key=len, reverse=True)

    def text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _BLOT)
        return _SHAPES.sub(_BLOT, text)

    def value(self, value: Any) -> Any:
        """The same for every string in a JSON value."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value
