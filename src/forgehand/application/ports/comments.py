"""The conversation on an issue or a pull request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from forgehand.application.ports.failures import Permanent


class CommentGone(Permanent):
    """The comment was deleted since we saw it."""


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment. `url` is where a person reads it (a file's path for a local repository)."""

    id: str
    body: str
    url: str


class Comments(Protocol):
    """Comments on a repository's issues and pull requests. Errors are those of CodeHost."""

    def own_comments(self, location: str, number: int) -> AsyncIterator[Comment]:
        """Every comment that our own identity wrote, oldest first, through all pages.

        A comment of anyone else is never among them, whatever it contains.
        """
        ...

    async def create_comment(self, location: str, number: int, body: str) -> Comment:
        """Post once: a call whose answer is lost raises HostUnavailable and is not repeated here."""
        ...

    async def update_comment(self, location: str, number: int, comment_id: str, body: str) -> Comment:
        """Replace the body. Raise CommentGone if it is no longer there."""
        ...
