"""Errors as problem details (RFC 9457)."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from litestar import Request, Response
from litestar.exceptions import ClientException, HTTPException
from pydantic import BaseModel

from forgehand.application.jobs.job_type import UnknownJobType
from forgehand.application.jobs.operating import AlreadyEnded, InvalidSelection, NotReplayable
from forgehand.application.jobs.scheduling import InvalidSchedule
from forgehand.application.jobs.submit import DependencyCycle, Fault, InvalidRequest
from forgehand.application.ports.documentations import DocumentationNotFound
from forgehand.application.ports.failures import Transient
from forgehand.application.ports.jobs import (
    IdempotencyConflict,
    JobIdTaken,
    JobNotFound,
    ParentNotFound,
    StoreNewer,
    StoreOutdated,
    StoreUnavailable,
)
from forgehand.application.ports.schedules import ScheduleNotFound
from forgehand.application.redaction import Redactor
from forgehand.domain.repositories import InvalidRepoName
from forgehand.domain.schedules import InvalidTiming, UnknownZone
from forgehand.entrypoints.http.in_process import Closing

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER = timedelta(seconds=5)


class InvalidCursor(Exception):
    """The cursor is none of ours; leave it out to start at the first page."""


class RecordNotFound(Exception):
    """Nothing is known of that pull request."""


class NotReady(Exception):
    """Something that this process needs cannot be used. `faults` names each."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__(f"not ready: {', '.join(fault.field for fault in faults)}")
        self.faults = faults


STATUSES: Mapping[type[Exception], HTTPStatus] = {
    JobNotFound: HTTPStatus.NOT_FOUND,
    DocumentationNotFound: HTTPStatus.NOT_FOUND,
    RecordNotFound: HTTPStatus.NOT_FOUND,
    UnknownJobType: HTTPStatus.NOT_FOUND,
    ScheduleNotFound: HTTPStatus.NOT_FOUND,
    InvalidRequest: HTTPStatus.BAD_REQUEST,
    InvalidRepoName: HTTPStatus.BAD_REQUEST,
    InvalidSchedule: HTTPStatus.BAD_REQUEST,
    InvalidTiming: HTTPStatus.BAD_REQUEST,
    UnknownZone: HTTPStatus.BAD_REQUEST,
    InvalidCursor: HTTPStatus.BAD_REQUEST,
    InvalidSelection: HTTPStatus.BAD_REQUEST,
    ParentNotFound: HTTPStatus.BAD_REQUEST,
    DependencyCycle: HTTPStatus.BAD_REQUEST,
    AlreadyEnded: HTTPStatus.CONFLICT,
    NotReplayable: HTTPStatus.CONFLICT,
    Closing: HTTPStatus.SERVICE_UNAVAILABLE,
    JobIdTaken: HTTPStatus.CONFLICT,
    IdempotencyConflict: HTTPStatus.UNPROCESSABLE_ENTITY,
    StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreOutdated: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreNewer: HTTPStatus.SERVICE_UNAVAILABLE,
    NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
}


class FaultView(BaseModel):
    """One thing that is wrong; `field` is dotted, and empty where it is about the whole."""

    field: str
    problem: str


class ProblemView(BaseModel):
    """What went wrong (RFC 9457). `type` tells programs, `detail` tells people."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FaultView] | None = None


class JsonRequest(Request[Any, Any, Any]):
    """A request whose body may be anything."""

    async def json(self) -> Any:
        try:
            return await super().json()
        except RecursionError as error:
            raise ClientException("the body is nested too deeply") from error
        except UnicodeError as error:
            raise ClientException("the body is not UTF-8") from error


@dataclass(frozen=True, slots=True)
class Problems:
    """Turns whatever was raised into an answer. What we did not foresee is logged under an id, never told."""

    redact: Redactor

    def answer(self, _request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        """An exception handler of Litestar's."""
        if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return _response(HTTPStatus(error.status_code), "about:blank", *_told(error), error.headers)
        status = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), None)
        if status is None:
            return self._unforeseen(error)
        headers = (
            {"Retry-After": _seconds(error)}
            if isinstance(error, StoreUnavailable | NotReady | Closing)
            else {}
        )
        return _response(status, _kind(error), self._detail(error), getattr(error, "faults", ()), headers)

    def _detail(self, error: Exception) -> str:
        if isinstance(error, StoreUnavailable):
            # Its text may name hosts, and who asks may not have shown a token yet.
            logger.warning("%s", self.redact.text(str(error)))
            return "the database cannot be used right now: try again"
        return str(error)

    def _unforeseen(self, error: Exception) -> Response[Any]:
        incident = uuid4()
        trace = self.redact.text("".join(traceback.format_exception(error)))
        logger.error("incident %s: %s", incident, trace)
        detail = f"something failed that we did not foresee; the log tells more under incident {incident}"
        return _response(HTTPStatus.INTERNAL_SERVER_ERROR, "about:blank", detail)


def _response(
    status: HTTPStatus,
    kind: str,
    detail: str,
    faults: tuple[Fault, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response[Any]:
    view = ProblemView(type=kind, title=status.phrase, status=status.value, detail=detail)
    if faults:
        view.errors = [FaultView(field=_on_the_wire(fault.field), problem=fault.problem) for fault in faults]
    content = view.model_dump(exclude_none=True)
    return Response(content, status_code=status.value, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def _told(error: HTTPException) -> tuple[str, tuple[Fault, ...]]:
    """Detail and faults of what Litestar refuses: bodies, queries, headers, paths, methods."""
    entries = error.extra if isinstance(error.extra, list) else []
    faults = tuple(
        Fault(str(it.get("key", "")), str(it["message"]))
        for it in entries
        if isinstance(it, dict) and "message" in it
    )
    return ("the request is not valid" if faults else error.detail), faults


def _on_the_wire(field: str) -> str:
    """As callers of the API write it."""
    return re.sub(r"(?<=[a-z0-9])_([a-z0-9])", lambda found: found[1].upper(), field)


def _kind(error: Exception) -> str:
    words = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()
    return f"urn:forgehand:problem:{words}"


def _seconds(error: Exception) -> str:
    asked = error.retry_after if isinstance(error, Transient) else None
    return str(max(1, round((asked or _RETRY_AFTER).total_seconds())))
