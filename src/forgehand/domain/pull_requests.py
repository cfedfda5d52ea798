"""Pull requests, their commits and the files they change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from forgehand.domain.errors import DomainError
from forgehand.domain.repositories import RepoName


class NotMerged(DomainError):
    """The pull request has not been merged, so there is nothing final to work on."""


class NothingChanged(DomainError):
    """The pull request has no diff."""


class ChangeStatus(StrEnum):
    """What happened to a file."""

    ADDED = "added"
    MODIFIED = "modified"
    REMOVED = "removed"
    RENAMED = "renamed"
    COPIED = "copied"
    TYPE_CHANGED = "type_changed"


class Withheld(StrEnum):
    """Why a file's patch is not at hand."""

    BINARY = "binary"
    TOO_LARGE = "too large"
    NOT_IN_CLONE = "its content is not in this clone"
    NOT_SENT = "the host did not send it"


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of a pull request. `message` is whole; `author` is a display name or login."""

    sha: str
    author: str
    message: str

    @property
    def subject(self) -> str:
        return self.message.partition("\n")[0]


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file's change between base and head.

    `path` is UTF-8; bytes that are not appear as `\\xNN`. `patch` holds the hunks (from the first
    `@@` on), or is None with the reason in `withheld`; a change without hunks (a pure rename, a
    mode change, an empty file) has the patch "". `additions` and `deletions` count lines as
    `git diff --numstat` does; for binary files both are 0.
    """

    path: str
    status: ChangeStatus
    additions: int = 0
    deletions: int = 0
    previous_path: str | None = None
    patch: str | None = ""
    withheld: Withheld | None = None


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as its host tells it. `base_sha`..`head_sha` is exactly its diff.

    For a merged pull request `head_sha` is the commit that brought it into the base branch and
    `base_sha` that commit's first parent, so the pair stays the same for ever.
    """

    repo: RepoName
    number: int
    title: str
    body: str
    author: str
    base_sha: str
    head_sha: str
    merged_at: datetime | None
    url: str | None = None
    labels: tuple[str, ...] = ()

    def require_merged(self) -> None:
        """Raise NotMerged for an open or abandoned pull request."""
        if self.merged_at is None:
            raise NotMerged(f"{self.repo}#{self.number} is not merged: merge it first, then document it")


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """All that a pull request changes."""

    commits: tuple[Commit, ...]
    files: tuple[FileChange, ...]
