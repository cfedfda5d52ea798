"""One local repository, read through git."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from forgehand.application.ports.code_host import HistoryIncomplete, PullRequestNotFound
from forgehand.domain.pull_requests import ChangeSet, Commit, PullRequest
from forgehand.domain.repositories import RepoName
from forgehand.infrastructure.git.clones import Clone, local_name
from forgehand.infrastructure.git.commands import Git, GitFailed
from forgehand.infrastructure.git.configuration import Configuration
from forgehand.infrastructure.git.diffs import PatchLimits, changed_files, readable
from forgehand.infrastructure.git.history import Landing, Logged, commits, find_landing, landings

_EMPTY_TREES: Final = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
"""The tree without a file, by the length of the repository's object names; git has it everywhere."""

_REVISION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._/^~-]*")
_UNSHALLOW: Final = "the clone is shallow: run `git fetch --unshallow` in it"


@dataclass(frozen=True, slots=True)
class LocalRepository:
    """Answers CodeHost's questions about one clone. Raises GitFailed beside the port's errors."""

    clone: Clone
    git: Git
    configuration: Configuration
    limits: PatchLimits

    @property
    def name(self) -> RepoName:
        origin = self.configuration.origin
        return origin.repo if origin else local_name(self.clone)

    async def pull_request(self, number: int) -> PullRequest:
        tips = await self._tips()
        landing = await find_landing(self.git, tips, number) if tips else None
        if landing is not None:
            return await self._merged(landing)
        unmerged = await self._unmerged(tips, number) if tips else None
        if unmerged is not None:
            return unmerged
        missing = f"no merged pull request #{number} in the history of {self.clone.branch or 'HEAD'}"
        if self.clone.shallow:
            raise HistoryIncomplete(f"{missing}; {_UNSHALLOW}")
        raise PullRequestNotFound(f"{missing}; one that was rebased leaves no number: ask its host instead")

    async def merged_since(self, since: datetime) -> list[int]:
        tips = await self._tips()
        if not tips:
            return []
        if self.clone.shallow:
            await self._require_reach(tips, since)
        return [found.number for found in await landings(self.git, tips) if found.commit.at >= since]

    async def changes(self, pull: PullRequest) -> ChangeSet:
        base, head = pull.base_sha, pull.head_sha
        await self._require(base, head)
        own = await self._own_commits(base, head, merged=pull.merged_at is not None)
        if not self.clone.shallow.isdisjoint(commit.sha for commit in own):
            raise HistoryIncomplete(f"the history ends within #{pull.number}; {_UNSHALLOW}")
        try:
            files = await changed_files(self.git, base, head, self.limits)
        except GitFailed as error:
            if not self.configuration.partial:
                raise
            raise HistoryIncomplete(
                f"the clone is partial and lacks folders of #{pull.number}: clone without --filter, "
                "or with --filter=blob:none"
            ) from error
        return ChangeSet(tuple(Commit(commit.sha, commit.author, commit.message) for commit in own), files)

    async def file(self, revision: str, path: str, limit: int) -> bytes | None:
        if not _REVISION.fullmatch(revision):
            return None
        name = await self._object_name(revision, path)
        return None if name is None else await self._content(name, limit)

    async def _merged(self, landing: Landing) -> PullRequest:
        commit = landing.commit
        if commit.sha in self.clone.shallow:
            raise HistoryIncomplete(f"the history ends at the merge of #{landing.number}; {_UNSHALLOW}")
        return PullRequest(
            repo=self.name,
            number=landing.number,
            title=landing.title,
            body=landing.body,
            author=await self._author(landing),
            base_sha=commit.parents[0] if commit.parents else _EMPTY_TREES[len(commit.sha)],
            head_sha=commit.sha,
            merged_at=commit.at,
            url=self._page(landing.number),
        )

    async def _author(self, landing: Landing) -> str:
        """Who wrote the branch: the committer of a merge only pressed the button."""
        commit = landing.commit
        if len(commit.parents) < 2:
            return commit.author
        walk = ("--no-merges", "--topo-order", "--max-count=1", "--end-of-options")
        written = await commits(self.git, *walk, commit.sha, f"^{commit.parents[0]}")
        return written[0].author if written else landing.owner or commit.author

    async def _unmerged(self, tips: tuple[str, ...], number: int) -> PullRequest | None:
        """A pull request whose own branch is in the clone and not in the history of `tips`."""
        head = (await self._resolve(f"refs/pull/{number}/head"))[0]
        if head is None:
            return None
        try:
            base = (await self.git.output("merge-base", "--end-of-options", tips[0], head)).decode().strip()
        except GitFailed:  # nothing in common
            return None
        if base == head:
            return None
        last = (await commits(self.git, "--max-count=1", "--end-of-options", head))[0]
        title, _, body = last.message.partition("\n")
        return PullRequest(
            repo=self.name,
            number=number,
            title=title,
            body=body.strip(),
            author=last.author,
            base_sha=base,
            head_sha=head,
            merged_at=None,
            url=self._page(number),
        )

    def _page(self, number: int) -> str | None:
        origin = self.configuration.origin
        return origin.page_of(number) if origin else None

    async def _tips(self) -> tuple[str, ...]:
        """Where the default branch is: HEAD and, fetched but not yet pulled, the origin's HEAD.

        A HEAD that is no branch (a checkout of one commit, or no commit yet) says little: `main` and
        `master` count too.
        """
        head, origin, main, master = await self._resolve(
            "HEAD", "refs/remotes/origin/HEAD", "refs/heads/main", "refs/heads/master"
        )
        unsure = head is None or self.clone.branch is None
        tips = (head, origin, main, master) if unsure else (head, origin)
        return tuple(dict.fromkeys(tip for tip in tips if tip is not None))

    async def _resolve(self, *names: str) -> list[str | None]:
        """The object that each name stands for, None where it is not in the clone."""
        given = "".join(f"{name}\n" for name in names).encode()
        answers = (await self.git.output("cat-file", "--batch-check", given=given)).decode().splitlines()
        return [None if answer.endswith(" missing") else answer.split()[0] for answer in answers]

    async def _require(self, *shas: str) -> None:
        for sha, found in zip(shas, await self._resolve(*shas), strict=True):
            if found is None:
                cure = _UNSHALLOW if self.clone.shallow else "run `git fetch` in it"
                raise HistoryIncomplete(f"{self.clone.home} lacks the commit {sha}; {cure}")

    async def _require_reach(self, tips: tuple[str, ...], since: datetime) -> None:
        for commit in await commits(self.git, "--first-parent", "--end-of-options", *tips):
            if commit.sha in self.clone.shallow and commit.at >= since:
                raise HistoryIncomplete(f"the history ends at {commit.at:%Y-%m-%d}; {_UNSHALLOW}")

    async def _own_commits(self, base: str, head: str, *, merged: bool) -> list[Logged]:
        """Oldest first, without the merge itself."""
        known = () if base in _EMPTY_TREES.values() else (f"^{base}",)
        walk = ("--topo-order", "--reverse", "--end-of-options", head, *known)
        own = await commits(self.git, *walk)
        return [commit for commit in own if not (merged and commit.sha == head and len(commit.parents) > 1)]

    async def _object_name(self, revision: str, path: str) -> str | None:
        """What to ask `cat-file --batch` for."""
        if not any(sign in path for sign in "\\\n") and not path.startswith("."):
            return f"{revision}:{path}"
        # git would misread such a name in a line of input, or it stands for other bytes
        try:
            listing = await self.git.output("ls-tree", "-r", "-z", "--full-tree", revision)
        except GitFailed:  # no such revision, or its trees are not in this clone
            return None
        for entry in listing.split(b"\0"):
            facts, _, name = entry.partition(b"\t")
            if readable(name) == path:
                return facts.split(b" ")[2].decode()
        return None

    async def _content(self, name: str, limit: int) -> bytes | None:
        given = f"{name}\n".encode(errors="backslashreplace")
        async with self.git.stream("cat-file", "--batch", given=given) as stdout:
            *_, kind, size = (await stdout.readline()).rstrip(b"\n").rsplit(b" ", 2)
            if kind != b"blob" or int(size) > limit:
                return None
            return (await stdout.read())[: int(size)]
