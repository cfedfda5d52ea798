"""Documents and the records of pull requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Row, func, select
from sqlalchemy.dialects import postgresql, sqlite

from forgehand.application.ports.documentations import DocumentationNotFound, DocumentationPage
from forgehand.application.ports.jobs import StoreUnavailable
from forgehand.domain.documentation import (
    Coverage,
    Documentation,
    DocumentationStatus,
    Facts,
    Narrative,
    PullRequestRecord,
)
from forgehand.domain.repositories import RepoName
from forgehand.domain.usage import Usage
from forgehand.infrastructure.sql import rows
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.tables import documentations, pull_requests

_FACTS = TypeAdapter(Facts)
_COVERAGE = TypeAdapter(Coverage)
_NARRATIVE: TypeAdapter[Narrative | None] = TypeAdapter(Narrative | None)
_USAGE = TypeAdapter(Usage)
_TRIES = 10


class SqlDocumentations:
    """Port Documentations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, draft: Documentation) -> Documentation:
        for _ in range(_TRIES):
            added = await self._insert(draft)
            if added is not None:
                return added
            current = await self.current(draft.repo, draft.number, draft.fingerprint)
            if current is not None:
                return current
            # Another document of this pull request took the version number in between: take the next one.
        raise StoreUnavailable(f"too many writers on {draft.repo}#{draft.number}; try again")

    async def current(self, repo: RepoName, number: int, fingerprint: str) -> Documentation | None:
        table = documentations.c
        query = select(documentations).where(
            table.repo == str(repo), table.number == number, table.fingerprint == fingerprint
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _document(row)

    async def get(self, document_id: UUID) -> Documentation:
        query = select(documentations).where(documentations.c.id == document_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise DocumentationNotFound(f"there is no document {document_id}")
        return _document(row)

    async def versions(self, repo: RepoName, number: int) -> Sequence[Documentation]:
        query = (
            select(documentations)
            .where(documentations.c.repo == str(repo), documentations.c.number == number)
            .order_by(documentations.c.version)
        )
        async with self._database.read() as connection:
            return [_document(row) for row in await connection.execute(query)]

    async def page(
        self, *, repo: RepoName | None = None, limit: int = 50, cursor: str | None = None
    ) -> DocumentationPage:
        newer = documentations.alias()
        table = documentations.c
        query = (
            select(documentations)
            .where(
                ~select(newer.c.id)
                .where(newer.c.repo == table.repo, newer.c.number == table.number)
                .where(newer.c.version > table.version)
                .exists()
            )
            .order_by(table.created_at.desc(), table.id.desc())
            .limit(limit + 1)
        )
        if repo is not None:
            query = query.where(table.repo == str(repo))
        if cursor is not None:
            query = query.where(rows.older(table.created_at, table.id, cursor))
        async with self._database.read() as connection:
            found = [_document(row) for row in await connection.execute(query)]
        items = tuple(found[:limit])
        more = len(found) > limit
        return DocumentationPage(items, rows.to_cursor(items[-1].created_at, items[-1].id) if more else None)

    async def _insert(self, draft: Documentation) -> Documentation | None:
        dialect = sqlite if self._database.sqlite else postgresql
        next_version = (
            select(func.coalesce(func.max(documentations.c.version), 0) + 1)
            .where(documentations.c.repo == str(draft.repo), documentations.c.number == draft.number)
            .scalar_subquery()
        )
        statement = (
            dialect.insert(documentations)
            .values({**_document_row(draft), "version": next_version})
            .on_conflict_do_nothing()
            .returning(documentations)
        )
        async with self._database.statement() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else _document(row)


class SqlPullRequestRecords:
    """Port PullRequestRecords."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, repo: RepoName, number: int) -> PullRequestRecord | None:
        query = select(pull_requests).where(
            pull_requests.c.repo == str(repo), pull_requests.c.number == number
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _record(row)

    async def save(self, record: PullRequestRecord) -> None:
        dialect = sqlite if self._database.sqlite else postgresql
        row = _record_row(record)
        async with self._database.statement() as connection:
            await connection.execute(
                dialect.insert(pull_requests)
                .values(row)
                .on_conflict_do_update(
                    index_elements=[pull_requests.c.repo, pull_requests.c.number], set_=row
                )
            )


def _document(row: Row[Any]) -> Documentation:
    return Documentation(
        id=row.id,
        repo=RepoName.parse(row.repo),
        number=row.number,
        version=row.version,
        title=row.title,
        author=row.author,
        url=row.url,
        head_sha=row.head_sha,
        diff_hash=row.diff_hash,
        prompt_version=row.prompt_version,
        model=row.model,
        facts=_FACTS.validate_python(row.facts),
        coverage=_COVERAGE.validate_python(row.coverage),
        narrative=_NARRATIVE.validate_python(row.narrative),
        usage=_USAGE.validate_python(row.usage),
        created_at=row.created_at,
    )


def _document_row(document: Documentation) -> dict[str, Any]:
    return {
        "id": document.id,
        "repo": str(document.repo),
        "number": document.number,
        "fingerprint": document.fingerprint,
        "title": document.title,
        "author": document.author,
        "url": document.url,
        "head_sha": document.head_sha,
        "diff_hash": document.diff_hash,
        "prompt_version": document.prompt_version,
        "model": document.model,
        "facts": _FACTS.dump_python(document.facts, mode="json"),
        "coverage": _COVERAGE.dump_python(document.coverage, mode="json"),
        "narrative": _NARRATIVE.dump_python(document.narrative, mode="json"),
        "usage": _USAGE.dump_python(document.usage, mode="json"),
        "created_at": document.created_at,
    }


def _record(row: Row[Any]) -> PullRequestRecord:
    return PullRequestRecord(
        repo=RepoName.parse(row.repo),
        number=row.number,
        title=row.title,
        author=row.author,
        url=row.url,
        base_sha=row.base_sha,
        head_sha=row.head_sha,
        merged_at=row.merged_at,
        status=DocumentationStatus(row.status),
        documentation_id=row.documentation_id,
        published_url=row.published_url,
        problem=row.problem,
    )


def _record_row(record: PullRequestRecord) -> dict[str, Any]:
    return {
        "repo": str(record.repo),
        "number": record.number,
        "title": record.title,
        "author": record.author,
        "url": record.url,
        "base_sha": record.base_sha,
        "head_sha": record.head_sha,
        "merged_at": record.merged_at,
        "status": record.status.value,
        "documentation_id": record.documentation_id,
        "published_url": record.published_url,
        "problem": record.problem,
    }
