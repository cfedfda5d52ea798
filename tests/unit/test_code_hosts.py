"""Which host a location goes to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from forgehand.application.ports.code_host import RepositoryNotFound
from forgehand.domain.pull_requests import ChangeSet, PullRequest
from forgehand.domain.repositories import RepoName
from forgehand.infrastructure.code_hosts import CodeHosts
from tests.fakes.comments import MemoryComments

LOCAL, REMOTE = "local", "remote"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class NamedHost(MemoryComments):
    """A host without content that answers with its own name."""

    async def pull_request(self, location: str, number: int) -> PullRequest:
        return PullRequest(RepoName("a", "b"), number, location, "", self.identity, "", "", None)

    async def merged_since(self, location: str, since: datetime) -> AsyncIterator[int]:
        for number in (2, 1) if location == "acme/shop" else ():
            yield number

    async def changes(self, location: str, pull: PullRequest) -> ChangeSet:
        raise RepositoryNotFound(f"{self.identity}: {location}")

    async def file(self, location: str, revision: str, path: str, limit: int) -> bytes | None:
        return self.identity.encode()


@pytest.fixture
def hosts() -> CodeHosts:
    return CodeHosts(local=NamedHost(LOCAL), remote=NamedHost(REMOTE))


@pytest.mark.parametrize(
    "location",
    [
        "acme/shop",
        "psf/requests",
        "acme/.github",
        "https://github.com/acme/shop",
        "https://github.com/acme/shop.git",
        "HTTP://github.example.org/acme/shop/pull/7",
    ],
)
async def test_names_and_web_addresses_go_to_the_remote_host(hosts: CodeHosts, location: str) -> None:
    pull = await hosts.pull_request(location, 7)

    assert (pull.author, pull.title) == (REMOTE, location)


@pytest.mark.parametrize(
    "location",
    [
        "/srv/git/shop",
        "/shop",
        ".",
        "..",
        "./shop",
        "../shop",
        "~",
        "~/shop",
        "~me/shop",
        "shop",
        "shop/",
        "src/git/shop",
        "C:\\git\\shop",
        "git\\shop",
        "a/b\\c",
        "",
    ],
)
async def test_whatever_looks_like_a_path_goes_to_the_local_host(hosts: CodeHosts, location: str) -> None:
    pull = await hosts.pull_request(location, 7)

    assert (pull.author, pull.title) == (LOCAL, location)


@pytest.mark.parametrize("location", ["file:///srv/my%20git/shop", "FILE:///srv/my%20git/shop"])
async def test_a_file_url_reaches_the_local_host_as_a_path(hosts: CodeHosts, location: str) -> None:
    pull = await hosts.pull_request(location, 7)

    assert (pull.author, pull.title) == (LOCAL, "/srv/my git/shop")


async def test_every_call_is_routed(hosts: CodeHosts) -> None:
    pull = await hosts.pull_request("./shop", 7)

    assert await hosts.file("./shop", "HEAD", "README", 10) == b"local"
    assert await hosts.file("acme/shop", "HEAD", "README", 10) == b"remote"
    assert [number async for number in hosts.merged_since("acme/shop", NOW)] == [2, 1]
    assert [number async for number in hosts.merged_since("./shop", NOW)] == []
    with pytest.raises(RepositoryNotFound, match=r"local: \./shop"):
        await hosts.changes("./shop", pull)

    created = await hosts.create_comment("acme/shop", 7, "hello")
    updated = await hosts.update_comment("acme/shop", 7, created.id, "hello again")
    assert [comment async for comment in hosts.own_comments("acme/shop", 7)] == [updated]
    assert [comment async for comment in hosts.own_comments("./shop", 7)] == []
