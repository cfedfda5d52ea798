"""HTTP to one GitHub through githubkit: patience, pages, limits, and vendor errors told as ours.

Importing this takes half a second; see `GitHub`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import httpx
from githubkit import GitHub, Response
from githubkit.exception import GitHubException, RateLimitExceeded, RequestError, RequestFailed
from githubkit.typing import RetryOption
from pydantic import BaseModel

from forgehand.application.ports.code_host import (
    AccessRefused,
    HostUnavailable,
    HostUnknown,
    RepositoryNotFound,
)
from forgehand.application.ports.failures import PortFailure
from forgehand.infrastructure.github.answers import NotThere

M = TypeVar("M", bound=BaseModel)

PER_PAGE = 100
MOST_PAGES = 1_000
_SHORT_LIMIT = timedelta(seconds=3)
_SHORTEST_PAUSE = timedelta(milliseconds=1)
_UNNAMED_LIMIT = timedelta(minutes=1)
_RAW = "application/vnd.github.raw+json"
_LONGEST_QUOTE = 200


class ForeignOrigin(Exception):
    """A redirect or a link leads away from the API that is configured."""


class OneOrigin(httpx.AsyncBaseTransport):
    """Keeps connections open across githubkit's short-lived clients, and talks to one origin alone.

    So the token cannot leave for another host, whatever a redirect or a `Link` header says.
    """

    def __init__(self, home: httpx.URL, inner: httpx.AsyncBaseTransport) -> None:
        self._home = _origin(home)
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if _origin(request.url) != self._home:
            raise ForeignOrigin(request.url.host)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Nothing: each request's client closes its transport. `close` ends it."""

    async def close(self) -> None:
        await self._inner.aclose()


@dataclass(frozen=True, slots=True)
class Patience:
    """Decides whether a read is tried again, and after what pause. Writes have none."""

    pauses: tuple[timedelta, ...]

    def __call__(self, error: GitHubException, tries: int) -> RetryOption:
        if tries >= len(self.pauses):
            return RetryOption(False)
        # githubkit takes a pause of zero for a missing one, and sleeps a minute.
        pause = max(self.pauses[tries], _SHORTEST_PAUSE)
        match error:
            case RateLimitExceeded():
                return RetryOption(error.retry_after <= _SHORT_LIMIT, max(error.retry_after, pause))
            case RequestFailed():
                return RetryOption(error.response.status_code >= 500, pause)
            case RequestError():
                return RetryOption(isinstance(error.exc, httpx.TransportError), pause)
            case _:
                return RetryOption(False)


class Wire:
    """Requests to the API at `api_url`; `host` is its name in messages."""

    def __init__(
        self,
        token: str | None,
        api_url: str,
        host: str,
        *,
        timeout: timedelta,
        pauses: tuple[timedelta, ...],
        proxy: str | None,
    ) -> None:
        self._token = token
        self._host = host
        self._transport = OneOrigin(httpx.URL(api_url), httpx.AsyncHTTPTransport(proxy=proxy))
        settings: dict[str, Any] = {
            "base_url": api_url,
            "user_agent": "forgehand",
            "timeout": timeout.total_seconds(),
            "http_cache": False,
            "async_transport": self._transport,
        }
        # Typed apart: githubkit's constructor is overloaded by the type of its credentials.
        credentials: Any = token
        self._reads: GitHub[Any] = GitHub(credentials, auto_retry=Patience(pauses), **settings)
        self._writes: GitHub[Any] = GitHub(credentials, auto_retry=False, **settings)

    async def close(self) -> None:
        await self._transport.close()

    async def read(self, path: str, model: type[M]) -> M:
        """Raise NotThere, or one of the port's errors; so do all methods here."""
        with self._as_ours():
            answer = await self._reads.arequest("GET", path)
            return model.model_validate(answer.json())

    async def page(
        self, url: str, model: type[M], *, within: str | None = None, **query: str | int
    ) -> tuple[list[M], str | None]:
        """One page of a list (of the field `within` of the answer, if given) and where the next one is."""
        with self._as_ours():
            answer = await self._reads.arequest("GET", url, params=query or None)
            body = answer.json()
            items = [model.model_validate(item) for item in (body if within is None else body[within])]
            return items, answer.raw_response.links.get("next", {}).get("url")

    async def pages(
        self, path: str, model: type[M], *, within: str | None = None, **query: str | int
    ) -> AsyncIterator[M]:
        """All items of all pages."""
        items, following = await self.page(path, model, within=within, per_page=PER_PAGE, **query)
        for _ in range(MOST_PAGES):
            for item in items:
                yield item
            if following is None:
                return
            items, following = await self.page(following, model, within=within)
        raise HostUnavailable(f"{self._host} lists more than {MOST_PAGES} pages of {path}")

    async def content(self, path: str, revision: str, limit: int) -> bytes | None:
        """A file's bytes; None for a folder or where there are more than `limit`."""
        with self._as_ours():
            answer = await self._reads.arequest(
                "GET", path, params={"ref": revision}, headers={"Accept": _RAW}, stream=True
            )
            received = bytearray()
            async with aclosing(answer.aiter_bytes()) as chunks:  # type: ignore[type-var] # it is a generator
                async for chunk in chunks:
                    received += chunk
                    if len(received) > limit:
                        return None
        is_listing = answer.headers.get("content-type", "").startswith("application/json")
        return None if is_listing else bytes(received)

    async def write(self, method: str, path: str, body: dict[str, Any], model: type[M]) -> M:
        """Ask once. HostUnavailable: whether it was done is not known."""
        with self._as_ours():
            answer = await self._writes.arequest(method, path, json=body)
            if answer.raw_request.method != method:
                raise RepositoryNotFound(f"{self._host} has moved the repository: use its new name")
            return model.model_validate(answer.json())

    async def query(self, graphql: str, model: type[M]) -> M:
        """A GraphQL query that changes nothing."""
        with self._as_ours():
            url = self._reads.config.base_url
            path = url.raw_path.decode().removesuffix("/").removesuffix("/v3") + "/graphql"
            answer = await self._reads.arequest(
                "POST", url.copy_with(raw_path=path.encode()), json={"query": graphql}
            )
            return model.model_validate(answer.json())

    @contextmanager
    def _as_ours(self) -> Iterator[None]:
        try:
            yield
        except RateLimitExceeded as error:
            raise self._limited(error.retry_after) from error
        except RequestFailed as error:
            raise self._refusal(error.response) from error
        except RequestError as error:
            raise self._unheard(error.exc) from error
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            # No JSON, other JSON, or a header that githubkit cannot read.
            raise HostUnavailable(
                f"{self._host} does not answer as GitHub's API does: check GITHUB_API_URL, or try again later"
            ) from error

    def _limited(self, wait: timedelta) -> HostUnavailable:
        advice = "" if self._token else "; with a GITHUB_TOKEN the limit is far higher"
        return HostUnavailable(f"{self._host} limits the rate of requests{advice}", retry_after=wait)

    def _refusal(self, response: Response[Any]) -> Exception:
        status, said = response.status_code, self._said(response)
        if status in {404, 410} or (status == 403 and "too_large" in response.text):
            return NotThere(said)
        if status == 429 or "rate limit" in said.lower():
            return self._limited(_UNNAMED_LIMIT)
        if status >= 500:
            return HostUnavailable(f"{self._host} failed ({said}): try again later")
        return AccessRefused(self._advice(status, said))

    def _advice(self, status: int, said: str) -> str:
        if self._token is None:
            return f"{self._host} wants to know who asks ({said}): set GITHUB_TOKEN"
        if status == 401:
            return f"{self._host} does not accept the token ({said}): set GITHUB_TOKEN to a valid one"
        if status == 403:
            return (
                f"{self._host} does not allow this to the token ({said}): give it the right to read contents "
                "and pull requests, and to write pull requests and issues if it is to publish"
            )
        return f"{self._host} rejects the request ({said})"

    def _said(self, response: Response[Any]) -> str:
        """The host's own words on one line, without the token."""
        try:
            body = response.json()
        except ValueError:
            body = None
        message = body.get("message") if isinstance(body, dict) else None
        words = f"{response.status_code} {' '.join(str(message or response.reason_phrase).split())}".strip()
        return (words.replace(self._token, "***") if self._token else words)[:_LONGEST_QUOTE]

    def _unheard(self, reason: Exception) -> PortFailure:
        if isinstance(reason, ForeignOrigin):
            return HostUnknown(
                f"{self._host} sends us on to another address ({reason}), where we do not follow: "
                "set GITHUB_API_URL to the address that answers"
            )
        if isinstance(reason, httpx.TimeoutException):
            return HostUnavailable(f"{self._host} did not answer in time: try again later")
        return HostUnavailable(f"{self._host} cannot be reached or cut the connection: try again later")


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)
