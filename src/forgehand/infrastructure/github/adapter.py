"""CodeHost and Comments on GitHub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from forgehand.application.ports.code_host import (
    AccessRefused,
    HistoryIncomplete,
    PullRequestNotFound,
    RepositoryNotFound,
)
from forgehand.application.ports.comments import Comment, CommentGone
from forgehand.application.ports.failures import Permanent
from forgehand.domain.pull_requests import ChangeSet, PullRequest
from forgehand.domain.repositories import RepoName
from forgehand.infrastructure.github.answers import (
    Account,
    ChangedFile,
    IssueComment,
    ListedCommit,
    ListedPull,
    NotThere,
    Pull,
    Repository,
    ViewerAnswer,
)
from forgehand.infrastructure.github.locations import repository_at, web_host

if TYPE_CHECKING:
    from forgehand.infrastructure.github.wire import Wire

GITHUB_API: Final = "https://api.github.com"
MOST_LISTED_COMMITS: Final = 250
"""GitHub's cap on the commits that it lists of one pull request."""
MOST_LISTED_FILES: Final = 3_000
"""GitHub's cap on the files that it lists of one pull request."""

_PAUSES: Final = (timedelta(seconds=0.5), timedelta(seconds=2))
_WHO_ASKS: Final = "query { viewer { databaseId login } }"


class GitHub:
    """github.com, or GitHub Enterprise with its `api_url` (`https://host/api/v3`).

    Reads are tried again after each of `pauses`, writes never. Without a token, public repositories
    can be read. `proxy` is the URL of a proxy. Nothing is imported or connected before the first call.
    """

    def __init__(
        self,
        token: str | None,
        api_url: str = GITHUB_API,
        *,
        timeout: timedelta = timedelta(seconds=20),
        pauses: tuple[timedelta, ...] = _PAUSES,
        proxy: str | None = None,
    ) -> None:
        self._token = (token or "").strip() or None
        self._api_url = api_url
        self._timeout = timeout
        self._pauses = pauses
        self._proxy = proxy
        self._wire: Wire | None = None
        self._own_id: int | None = None
        self._connecting = asyncio.Lock()

    async def close(self) -> None:
        """End the connections. A later call opens new ones."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    async def pull_request(self, location: str, number: int) -> PullRequest:
        repo, wire = await self._reach(location)
        try:
            pull = await wire.read(f"/repos/{repo}/pulls/{number}", Pull)
        except NotThere as error:
            raise await self._missing(wire, repo, number) from error
        if pull.merged_at is None or pull.merge_commit_sha is None:
            return pull.told(pull.base.sha, pull.head.sha)
        base_sha = await _base_of_merge(wire, repo, pull, pull.merge_commit_sha)
        return pull.told(base_sha, pull.merge_commit_sha)

    async def merged_since(self, location: str, since: datetime) -> AsyncIterator[int]:
        repo, wire = await self._reach(location)
        merged: dict[int, datetime] = {}
        try:
            branch = (await wire.read(f"/repos/{repo}", Repository)).default_branch
            closed = wire.pages(
                f"/repos/{repo}/pulls",
                ListedPull,
                state="closed",
                base=branch,
                sort="updated",
                direction="desc",
            )
            async for pull in closed:
                if pull.updated_at < since:
                    break
                if pull.merged_at is not None and pull.merged_at >= since:
                    merged[pull.number] = pull.merged_at
        except NotThere as error:
            raise self._no_repository(repo) from error
        for number in sorted(merged, key=lambda number: (merged[number], number), reverse=True):
            yield number

    async def changes(self, location: str, pull: PullRequest) -> ChangeSet:
        repo, wire = await self._reach(location)
        try:
            return ChangeSet(
                commits=tuple(commit.told() for commit in await _commits(wire, repo, pull.number)),
                files=tuple(file.told() for file in await _files(wire, repo, pull.number)),
            )
        except NotThere as error:
            raise await self._missing(wire, repo, pull.number) from error

    async def file(self, location: str, revision: str, path: str, limit: int) -> bytes | None:
        repo, wire = await self._reach(location)
        if not {"", ".", ".."}.isdisjoint(path.split("/")):
            return None
        try:
            return await wire.content(f"/repos/{repo}/contents/{quote(path)}", revision, limit)
        except NotThere:
            return None

    async def own_comments(self, location: str, number: int) -> AsyncIterator[Comment]:
        repo, wire = await self._reach(location)
        own_id = await self._identity(wire)
        try:
            async for comment in wire.pages(f"/repos/{repo}/issues/{number}/comments", IssueComment):
                if comment.user is not None and comment.user.id == own_id:
                    yield comment.told()
        except NotThere as error:
            raise await self._missing(wire, repo, number) from error

    async def create_comment(self, location: str, number: int, body: str) -> Comment:
        repo, wire = await self._reach(location)
        path = f"/repos/{repo}/issues/{number}/comments"
        try:
            return (await wire.write("POST", path, {"body": body}, IssueComment)).told()
        except NotThere as error:
            raise await self._missing(wire, repo, number) from error

    async def update_comment(self, location: str, number: int, comment_id: str, body: str) -> Comment:
        repo, wire = await self._reach(location)
        gone = CommentGone(f"{repo}#{number} has no comment {comment_id!r} any more")
        if not (comment_id.isascii() and comment_id.isdecimal()):
            raise gone
        path = f"/repos/{repo}/issues/comments/{comment_id}"
        try:
            return (await wire.write("PATCH", path, {"body": body}, IssueComment)).told()
        except NotThere as error:
            missing = await self._missing(wire, repo, number)
            raise (missing if isinstance(missing, RepositoryNotFound) else gone) from error

    async def _reach(self, location: str) -> tuple[RepoName, Wire]:
        repo = repository_at(location, self._api_url)
        async with self._connecting:
            if self._wire is None:
                if self._token is not None and not (self._token.isascii() and self._token.isprintable()):
                    raise AccessRefused("GITHUB_TOKEN holds characters that no token has: copy it again")
                self._wire = await asyncio.to_thread(self._connect)
        return repo, self._wire

    def _connect(self) -> Wire:
        # Half a second and 50 MB, which only those pay who talk to GitHub.
        from forgehand.infrastructure.github.wire import Wire

        return Wire(
            self._token,
            self._api_url,
            web_host(self._api_url),
            timeout=self._timeout,
            pauses=self._pauses,
            proxy=self._proxy,
        )

    async def _identity(self, wire: Wire) -> int:
        """The id of the account whose token this is; an app's installation is its bot."""
        if self._token is None:
            raise AccessRefused("comments need an identity: set GITHUB_TOKEN")
        if self._own_id is None:
            try:
                self._own_id = (await wire.read("/user", Account)).id
            except AccessRefused:
                # REST does not tell an installation who it is; GraphQL does.
                self._own_id = (await wire.query(_WHO_ASKS, ViewerAnswer)).data.viewer.id
        return self._own_id

    async def _missing(self, wire: Wire, repo: RepoName, number: int) -> Permanent:
        """Which of the two is not there: the repository or its pull request."""
        try:
            await wire.read(f"/repos/{repo}", Repository)
        except NotThere:
            return self._no_repository(repo)
        return PullRequestNotFound(f"{repo} has no #{number}")

    def _no_repository(self, repo: RepoName) -> RepositoryNotFound:
        advice = "or this token cannot see it" if self._token else "or it is private: set GITHUB_TOKEN"
        return RepositoryNotFound(f"{web_host(self._api_url)} has no repository {repo}, {advice}")


async def _base_of_merge(wire: Wire, repo: RepoName, pull: Pull, merge_sha: str) -> str:
    """The commit that `merge_sha` brought the pull request onto.

    That is its first parent, unless the pull request was rebased: then all its commits lie in between.
    """
    history = f"/repos/{repo}/commits"
    (tip, *_), _ = await wire.page(history, ListedCommit, sha=merge_sha, per_page=1)
    if len(tip.parents) != 1 or pull.commits == 1:
        return tip.parents[0].sha if tip.parents else pull.base.sha
    own = {commit.origin for commit in await _commits(wire, repo, pull.number)}
    if tip.origin in own:
        async for commit in wire.pages(history, ListedCommit, sha=merge_sha):
            if commit.origin not in own:
                return commit.sha
    return tip.parents[0].sha


async def _commits(wire: Wire, repo: RepoName, number: int) -> list[ListedCommit]:
    path = f"/repos/{repo}/pulls/{number}"
    listed = [commit async for commit in wire.pages(f"{path}/commits", ListedCommit)]
    if len(listed) < MOST_LISTED_COMMITS:
        return listed
    pull = await wire.read(path, Pull)
    compared = f"/repos/{repo}/compare/{pull.base.sha}...{pull.head.sha}"
    return [commit async for commit in wire.pages(compared, ListedCommit, within="commits")]


async def _files(wire: Wire, repo: RepoName, number: int) -> list[ChangedFile]:
    path = f"/repos/{repo}/pulls/{number}"
    listed = [file async for file in wire.pages(f"{path}/files", ChangedFile)]
    if len(listed) >= MOST_LISTED_FILES:
        total = (await wire.read(path, Pull)).changed_files
        if total > len(listed):
            raise HistoryIncomplete(
                f"GitHub lists {len(listed)} of the {total} files of {repo}#{number}: use a local clone of it"
            )
    return listed
