"""Both sides of a changed file, read with restraint."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from forgehand.application.ports.code_host import CodeHost
from forgehand.domain.pull_requests import ChangeStatus, FileChange, PullRequest

AT_ONCE = 8
_CREATED = frozenset({ChangeStatus.ADDED, ChangeStatus.COPIED})


class Unreadable(Exception):
    """A side that should be there could not be had: too large, or not in this clone."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Reads files of a pull request before and after it, at most `AT_ONCE` at a time."""

    host: CodeHost
    location: str
    pull: PullRequest
    limit: int
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    @property
    def why_not(self) -> str:
        return f"over {self.limit // 1024} KiB or not in this clone"

    async def both(self, file: FileChange) -> tuple[bytes | None, bytes | None]:
        """The content at base and at head; None on the side where the file does not exist.

        Raise Unreadable.
        """
        before, after = await asyncio.gather(self._base(file), self._head(file))
        return before, after

    async def base(self, path: str) -> bytes | None:
        """Any file at base, if it can be had."""
        return await self._content(self.pull.base_sha, path)

    async def _base(self, file: FileChange) -> bytes | None:
        if file.status in _CREATED:
            return None
        return await self._needed(self.pull.base_sha, file.previous_path or file.path)

    async def _head(self, file: FileChange) -> bytes | None:
        if file.status is ChangeStatus.REMOVED:
            return None
        return await self._needed(self.pull.head_sha, file.path)

    async def _needed(self, revision: str, path: str) -> bytes:
        content = await self._content(revision, path)
        if content is None:
            raise Unreadable(path)
        return content

    async def _content(self, revision: str, path: str) -> bytes | None:
        async with self._slots:
            return await self.host.file(self.location, revision, path, self.limit)
