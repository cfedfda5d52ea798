"""A conversation in memory: Comments without a host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count

from forgehand.application.ports.code_host import HostUnavailable
from forgehand.application.ports.comments import Comment, CommentGone


@dataclass(slots=True)
class MemoryComments:
    """Comments of `identity` among those of others. With `lose_answers`, that many writes happen unheard."""

    identity: str = "forgehand"
    lose_answers: int = 0
    writes: int = 0
    _said: dict[tuple[str, int], dict[str, tuple[str, Comment]]] = field(default_factory=dict)
    _ids: count[int] = field(default_factory=lambda: count(1))

    async def own_comments(self, location: str, number: int) -> AsyncIterator[Comment]:
        for author, comment in list(self._thread(location, number).values()):
            if author == self.identity:
                yield comment

    async def create_comment(self, location: str, number: int, body: str) -> Comment:
        return self._answer(self.say(self.identity, location, number, body))

    async def update_comment(self, location: str, number: int, comment_id: str, body: str) -> Comment:
        thread = self._thread(location, number)
        if comment_id not in thread:
            raise CommentGone(f"comment {comment_id!r} is not there any more")
        author, old = thread[comment_id]
        comment = Comment(old.id, body, old.url)
        thread[comment_id] = author, comment
        return self._answer(comment)

    def say(self, author: str, location: str, number: int, body: str) -> Comment:
        """Add a comment of anyone."""
        identity = str(next(self._ids))
        comment = Comment(identity, body, f"memory:{location}#{number}-{identity}")
        self._thread(location, number)[identity] = author, comment
        return comment

    def delete(self, location: str, number: int, comment_id: str) -> None:
        del self._thread(location, number)[comment_id]

    def bodies(self, location: str, number: int) -> list[str]:
        """All comments, whoever wrote them, oldest first."""
        return [comment.body for _, comment in self._thread(location, number).values()]

    def _thread(self, location: str, number: int) -> dict[str, tuple[str, Comment]]:
        return self._said.setdefault((location, number), {})

    def _answer(self, comment: Comment) -> Comment:
        self.writes += 1
        if self.lose_answers:
            self.lose_answers -= 1
            raise HostUnavailable("the answer was lost")
        return comment
