"""Where documentation and the records of pull requests are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from forgehand.application.ports.failures import Permanent
from forgehand.domain.documentation import Documentation, PullRequestRecord
from forgehand.domain.repositories import RepoName


class DocumentationNotFound(Permanent):
    """No document has that id, or that repository, number and version."""


@dataclass(frozen=True, slots=True)
class DocumentationPage:
    """A page of documents, newest first; `next_cursor` is None on the last one."""

    items: tuple[Documentation, ...]
    next_cursor: str | None = None


class Documentations(Protocol):
    """Documents never change once saved. Each call is its own short transaction."""

    async def add(self, draft: Documentation) -> Documentation:
        """Save `draft` as the next version of its pull request; the version it carries is ignored.

        If a document with the same fingerprint exists, return that one and save nothing: two
        workers that save the same work at once end with one version.
        """
        ...

    async def current(self, repo: RepoName, number: int, fingerprint: str) -> Documentation | None:
        """The document with that fingerprint, if there is one."""
        ...

    async def get(self, document_id: UUID) -> Documentation:
        """Raise DocumentationNotFound."""
        ...

    async def versions(self, repo: RepoName, number: int) -> Sequence[Documentation]:
        """All versions, first to last; empty where there is none."""
        ...

    async def page(
        self, *, repo: RepoName | None = None, limit: int = 50, cursor: str | None = None
    ) -> DocumentationPage:
        """The latest version of each pull request, the newest document first. A bad cursor: ValueError."""
        ...


class PullRequestRecords(Protocol):
    """What we know of each pull request. One row for each repository and number."""

    async def get(self, repo: RepoName, number: int) -> PullRequestRecord | None: ...

    async def save(self, record: PullRequestRecord) -> None:
        """Insert or replace."""
        ...
