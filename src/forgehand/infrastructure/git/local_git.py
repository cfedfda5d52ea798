"""A local git repository as a code host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from forgehand.application.ports.code_host import AccessRefused, HostUnavailable
from forgehand.application.ports.comments import Comment
from forgehand.domain.pull_requests import ChangeSet, PullRequest
from forgehand.infrastructure.git.clones import Clone, find_clone
from forgehand.infrastructure.git.commands import GitFailed, find_program, git_alone, git_for
from forgehand.infrastructure.git.comments import CommentFolder
from forgehand.infrastructure.git.configuration import Configuration, read_configuration
from forgehand.infrastructure.git.diffs import PatchLimits
from forgehand.infrastructure.git.repository import LocalRepository

_Answer = TypeVar("_Answer")

_NO_CONFIGURATION: Final = Configuration(origin=None, extensions={}, partial=False)


class LocalGit:
    """CodeHost and Comments for clones on this machine: with a worktree or bare, whole or partial.

    Merged pull requests are those that merge messages and titles name. `roots` are the folders below
    which clones may be read. Nothing in a clone is run, fetched or changed, except that comments are
    written below `forgehand/` in its git directory.
    """

    def __init__(
        self, roots: Sequence[Path], *, program: str = "git", limits: PatchLimits | None = None
    ) -> None:
        self._roots = tuple(roots)
        self._program = find_program(program)
        self._limits = limits or PatchLimits()
        self._configurations: dict[Path, tuple[tuple[int, int], Configuration]] = {}

    async def pull_request(self, location: str, number: int) -> PullRequest:
        async with self._open(location) as repository:
            return await repository.pull_request(number)

    async def merged_since(self, location: str, since: datetime) -> AsyncIterator[int]:
        async with self._open(location) as repository:
            numbers = await repository.merged_since(since)
        for number in numbers:
            yield number

    async def changes(self, location: str, pull: PullRequest) -> ChangeSet:
        async with self._open(location) as repository:
            return await repository.changes(pull)

    async def file(self, location: str, revision: str, path: str, limit: int) -> bytes | None:
        async with self._open(location) as repository:
            return await repository.file(revision, path, limit)

    async def own_comments(self, location: str, number: int) -> AsyncIterator[Comment]:
        for comment in await self._in_folder(location, number, CommentFolder.all):
            yield comment

    async def create_comment(self, location: str, number: int, body: str) -> Comment:
        return await self._in_folder(location, number, lambda folder: folder.create(body))

    async def update_comment(self, location: str, number: int, comment_id: str, body: str) -> Comment:
        return await self._in_folder(location, number, lambda folder: folder.update(comment_id, body))

    async def _in_folder(
        self, location: str, number: int, act: Callable[[CommentFolder], _Answer]
    ) -> _Answer:
        def in_thread() -> _Answer:
            clone = find_clone(location, self._roots)
            return act(CommentFolder(clone.common_dir / "forgehand" / "comments" / str(number)))

        try:
            return await asyncio.to_thread(in_thread)
        except OSError as error:
            raise AccessRefused(
                f"the comments of {location} cannot be kept in its git directory: {error.strerror}"
            ) from error

    @asynccontextmanager
    async def _open(self, location: str) -> AsyncIterator[LocalRepository]:
        """The one place where git's failures become the port's."""
        clone = await asyncio.to_thread(find_clone, location, self._roots)
        try:
            configuration = await self._configuration(clone)
            with git_for(clone, self._program, configuration.extensions) as git:
                yield LocalRepository(clone, git, configuration, self._limits)
        except GitFailed as error:
            raise HostUnavailable(f"git cannot read {location}: {error}") from error
        except OSError as error:
            raise HostUnavailable(f"{location} cannot be read: {error.strerror}") from error

    async def _configuration(self, clone: Clone) -> Configuration:
        """Read once for each state of the file: hundreds of small questions follow."""
        file = clone.common_dir / "config"
        try:
            status = file.stat()
        except FileNotFoundError:
            return _NO_CONFIGURATION
        state = (status.st_mtime_ns, status.st_size)
        known = self._configurations.get(file)
        if known is None or known[0] != state:
            known = (state, await read_configuration(git_alone(self._program), file))
            self._configurations[file] = known
        return known[1]
