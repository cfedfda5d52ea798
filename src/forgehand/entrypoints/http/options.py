"""How a job is to be run, as query parameters of its submission."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from litestar import Request
from litestar.params import QueryParameter

from forgehand.application.jobs.submit import Fault, InvalidRequest
from forgehand.application.jobs.terms import WrittenTerms
from forgehand.domain.access import AccessToken

_NAMES = frozenset(
    ["priority", "runAt", "delay", "maxAttempts", "timeout", "uniqueKey", "tag", "after", "onParentFailure"],
)
_WORD = 255

Text: TypeAlias = str | None


async def written_terms(
    request: Request[AccessToken, AccessToken, Any],
    priority: Annotated[
        Text, QueryParameter(max_length=_WORD, description="urgent (critical), high, normal (medium) or low")
    ] = None,
    run_at: Annotated[
        Text, QueryParameter(name="runAt", max_length=_WORD, description="not before this time (ISO 8601)")
    ] = None,
    delay: Annotated[
        Text, QueryParameter(max_length=_WORD, description="not before this time has passed: 90, 5m, 2h, 1d")
    ] = None,
    max_attempts: Annotated[
        int | None, QueryParameter(name="maxAttempts", ge=1, le=100, description="how often it is tried")
    ] = None,
    timeout: Annotated[  # noqa: ASYNC109 - of the job, not of this function
        Text, QueryParameter(max_length=_WORD, description="how long an attempt may take: 90, 5m, 2h")
    ] = None,
    unique_key: Annotated[
        Text,
        QueryParameter(
            name="uniqueKey",
            max_length=_WORD,
            description="while a job of the type has this key and has not ended, that one is meant",
        ),
    ] = None,
    tag: Annotated[list[str] | None, QueryParameter(description="a tag; may be repeated")] = None,
    after: Annotated[
        list[str] | None, QueryParameter(description="the id of a job to wait for; may be repeated")
    ] = None,
    on_parent_failure: Annotated[
        Text,
        QueryParameter(
            name="onParentFailure", max_length=_WORD, description="fail or release: what if such a job fails"
        ),
    ] = None,
) -> WrittenTerms:
    """Raise InvalidRequest for a parameter that is none of these: a typing error would go unnoticed."""
    unknown = sorted(set(request.query_params) - _NAMES)
    if unknown:
        known = ", ".join(sorted(_NAMES))
        faults = tuple(Fault(name[:80], f"is no option; there are: {known}") for name in unknown[:20])
        raise InvalidRequest(request.url.path.rpartition("/")[2], faults)
    return WrittenTerms(
        priority, run_at, delay, max_attempts, timeout, unique_key, tag or (), after or (), on_parent_failure
    )
