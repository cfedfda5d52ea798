"""Public symbols that came, changed or went."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from forgehand.application.facts.paths import is_library_code
from forgehand.application.facts.sides import Sides, Unreadable
from forgehand.application.ports.syntax import Symbol, Syntax
from forgehand.application.untrusted import one_line
from forgehand.domain.documentation import SymbolEvent, SymbolFact
from forgehand.domain.pull_requests import ChangeStatus, FileChange

FILE_LIMIT = 512 * 1024
FILES_AT_ONCE = 4
MOST_FILES = 100
MOST_SYMBOLS = 1000

_Change = tuple[str, Symbol | None, Symbol | None]


async def symbol_facts(
    sides: Sides, syntax: Syntax, files: Sequence[FileChange]
) -> tuple[tuple[SymbolFact, ...], tuple[str, ...]]:
    """The facts in the order of the files, and notes of what could not be compared.

    Only the first MOST_FILES files of library code (no tests, examples, vendored or generated files)
    with a known grammar are read, each side up to the limit of `sides`. A symbol that moved to another
    file of the same change unaltered is no fact.
    """
    readable = [file for file in files if await _is_readable(syntax, file)]
    turns = asyncio.Semaphore(FILES_AT_ONCE)
    compared = await asyncio.gather(
        *(_compared(turns, sides, syntax, file) for file in readable[:MOST_FILES])
    )
    changes = _without_moves([change for found, _ in compared for change in found])
    notes = [note for _, note in compared if note]
    if len(readable) > MOST_FILES:
        notes.append(
            f"public symbols: {len(readable) - MOST_FILES} files over the limit of {MOST_FILES} were not read"
        )
    if len(changes) > MOST_SYMBOLS:
        notes.append(f"public symbols: only {MOST_SYMBOLS} of {len(changes)} are listed")
    return tuple(_fact(*change) for change in changes[:MOST_SYMBOLS]), tuple(notes)


async def _is_readable(syntax: Syntax, file: FileChange) -> bool:
    regular = file.status is not ChangeStatus.TYPE_CHANGED and (file.additions or file.deletions)
    return (
        bool(regular)
        and is_library_code(file.path)
        and await syntax.public_symbols(file.path, b"") is not None
    )


async def _compared(
    turns: asyncio.Semaphore, sides: Sides, syntax: Syntax, file: FileChange
) -> tuple[list[_Change], str | None]:
    shown = f"{one_line(file.path, 200)}: public symbols not compared"
    async with turns:
        try:
            before, after = await sides.both(file)
        except Unreadable:
            return [], f"{shown}, it is {sides.why_not}"
        old = await _symbols(syntax, file.previous_path or file.path, before)
        new = await _symbols(syntax, file.path, after)
    if old is None or new is None:
        return [], f"{shown}, parsing it takes too much time or memory"
    return [(file.path, *pair) for pair in compare(old, new)], None


async def _symbols(syntax: Syntax, path: str, source: bytes | None) -> Sequence[Symbol] | None:
    return () if source is None else await syntax.public_symbols(path, source)


def compare(before: Iterable[Symbol], after: Iterable[Symbol]) -> list[tuple[Symbol | None, Symbol | None]]:
    """Pairs of what differs: those that came or changed in order of appearance, then those that went.

    Equal ones (kind, name, signature and digest) cancel out, overloads one by one. Of the rest, those of
    one name belong together, the same kind first; an overload that went while others stay changes what
    is left.
    """
    old, new = list(before), list(after)
    kept = Counter(old) & Counter(new)
    old, new = _minus(old, kept), _minus(new, kept)
    standing = {symbol.name: symbol for symbol in reversed(list(kept))}
    waiting: dict[str, list[Symbol]] = defaultdict(list)
    for symbol in old:
        waiting[symbol.name].append(symbol)
    pairs = [(_taken(waiting[symbol.name], symbol), symbol) for symbol in new]
    paired = {symbol.name: symbol for symbol in reversed(new)}
    gone = ((symbol, standing.get(symbol.name) or paired.get(symbol.name)) for symbol in old)
    left = {id(symbol) for symbols in waiting.values() for symbol in symbols}
    return [*pairs, *((one, other) for one, other in gone if id(one) in left)]


def _minus(symbols: Iterable[Symbol], kept: Counter[Symbol]) -> list[Symbol]:
    remaining, rest = kept.copy(), []
    for symbol in symbols:
        if remaining[symbol] > 0:
            remaining[symbol] -= 1
        else:
            rest.append(symbol)
    return rest


def _taken(candidates: list[Symbol], symbol: Symbol) -> Symbol | None:
    """Take out of `candidates` the one that is most like `symbol`."""
    if not candidates:
        return None
    best = max(candidates, key=lambda other: (other.kind == symbol.kind, other.signature == symbol.signature))
    candidates.remove(best)
    return best


def _without_moves(changes: Sequence[_Change]) -> list[_Change]:
    """Drop symbols that went from one file and came in another unaltered."""
    went = Counter(_identity(old) for _, old, new in changes if old is not None and new is None)
    came = Counter(_identity(new) for _, old, new in changes if new is not None and old is None)
    moved_out, moved_in = went & came, went & came
    rest = []
    for change in changes:
        _, old, new = change
        if (old is None) == (new is None):
            rest.append(change)
            continue
        pool, symbol = (moved_out, old) if old is not None else (moved_in, new)
        if symbol is not None and pool[_identity(symbol)] > 0:
            pool[_identity(symbol)] -= 1
        else:
            rest.append(change)
    return rest


def _identity(symbol: Symbol) -> tuple[str, str, str]:
    return symbol.kind, symbol.name, symbol.digest


def _fact(path: str, old: Symbol | None, new: Symbol | None) -> SymbolFact:
    """`previous_signature` is given where it differs: a change without it is one of the body."""
    shown = new or old
    assert shown is not None, "a change has at least one side"  # noqa: S101 - for the type checker
    if old is None:
        event, previous = SymbolEvent.ADDED, None
    elif new is None:
        event, previous = SymbolEvent.REMOVED, old.signature
    else:
        event, previous = SymbolEvent.CHANGED, old.signature if old.signature != new.signature else None
    signature = None if new is None else new.signature
    return SymbolFact(path, shown.kind, shown.name, event, signature, previous)
