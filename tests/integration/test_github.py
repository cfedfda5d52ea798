"""GitHub over real HTTP, against a small server that speaks its wire format."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forgehand.application.effects import COMMENT_LIMIT, comment_marker, publish_comment
from forgehand.application.ports.code_host import (
    AccessRefused,
    HistoryIncomplete,
    HostUnavailable,
    HostUnknown,
    PullRequestNotFound,
    RepositoryNotFound,
)
from forgehand.application.ports.comments import Comment
from forgehand.domain.pull_requests import ChangeStatus, Withheld
from forgehand.domain.repositories import RepoName
from forgehand.infrastructure.github import GitHub
from tests.contracts.code_host import CodeHostContract
from tests.contracts.comments import CommentsContract, Thread
from tests.fakes.github_server import (
    BOT,
    DAY_ONE,
    STRANGER,
    TOKEN,
    FakeGitHub,
    Fault,
    StoredPull,
    StoredRepository,
    add_sample,
)
from tests.repositories import Sample, SampleRepository, build_sample

SHOP = "acme/shop"
KEY = "generate-docs:acme/shop:7"
BASE, HEAD = "b" * 40, "a" * 40
SOON = (timedelta(milliseconds=1),) * 2


@pytest.fixture
def server() -> Iterator[FakeGitHub]:
    with FakeGitHub() as fake:
        yield fake


@pytest.fixture
def shop(server: FakeGitHub) -> StoredRepository:
    """A repository in memory with the open pull request 7."""
    repository = server.add_repository(SHOP)
    repository.add_pull(StoredPull(7, "Sell more", BASE, HEAD, commits=[], files=[]))
    return repository


@pytest.fixture
async def github(server: FakeGitHub) -> AsyncIterator[GitHub]:
    adapter = GitHub(TOKEN, server.api_url, timeout=timedelta(seconds=5), pauses=SOON)
    yield adapter
    await adapter.close()


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., GitHub]]:
    """Builds adapters and closes them in the end."""
    built = []

    def build(token: str | None, api_url: str, **options: Any) -> GitHub:
        adapter = GitHub(token, api_url, **{"pauses": SOON, "timeout": timedelta(seconds=5), **options})
        built.append(adapter)
        return adapter

    yield build
    for adapter in built:
        await adapter.close()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return build_sample(tmp_path_factory.mktemp("github") / "sample")


class TestGitHub(CodeHostContract):
    @pytest.fixture
    def host(self, github: GitHub, server: FakeGitHub, sample: Sample) -> GitHub:
        add_sample(server, sample)
        return github

    @pytest.fixture
    def location(self, sample: Sample) -> str:
        return str(sample.repo)


class TestGitHubEnterprise(CodeHostContract):
    """Below `/api/v3`, and named by a web address."""

    @pytest.fixture
    def server(self) -> Iterator[FakeGitHub]:
        with FakeGitHub(prefix="/api/v3") as fake:
            yield fake

    @pytest.fixture
    def host(self, github: GitHub, server: FakeGitHub, sample: Sample) -> GitHub:
        add_sample(server, sample)
        return github

    @pytest.fixture
    def location(self, server: FakeGitHub, sample: Sample) -> str:
        return f"{server.origin}/{sample.repo}.git"


class TestGitHubComments(CommentsContract):
    @pytest.fixture
    def thread(self, github: GitHub, server: FakeGitHub, shop: StoredRepository) -> Thread:
        async def say_as_stranger(body: str) -> None:
            server.say(SHOP, 7, STRANGER, body)

        async def delete(comment_id: str) -> None:
            server.delete_comment(SHOP, int(comment_id))

        return Thread(github, SHOP, 7, say_as_stranger, delete)


async def publish(github: GitHub, body: str) -> Comment:
    return await publish_comment(github, SHOP, 7, KEY, body)


def bodies(server: FakeGitHub) -> list[str]:
    return [comment.body for comment in server.comments(SHOP, 7)]


def told(error: BaseException) -> str:
    """All that a log could show of an error, with its causes."""
    return "".join(traceback.format_exception(error))


class TestPublishing:
    async def test_publishing_twice_gives_one_comment_edited(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        first = await publish(github, "version 1")
        second = await publish(github, "version 2")

        assert second.id == first.id
        assert bodies(server) == [f"{comment_marker(KEY)}\nversion 2"]
        assert (len(server.requests("POST")), len(server.requests("PATCH"))) == (1, 1)

    async def test_publishing_the_same_again_writes_nothing(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        assert await publish(github, "same") == await publish(github, "same")

        assert (len(server.requests("POST")), len(server.requests("PATCH"))) == (1, 0)

    async def test_a_foreign_comment_with_a_forged_marker_is_left_alone(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        forged = f"{comment_marker(KEY)}\nforged"
        server.say(SHOP, 7, STRANGER, forged)

        published = await publish(github, "ours")

        assert bodies(server) == [forged, published.body]
        assert server.requests("PATCH") == []

    async def test_our_own_comment_on_page_3_of_the_comments_is_found(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        for index in range(230):
            server.say(SHOP, 7, STRANGER, f"noise {index}")
        ours = server.say(SHOP, 7, BOT, f"{comment_marker(KEY)}\nold")

        published = await publish(github, "new")

        assert published.id == str(ours.id)
        assert len(bodies(server)) == 231
        assert [request.query.get("page") for request in server.requests("GET", "comments")] == [
            None,
            "2",
            "3",
        ]

    async def test_a_comment_whose_answer_was_lost_is_not_posted_again_by_the_next_attempt(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        server.fail(Fault(method="POST", afterwards=True))
        with pytest.raises(HostUnavailable):
            await publish(github, "posted, but nobody heard")

        await publish(github, "posted, but nobody heard")

        assert bodies(server) == [f"{comment_marker(KEY)}\nposted, but nobody heard"]
        assert len(server.requests("POST")) == 1

    async def test_a_text_over_the_hosts_limit_is_published_clipped(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        published = await publish(github, "é漢🎉\n" * 30_000)

        assert bodies(server) == [published.body]
        assert len(published.body) <= COMMENT_LIMIT
        assert "Clipped" in published.body

    async def test_an_apps_installation_finds_its_own_comment(self, connect: Callable[..., GitHub]) -> None:
        with FakeGitHub(knows_user=False, prefix="/api/v3") as server:
            server.add_repository(SHOP).add_pull(StoredPull(7, "Sell more", BASE, HEAD, commits=[], files=[]))
            github = connect(TOKEN, server.api_url)

            await publish(github, "version 1")
            await publish(github, "version 2")

            assert bodies(server) == [f"{comment_marker(KEY)}\nversion 2"]

    async def test_who_we_are_is_asked_once(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        await publish(github, "version 1")
        await publish(github, "version 2")

        assert len(server.requests("GET", "/user")) == 1

    async def test_without_a_token_nothing_is_published_and_the_message_says_what_to_set(
        self, connect: Callable[..., GitHub], server: FakeGitHub, shop: StoredRepository
    ) -> None:
        github = connect(None, server.api_url)

        with pytest.raises(AccessRefused, match="set GITHUB_TOKEN"):
            await publish(github, "anonymous")
        with pytest.raises(AccessRefused, match="set GITHUB_TOKEN"):
            await github.create_comment(SHOP, 7, "anonymous")
        assert bodies(server) == []


class TestWritesAreNotRepeated:
    @pytest.mark.parametrize("status", [500, 502, 503])
    async def test_a_server_error_on_a_post_is_not_repeated(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository, status: int
    ) -> None:
        server.fail(Fault(status, method="POST", afterwards=True))

        with pytest.raises(HostUnavailable, match=str(status)):
            await github.create_comment(SHOP, 7, "once")

        assert len(server.requests("POST")) == len(bodies(server)) == 1

    async def test_a_connection_cut_on_a_patch_is_not_repeated(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        created = await github.create_comment(SHOP, 7, "first")
        server.fail(Fault(method="PATCH"))

        with pytest.raises(HostUnavailable, match="cut the connection"):
            await github.update_comment(SHOP, 7, created.id, "second")

        assert len(server.requests("PATCH")) == 1

    async def test_a_post_that_takes_too_long_is_not_repeated(
        self, connect: Callable[..., GitHub], server: FakeGitHub, shop: StoredRepository
    ) -> None:
        github = connect(TOKEN, server.api_url, timeout=timedelta(seconds=0.3))
        await github.pull_request(SHOP, 7)
        server.fail(Fault(method="POST", delay=1.0, afterwards=True))

        with pytest.raises(HostUnavailable, match="in time"):
            await github.create_comment(SHOP, 7, "slow")

        assert len(server.requests("POST")) == 1

    async def test_a_rate_limited_post_is_not_repeated(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        server.fail(Fault(403, "secondary rate limit", {"Retry-After": "1"}, method="POST"))

        with pytest.raises(HostUnavailable) as caught:
            await github.create_comment(SHOP, 7, "too fast")

        assert caught.value.retry_after == timedelta(seconds=1)
        assert len(server.requests("POST")) == 1

    async def test_an_answer_that_is_not_githubs_leaves_it_open_whether_it_was_posted(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        server.fail(Fault(201, raw=b"<html>proxy</html>", method="POST", afterwards=True))

        with pytest.raises(HostUnavailable, match="GITHUB_API_URL"):
            await github.create_comment(SHOP, 7, "once")


class TestReadsArePatient:
    @pytest.mark.parametrize("fault", [Fault(502, times=2), Fault(None, times=2), Fault(500), Fault(503)])
    async def test_a_read_survives_a_failure_that_passes(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository, fault: Fault
    ) -> None:
        server.fail(Fault(fault.status, times=fault.times))

        assert (await github.pull_request(SHOP, 7)).title == "Sell more"

    async def test_a_read_gives_up_after_a_few_tries(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        server.fail(Fault(502, times=100))

        with pytest.raises(HostUnavailable, match="502"):
            await github.pull_request(SHOP, 7)

        assert len(server.journal) == len(SOON) + 1

    async def test_a_host_that_does_not_answer_in_time_is_unavailable(
        self, connect: Callable[..., GitHub], server: FakeGitHub, shop: StoredRepository
    ) -> None:
        github = connect(TOKEN, server.api_url, timeout=timedelta(seconds=0.2), pauses=())
        server.fail(Fault(500, delay=1.0))

        with pytest.raises(HostUnavailable, match="in time"):
            await github.pull_request(SHOP, 7)

    async def test_a_host_that_is_down_is_unavailable(self, connect: Callable[..., GitHub]) -> None:
        with FakeGitHub() as gone:
            address = gone.api_url

        with pytest.raises(HostUnavailable, match="cannot be reached"):
            await connect(TOKEN, address).pull_request(SHOP, 7)

    async def test_a_rate_limit_is_handed_on_and_not_slept_through(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        reset = int((datetime.now(UTC) + timedelta(minutes=40)).timestamp())
        server.fail(
            Fault(
                403,
                "API rate limit exceeded",
                {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)},
            )
        )

        with pytest.raises(HostUnavailable) as caught:
            await asyncio.wait_for(github.pull_request(SHOP, 7), 5)

        assert caught.value.retry_after is not None
        assert timedelta(minutes=38) < caught.value.retry_after <= timedelta(minutes=40)
        assert len(server.journal) == 1

    @pytest.mark.parametrize("status", [403, 429])
    async def test_a_secondary_rate_limit_without_a_time_asks_for_a_minute(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository, status: int
    ) -> None:
        server.fail(Fault(status, "You have exceeded a secondary rate limit."))

        with pytest.raises(HostUnavailable) as caught:
            await github.pull_request(SHOP, 7)

        assert caught.value.retry_after == timedelta(minutes=1)

    @pytest.mark.parametrize("wait", ["0", "1"])
    async def test_a_rate_limit_of_a_moment_is_waited_for(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository, wait: str
    ) -> None:
        server.fail(Fault(429, "slow down", {"Retry-After": wait}))

        assert (await asyncio.wait_for(github.pull_request(SHOP, 7), 5)).number == 7

    async def test_a_limit_that_cannot_be_read_is_no_crash(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        server.fail(Fault(429, "slow down", {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}))

        with pytest.raises(HostUnavailable):
            await github.pull_request(SHOP, 7)

    @pytest.mark.parametrize("raw", [b"<html>sign in</html>", b"[]", b'{"number": 7}', b"null"])
    async def test_an_answer_that_is_not_githubs_says_what_to_check(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository, raw: bytes
    ) -> None:
        server.fail(Fault(200, raw=raw))

        with pytest.raises(HostUnavailable, match="GITHUB_API_URL"):
            await github.pull_request(SHOP, 7)

    async def test_pages_that_never_end_are_not_followed_for_ever(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("forgehand.infrastructure.github.wire.MOST_PAGES", 5)
        again = f'<{server.api_url}/repos/{SHOP}/issues/7/comments>; rel="next"'
        server.fail(Fault(200, headers={"Link": again}, path="/comments", times=1_000, raw=b"[]"))

        with pytest.raises(HostUnavailable, match="5 pages"):
            _ = [comment async for comment in github.own_comments(SHOP, 7)]


class TestWhatIsNotThere:
    async def test_an_unknown_repository_is_not_found(self, github: GitHub, server: FakeGitHub) -> None:
        with pytest.raises(RepositoryNotFound, match="no repository acme/nowhere"):
            await github.pull_request("acme/nowhere", 1)
        with pytest.raises(RepositoryNotFound):
            _ = [number async for number in github.merged_since("acme/nowhere", DAY_ONE)]
        with pytest.raises(RepositoryNotFound):
            await github.create_comment("acme/nowhere", 1, "hello")

    async def test_an_unknown_number_is_not_found_for_comments_either(
        self, github: GitHub, shop: StoredRepository
    ) -> None:
        with pytest.raises(PullRequestNotFound, match="acme/shop has no #8"):
            await github.create_comment(SHOP, 8, "hello")
        with pytest.raises(PullRequestNotFound):
            _ = [comment async for comment in github.own_comments(SHOP, 8)]

    @pytest.mark.parametrize(
        "location",
        ["https://gitlab.example/acme/shop", "http://127.0.0.1:1/acme/shop", "https://[bad/acme/shop"],
    )
    async def test_another_host_is_unknown_and_the_configured_one_is_named(
        self, github: GitHub, server: FakeGitHub, location: str
    ) -> None:
        with pytest.raises(HostUnknown, match=server.origin.removeprefix("http://")):
            await github.pull_request(location, 1)
        assert server.journal == []

    @pytest.mark.parametrize("location", ["shop", "a/b/c", "acme/", "acme/..", "acme/a b", "acme/shop?x=1"])
    async def test_what_names_no_repository_is_not_found(
        self, github: GitHub, server: FakeGitHub, location: str
    ) -> None:
        with pytest.raises(RepositoryNotFound, match="owner/name"):
            await github.pull_request(location, 1)
        assert server.journal == []

    @pytest.mark.parametrize("suffix", ["", ".git", "/", "/pull/7", "/pull/7/files", "/issues/7"])
    async def test_a_web_address_names_its_repository(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository, suffix: str
    ) -> None:
        assert (await github.pull_request(f"{server.origin}/{SHOP}{suffix}", 7)).repo == RepoName(
            "acme", "shop"
        )

    async def test_an_api_address_that_is_none_says_how_to_write_it(
        self, connect: Callable[..., GitHub]
    ) -> None:
        for address in ("github.example.org", "ftp://github.example.org", "http://[", ""):
            with pytest.raises(HostUnknown, match="GITHUB_API_URL is not a web address"):
                await connect(TOKEN, address).pull_request(SHOP, 7)

    @pytest.mark.parametrize("location", ["https://github.com/acme/shop", "https://www.github.com/acme/shop"])
    async def test_the_pages_of_github_com_belong_to_its_api(
        self, connect: Callable[..., GitHub], location: str
    ) -> None:
        github = connect("illegal\ntoken", "https://api.github.com")

        with pytest.raises(AccessRefused, match="GITHUB_TOKEN"):  # so the address was understood
            await github.pull_request(location, 7)

    @pytest.mark.parametrize("path", ["../../../user", "./x", "a//b", "", "a/../b"])
    async def test_a_path_cannot_lead_to_another_part_of_the_api(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository, path: str
    ) -> None:
        assert await github.file(SHOP, HEAD, path, 100) is None
        assert server.journal == []

    async def test_a_file_that_the_host_finds_too_large_is_none(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        too_large = b'{"message": "This API returns blobs up to 100 MB", "errors": [{"code": "too_large"}]}'
        server.fail(Fault(403, raw=too_large))

        assert await github.file(SHOP, HEAD, "big.bin", 100) is None


class TestCredentials:
    async def test_a_wrong_token_is_refused_and_the_message_says_what_to_do(
        self, connect: Callable[..., GitHub], server: FakeGitHub, shop: StoredRepository
    ) -> None:
        github = connect("ghp_wrong", server.api_url)

        for call in (github.pull_request(SHOP, 7), github.create_comment(SHOP, 7, "hello")):
            with pytest.raises(AccessRefused, match="GITHUB_TOKEN"):
                await call
        with pytest.raises(AccessRefused, match="GITHUB_TOKEN"):
            await publish(github, "hello")

    async def test_a_missing_right_is_refused_and_named(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        server.fail(Fault(403, "Resource not accessible by personal access token", method="POST"))

        with pytest.raises(AccessRefused, match=r"not accessible.*right to"):
            await github.create_comment(SHOP, 7, "hello")

    async def test_a_request_that_the_host_finds_wrong_is_refused_with_its_words(
        self, github: GitHub, shop: StoredRepository
    ) -> None:
        with pytest.raises(AccessRefused, match="422 Body is too long"):
            await github.create_comment(SHOP, 7, "x" * (COMMENT_LIMIT + 1))

    async def test_a_public_repository_is_read_without_a_token(
        self, connect: Callable[..., GitHub], server: FakeGitHub, shop: StoredRepository
    ) -> None:
        github = connect(None, server.api_url)

        assert (await github.pull_request(SHOP, 7)).title == "Sell more"
        assert "authorization" not in server.journal[0].headers

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 503])
    @pytest.mark.parametrize("write", [False, True])
    async def test_the_token_is_in_no_error_whatever_the_host_says(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository, status: int, write: bool
    ) -> None:
        server.fail(Fault(status, f"you sent Authorization: token\n{TOKEN}", times=10))

        with pytest.raises((AccessRefused, HostUnavailable, RepositoryNotFound)) as caught:
            await (github.create_comment(SHOP, 7, "x") if write else github.pull_request(SHOP, 7))

        assert TOKEN not in told(caught.value)
        assert "\n" not in str(caught.value)

    async def test_the_token_is_in_no_error_of_a_broken_connection(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        server.fail(Fault(times=10))

        with pytest.raises(HostUnavailable) as caught:
            await github.pull_request(SHOP, 7)

        assert TOKEN not in told(caught.value)

    @pytest.mark.parametrize("token", ["ghp_two\nlines", "ghp_tyle\u2026", "ghp_nul\0"])
    async def test_a_token_that_cannot_be_sent_is_refused_unseen(
        self, connect: Callable[..., GitHub], server: FakeGitHub, token: str
    ) -> None:
        with pytest.raises(AccessRefused, match="copy it again") as caught:
            await connect(token, server.api_url).pull_request(SHOP, 7)

        assert "ghp_" not in told(caught.value)
        assert server.journal == []

    async def test_white_space_around_the_token_is_forgiven(
        self, connect: Callable[..., GitHub], server: FakeGitHub, shop: StoredRepository
    ) -> None:
        assert (await connect(f" {TOKEN}\n", server.api_url).pull_request(SHOP, 7)).number == 7

    async def test_a_secret_in_an_address_is_not_repeated(self, github: GitHub) -> None:
        secret = "hunter" + "2"
        with pytest.raises(HostUnknown) as caught:
            await github.pull_request(f"https://user:{secret}@gitlab.example/acme/shop", 1)

        assert secret not in told(caught.value)


class TestOneOrigin:
    @pytest.fixture
    def elsewhere(self) -> Iterator[FakeGitHub]:
        with FakeGitHub() as other:
            other.add_repository(SHOP).add_pull(StoredPull(7, "Stolen", BASE, HEAD, commits=[], files=[]))
            yield other

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    async def test_a_redirect_to_another_origin_is_not_followed(
        self,
        github: GitHub,
        server: FakeGitHub,
        shop: StoredRepository,
        elsewhere: FakeGitHub,
        status: int,
    ) -> None:
        away = {"Location": f"{elsewhere.origin}/repos/{SHOP}/pulls/7"}
        server.fail(Fault(status, headers=away, times=10))

        with pytest.raises(HostUnknown, match="GITHUB_API_URL"):
            await github.pull_request(SHOP, 7)
        with pytest.raises(HostUnknown, match="GITHUB_API_URL"):
            await github.create_comment(SHOP, 7, "hello")

        assert elsewhere.journal == []
        assert len(server.journal) == 2

    async def test_a_link_to_a_next_page_at_another_origin_is_not_followed(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository, elsewhere: FakeGitHub
    ) -> None:
        away = f'<{elsewhere.origin}/repos/{SHOP}/issues/7/comments?page=2>; rel="next"'
        server.fail(Fault(200, headers={"Link": away}, path="/comments", raw=b"[]"))

        with pytest.raises(HostUnknown):
            await publish(github, "hello")

        assert elsewhere.journal == []
        assert bodies(server) == []

    async def test_a_renamed_repository_is_read_and_commented_under_its_new_name(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        server.moved["acme/old"] = SHOP

        assert (await github.pull_request("acme/old", 7)).repo == RepoName("acme", "shop")
        created = await github.create_comment("acme/old", 7, "hello")

        assert [str(comment.id) for comment in server.comments(SHOP, 7)] == [created.id]

    async def test_a_post_that_a_redirect_turned_into_a_get_is_no_comment(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        there = {"Location": f"{server.api_url}/repos/{SHOP}/issues/7/comments"}
        server.fail(Fault(301, headers=there, method="POST"))

        with pytest.raises(RepositoryNotFound, match="new name"):
            await github.create_comment(SHOP, 7, "hello")


class TestPullRequests:
    async def test_a_rebased_pull_request_has_all_its_commits_between_base_and_head(
        self, github: GitHub, server: FakeGitHub, tmp_path: Path
    ) -> None:
        repository = SampleRepository.create(tmp_path / "rebased")
        repository.write("a.txt", "a\n")
        start = repository.commit("Start")
        repository.start_branch("topic")
        for index in range(3):
            repository.write(f"topic{index}.txt", "topic\n")
            repository.commit(f"Topic {index}")
        branch = repository.git("rev-parse", "topic")
        repository.switch("main")
        repository.write("b.txt", "b\n")
        base = repository.commit("Meanwhile on main")
        repository.git("-c", "user.name=G", "-c", "user.email=g@e.org", "cherry-pick", f"{start}..topic")
        merged = repository.git("rev-parse", "HEAD")
        server.add_repository(SHOP, repository.path).add_pull(
            StoredPull(9, "Rebased", start, branch, merge_commit_sha=merged, merged_at=DAY_ONE)
        )

        pull = await github.pull_request(SHOP, 9)

        assert (pull.base_sha, pull.head_sha) == (base, merged)

    async def test_labels_author_and_a_missing_body_are_told(
        self, github: GitHub, shop: StoredRepository
    ) -> None:
        shop.add_pull(StoredPull(8, "Fix", BASE, HEAD, labels=("bug", "a b"), commits=[], files=[]))

        pull = await github.pull_request(SHOP, 8)

        assert (pull.labels, pull.author, pull.body) == (("bug", "a b"), STRANGER.login, "")

    async def test_files_are_read_through_all_pages(self, github: GitHub, shop: StoredRepository) -> None:
        shop.pulls[7].files = [_file(f"f{index}", additions=index) for index in range(250)]

        files = (await github.changes(SHOP, await github.pull_request(SHOP, 7))).files

        assert [(file.path, file.additions) for file in files] == [(f"f{i}", i) for i in range(250)]

    async def test_more_commits_than_the_host_lists_are_all_found(
        self, github: GitHub, shop: StoredRepository
    ) -> None:
        shop.pulls[7].commits = [_commit(index) for index in range(320)]

        commits = (await github.changes(SHOP, await github.pull_request(SHOP, 7))).commits

        assert [commit.message for commit in commits] == [f"commit {index}" for index in range(320)]

    async def test_more_files_than_the_host_lists_are_an_error_and_not_a_shorter_list(
        self, github: GitHub, shop: StoredRepository
    ) -> None:
        shop.pulls[7].files = [_file(f"f{index}") for index in range(3_001)]

        with pytest.raises(HistoryIncomplete, match=r"3000 of the 3001 files.*local clone"):
            await github.changes(SHOP, await github.pull_request(SHOP, 7))

    async def test_a_patch_that_the_host_left_out_is_withheld_with_exact_counts(
        self, github: GitHub, shop: StoredRepository
    ) -> None:
        long = {key: value for key, value in _file("long.txt", additions=9_000).items() if key != "patch"}
        retyped = {**_file("link"), "status": "changed", "patch": "@@ -1 +1 @@"}
        shop.pulls[7].files = [long, retyped]

        first, second = (await github.changes(SHOP, await github.pull_request(SHOP, 7))).files

        assert (first.patch, first.withheld, first.additions) == (None, Withheld.NOT_SENT, 9_000)
        assert second.status is ChangeStatus.TYPE_CHANGED

    async def test_merges_into_other_branches_and_abandoned_ones_are_not_listed(
        self, github: GitHub, shop: StoredRepository
    ) -> None:
        day = timedelta(days=1)
        for number, at, more in (
            (1, DAY_ONE, {}),
            (2, DAY_ONE + day, {"base": "release"}),
            (3, None, {"closed": True, "updated_at": DAY_ONE + 5 * day}),
            (4, DAY_ONE + 2 * day, {}),
            (5, DAY_ONE - day, {"updated_at": DAY_ONE + 9 * day}),
        ):
            shop.add_pull(StoredPull(number, "x", BASE, HEAD, merged_at=at, commits=[], files=[], **more))

        assert [number async for number in github.merged_since(SHOP, DAY_ONE)] == [4, 1]

    async def test_merges_are_read_through_as_many_pages_as_needed_and_no_more(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        for number in range(100, 450):
            at = DAY_ONE + timedelta(hours=number)
            shop.add_pull(StoredPull(number, "x", BASE, HEAD, merged_at=at, commits=[], files=[]))

        since = DAY_ONE + timedelta(hours=300)
        assert [n async for n in github.merged_since(SHOP, since)] == list(range(449, 299, -1))
        assert len(server.requests("GET", "/pulls")) == 2


class TestCost:
    async def test_many_reads_share_one_connection(
        self, github: GitHub, server: FakeGitHub, shop: StoredRepository
    ) -> None:
        for _ in range(10):
            await github.pull_request(SHOP, 7)

        assert len({request.headers["x-client-port"] for request in server.journal}) == 1

    async def test_an_adapter_that_was_closed_connects_again(
        self, github: GitHub, shop: StoredRepository
    ) -> None:
        await github.pull_request(SHOP, 7)
        await github.close()

        assert (await github.pull_request(SHOP, 7)).number == 7

    def test_neither_importing_nor_building_the_adapter_imports_githubkit(self) -> None:
        script = (
            "import sys; from forgehand.infrastructure.github import GitHub; GitHub('t');"
            "print([name for name in ('githubkit', 'httpx') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

        assert done.stdout.strip() == "[]"


def _file(name: str, *, additions: int = 1) -> dict[str, Any]:
    return {
        "sha": HEAD,
        "filename": name,
        "status": "modified",
        "additions": additions,
        "deletions": 0,
        "patch": "@@ -1 +1,2 @@\n x\n+y",
    }


def _commit(index: int) -> dict[str, Any]:
    author = {"name": "Ada", "email": "ada@example.org", "date": "2026-01-01T00:00:00Z"}
    return {
        "sha": f"{index:040x}",
        "commit": {"message": f"commit {index}", "author": author},
        "parents": [],
    }
