"""What changed between two trees, counted by git and with its patches in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from forgehand.domain.pull_requests import ChangeStatus, FileChange, Withheld
from forgehand.infrastructure.git.commands import CHUNK, Git, GitFailed

_STATUSES: Final = {
    "A": ChangeStatus.ADDED,
    "M": ChangeStatus.MODIFIED,
    "D": ChangeStatus.REMOVED,
    "R": ChangeStatus.RENAMED,
    "C": ChangeStatus.COPIED,
    "T": ChangeStatus.TYPE_CHANGED,
}
_SUBMODULE: Final = "160000"
_OPTIONS: Final = ("-r", "--full-index", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none")
_NEXT_FILE: Final = b"\ndiff --git "
_HEADER_ROOM: Final = 1 << 16
"""More than the lines before a file's first hunk can take: its two names, quoted, three times."""

_Counts = Mapping[bytes, tuple[int, int] | None]
"""(added, deleted) by path; None for a binary file."""


@dataclass(frozen=True, slots=True)
class PatchLimits:
    """How much of a diff is kept, in bytes: of one file, and of all files together."""

    per_file: int = 256 << 10
    total: int = 16 << 20


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of `git diff --raw`. `blobs` are the ids of both sides that git has to read."""

    status: ChangeStatus
    path: bytes
    previous_path: bytes | None
    blobs: tuple[str, ...]

    @property
    def change(self) -> FileChange:
        previous = None if self.previous_path is None else readable(self.previous_path)
        return FileChange(readable(self.path), self.status, previous_path=previous)

    @property
    def paths(self) -> tuple[bytes, ...]:
        return (self.path,) if self.previous_path is None else (self.previous_path, self.path)


def readable(path: bytes) -> str:
    """The path as FileChange gives it. Not reversible: a name may hold a literal `\\xNN`."""
    return path.decode(errors="backslashreplace")


async def changed_files(git: Git, base: str, head: str, limits: PatchLimits) -> tuple[FileChange, ...]:
    """Every file that differs, renames found as `git diff` finds them. Raise GitFailed."""
    try:
        return await _read_files(git, (base, head), (), limits)
    except GitFailed:
        rows = await _rows_without_content(git, base, head)
        missing = await _missing(git, rows)
        if not missing:
            raise
    present = [row for row in rows if missing.isdisjoint(row.blobs)]
    absent = [
        replace(row.change, patch=None, withheld=Withheld.NOT_IN_CLONE)
        for row in rows
        if not missing.isdisjoint(row.blobs)
    ]
    paths = [path for row in present for path in row.paths]
    files = await _read_files(git, (base, head), paths, limits) if paths else ()
    return tuple(sorted((*files, *absent), key=lambda file: file.path))


async def _read_files(
    git: Git, trees: tuple[str, str], paths: Sequence[bytes], limits: PatchLimits
) -> tuple[FileChange, ...]:
    scope: tuple[str | bytes, ...] = ("-M50%", "--end-of-options", *trees, "--", *paths)
    listing = await git.output("diff-tree", *_OPTIONS, "-z", "--raw", "--numstat", *scope)
    rows, counts = _parse(listing)
    patches = await _patches(git, scope, rows, limits)
    return tuple(_file(row, counts, patch) for row, patch in zip(rows, patches, strict=True))


def _file(row: _Row, counts: _Counts, patch: bytes | None) -> FileChange:
    count = counts[row.path]
    if count is None:
        return replace(row.change, patch=None, withheld=Withheld.BINARY)
    additions, deletions = count
    change = replace(row.change, additions=additions, deletions=deletions)
    if patch is None:
        return replace(change, patch=None, withheld=Withheld.TOO_LARGE)
    return replace(change, patch=patch.decode(errors="replace"))


def _parse(listing: bytes) -> tuple[list[_Row], _Counts]:
    """What `--raw --numstat -z` writes: all rows first, then all counts."""
    rows: list[_Row] = []
    counts: dict[bytes, tuple[int, int] | None] = {}
    fields = iter(listing.split(b"\0"))
    for field in fields:
        if field.startswith(b":"):
            rows.append(_row(field, fields))
        elif field:
            added, deleted, path = field.split(b"\t", 2)
            if not path:  # a rename: the old path, then the new one
                _, path = next(fields), next(fields)
            counts[path] = None if added == b"-" else (int(added), int(deleted))
    return rows, counts


def _row(field: bytes, fields: Iterator[bytes]) -> _Row:
    old_mode, new_mode, old, new, status = field[1:].decode().split(" ")
    sides = ((old_mode, old), (new_mode, new))
    blobs = tuple(blob for mode, blob in sides if mode != _SUBMODULE and blob.strip("0"))
    moved = status[0] in "RC"
    previous = next(fields) if moved else None
    return _Row(_STATUSES[status[0]], next(fields), previous, blobs)


async def _patches(
    git: Git, scope: Sequence[str | bytes], rows: Sequence[_Row], limits: PatchLimits
) -> list[bytes | None]:
    """The hunks of each row, None where they are over a limit."""
    patches: list[bytes | None] = []
    room = limits.total
    async with (
        git.stream("diff-tree", *_OPTIONS, "--no-color", "-p", *scope) as stdout,
        aclosing(_sections(stdout, limits.per_file + _HEADER_ROOM)) as sections,
    ):
        for row in rows:
            patch = await _next_hunks(sections)
            if row.status is ChangeStatus.TYPE_CHANGED:  # written as a removal and an addition
                patch += b"\n" + await _next_hunks(sections)
            fits = len(patch) <= min(limits.per_file, room)
            patches.append(patch if fits else None)
            room -= len(patch) if fits else 0
    return patches


async def _sections(stdout: asyncio.StreamReader, limit: int) -> AsyncGenerator[bytes, None]:
    """Each file's part of a patch, cut off after `limit` bytes. Names are quoted: none can forge a part."""
    kept: bytearray | None = None
    rest = b"\n"
    while chunk := await stdout.read(CHUNK):
        text, *others = (rest + chunk).split(_NEXT_FILE)
        for following in others:
            if kept is not None:
                yield bytes(kept + text)[:limit]
            kept, text = bytearray(), following
        done = max(len(text) - len(_NEXT_FILE) + 1, 0)  # the mark of the next file may have begun
        rest = text[done:]
        if kept is not None and len(kept) < limit:
            kept += text[:done]
    if kept is not None:
        yield bytes(kept + rest)[:limit]


async def _next_hunks(sections: AsyncIterator[bytes]) -> bytes:
    try:
        section = await anext(sections)
    except StopAsyncIteration as end:
        raise GitFailed("its patch ends early") from end
    start = section.find(b"\n@@ ")
    return b"" if start < 0 else section[start + 1 :].removesuffix(b"\n")


async def _rows_without_content(git: Git, base: str, head: str) -> list[_Row]:
    """Rows with only those renames that need no content to be seen."""
    listing = await git.output(
        "diff-tree", *_OPTIONS, "-z", "--raw", "-M100%", "--end-of-options", base, head, "--"
    )
    return _parse(listing)[0]


async def _missing(git: Git, rows: Sequence[_Row]) -> frozenset[str]:
    blobs = sorted({blob for row in rows for blob in row.blobs})
    found = await git.output(
        "cat-file", "--batch-check", given="".join(f"{blob}\n" for blob in blobs).encode()
    )
    answers = (line.split() for line in found.decode().splitlines())
    return frozenset(answer[0] for answer in answers if answer[-1] == "missing")
