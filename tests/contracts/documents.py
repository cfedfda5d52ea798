"""What every store of documents, pull request records and tokens promises."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from forgehand.application.clock import new_id
from forgehand.application.ports.documentations import (
    DocumentationNotFound,
    Documentations,
    PullRequestRecords,
)
from forgehand.application.ports.tokens import TokenNameTaken, TokenNotFound, Tokens
from forgehand.domain.access import AccessToken, Role
from forgehand.domain.documentation import (
    Claim,
    Coverage,
    Documentation,
    DocumentationStatus,
    Facts,
    FileCoverage,
    FileFact,
    HunkCoverage,
    Narrative,
    PullRequestRecord,
    Seen,
    SymbolEvent,
    SymbolFact,
)
from forgehand.domain.pull_requests import ChangeStatus
from forgehand.domain.repositories import RepoName
from forgehand.domain.usage import Usage
from tests.clocks import HandClock

REPO = RepoName("acme", "anvil")


@dataclass
class Documents:
    """An adapter under test, with the words to drive it."""

    documentations: Documentations
    records: PullRequestRecords
    tokens: Tokens
    clock: HandClock

    def draft(self, number: int = 7, **fields: Any) -> Documentation:
        now = self.clock.pass_(seconds=1)
        defaults: dict[str, Any] = {
            "id": new_id(now),
            "repo": REPO,
            "number": number,
            "version": 0,
            "title": "Harden the anvil",
            "author": "wile",
            "url": None,
            "head_sha": "a" * 40,
            "diff_hash": "d1",
            "prompt_version": "1",
            "model": "acme/large",
            "facts": Facts(
                files=(FileFact("anvil.py", ChangeStatus.MODIFIED, 3, 1, "anvil"),),
                symbols=(SymbolFact("anvil.py", "function", "drop", SymbolEvent.ADDED, "def drop()"),),
                notes=("ünïcode \u2713",),
            ),
            "coverage": Coverage(
                (FileCoverage("anvil.py", Seen.CLIPPED, "why", (HunkCoverage("@@ -1 +1 @@", Seen.SEEN),)),)
            ),
            "narrative": Narrative(summary=(Claim("It is harder.", ("anvil.py",)),), dropped=2),
            "usage": Usage(10, 20, 5, 1, 42),
            "created_at": now,
        }
        return Documentation(**{**defaults, **fields})


class DocumentsContract:
    """Subclass with a fixture `documents`."""

    async def test_a_document_comes_back_as_it_was_saved(self, documents: Documents) -> None:
        draft = documents.draft()
        added = await documents.documentations.add(draft)
        assert added == replace(draft, version=1)
        assert await documents.documentations.get(draft.id) == added

    async def test_a_document_of_facts_alone_comes_back_too(self, documents: Documents) -> None:
        draft = documents.draft(model=None, narrative=None, usage=Usage(cost=None))
        await documents.documentations.add(draft)
        assert (await documents.documentations.get(draft.id)) == replace(draft, version=1)

    async def test_a_missing_document_is_told(self, documents: Documents) -> None:
        with pytest.raises(DocumentationNotFound):
            await documents.documentations.get(uuid4())
        assert await documents.documentations.current(REPO, 7, "none") is None
        assert list(await documents.documentations.versions(REPO, 7)) == []

    async def test_versions_count_up_for_each_pull_request(self, documents: Documents) -> None:
        for diff in ("d1", "d2", "d3"):
            await documents.documentations.add(documents.draft(diff_hash=diff))
        other = await documents.documentations.add(documents.draft(number=8))
        assert [it.version for it in await documents.documentations.versions(REPO, 7)] == [1, 2, 3]
        assert other.version == 1

    async def test_the_same_fingerprint_is_the_same_version(self, documents: Documents) -> None:
        first = await documents.documentations.add(documents.draft())
        again = await documents.documentations.add(documents.draft())
        assert again == first
        assert await documents.documentations.current(REPO, 7, first.fingerprint) == first

    async def test_writers_at_once_make_one_version_of_the_same_work(self, documents: Documents) -> None:
        drafts = [documents.draft() for _ in range(6)]
        added = await asyncio.gather(*(documents.documentations.add(draft) for draft in drafts))
        assert len({it.id for it in added}) == 1
        assert len(await documents.documentations.versions(REPO, 7)) == 1

    async def test_writers_at_once_of_different_work_all_get_a_version(self, documents: Documents) -> None:
        drafts = [documents.draft(diff_hash=f"d{n}") for n in range(6)]
        await asyncio.gather(*(documents.documentations.add(draft) for draft in drafts))
        versions = [it.version for it in await documents.documentations.versions(REPO, 7)]
        assert versions == [1, 2, 3, 4, 5, 6]

    async def test_a_page_lists_the_latest_version_of_each_newest_first(self, documents: Documents) -> None:
        for number in (1, 2, 3, 4, 5):
            await documents.documentations.add(documents.draft(number))
        newest = await documents.documentations.add(documents.draft(2, diff_hash="d2"))
        first = await documents.documentations.page(limit=2)
        assert first.next_cursor is not None
        second = await documents.documentations.page(limit=9, cursor=first.next_cursor)
        assert [it.number for it in first.items + second.items] == [2, 5, 4, 3, 1]
        assert first.items[0] == newest
        assert second.next_cursor is None

    async def test_a_page_can_be_of_one_repository(self, documents: Documents) -> None:
        await documents.documentations.add(documents.draft())
        other = await documents.documentations.add(documents.draft(repo=RepoName("acme", "rocket")))
        assert (await documents.documentations.page(repo=other.repo)).items == (other,)

    async def test_a_foreign_cursor_is_refused(self, documents: Documents) -> None:
        with pytest.raises(ValueError, match="cursor"):
            await documents.documentations.page(cursor="nonsense")

    async def test_a_record_is_replaced_by_the_next_one(self, documents: Documents) -> None:
        assert await documents.records.get(REPO, 7) is None
        record = PullRequestRecord(
            REPO, 7, "Harden", "wile", "https://x.test/7", "b" * 40, "a" * 40, documents.clock()
        )
        await documents.records.save(record)
        assert await documents.records.get(REPO, 7) == record
        document = await documents.documentations.add(documents.draft())
        documented = record.documented_by(document).published_at("https://x.test/7#c1")
        await documents.records.save(documented)
        found = await documents.records.get(REPO, 7)
        assert found == documented
        assert found is not None
        assert found.status is DocumentationStatus.DOCUMENTED

    async def test_a_token_is_found_by_its_digest_until_it_is_revoked(self, documents: Documents) -> None:
        token = AccessToken(uuid4(), "ci", Role.OPERATOR, "d" * 64, documents.clock())
        await documents.tokens.add(token)
        assert await documents.tokens.by_digest("d" * 64) == token
        assert await documents.tokens.by_digest("e" * 64) is None
        revoked = await documents.tokens.revoke("ci")
        assert revoked.revoked_at == documents.clock()
        assert await documents.tokens.by_digest("d" * 64) is None
        assert list(await documents.tokens.all()) == [revoked]

    async def test_a_tokens_name_is_free_again_once_it_is_revoked(self, documents: Documents) -> None:
        await documents.tokens.add(AccessToken(uuid4(), "ci", Role.VIEWER, "1" * 64, documents.clock()))
        second = AccessToken(uuid4(), "ci", Role.VIEWER, "2" * 64, documents.clock() + timedelta(seconds=1))
        with pytest.raises(TokenNameTaken):
            await documents.tokens.add(second)
        await documents.tokens.revoke("ci")
        await documents.tokens.add(second)
        assert [it.digest[0] for it in await documents.tokens.all()] == ["1", "2"]

    async def test_revoking_a_token_that_is_not_in_use_is_told(self, documents: Documents) -> None:
        with pytest.raises(TokenNotFound):
            await documents.tokens.revoke("nobody")
