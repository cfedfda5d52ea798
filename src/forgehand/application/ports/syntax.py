"""Reading source code without running it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Symbol:
    """A public symbol. `name` is qualified within its file (`Client.get`); `signature` is one line.

    `kind` is one of function, method, class, interface, enum, struct, trait, type, constant, module,
    export (a name that the file passes on from elsewhere).
    `digest` changes when the symbol's own text changes, but not when it merely moves.
    """

    kind: str
    name: str
    signature: str
    digest: str


class Syntax(Protocol):
    """Finds public symbols."""

    async def public_symbols(self, path: str, source: bytes) -> tuple[Symbol, ...] | None:
        """In order of appearance; None where no grammar is known for `path`, or reading costs too much.

        Source that does not parse gives what could be read of it, never an error. Public means
        what the language says: no leading underscore (Python), exported (JS/TS), capitalised
        (Go), `public` (Java), `pub` (Rust).
        """
        ...
