"""Publishing happens once."""

from __future__ import annotations

import pytest

from forgehand.application.effects import COMMENT_LIMIT, comment_marker, publish_comment
from forgehand.application.ports.code_host import HostUnavailable
from forgehand.application.ports.comments import Comment
from tests.contracts.comments import CommentsContract, Thread
from tests.fakes.comments import MemoryComments

WHERE = ("acme/shop", 7)
KEY = "generate-docs:acme/shop:7"


@pytest.fixture
def comments() -> MemoryComments:
    return MemoryComments()


async def publish(comments: MemoryComments, body: str, key: str = KEY) -> Comment:
    return await publish_comment(comments, *WHERE, key, body)


class TestMemoryComments(CommentsContract):
    @pytest.fixture
    def thread(self, comments: MemoryComments) -> Thread:
        async def say_as_stranger(body: str) -> None:
            comments.say("stranger", *WHERE, body)

        async def delete(comment_id: str) -> None:
            comments.delete(*WHERE, comment_id)

        return Thread(comments, *WHERE, say_as_stranger, delete)


async def test_publishing_twice_leaves_one_comment_edited_in_place(comments: MemoryComments) -> None:
    first = await publish(comments, "version 1")
    second = await publish(comments, "version 2")

    assert second.id == first.id
    assert comments.bodies(*WHERE) == [f"{comment_marker(KEY)}\nversion 2"]


async def test_an_unchanged_comment_is_not_written_again(comments: MemoryComments) -> None:
    first = await publish(comments, "same\n")
    again = await publish(comments, "same\n")

    assert (again, comments.writes) == (first, 1)


async def test_a_comment_that_the_host_trimmed_and_gave_crlf_is_unchanged(comments: MemoryComments) -> None:
    comments.say(comments.identity, *WHERE, f"{comment_marker(KEY)}\r\nline 1\r\nline 2")

    await publish(comments, "line 1\nline 2\n\n")

    assert comments.writes == 0


async def test_a_comment_whose_answer_was_lost_is_found_by_the_next_attempt(comments: MemoryComments) -> None:
    comments.lose_answers = 1
    with pytest.raises(HostUnavailable):
        await publish(comments, "posted, but nobody heard")

    found = await publish(comments, "posted, but nobody heard")

    assert comments.bodies(*WHERE) == [found.body]
    assert comments.writes == 1


async def test_different_keys_have_their_own_comments(comments: MemoryComments) -> None:
    docs = await publish(comments, "docs")
    review = await publish(comments, "review", key="review:acme/shop:7")

    assert docs.id != review.id
    assert len(comments.bodies(*WHERE)) == 2


async def test_a_foreign_comment_with_a_forged_marker_is_left_alone(comments: MemoryComments) -> None:
    forged = comments.say("stranger", *WHERE, f"{comment_marker(KEY)}\nforged")

    ours = await publish(comments, "ours")

    assert comments.bodies(*WHERE) == [forged.body, ours.body]


async def test_a_marker_that_is_only_quoted_in_another_comment_of_ours_does_not_count(
    comments: MemoryComments,
) -> None:
    other = await publish(comments, f"a diff that holds\n{comment_marker(KEY)}", key="other")

    ours = await publish(comments, "ours")

    assert comments.bodies(*WHERE) == [other.body, ours.body]


async def test_of_several_marked_comments_the_oldest_is_updated_and_the_others_are_left(
    comments: MemoryComments,
) -> None:
    oldest = comments.say(comments.identity, *WHERE, f"{comment_marker(KEY)}\nold")
    younger = comments.say(comments.identity, *WHERE, f"{comment_marker(KEY)}\nyoung")

    published = await publish(comments, "new")

    assert published.id == oldest.id
    assert comments.bodies(*WHERE) == [published.body, younger.body]


async def test_a_comment_deleted_under_our_hands_is_created_anew() -> None:
    comments = DeletedMeanwhile()
    comments.say(comments.identity, *WHERE, f"{comment_marker(KEY)}\nold")

    published = await publish(comments, "new")

    assert comments.bodies(*WHERE) == [published.body]
    assert published.body.endswith("new")


class DeletedMeanwhile(MemoryComments):
    """Somebody deletes the comment between our look and our update."""

    async def update_comment(self, location: str, number: int, comment_id: str, body: str) -> Comment:
        self.delete(location, number, comment_id)
        return await MemoryComments.update_comment(self, location, number, comment_id, body)


@pytest.mark.parametrize("key", ["--> <b>out</b>", "a\nb", "<!--", "é" * 500, "", "--!>"])
async def test_no_key_breaks_out_of_the_hidden_marker(comments: MemoryComments, key: str) -> None:
    published = await publish(comments, "body", key=key)

    first, _, rest = published.body.partition("\n")
    assert first.startswith("<!-- forgehand:")
    assert first.index("-->") == len(first) - len("-->")
    assert rest == "body"
    assert await publish(comments, "body", key=key) == published


async def test_a_body_over_the_limit_keeps_its_marker_and_says_that_it_was_clipped(
    comments: MemoryComments,
) -> None:
    published = await publish(comments, "0123456789abcde\n" * 10_000)

    assert len(published.body) <= COMMENT_LIMIT
    assert published.body.startswith(comment_marker(KEY))
    assert published.body.endswith(
        "*Clipped: the whole text has 160,052 characters, a comment holds 65,536.*"
    )
    assert published.body.count("0123456789abcde") > 4_000


async def test_a_body_at_the_limit_is_kept_whole(comments: MemoryComments) -> None:
    room = COMMENT_LIMIT - len(comment_marker(KEY)) - 1

    published = await publish(comments, "x" * room)

    assert len(published.body) == COMMENT_LIMIT
    assert published.body.endswith("x")


async def test_a_single_line_over_the_limit_is_cut_within_the_line(comments: MemoryComments) -> None:
    published = await publish(comments, "title\n" + "é" * 200_000)

    assert published.body.count("é") > 65_000
    assert len(published.body) <= COMMENT_LIMIT


async def test_a_clipped_code_block_is_closed_before_the_note(comments: MemoryComments) -> None:
    published = await publish(comments, "```python\n" + "print()\n" * 20_000 + "```\n")

    assert "print()\n```\n\n*Clipped" in published.body


async def test_text_that_is_not_encodable_does_not_stop_the_comment(comments: MemoryComments) -> None:
    published = await publish(comments, "a lone surrogate: \ud800")

    assert published.body.endswith("a lone surrogate: ?")
