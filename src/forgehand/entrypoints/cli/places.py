"""What `--repo` means: a folder on this machine, or a repository on a host."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

_OWNER_AND_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9._-]+")
_SCP_FORM = re.compile(r"(?:[^@/\s]+@)(?P<host>[^:/\s]+):(?P<path>[^\s]+)")


@dataclass(frozen=True, slots=True)
class Place:
    """A repository's location, as jobs take it; a local one is an absolute path."""

    location: str
    local: bool


def place(text: str) -> Place:
    """A folder that exists wins over a repository on the host that is written alike."""
    if text.lower().startswith("file://"):
        return _on_disk(Path(unquote(urlsplit(text).path)))
    if "://" in text:
        return Place(text, local=False)
    path = Path(text).expanduser()
    if path.exists():
        return _on_disk(path)
    if match := _SCP_FORM.fullmatch(text):
        return Place(f"https://{match['host']}/{match['path']}", local=False)
    if _OWNER_AND_NAME.fullmatch(text):
        return Place(text, local=False)
    return _on_disk(path)


def _on_disk(path: Path) -> Place:
    """A folder inside a clone means the clone."""
    path = path.absolute()
    top = next((folder for folder in (path, *path.parents) if (folder / ".git").exists()), path)
    return Place(str(top), local=True)
