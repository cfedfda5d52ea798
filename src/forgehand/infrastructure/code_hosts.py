"""Sends each call to the host that its location names: the remote one or the local clone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol
from urllib.parse import unquote, urlsplit

from forgehand.application.ports.code_host import CodeHost
from forgehand.application.ports.comments import Comment, Comments
from forgehand.domain.pull_requests import ChangeSet, PullRequest


class Host(CodeHost, Comments, Protocol):
    """Reads code and takes comments."""


class CodeHosts:
    """A CodeHost and Comments over two others.

    `owner/name` and http(s) URLs go to `remote`, everything else is a path and goes to `local`.
    """

    def __init__(self, *, local: Host, remote: Host) -> None:
        self._local = local
        self._remote = remote

    async def pull_request(self, location: str, number: int) -> PullRequest:
        host, place = self._route(location)
        return await host.pull_request(place, number)

    def merged_since(self, location: str, since: datetime) -> AsyncIterator[int]:
        host, place = self._route(location)
        return host.merged_since(place, since)

    async def changes(self, location: str, pull: PullRequest) -> ChangeSet:
        host, place = self._route(location)
        return await host.changes(place, pull)

    async def file(self, location: str, revision: str, path: str, limit: int) -> bytes | None:
        host, place = self._route(location)
        return await host.file(place, revision, path, limit)

    def own_comments(self, location: str, number: int) -> AsyncIterator[Comment]:
        host, place = self._route(location)
        return host.own_comments(place, number)

    async def create_comment(self, location: str, number: int, body: str) -> Comment:
        host, place = self._route(location)
        return await host.create_comment(place, number, body)

    async def update_comment(self, location: str, number: int, comment_id: str, body: str) -> Comment:
        host, place = self._route(location)
        return await host.update_comment(place, number, comment_id, body)

    def _route(self, location: str) -> tuple[Host, str]:
        scheme = location.partition("://")[0].lower()
        if scheme == "file":
            return self._local, unquote(urlsplit(location).path)
        if scheme in {"http", "https"} or _is_owner_and_name(location):
            return self._remote, location
        return self._local, location


def _is_owner_and_name(location: str) -> bool:
    owner, _, name = location.partition("/")
    return bool(owner and name) and "/" not in name and "\\" not in location and owner[0] not in ".~"
