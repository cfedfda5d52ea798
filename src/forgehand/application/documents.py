"""A document as programs read it: the one definition of its JSON."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from forgehand.domain.documentation import Coverage, Documentation, Facts, Narrative
from forgehand.domain.usage import Usage


class DocumentView(BaseModel):
    """One version of a pull request's documentation, in camelCase on the wire."""

    # Nested dataclasses take over the alias generator.
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    id: UUID
    repo: str
    number: int
    version: int
    title: str
    author: str
    url: str | None
    head_sha: str
    diff_hash: str
    prompt_version: str
    model: str | None
    facts: Facts
    coverage: Coverage
    narrative: Narrative | None
    usage: Usage
    created_at: datetime

    @classmethod
    def of(cls, document: Documentation) -> DocumentView:
        values = {field.name: getattr(document, field.name) for field in fields(document)}
        return cls(**values | {"repo": str(document.repo)})


def as_json(document: Documentation) -> dict[str, Any]:
    """Plain JSON values: what `--json` prints and HTTP answers."""
    return DocumentView.of(document).model_dump(mode="json", by_alias=True)
