"""The header `Prefer` (RFC 7240)."""

from __future__ import annotations

import re

LONGEST_WAIT = 600
_WAIT = re.compile(r'\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;.*)?', re.IGNORECASE)


def preferred_wait(prefer: str | None) -> int | None:
    """The seconds of `wait=N`, at most 600; None without it.

    What cannot be honoured is ignored, as the RFC says.
    """
    for preference in (prefer or "").split(","):
        if found := _WAIT.fullmatch(preference):
            seconds = min(int(found[1]), LONGEST_WAIT)
            return seconds or None
    return None
