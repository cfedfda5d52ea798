"""Merged pull requests, recovered from the messages that hosts write into the history."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from forgehand.infrastructure.git.commands import Git

_FORMAT: Final = "--format=tformat:%H%n%P%n%ct%n%an%n%B"
_MERGE: Final = re.compile(r"Merge pull request #([0-9]{1,18}) from ([^\s/]+)\S*")
_TITLED: Final = re.compile(r"(.*)\(#([0-9]{1,18})\)\s*")


@dataclass(frozen=True, slots=True)
class Logged:
    """A commit as `git log` tells it. `at` is the committer's date."""

    sha: str
    parents: tuple[str, ...]
    at: datetime
    author: str
    message: str

    @classmethod
    def parse(cls, record: bytes) -> Logged:
        sha, parents, seconds, author, message = record.decode(errors="replace").split("\n", 4)
        at = datetime.fromtimestamp(int(seconds), UTC)
        return cls(sha, tuple(parents.split()), at, author, message.strip("\n"))


@dataclass(frozen=True, slots=True)
class Landing:
    """How a pull request came into a branch: `commit` brought it, and its message says so.

    `explicit` is a "Merge pull request" message; any other carries the number in its title.
    `owner` is whose branch was merged, where the message tells.
    """

    number: int
    title: str
    body: str
    commit: Logged
    explicit: bool
    owner: str | None = None

    @classmethod
    def of(cls, commit: Logged) -> Landing | None:
        subject, _, rest = commit.message.partition("\n")
        if merge := _MERGE.match(subject):
            title, _, body = rest.strip().partition("\n")
            return cls(
                int(merge[1]), title.strip() or subject.strip(), body.strip(), commit, True, owner=merge[2]
            )
        if titled := _TITLED.fullmatch(subject):
            return cls(int(titled[2]), titled[1].strip() or subject.strip(), rest.strip(), commit, False)
        return None

    def outranks(self, other: Landing | None) -> bool:
        """A merge says more than a title; of two alike the one met first, the newer, stays."""
        return other is None or (self.explicit and not other.explicit)


async def log(git: Git, *arguments: str) -> AsyncIterator[Logged]:
    """What `git log` lists, as it comes. To be read to its end."""
    async for record in git.records("log", "-z", _FORMAT, *arguments, "--"):
        yield Logged.parse(record)


async def commits(git: Git, *arguments: str) -> list[Logged]:
    """All that `git log` lists."""
    return [commit async for commit in log(git, *arguments)]


async def find_landing(git: Git, tips: Sequence[str], number: int) -> Landing | None:
    """Look along the branch itself first, then at all that was merged into it."""
    wanted = ("--fixed-strings", f"--grep=Merge pull request #{number} from ", f"--grep=(#{number})")
    for walk in (("--first-parent",), ()):
        found: Landing | None = None
        async for commit in log(git, *wanted, *walk, "--end-of-options", *tips):
            landing = Landing.of(commit)
            if landing is not None and landing.number == number and landing.outranks(found):
                found = landing
        if found is not None:
            return found
    return None


async def landings(git: Git, tips: Sequence[str]) -> list[Landing]:
    """One for each pull request that was merged into the branch itself, newest first."""
    found: dict[int, Landing] = {}
    wanted = ("--fixed-strings", "--grep=Merge pull request #", "--grep=(#")
    async for commit in log(git, *wanted, "--first-parent", "--end-of-options", *tips):
        landing = Landing.of(commit)
        if landing is not None and landing.outranks(found.get(landing.number)):
            found[landing.number] = landing
    return sorted(found.values(), key=lambda landing: landing.commit.at, reverse=True)
