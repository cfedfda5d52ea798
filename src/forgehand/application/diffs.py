"""A change, packed into what a model can read, with a manifest of what it was shown."""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from forgehand.application.globs import glob_regex
from forgehand.application.untrusted import one_line, strip_invisible
from forgehand.domain.documentation import Coverage, FileCoverage, HunkCoverage, Seen
from forgehand.domain.pull_requests import ChangeSet, FileChange, Withheld

CountTokens: TypeAlias = Callable[[str], int]

_LONGEST_LINE = 1_000
_LARGEST_PATCH = 1_000_000
_LEAST_FILE = 400
_LEAST_HUNK = 80
_OVER_BUDGET = "over the budget"
_LINES_CUT = "very long lines were cut"

_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@", re.MULTILINE)
_SAYS_GENERATED = re.compile(r"@generated\b|\bDO NOT EDIT\b")
_HEAD_LINES = 12


@dataclass(frozen=True, slots=True)
class IgnoreGlobs:
    """Files that a model is not shown. Raise InvalidGlob for a pattern that means nothing."""

    globs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for glob in self.globs:
            glob_regex(glob)

    def first_match(self, path: str) -> str | None:
        """The first pattern that `path` matches."""
        return next((glob for glob in self.globs if glob_regex(glob).fullmatch(path)), None)


@dataclass(frozen=True, slots=True)
class Packed:
    """What a model is shown of a change (not fenced yet), and the manifest of it."""

    text: str
    coverage: Coverage


@cache
def _any_of(globs: str) -> IgnoreGlobs:
    return IgnoreGlobs(tuple(globs.split()))


_NEVER_SHOWN = {
    "lock file": (
        "*.lock *.lockb *-lock.json *-lock.yaml *.lockfile *.lock.json npm-shrinkwrap.json "
        "go.sum go.work.sum pylock.toml pylock.*.toml Package.resolved"
    ),
    "vendored": ("vendor/ _vendor/ node_modules/ bower_components/ third_party/ third-party/ Pods/ .yarn/"),
    "generated, by its name": (
        "*.min.js *.min.css *.map *_pb2.py *_pb2.pyi *_pb2_grpc.py *.pb.go *.pb.cc *.pb.h "
        "*.g.dart *.generated.* *.designer.cs __generated__/ *.snap dist/"
    ),
}

_TESTS = "test/ tests/ __tests__/ spec/ test_* *_test.* *.test.* *.spec.* *Test.java"
_DOCUMENTS = "docs/ doc/ *.md *.rst *.adoc *.txt"
_SOURCE = (
    "*.py *.pyi *.js *.jsx *.mjs *.cjs *.ts *.tsx *.go *.java *.rs *.c *.h *.cc *.cpp *.hpp *.cs *.rb "
    "*.php *.kt *.swift *.scala *.ex *.exs *.erl *.hs *.lua *.sh *.sql *.vue *.svelte *.proto"
)
# Tests and documents first: a test is a source file too.
_RANKS = ((_TESTS, 1), (_DOCUMENTS, 2), (_SOURCE, 0))
_OTHER = 3


def diff_hash(changes: ChangeSet) -> str:
    """A digest of every file's change, whatever order they come in."""
    return hashlib.sha256(b"".join(sorted(_digest(file) for file in changes.files))).hexdigest()


def _digest(file: FileChange) -> bytes:
    parts = [
        file.path,
        file.previous_path,
        file.status,
        file.additions,
        file.deletions,
        file.patch,
        file.withheld,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def shown_path(path: str) -> str:
    """`path` as a model reads and names it."""
    return one_line(path, 1_000)


def pack(
    changes: ChangeSet,
    *,
    budget_tokens: int,
    count_tokens: CountTokens,
    ignore: IgnoreGlobs = IgnoreGlobs(),
) -> Packed:
    """Show as much of `changes` as `budget_tokens` allow; the manifest names each file and hunk once.

    When not all fits, every file gets its turn: source comes before tests, documents and the rest,
    small files before large, and those that got a turn share the budget evenly, so that what small
    ones leave is for the large. The same holds for the hunks of a file that does not fit whole.
    """
    files = [_Readable.of(change, ignore, count_tokens) for change in changes.files]
    queue = sorted((index for index, file in enumerate(files) if file.reason is None), key=_turn(files))
    shares = _allot([files[index].cost for index in queue], budget_tokens, _LEAST_FILE)
    texts = []
    coverage = [_unseen(file) for file in files]
    for index, share in zip(queue, shares, strict=True):
        text, coverage[index] = _show(files[index], share, count_tokens)
        texts.append(text)
    return Packed("".join(texts), Coverage(tuple(coverage)))


@dataclass(frozen=True, slots=True)
class _Hunk:
    header: str
    text: str
    cost: int
    cut: bool


@dataclass(frozen=True, slots=True)
class _Readable:
    """A file's change as text with its cost in tokens, or why it is not shown."""

    path: str
    heading: str = ""
    cost: int = 0
    hunks: tuple[_Hunk, ...] = ()
    reason: str | None = None
    rank: int = _OTHER

    @classmethod
    def of(cls, change: FileChange, ignore: IgnoreGlobs, count_tokens: CountTokens) -> _Readable:
        reason = _reason_to_ignore(change, ignore)
        if reason is not None:
            headers = (_Hunk(header, "", 0, cut=False) for header, _ in _split(change.patch or ""))
            return cls(change.path, hunks=tuple(headers), reason=reason)
        hunks = tuple(_hunk(header, text, count_tokens) for header, text in _split(change.patch or ""))
        heading = _heading(change)
        cost = count_tokens(heading) + sum(hunk.cost for hunk in hunks)
        return cls(change.path, heading, cost, hunks, rank=_rank(change.path))


def _turn(files: Sequence[_Readable]) -> Callable[[int], tuple[int, int, str]]:
    return lambda index: (files[index].rank, files[index].cost, files[index].path)


def _reason_to_ignore(change: FileChange, ignore: IgnoreGlobs) -> str | None:
    glob = ignore.first_match(change.path)
    if glob is not None:
        return f"matches the ignore pattern {glob}"
    if change.patch is None:
        return str(change.withheld or Withheld.NOT_SENT)
    for reason, globs in _NEVER_SHOWN.items():
        if _any_of(globs).first_match(change.path):
            return reason
    return _reason_in(change.patch)


def _reason_in(patch: str) -> str | None:
    if len(patch) > _LARGEST_PATCH:
        return str(Withheld.TOO_LARGE)
    if sum(len(line) for line in patch.split("\n") if len(line) > _LONGEST_LINE) * 2 > len(patch):
        return "very long lines: minified or data"
    start = _HUNK.match(patch)
    head = "\n".join(line for line in patch.split("\n", _HEAD_LINES)[1:_HEAD_LINES] if line[:1] != "-")
    if start and int(start[1]) <= 1 and _SAYS_GENERATED.search(head):
        return "generated, by its first lines"
    return None


def _rank(path: str) -> int:
    return next((rank for globs, rank in _RANKS if _any_of(globs).first_match(path)), _OTHER)


def _split(patch: str) -> list[tuple[str, str]]:
    """Header and whole text of each hunk."""
    starts = [match.start() for match in _HUNK.finditer(patch)]
    if not starts:
        return [("", patch)] if patch else []
    texts = (
        patch[start:end].removesuffix("\n") for start, end in zip(starts, [*starts[1:], None], strict=True)
    )
    return [(_header(text), text) for text in texts]


def _header(hunk: str) -> str:
    found = _HUNK.match(hunk)
    return found[0] if found else ""


def _hunk(header: str, text: str, count_tokens: CountTokens) -> _Hunk:
    lines = strip_invisible(text).split("\n")
    cut = any(len(line) > _LONGEST_LINE for line in lines)
    visible = "\n".join(_shortened(line) for line in lines) + "\n"
    return _Hunk(header, visible, count_tokens(visible), cut)


def _shortened(line: str) -> str:
    more = len(line) - _LONGEST_LINE
    return line if more <= 0 else f"{line[:_LONGEST_LINE]}[… {more} more characters]"


def _heading(change: FileChange) -> str:
    origin = f" from {shown_path(change.previous_path)}" if change.previous_path else ""
    return (
        f"=== {shown_path(change.path)} ({change.status}{origin}, +{change.additions} -{change.deletions})\n"
    )


def _allot(costs: Sequence[int], budget: int, least: int) -> list[int]:
    """Shares of `budget`, in the order of `costs`; 0 for those who get no turn.

    In that order, whoever can still have the smaller of its cost and `least` gets a turn. Those share
    the budget as evenly as their costs allow.
    """
    turns = []
    room = budget
    for index, cost in enumerate(costs):
        if min(cost, least) <= room:
            turns.append(index)
            room -= min(cost, least)
    shares = [0] * len(costs)
    left = budget
    for served, index in enumerate(sorted(turns, key=costs.__getitem__)):
        shares[index] = min(costs[index], left // (len(turns) - served))
        left -= shares[index]
    return shares


def _show(file: _Readable, share: int, count_tokens: CountTokens) -> tuple[str, FileCoverage]:
    room = share - count_tokens(file.heading)
    if room < 0:
        return "", _unseen(file, _OVER_BUDGET)
    order = sorted(range(len(file.hunks)), key=lambda index: file.hunks[index].cost)
    shares = _allot([file.hunks[index].cost for index in order], room, _LEAST_HUNK)
    by_index = dict(zip(order, shares, strict=True))
    shown = [_clip(hunk, by_index[index], count_tokens) for index, hunk in enumerate(file.hunks)]
    hunks = tuple(coverage for _, coverage in shown)
    if hunks and all(hunk.seen is Seen.IGNORED for hunk in hunks):
        return "", _unseen(file, _OVER_BUDGET)
    text = file.heading + "".join(text for text, _ in shown)
    whole = all(hunk.seen is Seen.SEEN for hunk in hunks)
    reasons = dict.fromkeys(hunk.reason.partition(":")[0] for hunk in hunks if hunk.reason)
    seen = Seen.SEEN if whole else Seen.CLIPPED
    return text, FileCoverage(file.path, seen, "; ".join(reasons) or None, hunks)


def _clip(hunk: _Hunk, share: int, count_tokens: CountTokens) -> tuple[str, HunkCoverage]:
    """Cut after the last line that fits, and say how many are left out."""
    if share >= hunk.cost:
        seen = Seen.CLIPPED if hunk.cut else Seen.SEEN
        return hunk.text, HunkCoverage(hunk.header, seen, _LINES_CUT if hunk.cut else None)
    lines = hunk.text.splitlines(keepends=True)

    def cut(kept: int) -> str:
        return "".join(lines[:kept]) + f"[… {len(lines) - kept} more lines of this hunk left out]\n"

    kept = bisect_right(range(len(lines)), share, key=lambda count: count_tokens(cut(count))) - 1
    if kept < 2:
        return "", HunkCoverage(hunk.header, Seen.IGNORED, _OVER_BUDGET)
    reason = f"{_OVER_BUDGET}: {len(lines) - kept} of its {len(lines) - 1} lines left out"
    return cut(kept), HunkCoverage(hunk.header, Seen.CLIPPED, reason)


def _unseen(file: _Readable, reason: str | None = None) -> FileCoverage:
    why = file.reason or reason
    hunks = tuple(HunkCoverage(hunk.header, Seen.IGNORED, why) for hunk in file.hunks)
    return FileCoverage(file.path, Seen.IGNORED, why, hunks)
