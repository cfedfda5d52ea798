"""Path patterns as in a .gitignore, without negation."""

from __future__ import annotations

import re
from functools import lru_cache

from forgehand.domain.errors import DomainError

_TOKEN = re.compile(r"(?:^|(?<=/))\*\*/|/\*\*$|\*+|\?|\[[!^]?\]?[^\]]*\]|\\?.", re.DOTALL)


class InvalidGlob(DomainError):
    """A path pattern that means nothing."""


_SPECIAL = re.compile(r"[\[\]\\^&~|]")
_ESCAPED = r"\\\g<0>"


@lru_cache(maxsize=1024)
def glob_regex(glob: str) -> re.Pattern[str]:
    """What `glob` matches, to be tried with `fullmatch` on a path. Raise InvalidGlob.

    `*` and `?` stay within one name, `**` crosses directories, `[ab]` is a choice. A pattern without
    a slash matches a name at any depth; one with a slash starts at the root. What matches a directory
    matches all that is in it; a final slash asks for a directory.
    """
    body = glob.strip().removesuffix("/")
    anchored = "/" in body
    body = body.removeprefix("/")
    below = "/.*" if glob.strip().endswith("/") else "(?:/.*)?"
    pattern = "".join(_translated(token) for token in _TOKEN.findall(body))
    try:
        return re.compile(f"{'' if anchored else '(?:.*/)?'}{_required(pattern)}{below}", re.DOTALL)
    except re.error as error:
        raise InvalidGlob(f"not a usable path pattern: {glob!r} ({error})") from error


def _required(pattern: str) -> str:
    if not pattern:
        raise re.error("it is empty")
    return pattern


def _translated(token: str) -> str:
    match token:
        case "**/":
            return "(?:.*/)?"
        case "/**":
            return "/.+"
        case "?":
            return "[^/]"
        case _ if token.startswith("*"):
            return "[^/]*"
        case _ if token.startswith("[") and len(token) > 2:
            negated = "^" if token[1] in "!^" else ""
            return f"[{negated}{_SPECIAL.sub(_ESCAPED, token[1 + len(negated) : -1])}]"
    return re.escape(token.removeprefix("\\") or token)
