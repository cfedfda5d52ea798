"""Text that others wrote: made visible, fenced for a model, and harmless in Markdown."""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata

# Unicode's Default_Ignorable_Code_Point where the category is not telling (marks and letters that
# show nothing), variation selectors, and the blank Braille pattern.
_BLANK = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0}
    | {*range(0x180B, 0x1810), *range(0x2060, 0x2070), *range(0xFE00, 0xFE10), *range(0xE0000, 0xE1000)}
)
# Format, control, private use, unassigned, surrogate.
_UNSEEN = frozenset({"Cf", "Cc", "Co", "Cn", "Cs"})
_BREAKS = frozenset("\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
_KEPT = frozenset("\n\t")

_LABEL = re.compile(r"[a-z]+(-[a-z]+)*")
_BOUNDARY_LENGTH = 24

_CODE = re.compile(r"`([^`]+)`")
_MARKUP = re.compile(r"[\\`*\[\]|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_BLOCK_START = re.compile(r"^([#+=-]|\d+(?=[.)]))")
_REFERENCE = re.compile(r"@(?=\w)|#(?=\d)|\bgh-(?=\d)|:(?=//)|\bwww\.(?=\w)", re.IGNORECASE)
_SPLIT = "&#8203;"


def strip_invisible(text: str) -> str:
    """`text` without what a person cannot see but a model reads.

    Gone are tag characters, zero-width and bidirectional controls, variation selectors, fillers,
    control characters but newline and tab, and code points that stand for nothing. A line break
    that is not a newline becomes a space; CRLF becomes a newline.
    """
    text = text.replace("\r\n", "\n")
    seen = {ord(char): _replacement(char) for char in set(text) if char not in _KEPT and _invisible(char)}
    return text.translate(seen) if seen else text


def _invisible(char: str) -> bool:
    return char in _BREAKS or ord(char) in _BLANK or unicodedata.category(char) in _UNSEEN


def _replacement(char: str) -> str:
    return " " if char in _BREAKS else ""


def one_line(text: str, limit: int) -> str:
    """`text` as one visible line of at most `limit` characters; a cut ends in an ellipsis."""
    line = " ".join(strip_invisible(text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def fence(label: str, text: str) -> str:
    """`text` for a prompt, between two tags that nothing in it can close.

    The tags carry a digest of the text. Should the text contain it all the same, it is digested
    again until it does not; so the closing tag occurs exactly once, and equal text gives an equal
    prompt (which provider caches reward). `label` is ours: lower-case words joined by hyphens.
    """
    if not _LABEL.fullmatch(label):
        raise ValueError(f"not a label for a fence: {label!r}")
    text = strip_invisible(text)
    tag = f"{label}-{_boundary(text)}"
    return f"<{tag}>\n{text}\n</{tag}>"


def _boundary(text: str) -> str:
    lowered = text.lower()
    digest = hashlib.sha256(text.encode()).hexdigest()
    while digest[:_BOUNDARY_LENGTH] in lowered:
        digest = hashlib.sha256(digest.encode()).hexdigest()
    return digest[:_BOUNDARY_LENGTH]


def code_span(text: str, limit: int = 500) -> str:
    """`text` as one Markdown code span, whatever backticks it holds; no comment can open in it."""
    line = one_line(text, limit).replace("<!--", "<! --") or " "
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    ticks = "`" * (longest + 1)
    pad = " " if longest and (line[0] == "`" or line[-1] == "`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def plain(text: str, limit: int = 1000) -> str:
    """`text` as one line of Markdown that shows it and does nothing else.

    Code between single backticks stays code. There is no HTML, link, image, heading or list in the
    rest, nobody is mentioned, and no issue, pull request or address becomes a link.
    """
    parts = _CODE.split(one_line(text, limit))
    return "".join(code_span(part) if odd % 2 else _inert(part, odd == 0) for odd, part in enumerate(parts))


def _inert(text: str, starts_line: bool) -> str:
    text = html.escape(_MARKUP.sub(r"\\\g<0>", text), quote=False)
    if starts_line:
        text = _BLOCK_START.sub(_escaped_start, text)
    return _REFERENCE.sub(rf"\g<0>{_SPLIT}", text)


def _escaped_start(match: re.Match[str]) -> str:
    start = match[0]
    return f"{start}\\" if start.isdigit() else f"\\{start}"
