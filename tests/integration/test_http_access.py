"""Who may do what: tried on every route that the application has."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from litestar import Litestar

from forgehand.application.access import digest, new_token
from forgehand.application.clock import utc_now
from forgehand.domain.access import Role
from forgehand.entrypoints.http.app import watching
from tests.http_api import Api, client_of, make_token, opened_api

OPEN = {"/health", "/ready"}
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW")
SAMPLES = {"uuid": "0199aaaa-0000-7000-8000-000000000000", "int": "7", "str": "word"}
UNKNOWN = {
    "/",
    "/api",
    "/api/nothing",
    "/health/",
    "/ready/",
    "//health",
    "/Health",
    "/health/x",
    "/docs",
    "/%00",
}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with opened_api() as api:
        yield api


def paths_of(app: Litestar) -> set[str]:
    """The path of every route, with a value for each parameter."""
    return {re.sub(r"\{\w+:(\w+)\}", lambda found: SAMPLES[found[1]], route.path) for route in app.routes}


def test_a_token_is_long_random_and_kept_as_its_digest_alone() -> None:
    text, token = new_token("ci", Role.VIEWER, utc_now())
    other, _ = new_token("ci", Role.VIEWER, utc_now())

    assert re.fullmatch(r"fh_[A-Za-z0-9_-]{43}", text)
    assert other != text
    assert token.digest == digest(text)
    assert re.fullmatch(r"[0-9a-f]{64}", token.digest)
    assert text not in repr(token)


async def test_no_route_but_health_and_ready_answers_without_a_token(api: Api) -> None:
    paths = paths_of(api.app)
    assert len(paths) >= 10
    assert paths > OPEN

    for path in (paths | UNKNOWN) - OPEN:
        for method in METHODS:
            answer = await api.stranger.request(method, path)
            assert answer.status_code == 401, f"{method} {path}"
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.headers["content-type"] == "application/problem+json"


async def test_health_and_ready_answer_without_a_token(api: Api) -> None:
    assert (await api.stranger.get("/health")).json() == {"status": "up"}
    assert (await api.stranger.get("/ready")).json() == {"status": "ready"}


async def test_a_viewer_may_read_every_route_and_change_none(api: Api) -> None:
    watching(api.app).close()  # or the stream of all jobs would be read for ever
    for path in paths_of(api.app) - OPEN:
        for method in METHODS:
            answer = await api.viewer.request(method, path)
            reads = method in {"GET", "HEAD", "OPTIONS"}
            assert (answer.status_code == 403) is not reads, f"{method} {path}"
            assert answer.status_code != 401


async def test_what_a_viewer_posts_makes_no_job(api: Api) -> None:
    answer = await api.viewer.post("/api/jobs/add-numbers", json={"firstNumber": 1})

    assert answer.status_code == 403
    assert "operator" in answer.json()["detail"]
    assert (await api.viewer.get("/api/jobs")).json()["items"] == []


async def test_an_admin_may_do_what_an_operator_may(api: Api) -> None:
    async with client_of(api.app, api.texts["admin"]) as admin:
        answer = await admin.post("/api/jobs/add-numbers", json={"firstNumber": 1})

    assert (answer.status_code, answer.json()["submittedBy"]) == (202, "admin")


async def test_a_revoked_token_is_refused_at_once(api: Api) -> None:
    text, token = await make_token(api.container, "leaver", Role.ADMIN)
    async with client_of(api.app, text) as leaver:
        assert (await leaver.get("/api/jobs")).status_code == 200
        await api.container.tokens().revoke(token.name)
        assert (await leaver.get("/api/jobs")).status_code == 401


async def test_what_is_kept_of_a_token_is_no_token(api: Api) -> None:
    async with client_of(api.app, digest(api.texts["admin"])) as thief:
        assert (await thief.get("/api/jobs")).status_code == 401


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer fh_wrong",
        "Basic dXNlcjpwYXNz",
        "fh_{token}",
        "Token {token}",
        "Bearer {token}x",
        "Bearer {token} {token}",
        "Bearer \xff\xfe",
        "Bearer " + "x" * 10_000,
    ],
)
async def test_a_wrong_authorization_is_refused(api: Api, header: str) -> None:
    sent = header.replace("{token}", api.texts["admin"]).encode("latin-1")
    answer = await api.stranger.get("/api/jobs", headers=[(b"Authorization", sent)])

    assert answer.status_code == 401


async def test_two_authorizations_are_refused(api: Api) -> None:
    sent = f"Bearer {api.texts['admin']}"
    answer = await api.stranger.get("/api/jobs", headers=[("Authorization", sent), ("Authorization", sent)])

    assert answer.status_code == 401


async def test_the_scheme_is_read_without_case(api: Api) -> None:
    sent = {"Authorization": f"bearer {api.texts['viewer']}"}
    assert (await api.stranger.get("/api/jobs", headers=sent)).status_code == 200


async def test_a_token_in_the_query_is_no_token(api: Api) -> None:
    answer = await api.stranger.get("/api/jobs", params={"access_token": api.texts["admin"]})
    assert answer.status_code == 401


async def test_a_websocket_is_closed_unheard(api: Api) -> None:
    sent: list[object] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: object) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/api/jobs", "headers": [], "query_string": b""}
    await api.app(scope, receive, send)  # type: ignore[arg-type]  # a scope as servers make it

    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "no websockets here"}]


async def test_a_request_is_logged_in_one_line_without_its_token(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    token = api.texts["viewer"]
    await api.viewer.get(f"/api/jobs/{token}", params={"token": token})
    await api.stranger.get("/api/a%0Ab")

    lines = [
        record.getMessage() for record in caplog.records if record.name == "forgehand.entrypoints.http.front"
    ]
    assert len(lines) == 2
    assert re.fullmatch(r"GET /api/jobs/\[redacted\] 404 \d+ ms", lines[0])
    assert re.fullmatch(r"GET /api/a%0Ab 401 \d+ ms", lines[1])
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("forgehand")]
    assert token not in "".join(ours)


async def test_head_is_get_without_the_body(api: Api) -> None:
    head, get = await api.viewer.head("/api/jobs"), await api.viewer.get("/api/jobs")

    assert (head.status_code, head.content) == (200, b"")
    assert dict(head.headers) == dict(get.headers)


async def test_options_names_the_methods(api: Api) -> None:
    answer = await api.viewer.options("/api/jobs")

    assert answer.status_code == 204
    assert "GET" in answer.headers["allow"]


async def test_no_answer_is_cached_or_sniffed(api: Api) -> None:
    answers: list[httpx.Response] = [
        await api.viewer.get("/api/jobs"),
        await api.viewer.get("/api/nothing"),
        await api.stranger.get("/api/jobs"),
        await api.stranger.get("/health"),
    ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
