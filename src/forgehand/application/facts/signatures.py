"""Whether callers of a function notice that its signature changed."""

from __future__ import annotations

import re
from dataclasses import dataclass

_OPEN, _CLOSE = frozenset("([{<"), frozenset(")]}>")
_PYTHON = (".py", ".pyi")
_OPTIONAL_BY_MARK = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
_RECEIVERS = frozenset({"self", "cls"})


def is_incompatible(path: str, before: str, after: str) -> bool:
    """Whether code written for `before` may not work with `after`, as far as the text tells.

    Python and JavaScript or TypeScript let a function grow optional parameters at the end (Python
    also keyword ones anywhere); in the other languages any difference counts. Python's annotations
    do not. A signature that was cut is not judged.
    """
    if before.endswith("…") or after.endswith("…"):
        return False
    if path.endswith(_PYTHON):
        return _python_breaks(_parameters(before), _parameters(after)) or _is_async(before) != _is_async(
            after
        )
    if path.endswith(_OPTIONAL_BY_MARK):
        return _script_breaks(before, after)
    return before != after


def _is_async(signature: str) -> bool:
    return signature.startswith("async ")


def _parameters(signature: str) -> list[str]:
    """The texts between the commas of the first parentheses."""
    depth, start, found = 0, 0, []
    quote = ""
    for at, char in enumerate(signature):
        before = signature[at - 1 : at]
        if quote:
            quote = "" if char == quote and before != "\\" else quote
        elif char in "'\"`":
            quote = char
        elif char in _OPEN:
            depth += 1
            if depth == 1 and char == "(" and not start:
                start = at + 1
        elif char in _CLOSE and not (char == ">" and before in {"-", "="}):
            depth -= 1
            if start and depth == 0:
                found.append(signature[start:at])
                break
        elif char == "," and depth == 1 and start:
            found.append(signature[start:at])
            start = at + 1
    return [text.strip() for text in found if text.strip()]


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    optional: bool


@dataclass(frozen=True, slots=True)
class _PythonParameters:
    """`positional` may be given by place, `named` only by name; stars take whatever comes."""

    positional: tuple[_Parameter, ...]
    named: tuple[_Parameter, ...]
    takes_more: bool
    takes_any_name: bool

    def all(self) -> dict[str, _Parameter]:
        return {it.name: it for it in (*self.positional, *self.named)}


def _python(texts: list[str]) -> _PythonParameters:
    positional: list[_Parameter] = []
    named: list[_Parameter] = []
    takes_more = takes_any_name = keyword_only = False
    for text in texts:
        if text.startswith("**"):
            takes_any_name = True
        elif text.startswith("*"):
            keyword_only, takes_more = True, takes_more or text != "*"
        elif text != "/":
            name = re.split(r"[\s:=]", text, maxsplit=1)[0]
            (named if keyword_only else positional).append(_Parameter(name, _has_default(text)))
    if positional and positional[0].name in _RECEIVERS:
        positional.pop(0)
    return _PythonParameters(tuple(positional), tuple(named), takes_more, takes_any_name)


def _has_default(text: str) -> bool:
    return re.search(r"(?<![=!<>])=(?!=)", text) is not None


def _python_breaks(before: list[str], after: list[str]) -> bool:
    old, new = _python(before), _python(after)
    now = new.all()
    if (old.takes_more and not new.takes_more) or (old.takes_any_name and not new.takes_any_name):
        return True
    for place, it in enumerate(old.positional):
        if new.positional[place : place + 1] and new.positional[place].name == it.name:
            continue
        if not (new.takes_more and (it.name in now or new.takes_any_name)):
            return True
    if any(it.name not in now and not new.takes_any_name for it in old.named):
        return True
    was = old.all()
    return any(not it.optional and (name not in was or was[name].optional) for name, it in now.items())


def _script_breaks(before: str, after: str) -> bool:
    """Equal but for optional parameters added at the end."""
    old, new = _parameters(before), _parameters(after)
    added = new[len(old) :]
    if new[: len(old)] != old or not all(_is_optional(text) for text in added):
        return True
    return _around(before, old) != _around(after, new)


def _is_optional(text: str) -> bool:
    return text.startswith("...") or _has_default(text) or re.match(r"[\w$]+\?", text) is not None


def _around(signature: str, parameters: list[str]) -> str:
    """The signature without its parameters and spaces."""
    for text in parameters:
        signature = signature.replace(text, "", 1)
    return re.sub(r"[\s,]", "", signature)
