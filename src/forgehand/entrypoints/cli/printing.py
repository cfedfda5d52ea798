"""Words on the terminal: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from forgehand.application.untrusted import one_line

_WIDEST = 200


def say(text: str) -> None:
    """One line for the person, on stderr."""
    print(text, file=sys.stderr, flush=True)


def show(text: str) -> None:
    """A line of the result, on stdout."""
    print(text, flush=True)


def show_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str), flush=True)


def show_json_line(value: Any) -> None:
    """One of many, on a line of its own."""
    print(json.dumps(value, ensure_ascii=False, default=str), flush=True)


def show_markdown(text: str) -> None:
    """Rendered for a terminal; as it is where stdout is a file or a pipe."""
    if not sys.stdout.isatty():
        print(text, end="", flush=True)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))


def show_rows(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table for a terminal; lines of tab-separated fields without heads otherwise."""
    cells = [[one_line(str(cell), _WIDEST) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in cells:
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    # What comes first is an id or a name, to be copied: it is never broken.
    columns = [Column(head, no_wrap=place == 0) for place, head in enumerate(heads)]
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in cells:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    Console().print(table)


def own_command() -> str:
    """What to type to call this program again: its name where the PATH has it, else where it is."""
    installed = Path(sys.executable).with_name("forgehand")
    if shutil.which("forgehand") or not installed.exists():
        return "forgehand"
    return shlex.quote(str(installed))


class Shown(Protocol):
    """Takes the state of the work, in a few words."""

    def __call__(self, words: str, /) -> None: ...


@contextmanager
def spinner(words: str) -> Iterator[Shown]:
    """A line on stderr that says what is being done; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(words)) as status:
        yield lambda words: status.update(Text(one_line(words, _WIDEST)))


class Counted(Protocol):
    """Told the number of all steps when it is known, and each time that one ends."""

    def __call__(self, total: int, done: int, /) -> None: ...


@contextmanager
def progress_bar(words: str) -> Iterator[Counted]:
    """A bar on stderr; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(words, total=None)
        yield lambda total, done: progress.update(task, total=total, completed=done)
