"""Documents and pull requests."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, PathParameter, QueryParameter, SkipValidation

from forgehand.application.documents import DocumentView
from forgehand.application.ports.documentations import Documentations, PullRequestRecords
from forgehand.application.rendering import difference, markdown
from forgehand.domain.repositories import RepoName
from forgehand.entrypoints.http import views
from forgehand.entrypoints.http.openapi import problem_responses
from forgehand.entrypoints.http.paging import Limit, paged
from forgehand.entrypoints.http.problems import RecordNotFound

_JSON = "application/json"
_MARKDOWN = "text/markdown"
_LARGEST_NUMBER = 2**31 - 1
_ASKED = problem_responses(HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED)
_ASKED_FOR_ONE = problem_responses(HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND)


@get("/docs", operation_id="listDocuments", responses=_ASKED)
async def list_documents(
    documentations: NamedDependency[SkipValidation[Documentations]],
    repo: Annotated[str | None, QueryParameter(description="owner/name")] = None,
    limit: Limit = 50,
    cursor: FromQuery[str | None] = None,
) -> views.DocumentPageView:
    """List the latest document of each pull request, newest first."""
    wanted = None if repo is None else RepoName.parse(repo)
    page = await paged(documentations.page(repo=wanted, limit=limit, cursor=cursor), cursor)
    return views.DocumentPageView(
        items=[views.summary(document) for document in page.items], next_cursor=page.next_cursor
    )


@get("/docs/{document_id:uuid}", operation_id="getDocument", responses=_ASKED_FOR_ONE)
async def get_document(
    request: Request[Any, Any, Any],
    document_id: FromPath[UUID],
    documentations: NamedDependency[SkipValidation[Documentations]],
) -> Response[DocumentView]:
    """Give one document: as JSON, or as Markdown for `Accept: text/markdown`."""
    document = await documentations.get(document_id)
    vary = {"Vary": "Accept"}
    if request.accept.best_match([_JSON, _MARKDOWN], _JSON) == _MARKDOWN:
        text: Any = markdown(document)
        return Response(text, media_type=_MARKDOWN, headers=vary)
    return Response(DocumentView.of(document), media_type=_JSON, headers=vary)


@get("/docs/{document_id:uuid}/diff", operation_id="diffDocuments", responses=_ASKED_FOR_ONE)
async def diff_documents(
    document_id: FromPath[UUID],
    against: Annotated[UUID, QueryParameter(description="the id of the older document")],
    documentations: NamedDependency[SkipValidation[Documentations]],
) -> views.DifferenceView:
    """Show what changed from the document `against` to this one."""
    new, old = await documentations.get(document_id), await documentations.get(against)
    return views.DifferenceView(old=views.summary(old), new=views.summary(new), diff=difference(old, new))


@get(
    "/pull-requests/{owner:str}/{name:str}/{number:int}",
    operation_id="getPullRequest",
    responses=_ASKED_FOR_ONE,
)
async def get_pull_request(
    owner: FromPath[str],
    name: FromPath[str],
    number: Annotated[int, PathParameter(ge=1, le=_LARGEST_NUMBER)],
    records: NamedDependency[SkipValidation[PullRequestRecords]],
) -> views.PullRequestView:
    """Give what is kept of a pull request, and where it stands with its documentation."""
    record = await records.get(RepoName(owner, name), number)
    if record is None:
        raise RecordNotFound(f"nothing is known of {owner}/{name}#{number}: document it first")
    return views.pull_request(record)
