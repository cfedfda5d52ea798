"""How a repository is named."""

from __future__ import annotations

import re
from dataclasses import dataclass

from forgehand.domain.errors import DomainError

_PART = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9._-]{0,99}")


class InvalidRepoName(DomainError):
    """The text is not of the form owner/name."""


@dataclass(frozen=True, slots=True, order=True)
class RepoName:
    """A repository as `owner/name`, safe to put into a URL path."""

    owner: str
    name: str

    def __post_init__(self) -> None:
        for part in (self.owner, self.name):
            if not _PART.fullmatch(part) or part in {".", ".."}:
                raise InvalidRepoName(f"{self.owner}/{self.name} is not a repository name (owner/name)")

    @classmethod
    def parse(cls, text: str) -> RepoName:
        """Raise InvalidRepoName unless `text` is `owner/name`."""
        owner, slash, name = text.partition("/")
        if not slash or "/" in name:
            raise InvalidRepoName(f"{text!r} is not a repository name (owner/name)")
        return cls(owner, name)

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"
