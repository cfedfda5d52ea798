"""Where a clone is on disk, and whether it may be read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from forgehand.application.ports.code_host import AccessRefused, RepositoryNotFound
from forgehand.domain.repositories import InvalidRepoName, RepoName

_SCP_FORM = re.compile(r"(?:[^@/]*@)?(?P<host>[^:/@]+):(?P<path>[^/].*)", re.DOTALL)
_WEB_SCHEMES = frozenset({"http", "https"})
_REMOTE_SCHEMES = _WEB_SCHEMES | {"ssh", "git+ssh", "git"}


@dataclass(frozen=True, slots=True)
class Clone:
    """A repository on disk, by resolved paths.

    `git_dir` has its HEAD, `common_dir` its objects, refs and configuration: two places only in a
    linked worktree. `branch` is the one that HEAD is on, None where HEAD is a commit. `shallow` names
    the commits whose parents were cut off.
    """

    git_dir: Path
    common_dir: Path
    work_tree: Path | None
    branch: str | None
    shallow: frozenset[str]

    @property
    def home(self) -> Path:
        """What a person calls the repository's folder; linked worktrees share it."""
        return self.common_dir.parent if self.common_dir.name == ".git" else self.common_dir


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a clone came from, without the credentials its URL may hold."""

    host: str
    repo: RepoName

    @classmethod
    def parse(cls, url: str) -> Origin | None:
        """None unless `url` is https, ssh or `host:path` and ends in owner/name."""
        place = _host_and_path(url)
        if place is None:
            return None
        host, path = place
        parts = path.strip("/").removesuffix(".git").split("/")
        try:
            return cls(host, RepoName(parts[-2], parts[-1])) if len(parts) > 1 else None
        except InvalidRepoName:
            return None

    def page_of(self, number: int) -> str | None:
        """A pull request's page, where the host is known to have one."""
        return f"https://{self.host}/{self.repo}/pull/{number}" if "github" in self.host else None


def find_clone(location: str, roots: Sequence[Path]) -> Clone:
    """Raise AccessRefused outside of `roots`, RepositoryNotFound where there is no repository."""
    try:
        return _look_upwards(location, roots)
    except (ValueError, RuntimeError) as error:  # a NUL in the path; a loop of symbolic links
        raise RepositoryNotFound(f"{location!r} is not a usable path") from error
    except OSError as error:
        raise AccessRefused(f"{location} cannot be read: {error.strerror}") from error


def local_name(clone: Clone) -> RepoName:
    """A name for a repository that has no origin: the same for the same folder, and its alone."""
    digest = hashlib.sha256(bytes(clone.home)).hexdigest()[:8]
    name = re.sub(r"[^A-Za-z0-9._-]", "-", clone.home.name.removesuffix(".git"))[:80].lstrip("-")
    return RepoName("local", f"{name or 'repository'}-{digest}")


def _look_upwards(location: str, roots: Sequence[Path]) -> Clone:
    path = Path(location).resolve()
    root = _root_above(path, roots, location)
    for directory in (path, *path.parents):
        if not directory.is_relative_to(root):
            break
        clone = _clone_at(directory)
        if clone is not None:
            for real in (clone.git_dir, clone.common_dir):
                _root_above(real, roots, str(real))
            return clone
    problem = "is not a git repository" if path.exists() else "does not exist"
    raise RepositoryNotFound(f"{location} {problem}: name the folder of a clone")


def _root_above(path: Path, roots: Sequence[Path], said: str) -> Path:
    for root in roots:
        resolved = root.resolve()
        if path.is_relative_to(resolved):
            return resolved
    raise AccessRefused(f"{said} is not below FORGEHAND_LOCAL_ROOTS; add it where the job runs")


def _clone_at(directory: Path) -> Clone | None:
    marker = directory / ".git"
    if marker.is_file():
        git_dir = directory / marker.read_text(errors="replace").removeprefix("gitdir:").strip()
        return _clone(git_dir.resolve(), directory)
    if marker.is_dir():
        return _clone(marker.resolve(), directory)
    return _clone(directory, directory.parent if directory.name == ".git" else None)


def _clone(git_dir: Path, work_tree: Path | None) -> Clone | None:
    link = git_dir / "commondir"
    common_dir = (git_dir / link.read_text().strip()).resolve() if link.is_file() else git_dir
    head = git_dir / "HEAD"
    if not (head.is_file() and (common_dir / "objects").is_dir() and (common_dir / "refs").is_dir()):
        return None
    said = head.read_text(errors="replace").strip()
    branch = said.removeprefix("ref: refs/heads/") if said.startswith("ref: refs/heads/") else None
    shallow = common_dir / "shallow"
    cut_off = frozenset(shallow.read_text().split()) if shallow.is_file() else frozenset()
    return Clone(git_dir, common_dir, work_tree, branch, cut_off)


def _host_and_path(url: str) -> tuple[str, str] | None:
    if "://" not in url:
        match = _SCP_FORM.fullmatch(url)
        return (match["host"].lower(), match["path"]) if match else None
    try:
        parts = urlsplit(url)
        if parts.scheme not in _REMOTE_SCHEMES or not parts.hostname:
            return None
        port = f":{parts.port}" if parts.port and parts.scheme in _WEB_SCHEMES else ""
    except ValueError:  # a port that is no number, a broken IPv6 address
        return None
    return parts.hostname + port, parts.path
