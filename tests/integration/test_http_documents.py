"""Documents and pull requests over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from forgehand.application.clock import new_id
from forgehand.application.documents import as_json
from forgehand.application.rendering import difference, markdown
from forgehand.domain.documentation import (
    Claim,
    Coverage,
    Documentation,
    DocumentationStatus,
    Facts,
    FileCoverage,
    FileFact,
    Narrative,
    PullRequestRecord,
    Seen,
)
from forgehand.domain.pull_requests import ChangeStatus
from forgehand.domain.repositories import RepoName
from forgehand.domain.usage import Usage
from tests.http_api import Api, opened_api

NO_ONES = UUID("01990000-0000-7000-8000-000000000000")

NOON = datetime(2025, 5, 5, 12, tzinfo=UTC)
REPO = RepoName("octo", "tools")


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with opened_api() as api:
        yield api


def document(
    number: int = 1, *, repo: RepoName = REPO, model: str | None = None, minutes: int = 0
) -> Documentation:
    told = Narrative(summary=(Claim("It renames a tool.", ("src/tool.py",)),)) if model else None
    at = NOON + timedelta(minutes=minutes)
    return Documentation(
        id=new_id(at),
        repo=repo,
        number=number,
        version=0,
        title="Rename a tool",
        author="ada",
        url=None,
        head_sha="a" * 40,
        diff_hash="b" * 64,
        prompt_version="1",
        model=model,
        facts=Facts(
            (FileFact("src/tool.py", ChangeStatus.RENAMED, 1, 2, "src", previous_path="src/old.py"),)
        ),
        coverage=Coverage((FileCoverage("src/tool.py", Seen.SEEN),)),
        narrative=told,
        usage=Usage(input_tokens=5, calls=1) if model else Usage(),
        created_at=at,
    )


async def test_a_document_is_answered_as_json(api: Api) -> None:
    kept = await api.container.documentations().add(document(model="scripted"))
    answer = await api.viewer.get(f"/api/docs/{kept.id}")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == as_json(kept)
    assert answer.json()["facts"]["files"][0]["previousPath"] == "src/old.py"
    assert answer.json()["usage"]["inputTokens"] == 5


@pytest.mark.parametrize("accept", ["text/markdown", "text/markdown;q=1, application/json;q=0.5", "text/*"])
async def test_a_document_is_answered_as_markdown_to_whoever_accepts_it(api: Api, accept: str) -> None:
    kept = await api.container.documentations().add(document())
    answer = await api.viewer.get(f"/api/docs/{kept.id}", headers={"Accept": accept})

    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.text == markdown(kept)
    assert answer.headers["vary"] == "Accept"


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "text/html", "application/json, text/markdown"]
)
async def test_a_document_is_answered_as_json_to_everybody_else(api: Api, accept: str) -> None:
    kept = await api.container.documentations().add(document())
    answer = await api.viewer.get(f"/api/docs/{kept.id}", headers={"Accept": accept})

    assert answer.json()["id"] == str(kept.id)


async def test_the_difference_of_two_versions_is_shown(api: Api) -> None:
    old = await api.container.documentations().add(document())
    new = await api.container.documentations().add(document(model="scripted", minutes=1))
    answer = (await api.viewer.get(f"/api/docs/{new.id}/diff", params={"against": str(old.id)})).json()

    assert answer["diff"] == difference(old, new)
    assert "+- It renames a tool." in answer["diff"]
    assert (answer["old"]["version"], answer["new"]["version"]) == (1, 2)


@pytest.mark.parametrize(("query", "status"), [("", 400), ("against=x", 400), (f"against={NO_ONES}", 404)])
async def test_a_difference_needs_two_documents(api: Api, query: str, status: int) -> None:
    kept = await api.container.documentations().add(document())

    assert (await api.viewer.get(f"/api/docs/{kept.id}/diff?{query}")).status_code == status


async def test_the_latest_documents_are_listed_newest_first_in_pages(api: Api) -> None:
    store = api.container.documentations()
    for number in (1, 2, 3):
        await store.add(document(number, minutes=number))
    await store.add(document(1, model="scripted", minutes=9))

    first = (await api.viewer.get("/api/docs?limit=2")).json()
    rest = (await api.viewer.get("/api/docs", params={"limit": 2, "cursor": first["nextCursor"]})).json()

    listed = [(item["number"], item["version"]) for item in first["items"] + rest["items"]]
    assert listed == [(1, 2), (3, 1), (2, 1)]
    assert rest["nextCursor"] is None
    assert "facts" not in first["items"][0]


async def test_documents_are_listed_by_repository(api: Api) -> None:
    store = api.container.documentations()
    await store.add(document())
    await store.add(document(repo=RepoName("octo", "other")))

    answer = (await api.viewer.get("/api/docs?repo=octo/other")).json()
    assert [item["repo"] for item in answer["items"]] == ["octo/other"]


@pytest.mark.parametrize("query", ["repo=octo", "repo=a/b/c", "repo=../x", "limit=0", "cursor=x"])
async def test_a_list_of_documents_refuses_what_it_cannot_do(api: Api, query: str) -> None:
    assert (await api.viewer.get(f"/api/docs?{query}")).status_code == 400


async def test_a_document_that_does_not_exist_is_not_found(api: Api) -> None:
    for path in (f"/api/docs/{uuid4()}", f"/api/docs/{uuid4()}/diff?against={uuid4()}", "/api/docs/first"):
        assert (await api.viewer.get(path)).status_code == 404


async def test_the_record_of_a_pull_request_says_where_it_stands(api: Api) -> None:
    kept = await api.container.documentations().add(document())
    record = PullRequestRecord(REPO, 1, "Rename a tool", "ada", None, "c" * 40, "a" * 40, NOON)
    await api.container.records().save(replace(record.documented_by(kept)))

    answer = await api.viewer.get("/api/pull-requests/octo/tools/1")
    assert answer.status_code == 200
    assert answer.json()["repo"] == "octo/tools"
    assert answer.json()["status"] == DocumentationStatus.FACTS_ONLY
    assert answer.json()["documentationId"] == str(kept.id)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("octo/tools/2", 404),
        ("octo/tools/x", 404),
        ("octo/-tools/2", 400),
        ("octo/tools/0", 400),
        ("octo/tools/99999999999999999999", 400),
    ],
)
async def test_a_pull_request_that_is_not_known_is_not_given(api: Api, path: str, status: int) -> None:
    assert (await api.viewer.get(f"/api/pull-requests/{path}")).status_code == status
