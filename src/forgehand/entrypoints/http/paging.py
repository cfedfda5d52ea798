"""Pages by cursor."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated, TypeAlias, TypeVar

from litestar.params import QueryParameter

from forgehand.entrypoints.http.problems import InvalidCursor

Page = TypeVar("Page")
Limit: TypeAlias = Annotated[int, QueryParameter(ge=1, le=200, description="how many, at most")]


async def paged(asked: Awaitable[Page], cursor: str | None) -> Page:
    """Raise InvalidCursor where the store refuses the cursor that was given."""
    try:
        return await asked
    except ValueError as error:
        if cursor is None:
            raise
        raise InvalidCursor("the cursor is none of ours: leave it out to start at the first page") from error
