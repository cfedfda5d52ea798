"""What every adapter of Comments promises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from forgehand.application.ports.comments import Comment, CommentGone, Comments

MORE_THAN_TWO_PAGES = 205


@dataclass(frozen=True, slots=True)
class Thread:
    """An empty conversation, and how the rest of the world acts on it without our adapter."""

    comments: Comments
    location: str
    number: int
    say_as_stranger: Callable[[str], Awaitable[None]]
    delete: Callable[[str], Awaitable[None]]

    async def own(self) -> list[Comment]:
        return [comment async for comment in self.comments.own_comments(self.location, self.number)]

    async def say(self, body: str) -> Comment:
        return await self.comments.create_comment(self.location, self.number, body)

    async def change(self, comment_id: str, body: str) -> Comment:
        return await self.comments.update_comment(self.location, self.number, comment_id, body)


class CommentsContract:
    """Subclass it with a fixture `thread` that builds the adapter and an empty conversation."""

    async def test_a_new_conversation_has_no_comment_of_ours(self, thread: Thread) -> None:
        assert await thread.own() == []

    async def test_a_created_comment_is_found(self, thread: Thread) -> None:
        created = await thread.say("first line\n\nsecond: é 漢 🎉 `code`")

        assert await thread.own() == [created]
        assert created.body == "first line\n\nsecond: é 漢 🎉 `code`"
        assert created.url

    async def test_comments_of_the_same_text_are_two_comments(self, thread: Thread) -> None:
        one, other = await thread.say("same"), await thread.say("same")

        assert one.id != other.id
        assert await thread.own() == [one, other]

    async def test_an_update_replaces_the_body_in_place(self, thread: Thread) -> None:
        first, second = await thread.say("first"), await thread.say("second")

        updated = await thread.change(first.id, "rewritten")

        assert (updated.id, updated.url, updated.body) == (first.id, first.url, "rewritten")
        assert await thread.own() == [updated, second]

    async def test_updating_a_deleted_comment_says_that_it_is_gone(self, thread: Thread) -> None:
        kept, deleted = await thread.say("kept"), await thread.say("to be deleted")
        await thread.delete(deleted.id)

        with pytest.raises(CommentGone):
            await thread.change(deleted.id, "too late")

        assert await thread.own() == [kept]

    @pytest.mark.parametrize("comment_id", ["", "999999999", "../1", "1/../2", "no-such-comment"])
    async def test_updating_a_comment_that_never_was_says_that_it_is_gone(
        self, thread: Thread, comment_id: str
    ) -> None:
        kept = await thread.say("kept")

        with pytest.raises(CommentGone):
            await thread.change(comment_id, "nowhere to go")

        assert await thread.own() == [kept]

    async def test_a_foreign_comment_is_never_ours_whatever_it_says(self, thread: Thread) -> None:
        ours = await thread.say("<!-- forgehand:0123 -->\nours")
        await thread.say_as_stranger(ours.body)

        assert await thread.own() == [ours]

    async def test_own_comments_come_oldest_first_through_all_pages(self, thread: Thread) -> None:
        await thread.say_as_stranger("before")
        created = [await thread.say(f"comment {index}") for index in range(MORE_THAN_TWO_PAGES)]
        await thread.say_as_stranger("after")

        assert await thread.own() == created
