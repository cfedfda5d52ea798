"""The API's own description: Litestar's paths, pydantic's schemas, and no viewer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any

from litestar import Request, Router
from litestar.enums import OpenAPIMediaType
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from forgehand.application.jobs.job_type import JobType
from forgehand.entrypoints.http.problems import MEDIA_TYPE, ProblemView
from forgehand.entrypoints.http.views import ANSWERS, typed_job_view

PATH = "/api/openapi.json"
NO_TOKEN: list[dict[str, list[str]]] = [{}]

_REFUSALS = {
    400: "The request is not valid: `errors` names all that is wrong",
    401: "A bearer token is needed",
    403: "The token's role does not cover this",
    404: "There is no such thing",
    409: "The job is not in a state for that",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "The idempotency key was used for another request",
    503: "Something that is needed cannot be used",
}


def problem_responses(*statuses: int) -> dict[int, ResponseSpec]:
    """What a route says of its refusals."""
    return {
        status: ResponseSpec(ProblemView, generate_examples=False, description=text, media_type=MEDIA_TYPE)
        for status, text in _REFUSALS.items()
        if status in statuses
    }


def config(job_types: Iterable[JobType]) -> OpenAPIConfig:
    """How the API is described, with a request and a result for each job type."""
    return OpenAPIConfig(
        title="Forgehand",
        version=version("forgehand"),
        description="Background work on your repositories.",
        components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"token": []}],
        render_plugins=[_Description(_schemas(tuple(job_types)))],
        openapi_router=Router(PATH, route_handlers=[], include_in_schema=False),
    )


class _Description(OpenAPIRenderPlugin):
    """The description as JSON, with `schemas` in place of those that Litestar made of the same models."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        super().__init__(path=["/", "/openapi.json"], media_type=OpenAPIMediaType.OPENAPI_JSON, favicon="")
        self._schemas = schemas

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        components = openapi_schema["components"]
        schemas = {**components["schemas"], **self._schemas}
        return self.render_json(request, {**openapi_schema, "components": {**components, "schemas": schemas}})


def _schemas(job_types: tuple[JobType, ...]) -> dict[str, Any]:
    """By pydantic: Litestar overlooks that nested dataclasses take over the aliases of their model."""
    answers: list[type[BaseModel]] = [
        *ANSWERS,
        ProblemView,
        *(typed_job_view(job_type) for job_type in job_types),
    ]
    requests = [job_type.request for job_type in job_types]
    return _definitions(answers, "serialization") | _definitions(requests, "validation")


def _definitions(models: Sequence[type[BaseModel]], mode: JsonSchemaMode) -> dict[str, Any]:
    template = "#/components/schemas/{model}"
    _, found = models_json_schema([(model, mode) for model in models], ref_template=template)
    definitions: dict[str, Any] = found.get("$defs", {})
    return definitions
