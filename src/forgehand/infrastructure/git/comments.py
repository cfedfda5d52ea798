"""Comments as Markdown files beside a local repository's objects."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from forgehand.application.ports.comments import Comment, CommentGone

_FILE_NAME: Final = re.compile(r"([1-9][0-9]{0,17})\.md", re.ASCII)


@dataclass(frozen=True, slots=True)
class CommentFolder:
    """The conversation of one issue or pull request: `<id>.md`, ids counting from 1.

    A reader never sees half a comment, and two writers never take the same id. Raises OSError.
    """

    path: Path

    def all(self) -> list[Comment]:
        """Oldest first."""
        return [self._read(number) for number in self._numbers()]

    def create(self, body: str) -> Comment:
        self.path.mkdir(parents=True, exist_ok=True)
        with self._written(body) as draft:
            number = max(self._numbers(), default=0)
            while True:
                number += 1
                try:
                    self._file(number).hardlink_to(draft)
                except FileExistsError:  # another process was faster
                    continue
                return self._read(number)

    def update(self, comment_id: str, body: str) -> Comment:
        """Raise CommentGone if there is no such comment."""
        if not _FILE_NAME.fullmatch(f"{comment_id}.md") or not self._file(int(comment_id)).is_file():
            raise CommentGone(f"comment {comment_id} is no longer in {self.path}")
        with self._written(body) as draft:
            draft.replace(self._file(int(comment_id)))
        return self._read(int(comment_id))

    def _numbers(self) -> list[int]:
        names = (
            (_FILE_NAME.fullmatch(file.name) for file in self.path.iterdir()) if self.path.is_dir() else ()
        )
        return sorted(int(name[1]) for name in names if name)

    def _read(self, number: int) -> Comment:
        file = self._file(number)
        return Comment(str(number), file.read_bytes().decode(errors="replace"), str(file))

    def _file(self, number: int) -> Path:
        return self.path / f"{number}.md"

    @contextmanager
    def _written(self, body: str) -> Iterator[Path]:
        """A draft that is whole on disk, gone after the block unless it was moved."""
        draft = self.path / f".draft-{uuid4().hex}"
        try:
            with draft.open("xb") as file:
                file.write(body.encode(errors="replace"))
                file.flush()
                os.fsync(file.fileno())
            yield draft
        finally:
            draft.unlink(missing_ok=True)
