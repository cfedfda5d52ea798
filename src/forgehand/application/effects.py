"""Effects on the world that happen once, however often a job runs."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256

from forgehand.application.ports.comments import Comment, CommentGone, Comments

COMMENT_LIMIT = 65_536
"""Characters that GitHub takes in one comment; it refuses a longer one."""

_FENCE = "```"
_LONG_LINE = 1_000


async def publish_comment(comments: Comments, location: str, number: int, key: str, body: str) -> Comment:
    """Make `body` the one comment of `key` on that issue or pull request.

    The comment of an earlier run is edited in place, or left as it is where nothing changed. Safe to call
    again after any failure: a comment whose answer was lost is found by its marker. A body over
    COMMENT_LIMIT is clipped and says so. Raise what Comments raises.
    """
    marker = comment_marker(key)
    text = _clipped(f"{marker}\n{_encodable(body)}")
    found = [
        comment
        async for comment in comments.own_comments(location, number)
        if _first_line(comment.body) == marker
    ]
    for ours in found:
        if _canonical(ours.body) == _canonical(text):
            return ours
        with suppress(CommentGone):
            return await comments.update_comment(location, number, ours.id, text)
    return await comments.create_comment(location, number, text)


def comment_marker(key: str) -> str:
    """The invisible first line by which the comment of `key` is found again. Holds no text of the key."""
    return f"<!-- forgehand:{sha256(key.encode()).hexdigest()[:32]} -->"


def _first_line(body: str) -> str:
    return body.lstrip().partition("\n")[0].rstrip()


def _canonical(body: str) -> str:
    # Hosts trim comments, and their web editors write CRLF.
    return body.replace("\r\n", "\n").strip()


def _encodable(body: str) -> str:
    return body.encode("utf-8", "replace").decode("utf-8")


def _clipped(text: str) -> str:
    if len(text) <= COMMENT_LIMIT:
        return text
    note = f"\n\n*Clipped: the whole text has {len(text):,} characters, a comment holds {COMMENT_LIMIT:,}.*"
    closing = f"\n{_FENCE}"
    kept = text[: COMMENT_LIMIT - len(note) - len(closing)]
    whole_lines = kept.rpartition("\n")[0]
    if len(kept) - len(whole_lines) <= _LONG_LINE:
        kept = whole_lines
    fenced = sum(line.lstrip().startswith(_FENCE) for line in kept.split("\n")) % 2
    return kept + (closing if fenced else "") + note
