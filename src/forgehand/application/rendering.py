"""A document as people read it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from forgehand.application.untrusted import code_span, one_line, plain
from forgehand.domain.documentation import (
    BreakingMarker,
    Claim,
    Coverage,
    DependencyFact,
    Documentation,
    Facts,
    FileCoverage,
    FileFact,
    Narrative,
    Seen,
    SymbolFact,
)
from forgehand.domain.usage import Usage

_MOST_FILES = 60
_MOST_SYMBOLS = 60
_MOST_CLAIMS = 20
_MOST_LINES = 40
_MOST_COVERAGE = 60
_FOLDED_FROM = 10
_SIGNATURE = 200
_PATH = 200

_SECTIONS = (
    ("", "summary"),
    ("What changed", "what_changed"),
    ("Why", "why"),
    ("How to use it", "how_to_use"),
    ("Migration notes", "migration_notes"),
    ("Risks", "risks"),
)


def markdown(document: Documentation) -> str:
    """The document as Markdown for a comment or a terminal; nothing in it but our own words is markup.

    Long lists are cut and say how much is missing.
    """
    return f"{_body(document)}\n\n{_footer(document)}\n"


def difference(old: Documentation, new: Documentation) -> str:
    """A unified diff of what the two documents say; empty where they say the same."""
    before, after = (_body(document).splitlines() for document in (old, new))
    lines = difflib.unified_diff(before, after, _version(old), _version(new), lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _version(document: Documentation) -> str:
    model = one_line(document.model or "facts alone", 200)
    return f"version {document.version} ({document.head_sha[:12]}, {model}, prompt {document.prompt_version})"


def _body(document: Documentation) -> str:
    blocks = [
        _title(document),
        *(_narrative(document.narrative) if document.narrative else ()),
        *_facts(document.facts),
        _coverage(document.coverage, shown=document.model is not None),
    ]
    return "\n\n".join(block for block in blocks if block)


def _title(document: Documentation) -> str:
    title = plain(document.title, 300) or "(no title)"
    facts = document.facts
    size = f"{_counted(len(facts.files), 'file')}, +{facts.additions} -{facts.deletions}"
    return f"# {document.repo}#{document.number}: {title}\n\nBy {code_span(document.author, 100)}, {size}."


def _narrative(narrative: Narrative) -> Iterator[str]:
    if not any(narrative.claims()):
        yield "Nothing that the model said rests on a changed file."
    for title, name in _SECTIONS:
        claims: tuple[Claim, ...] = getattr(narrative, name)
        lines = [f"- {plain(claim.text, 2_000)} ({_paths(claim.files)})" for claim in claims]
        yield _section(title, lines, _MOST_CLAIMS)


def _paths(files: Sequence[str]) -> str:
    shown = ", ".join(code_span(path, _PATH) for path in files[:3])
    return shown if len(files) <= 3 else f"{shown} and {len(files) - 3} more"


def _facts(facts: Facts) -> Iterator[str]:
    yield "## Facts"
    yield _section("Signs of a breaking change", [_breaking(sign) for sign in facts.breaking], _MOST_LINES)
    yield _section("Public API", [_symbol(symbol) for symbol in facts.symbols], _MOST_SYMBOLS)
    yield _section("Dependencies", [_dependency(item) for item in facts.dependencies], _MOST_LINES)
    yield "**Files**\n\n" + "\n".join(_files(facts))
    yield _tests(facts)
    yield _section("Not computed", [f"- {plain(note, 300)}" for note in facts.notes], _MOST_LINES)


def _breaking(sign: BreakingMarker) -> str:
    return f"- {plain(sign.source, 100)}: {plain(sign.text, 300)}"


def _symbol(symbol: SymbolFact) -> str:
    place = f"{code_span(symbol.name, _SIGNATURE)} in {code_span(symbol.path, _PATH)}"
    now = symbol.signature if symbol.signature != symbol.name else None
    told = f": {code_span(now, _SIGNATURE)}" if now else ""
    before = symbol.previous_signature
    was = f", was {code_span(before, _SIGNATURE)}" if before and before != symbol.signature else ""
    return f"- {symbol.event} {symbol.kind} {place}{told}{was}"


def _dependency(item: DependencyFact) -> str:
    if item.before is None:
        change = f"added, {_requirement(item.after)}"
    elif item.after is None:
        change = f"removed, was {_requirement(item.before)}"
    else:
        change = f"{_requirement(item.before)} → {_requirement(item.after)}"
    return f"- {code_span(item.name, 100)} in {code_span(item.manifest, _PATH)}: {change}"


def _requirement(text: str | None) -> str:
    return code_span(text, 100) if text else "any version"


def _files(facts: Facts) -> Iterator[str]:
    room = _MOST_FILES
    for component, files in facts.components.items():
        if room > 0:
            added, removed = sum(file.additions for file in files), sum(file.deletions for file in files)
            yield f"- {code_span(component, 100)}: {_counted(len(files), 'file')}, +{added} -{removed}"
            yield from (f"  - {_file(file)}" for file in files[:room])
        room -= len(files)
    if room < 0:
        yield f"- and {_counted(-room, 'more file')}"


def _file(file: FileFact) -> str:
    origin = f" from {code_span(file.previous_path, _PATH)}" if file.previous_path else ""
    size = "binary" if file.binary else f"+{file.additions} -{file.deletions}"
    return f"{code_span(file.path, _PATH)} {file.status}{origin}, {size}"


def _tests(facts: Facts) -> str:
    touched = len(facts.tests)
    return f"**Tests:** {_counted(touched, 'test file')} touched." if touched else "**Tests:** none touched."


def _coverage(coverage: Coverage, *, shown: bool) -> str:
    counts = ", ".join(f"{coverage.count(seen)} {seen}" for seen in Seen)
    view = "What the model was shown" if shown else "What a model would be shown"
    lines = [_covered(file) for file in coverage.files if file.seen is not Seen.SEEN]
    text = "\n".join(_cut(lines, _MOST_COVERAGE))
    if len(lines) > _FOLDED_FROM:
        summary = f"Clipped and ignored: {_counted(len(lines), 'file')}"
        text = f"<details>\n<summary>{summary}</summary>\n\n{text}\n\n</details>"
    files = _counted(len(coverage.files), "file")
    return f"## Coverage\n\n{view} of {files}: {counts}." + (f"\n\n{text}" if text else "")


def _covered(file: FileCoverage) -> str:
    hunks = ""
    if file.seen is Seen.CLIPPED:
        whole = sum(hunk.seen is Seen.SEEN for hunk in file.hunks)
        hunks = f" ({whole} of {_counted(len(file.hunks), 'hunk')} whole)"
    return f"- {code_span(file.path, _PATH)} {file.seen}: {plain(file.reason or '', 300)}{hunks}"


def _footer(document: Documentation) -> str:
    version = f"Version {document.version} at {code_span(document.head_sha[:12])}, by Forgehand."
    if document.model is None:
        return f"---\n{version} No model is configured: this document holds the facts alone."
    dropped = document.narrative.dropped if document.narrative else 0
    lost = f" {_counted(dropped, 'claim')} dropped for naming a file outside the diff." if dropped else ""
    return f"---\n{version} Told by {code_span(document.model)}, {_usage(document.usage)}.{lost}"


def _usage(usage: Usage) -> str:
    cost = "at an unknown price" if usage.cost is None else f"${usage.cost / 1_000_000:.4f}"
    return f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out, {cost}"


def _section(title: str, lines: Sequence[str], limit: int) -> str:
    heading = f"**{title}**\n\n" if title else ""
    return heading + "\n".join(_cut(lines, limit)) if lines else ""


def _cut(lines: Sequence[str], limit: int) -> Iterator[str]:
    yield from lines[:limit]
    if len(lines) > limit:
        yield f"- and {len(lines) - limit} more"


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
