"""Dependencies whose requirement changed."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from forgehand.application.facts.manifests import ANY, Reader, reader_for
from forgehand.application.facts.sides import Sides, Unreadable
from forgehand.application.untrusted import one_line
from forgehand.domain.documentation import DependencyFact
from forgehand.domain.pull_requests import ChangeStatus, FileChange

MOST_MANIFESTS = 50
_NAME_LIMIT = 150
_REQUIREMENT_LIMIT = 200
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
_FOREIGN = frozenset({"fixtures", "node_modules", "testdata", "third_party", "vendor"})


async def dependency_facts(
    sides: Sides, files: Sequence[FileChange]
) -> tuple[tuple[DependencyFact, ...], tuple[str, ...]]:
    """The facts by manifest and name, and notes of manifests that could not be compared."""
    manifests = [(file, reader) for file in files if (reader := _reader(file)) is not None]
    compared = await asyncio.gather(
        *(_compared(sides, file, read) for file, read in manifests[:MOST_MANIFESTS])
    )
    notes = [note for _, note in compared if note]
    if len(manifests) > MOST_MANIFESTS:
        notes.append(
            f"dependencies: {len(manifests) - MOST_MANIFESTS} manifests over the limit were not read"
        )
    return tuple(fact for facts, _ in compared for fact in facts), tuple(notes)


def _reader(file: FileChange) -> Reader | None:
    if file.status is ChangeStatus.TYPE_CHANGED or _FOREIGN.intersection(file.path.split("/")):
        return None
    return reader_for(file.path)


async def _compared(sides: Sides, file: FileChange, read: Reader) -> tuple[list[DependencyFact], str | None]:
    shown = one_line(file.path, 200)
    try:
        contents = await sides.both(file)
    except Unreadable:
        return (
            [],
            f"{shown}: dependencies not compared, it is {sides.why_not}",
        )
    tables: list[Mapping[str, str]] = []
    for side, content in zip(("base", "head"), contents, strict=True):
        try:
            tables.append(await asyncio.to_thread(_requirements, content, read))
        except ValueError:
            return [], f"{shown}: dependencies not compared, it does not parse at the {side} of the change"
    before, after = tables
    return [
        DependencyFact(file.path, name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ], None


def _requirements(content: bytes | None, read: Reader) -> Mapping[str, str]:
    """Requirements by name; several of one name (groups, platforms) are joined."""
    if content is None:
        return {}
    found: dict[str, set[str]] = defaultdict(set)
    for name, requirement in read(content.removeprefix(b"\xef\xbb\xbf").decode()):
        shown = one_line(_USER_IN_URL.sub("", requirement), _REQUIREMENT_LIMIT)
        found[one_line(_USER_IN_URL.sub("", name), _NAME_LIMIT)].add(shown)
    return {name: " | ".join(sorted(told - {ANY} or told)) for name, told in found.items()}
