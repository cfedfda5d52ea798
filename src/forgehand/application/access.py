"""Making access tokens. The text is shown once; only its digest is kept."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime

from forgehand.application.clock import new_id
from forgehand.domain.access import AccessToken, Role

_PREFIX = "fh_"
_RANDOM_BYTES = 32


def new_token(name: str, role: Role, now: datetime) -> tuple[str, AccessToken]:
    """The token's text (`fh_` and 43 characters) and what is kept of it."""
    text = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    return text, AccessToken(new_id(now), name, role, digest(text), now)


def digest(text: str) -> str:
    """SHA-256, in hex. The texts are random and long, so nothing slower is needed."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
