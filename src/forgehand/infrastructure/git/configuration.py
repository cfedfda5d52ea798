"""The few facts that are taken from a clone's own configuration; git never acts on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forgehand.infrastructure.git.clones import Origin
from forgehand.infrastructure.git.commands import Git

_FORMAT: Final = re.compile(r"extensions\.(objectformat|refstorage)")
_WORD: Final = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Configuration:
    """`extensions` are those of the storage format; `partial` means that objects may be missing."""

    origin: Origin | None
    extensions: Mapping[str, str]
    partial: bool


async def read_configuration(git: Git, file: Path) -> Configuration:
    """Read the file alone, without what it includes. Raise GitFailed."""
    listing = await git.output("config", "--file", str(file), "--no-includes", "--list", "-z")
    values: dict[str, str] = {}
    for entry in listing.decode(errors="replace").split("\0"):
        key, _, value = entry.partition("\n")
        values.setdefault(key, value)
    return Configuration(
        origin=Origin.parse(values.get("remote.origin.url", "")),
        extensions={
            key.removeprefix("extensions."): value
            for key, value in values.items()
            if _FORMAT.fullmatch(key) and _WORD.fullmatch(value)
        },
        partial="extensions.partialclone" in values or any(key.endswith(".promisor") for key in values),
    )
