"""Small real git repositories, built by code: fixed dates, fixed people, nobody's git configuration."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from forgehand.domain.pull_requests import Commit
from forgehand.domain.repositories import RepoName

ADA: Final = "Ada Lovelace"
GRACE: Final = "Grace Hopper"
FIRST_COMMIT_AT: Final = datetime(2024, 1, 1, 12, 0, tzinfo=UTC)

_ENVIRONMENT: Final = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "HOME": os.devnull,
    "LC_ALL": "C",
    "PATH": os.environ["PATH"],
}


@dataclass(frozen=True, slots=True)
class SamplePull:
    """What a host knows of a pull request. `head_sha` is the commit on the base branch, if merged.

    `branch_sha` is the tip of the pull request's own branch and `commits` are its own, oldest first.
    """

    number: int
    title: str
    body: str
    author: str
    branch: str
    branch_sha: str
    base_sha: str
    head_sha: str
    merged_at: datetime | None
    commits: tuple[Commit, ...]


def run_git(directory: Path, *arguments: str | bytes, environment: Mapping[str, str] | None = None) -> bytes:
    """The standard output of git; a failure raises CalledProcessError."""
    command = ["git", "-c", "protocol.file.allow=always", *arguments]
    finished = subprocess.run(
        command,
        cwd=directory,
        env={**_ENVIRONMENT, **(environment or {})},
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    return finished.stdout


def numstat(directory: Path, base: str, head: str) -> dict[bytes, tuple[int, int] | None]:
    """(added, deleted) by path as `git diff --numstat base head` tells them; None for binary files."""
    fields = run_git(directory, "diff", "--numstat", "-z", base, head).split(b"\0")
    counts: dict[bytes, tuple[int, int] | None] = {}
    while len(fields) > 1:
        added, deleted, path = fields.pop(0).split(b"\t", 2)
        if not path:  # a rename: the old path, then the new one
            fields.pop(0)
            path = fields.pop(0)
        counts[path] = None if added == b"-" else (int(added), int(deleted))
    return counts


@dataclass(slots=True)
class SampleRepository:
    """A repository with a worktree on `main`. Each commit is a minute younger than the one before."""

    path: Path
    now: datetime = FIRST_COMMIT_AT
    pulls: dict[int, SamplePull] = field(default_factory=dict)

    @classmethod
    def create(cls, path: Path, *, origin: str | None = None) -> SampleRepository:
        path.mkdir(parents=True)
        run_git(path, "init", "--quiet", "--template=", "--initial-branch=main")
        repository = cls(path)
        if origin is not None:
            repository.git("remote", "add", "origin", origin)
        return repository

    def git(self, *arguments: str | bytes) -> str:
        return run_git(self.path, *arguments).decode(errors="replace").strip()

    def write(self, path: str | bytes, content: str | bytes) -> None:
        target = os.path.join(os.fsencode(self.path), os.fsencode(path))  # noqa: PTH118 - names may be any bytes
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120 - see above
        with open(target, "wb") as file:  # noqa: PTH123 - see above
            file.write(content.encode() if isinstance(content, str) else content)

    def read(self, revision: str, path: str) -> bytes:
        return run_git(self.path, "cat-file", "blob", f"{revision}:{path}")

    def commit(self, message: str, *, author: str = ADA) -> str:
        """Commit everything in the worktree."""
        self.git("add", "--all")
        return self._record("commit", "--quiet", "--allow-empty", "-m", message, author=author)

    def start_branch(self, name: str) -> None:
        self.git("switch", "--quiet", "--create", name)

    def switch(self, name: str) -> None:
        self.git("switch", "--quiet", name)

    def merge_pull(
        self, number: int, branch: str, title: str, *, body: str = "", into: str = "main", owner: str = "octo"
    ) -> SamplePull:
        """Merge as the button "Create a merge commit" does."""
        own = self._own_commits(into, branch)
        self.switch(into)
        message = f"Merge pull request #{number} from {owner}/{branch}\n\n{title}\n\n{body}".strip()
        self._record("merge", "--quiet", "--no-ff", "-m", message, branch, author=GRACE)
        return self._remember(number, title, body, branch, own, merged=True)

    def squash_pull(
        self, number: int, branch: str, title: str, *, body: str = "", into: str = "main"
    ) -> SamplePull:
        """Merge as the button "Squash and merge" does."""
        own = self._own_commits(into, branch)
        self.switch(into)
        self.git("merge", "--quiet", "--squash", branch)
        self._record(
            "commit", "--quiet", "-m", f"{title} (#{number})\n\n{body}".strip(), author=own[-1].author
        )
        return self._remember(number, title, body, branch, own, merged=True)

    def open_pull(self, number: int, branch: str, title: str, *, into: str = "main") -> SamplePull:
        """Leave the branch unmerged; it is kept as `refs/pull/<number>/head`."""
        own = self._own_commits(into, branch)
        self.git("update-ref", f"refs/pull/{number}/head", branch)
        self.switch(into)
        return self._remember(number, title, "", branch, own, merged=False)

    def bare_clone(self, path: Path, *options: str) -> Path:
        """A bare clone with all refs; it names the same origin as this repository, if there is one."""
        url = self.path.as_uri()
        self.git("config", "uploadpack.allowFilter", "true")
        run_git(self.path, "clone", "--quiet", "--bare", "--no-local", *options, url, str(path))
        origin = self.git("config", "--default", url, "remote.origin.url")
        run_git(path, "config", "remote.origin.url", origin)
        return path

    def _record(self, *command: str, author: str) -> str:
        self.now += timedelta(minutes=1)
        email = author.partition(" ")[0].lower() + "@example.org"
        moment = f"{int(self.now.timestamp())} +0000"
        identity = {
            "GIT_AUTHOR_NAME": author,
            "GIT_AUTHOR_EMAIL": email,
            "GIT_AUTHOR_DATE": moment,
            "GIT_COMMITTER_NAME": author,
            "GIT_COMMITTER_EMAIL": email,
            "GIT_COMMITTER_DATE": moment,
        }
        run_git(self.path, *command, environment=identity)
        return self.git("rev-parse", "HEAD")

    def _own_commits(self, into: str, branch: str) -> tuple[Commit, ...]:
        shas = self.git("rev-list", "--reverse", f"{into}..{branch}").split()
        return tuple(
            Commit(sha, self.git("log", "-1", "--format=%an", sha), self.git("log", "-1", "--format=%B", sha))
            for sha in shas
        )

    def _remember(
        self, number: int, title: str, body: str, branch: str, own: tuple[Commit, ...], *, merged: bool
    ) -> SamplePull:
        tip = self.git("rev-parse", branch)
        self.pulls[number] = SamplePull(
            number=number,
            title=title,
            body=body,
            author=own[-1].author,
            branch=branch,
            branch_sha=tip,
            base_sha=self.git("rev-parse", "HEAD^1") if merged else self.git("merge-base", "HEAD", tip),
            head_sha=self.git("rev-parse", "HEAD") if merged else tip,
            merged_at=self.now if merged else None,
            commits=own,
        )
        return self.pulls[number]


ODD_NAME: Final = '--odd "name"\n$(x).txt'
FAR_TOO_LARGE: Final = 400_000
"""Bytes of the patch of `data/big.txt` in the sample, at the least."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The repository that the code host contract is written against.

    #2 is a merge commit, #3 and #5 are squashed, #4 is open; they are merged in the order of their numbers.
    """

    repository: SampleRepository
    repo: RepoName

    def pull(self, number: int) -> SamplePull:
        return self.repository.pulls[number]

    @property
    def merged(self) -> SamplePull:
        return self.pull(2)

    @property
    def squashed(self) -> SamplePull:
        return self.pull(3)

    @property
    def unmerged(self) -> SamplePull:
        return self.pull(4)

    @property
    def large(self) -> SamplePull:
        return self.pull(5)


def build_sample(path: Path) -> Sample:
    repo = RepoName("octo", "sample")
    repository = SampleRepository.create(path, origin=f"https://github.com/{repo}.git")
    _lay_ground(repository)
    _add_merged(repository)
    _add_squashed(repository)
    _add_unmerged(repository)
    _add_large(repository)
    return Sample(repository, repo)


def _lay_ground(repository: SampleRepository) -> None:
    repository.write("README.md", "# Sample\n\nA sample.\n")
    repository.write("src/app.py", "def greet(name):\n    return 'Hello ' + name\n")
    repository.write("src/old name.py", "".join(f"LINE_{number} = {number}\n" for number in range(20)))
    repository.write("docs/gone.md", "one\ntwo\nthree\n")
    repository.write("docs/moved.md", "moved as it is\n")
    repository.write("logo.png", b"\x89PNG\0\1\2\3")
    repository.commit("Start")


def _add_merged(repository: SampleRepository) -> None:
    repository.start_branch("greeting")
    repository.write(
        "src/app.py", "def greet(name, mark='!'):\n    return f'Hello {name}{mark}'\n\n\nX = 1\n"
    )
    repository.write("src/new.py", "NEW = True\n")
    repository.commit("Greet louder\n\nNobody heard it.")
    repository.git("mv", "src/old name.py", "src/renamed.py")
    repository.write("src/renamed.py", "".join(f"LINE_{number} = {number}\n" for number in range(22)))
    repository.git("mv", "docs/moved.md", "docs/here.md")
    repository.git("rm", "--quiet", "docs/gone.md")
    repository.write("logo.png", b"\x89PNG\0\3\2\1\0")
    repository.write(ODD_NAME, "odd\n")
    repository.write("naïve.txt", "no newline at the end")
    repository.write("empty.txt", "")
    repository.commit("Tidy up")
    repository.merge_pull(2, "greeting", "Greet louder", body="So that they hear it.\n\nReally.")


def _add_squashed(repository: SampleRepository) -> None:
    repository.start_branch("words")
    repository.write("README.md", "# Sample\n\nA better sample.\n")
    repository.commit("Better words", author=GRACE)
    repository.write("README.md", "# Sample\n\nThe best sample.\n")
    repository.commit("Best words", author=GRACE)
    repository.squash_pull(3, "words", 'Revert "Good words (#1)"', body="* Better words\n\n* Best words")


def _add_unmerged(repository: SampleRepository) -> None:
    repository.start_branch("idea")
    repository.write("IDEA.md", "An idea.\n")
    repository.commit("An idea")
    repository.open_pull(4, "idea", "An idea")


def _add_large(repository: SampleRepository) -> None:
    repository.start_branch("data")
    repository.write("data/big.txt", "".join(f"{number:09}\n" for number in range(FAR_TOO_LARGE // 10)))
    repository.write("data/small.txt", "small\n")
    repository.commit("Add data")
    repository.squash_pull(5, "data", "Add data")
