"""The parts of GitHub's answers that we read, and what they mean in our words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, TypeAlias

from pydantic import AwareDatetime, BaseModel, Field

from forgehand.application.ports.comments import Comment
from forgehand.domain.pull_requests import ChangeStatus, Commit, FileChange, PullRequest, Withheld
from forgehand.domain.repositories import RepoName

_EMPTY_BLOBS = {
    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
}
_STATUSES = {
    "added": ChangeStatus.ADDED,
    "removed": ChangeStatus.REMOVED,
    "renamed": ChangeStatus.RENAMED,
    "copied": ChangeStatus.COPIED,
    "changed": ChangeStatus.TYPE_CHANGED,
}
_WITHOUT_HUNKS = {"renamed", "copied", "changed", "unchanged"}

Sha: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{40,64}$")]


class NotThere(Exception):
    """GitHub says that there is no such thing, or that these credentials may not know of it."""


class Account(BaseModel):
    """A user, or the bot of an app. Logins change hands, ids do not."""

    id: int
    login: str


class Repository(BaseModel):
    """A repository."""

    full_name: str
    default_branch: str


class _BaseBranch(BaseModel):
    sha: Sha
    repo: Repository


class _HeadBranch(BaseModel):
    sha: Sha


class _Label(BaseModel):
    name: str


class ListedPull(BaseModel):
    """A pull request, as lists show it."""

    number: int
    updated_at: AwareDatetime
    merged_at: AwareDatetime | None = None


class Pull(BaseModel):
    """A pull request. `merge_commit_sha` of an unmerged one is a mere trial."""

    number: int
    title: str
    body: str | None = None
    user: Account | None = None
    base: _BaseBranch
    head: _HeadBranch
    merged_at: AwareDatetime | None = None
    merge_commit_sha: Sha | None = None
    html_url: str
    labels: tuple[_Label, ...] = ()
    commits: int
    changed_files: int

    def told(self, base_sha: str, head_sha: str) -> PullRequest:
        return PullRequest(
            repo=RepoName.parse(self.base.repo.full_name),
            number=self.number,
            title=self.title,
            body=self.body or "",
            author=self.user.login if self.user else "ghost",
            base_sha=base_sha,
            head_sha=head_sha,
            merged_at=self.merged_at.astimezone(UTC) if self.merged_at else None,
            url=self.html_url,
            labels=tuple(label.name for label in self.labels),
        )


class _Signature(BaseModel):
    name: str
    date: AwareDatetime


class _CommitText(BaseModel):
    message: str
    author: _Signature | None = None


class _Parent(BaseModel):
    sha: Sha


class ListedCommit(BaseModel):
    """A commit, as lists show it."""

    sha: Sha
    commit: _CommitText
    parents: tuple[_Parent, ...] = ()

    @property
    def origin(self) -> tuple[str, datetime | None]:
        """What a rebase keeps of a commit: its message and when it was written."""
        author = self.commit.author
        return self.commit.message, author.date if author else None

    def told(self) -> Commit:
        author = self.commit.author.name if self.commit.author else "unknown"
        return Commit(self.sha, author, self.commit.message)


class ChangedFile(BaseModel):
    """A file of a pull request. `patch` is absent for binary files and for long ones."""

    filename: str
    status: str
    sha: str | None = None
    additions: int
    deletions: int
    patch: str | None = None
    previous_filename: str | None = None

    def told(self) -> FileChange:
        patch = "" if self.patch is None and self._has_no_hunks else self.patch
        status = _STATUSES.get(self.status, ChangeStatus.MODIFIED)
        moved = status in {ChangeStatus.RENAMED, ChangeStatus.COPIED}
        return FileChange(
            path=self.filename,
            status=status,
            additions=self.additions,
            deletions=self.deletions,
            previous_path=self.previous_filename if moved else None,
            patch=patch,
            withheld=self._reason if patch is None else None,
        )

    @property
    def _has_no_hunks(self) -> bool:
        uncounted = not (self.additions or self.deletions)
        return uncounted and (self.status in _WITHOUT_HUNKS or self.sha in _EMPTY_BLOBS)

    @property
    def _reason(self) -> Withheld:
        return Withheld.NOT_SENT if self.additions or self.deletions else Withheld.BINARY


class IssueComment(BaseModel):
    """A comment on an issue or a pull request."""

    id: int
    body: str | None = None
    html_url: str
    user: Account | None = None

    def told(self) -> Comment:
        return Comment(str(self.id), self.body or "", self.html_url)


class _Viewer(BaseModel):
    id: int = Field(alias="databaseId")
    login: str


class _ViewerData(BaseModel):
    viewer: _Viewer


class ViewerAnswer(BaseModel):
    """GraphQL's word on who is asking."""

    data: _ViewerData
