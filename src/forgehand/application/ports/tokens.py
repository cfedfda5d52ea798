"""Where access tokens are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from forgehand.application.ports.failures import Permanent
from forgehand.domain.access import AccessToken


class TokenNameTaken(Permanent):
    """A token of that name is in use; revoke it first or choose another name."""


class TokenNotFound(Permanent):
    """No token in use has that name."""


class Tokens(Protocol):
    """Access tokens by digest and by name. Names are unique among tokens in use."""

    async def add(self, token: AccessToken) -> None:
        """Raise TokenNameTaken."""
        ...

    async def by_digest(self, digest: str) -> AccessToken | None:
        """The token in use with that digest; a revoked one is not found."""
        ...

    async def all(self) -> Sequence[AccessToken]:
        """Oldest first, the revoked ones too."""
        ...

    async def revoke(self, name: str) -> AccessToken:
        """Effective at once, in every process. Raise TokenNotFound."""
        ...
