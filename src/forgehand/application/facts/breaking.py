"""Signs of a breaking change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from forgehand.application.facts.paths import is_private
from forgehand.application.facts.sides import Sides
from forgehand.application.facts.signatures import is_incompatible
from forgehand.application.ports.syntax import Syntax
from forgehand.application.untrusted import one_line
from forgehand.domain.documentation import BreakingMarker, SymbolEvent, SymbolFact
from forgehand.domain.pull_requests import Commit, PullRequest

TEXT_LIMIT = 300
MOST_MARKERS = 100
_FOOTER = re.compile(r"^BREAKING[ -]CHANGE:[ \t]*(\S.*(?:\n(?!\n|[\w-]+(?::| #)).+)*)", re.MULTILINE)
_SUBJECT = re.compile(r"[A-Za-z]+(?:\([^()]*\))?!:\s*\S")
_HARMLESS = re.compile(r"\b(?:non|not|no)\b[^a-z]*$", re.IGNORECASE)
_CALLED = frozenset({"function", "method"})


async def breaking_markers(
    sides: Sides, syntax: Syntax, commits: Sequence[Commit], symbols: Sequence[SymbolFact]
) -> tuple[BreakingMarker, ...]:
    """What people said (title, description, commits, labels), then what the public symbols show.

    A symbol that went speaks for its members. Symbols of private modules do not count, except those of
    Python that a package above passes on in its `__all__`, and goes on to do so.
    """
    said = dict.fromkeys((*_said_in_pull(sides.pull), *_said_in_commits(sides.pull, commits)))
    gone = {(fact.path, fact.name) for fact in symbols if fact.event is SymbolEvent.REMOVED}
    broken = [
        fact for fact in symbols if _breaks(fact) and (fact.path, fact.name.rpartition(".")[0]) not in gone
    ]
    unlisted = {fact.name for fact in broken if fact.kind == "export"}
    exports = await _exports(sides, syntax, [fact.path for fact in broken if is_private(fact.path)])
    shown = (_marker(fact) for fact in broken if _is_reachable(fact, exports, unlisted))
    return (*said, *shown)[:MOST_MARKERS]


def _said_in_pull(pull: PullRequest) -> Iterator[BreakingMarker]:
    if _SUBJECT.match(pull.title):
        yield BreakingMarker("title", one_line(pull.title, TEXT_LIMIT))
    yield from _footers("description", pull.body)
    for label in pull.labels:
        before, word, _ = label.lower().partition("breaking")
        if word and not _HARMLESS.search(before):
            yield BreakingMarker("label", one_line(label, TEXT_LIMIT))


def _said_in_commits(pull: PullRequest, commits: Iterable[Commit]) -> Iterator[BreakingMarker]:
    for commit in commits:
        source = f"commit {commit.sha[:10]}"
        # A squash repeats the title as its subject.
        if _SUBJECT.match(commit.subject) and not commit.subject.startswith(pull.title):
            yield BreakingMarker(source, one_line(commit.subject, TEXT_LIMIT))
        if _said(commit.message).isdisjoint(_said(pull.body)):
            yield from _footers(source, commit.message)


def _said(text: str) -> set[str]:
    return {marker.text for marker in _footers("", text)}


def _footers(source: str, text: str) -> Iterator[BreakingMarker]:
    for match in _FOOTER.finditer(text.replace("\r\n", "\n")):
        yield BreakingMarker(source, one_line(match[1], TEXT_LIMIT))


def _breaks(fact: SymbolFact) -> bool:
    if fact.event is SymbolEvent.REMOVED:
        return True
    if fact.previous_signature is None or fact.signature is None or fact.kind not in _CALLED:
        return False
    return is_incompatible(fact.path, fact.previous_signature, fact.signature)


def _marker(fact: SymbolFact) -> BreakingMarker:
    removed = fact.event is SymbolEvent.REMOVED
    text = f"public {fact.kind} {fact.name} removed" if removed else f"signature of {fact.name} changed"
    return BreakingMarker(one_line(fact.path, TEXT_LIMIT), one_line(text, TEXT_LIMIT))


def _packages(path: str) -> list[str]:
    return [str(folder / "__init__.py") for folder in PurePosixPath(path).parents if folder.name]


async def _exports(sides: Sides, syntax: Syntax, paths: Iterable[str]) -> dict[str, frozenset[str]]:
    """The names that the packages above `paths` pass on, by the path of their `__init__.py`."""
    found = {}
    for package in dict.fromkeys(
        package for path in paths if path.endswith(".py") for package in _packages(path)
    ):
        source = await sides.base(package)
        symbols = await syntax.public_symbols(package, source) if source else None
        found[package] = frozenset(it.name for it in symbols or () if it.kind == "export")
    return found


def _is_reachable(fact: SymbolFact, exports: dict[str, frozenset[str]], unlisted: set[str]) -> bool:
    if not is_private(fact.path):
        return True
    name = fact.name.partition(".")[0]
    return name not in unlisted and any(name in exports.get(package, ()) for package in _packages(fact.path))
