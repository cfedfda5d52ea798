"""Where code lives: GitHub, or a local git repository."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

from forgehand.application.ports.failures import Permanent, Transient
from forgehand.domain.pull_requests import ChangeSet, PullRequest


class RepositoryNotFound(Permanent):
    """There is no such repository, or these credentials cannot see it."""


class PullRequestNotFound(Permanent):
    """The repository has no pull request of that number."""


class HostUnknown(Permanent):
    """The location names a host that is not configured."""


class AccessRefused(Permanent):
    """The host does not accept the credentials, or they do not allow this."""


class HistoryIncomplete(Permanent):
    """The clone is shallow or partial and lacks what was asked for; the message says how to get it."""


class HostUnavailable(Transient):
    """The host cannot be reached, fails, or asks to wait (`retry_after`)."""


class CodeHost(Protocol):
    """Reads repositories. `location` is `owner/name`, a URL of the host, or a path to a local clone.

    Any method raises RepositoryNotFound, HostUnknown, AccessRefused or HostUnavailable.
    """

    async def pull_request(self, location: str, number: int) -> PullRequest:
        """Raise PullRequestNotFound, or HistoryIncomplete where the clone ends before it."""
        ...

    def merged_since(self, location: str, since: datetime) -> AsyncIterator[int]:
        """Numbers of the pull requests merged at or after `since` into the default branch, newest first."""
        ...

    async def changes(self, location: str, pull: PullRequest) -> ChangeSet:
        """All commits and all changed files of `pull`, however many pages that takes.

        A file that is binary or over the adapter's size limit has its patch withheld and the
        reason given; its line counts are exact all the same.
        """
        ...

    async def file(self, location: str, revision: str, path: str, limit: int) -> bytes | None:
        """The content of `path` at the commit `revision`.

        None where there is no such file, it is over `limit` bytes, or it is not in this clone.
        `path` is as FileChange gives it.
        """
        ...
