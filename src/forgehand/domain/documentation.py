"""The documentation of a merged pull request: facts, coverage, narrative, versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from forgehand.domain.pull_requests import ChangeStatus, PullRequest
from forgehand.domain.repositories import RepoName
from forgehand.domain.usage import Usage


class Seen(StrEnum):
    """How much of a file or hunk the model was shown."""

    SEEN = "seen"
    CLIPPED = "clipped"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class HunkCoverage:
    """One hunk of a file: its `@@` header without the trailing context, and how much was shown."""

    header: str
    seen: Seen
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """One file: how much was shown and, unless all of it, why not."""

    path: str
    seen: Seen
    reason: str | None = None
    hunks: tuple[HunkCoverage, ...] = ()


@dataclass(frozen=True, slots=True)
class Coverage:
    """The manifest of what an answer is based on: every file of the diff is listed once."""

    files: tuple[FileCoverage, ...]

    def count(self, seen: Seen) -> int:
        return sum(file.seen is seen for file in self.files)


@dataclass(frozen=True, slots=True)
class FileFact:
    """One changed file, counted as `git diff --numstat` counts."""

    path: str
    status: ChangeStatus
    additions: int
    deletions: int
    component: str
    previous_path: str | None = None
    binary: bool = False
    is_test: bool = False


class SymbolEvent(StrEnum):
    """What happened to a public symbol."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class SymbolFact:
    """A public function, class, method, type or constant that came, changed or went."""

    path: str
    kind: str
    name: str
    event: SymbolEvent
    signature: str | None = None
    previous_signature: str | None = None


@dataclass(frozen=True, slots=True)
class DependencyFact:
    """A dependency named in a manifest whose requirement changed. None: not required on that side."""

    manifest: str
    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class BreakingMarker:
    """A sign of a breaking change, and where it stands: a commit, the title, a label, a symbol."""

    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What can be said of a change without any model.

    `notes` says in words what could not be computed and why (a file over the parser's limit, a
    language without a grammar is no note).
    """

    files: tuple[FileFact, ...]
    symbols: tuple[SymbolFact, ...] = ()
    dependencies: tuple[DependencyFact, ...] = ()
    breaking: tuple[BreakingMarker, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def additions(self) -> int:
        return sum(file.additions for file in self.files)

    @property
    def deletions(self) -> int:
        return sum(file.deletions for file in self.files)

    @property
    def components(self) -> dict[str, tuple[FileFact, ...]]:
        """Files by component, both in order of their names."""
        names = sorted({file.component for file in self.files})
        return {name: tuple(file for file in self.files if file.component == name) for name in names}

    @property
    def tests(self) -> tuple[FileFact, ...]:
        return tuple(file for file in self.files if file.is_test)


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement of a model and the changed files it rests on."""

    text: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Narrative:
    """What a model says of a change, in claims. `dropped` counts claims that named a foreign file."""

    summary: tuple[Claim, ...] = ()
    what_changed: tuple[Claim, ...] = ()
    why: tuple[Claim, ...] = ()
    how_to_use: tuple[Claim, ...] = ()
    migration_notes: tuple[Claim, ...] = ()
    risks: tuple[Claim, ...] = ()
    dropped: int = 0

    def resting_on(self, paths: frozenset[str]) -> Narrative:
        """Keep the claims whose files are all among `paths` and that name at least one."""

        def keep(claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
            return tuple(claim for claim in claims if claim.files and paths.issuperset(claim.files))

        kept = replace(
            self,
            summary=keep(self.summary),
            what_changed=keep(self.what_changed),
            why=keep(self.why),
            how_to_use=keep(self.how_to_use),
            migration_notes=keep(self.migration_notes),
            risks=keep(self.risks),
        )
        lost = sum(1 for _ in self.claims()) - sum(1 for _ in kept.claims())
        return replace(kept, dropped=self.dropped + lost)

    def claims(self) -> Iterator[Claim]:
        for section in (
            self.summary,
            self.what_changed,
            self.why,
            self.how_to_use,
            self.migration_notes,
            self.risks,
        ):
            yield from section


@dataclass(frozen=True, slots=True)
class Documentation:
    """One version of a pull request's documentation.

    Versions count from 1 for each (repo, number). Two documents with the same `fingerprint`
    (head, diff, prompt and model) are the same version. `model` and `narrative` are None together:
    the document then has its facts and says so.
    """

    id: UUID
    repo: RepoName
    number: int
    version: int
    title: str
    author: str
    url: str | None
    head_sha: str
    diff_hash: str
    prompt_version: str
    model: str | None
    facts: Facts
    coverage: Coverage
    narrative: Narrative | None
    usage: Usage
    created_at: datetime

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.head_sha, self.diff_hash, self.prompt_version, self.model)


def fingerprint(head_sha: str, diff_hash: str, prompt_version: str, model: str | None) -> str:
    """What decides whether a document is still current."""
    return f"{head_sha}:{diff_hash}:{prompt_version}:{model or 'facts'}"


class DocumentationStatus(StrEnum):
    """Where a pull request stands with its documentation."""

    MISSING = "missing"
    FACTS_ONLY = "facts_only"
    DOCUMENTED = "documented"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PullRequestRecord:
    """What we keep of a pull request: who, what, when, and its documentation."""

    repo: RepoName
    number: int
    title: str
    author: str
    url: str | None
    base_sha: str
    head_sha: str
    merged_at: datetime | None
    status: DocumentationStatus = DocumentationStatus.MISSING
    documentation_id: UUID | None = None
    published_url: str | None = None
    problem: str | None = None

    @classmethod
    def of(cls, pull: PullRequest) -> PullRequestRecord:
        return cls(
            repo=pull.repo,
            number=pull.number,
            title=pull.title,
            author=pull.author,
            url=pull.url,
            base_sha=pull.base_sha,
            head_sha=pull.head_sha,
            merged_at=pull.merged_at,
        )

    def documented_by(self, document: Documentation) -> PullRequestRecord:
        status = DocumentationStatus.DOCUMENTED if document.narrative else DocumentationStatus.FACTS_ONLY
        return replace(self, status=status, documentation_id=document.id, problem=None)

    def published_at(self, url: str) -> PullRequestRecord:
        return replace(self, published_url=url)

    def failed(self, problem: str) -> PullRequestRecord:
        """Keep an older document, if there is one; say what went wrong with the new one."""
        status = self.status if self.documentation_id else DocumentationStatus.FAILED
        return replace(self, status=status, problem=problem)
