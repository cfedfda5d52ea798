"""Documentation for a merged pull request."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from hashlib import sha256
from uuid import UUID

from pydantic import Field, ValidationError

from forgehand.application.clock import Clock, new_id
from forgehand.application.diffs import IgnoreGlobs, diff_hash, pack
from forgehand.application.effects import publish_comment
from forgehand.application.facts import gather_facts
from forgehand.application.jobs.context import JobContext
from forgehand.application.jobs.job_type import JobRequest, JobResult
from forgehand.application.ports.code_host import CodeHost
from forgehand.application.ports.comments import Comments
from forgehand.application.ports.documentations import Documentations, PullRequestRecords
from forgehand.application.ports.failures import PortFailure
from forgehand.application.ports.language_model import LanguageModel, ModelCall, ModelOutputInvalid
from forgehand.application.ports.leases import LeaseLost
from forgehand.application.ports.syntax import Syntax
from forgehand.application.prompts import generate_docs as prompt
from forgehand.application.rendering import markdown
from forgehand.application.spending import ask, estimate_tokens
from forgehand.application.untrusted import one_line
from forgehand.domain.documentation import (
    Coverage,
    Documentation,
    Facts,
    Narrative,
    PullRequestRecord,
    fingerprint,
)
from forgehand.domain.pull_requests import ChangeSet, NothingChanged, PullRequest
from forgehand.domain.usage import Usage

INPUT_TOKENS = 60_000
"""The most that one document may send to a model, however much the model could read."""


class GenerateDocsRequest(JobRequest):
    """Which pull request to document, and what to do with the document."""

    repo: str = Field(min_length=1, max_length=4096, description="owner/name, or the path of a local clone")
    number: int = Field(ge=1, le=2**31 - 1, description="the merged pull request's number")
    publish: bool = Field(False, description="post the document as one comment, updated in place on a rerun")
    use_model: bool = Field(True, description="false: facts only, no model is called")


class GenerateDocsResult(JobResult):
    """Which document the job came to; `created` is false where nothing had changed since.

    `usage` is what this run spent: nothing where no document was made.
    """

    documentation_id: UUID
    repo: str
    number: int
    version: int
    created: bool
    model: str | None
    usage: Usage
    published_url: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would come to. `current` is the document that would be returned as it is.

    `input_tokens` is an estimate and `output_tokens` a cap; both are 0 where no model would be called.
    """

    pull: PullRequest
    facts: Facts
    coverage: Coverage
    model: str | None
    current: Documentation | None
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class _Told:
    """What a model said, and what that cost: remembered across attempts."""

    narrative: Narrative
    usage: Usage


@dataclass(frozen=True, slots=True)
class _Material:
    """What a document is made from."""

    pull: PullRequest
    changes: ChangeSet
    diff_hash: str
    model: LanguageModel | None

    @property
    def model_name(self) -> str | None:
        return self.model.name if self.model else None

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.pull.head_sha, self.diff_hash, prompt.PROMPT_VERSION, self.model_name)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """All of a document that needs no model, and what a model would be asked for the rest."""

    facts: Facts
    coverage: Coverage
    call: ModelCall


@dataclass(frozen=True, slots=True)
class GenerateDocs:
    """Document a merged pull request: its facts and, where a model is configured, what changed and why.

    A document that is still current is returned as it is. Without a model that is also one with a
    narrative of the same head and diff, whatever model told it: a document never gets poorer.
    """

    host: CodeHost
    comments: Comments
    syntax: Syntax
    documentations: Documentations
    records: PullRequestRecords
    model: LanguageModel | None
    ignore: IgnoreGlobs
    clock: Clock

    async def execute(self, request: GenerateDocsRequest, job: JobContext) -> GenerateDocsResult:
        """Raise NotMerged, NothingChanged, or what the ports raise; no half of a document is ever kept."""
        await job.progress(5, "reading the pull request")
        pull = await self.host.pull_request(request.repo, request.number)
        pull.require_merged()
        record = await self._record(pull)
        try:
            material = await self._load(request, pull)
            document, created = await self._document(request, material, job)
            record = record.documented_by(document)
            await self.records.save(record)
            if request.publish:
                record = await self._publish(request, document, record, job)
        except (PortFailure, NothingChanged) as error:
            if not isinstance(error, LeaseLost):
                await self.records.save(record.failed(one_line(str(error), 500)))
            raise
        return _result(document, created, record.published_url if request.publish else None)

    async def plan(self, request: GenerateDocsRequest) -> Plan:
        """What `execute` would do: nothing is saved or published, no model is called. Raise the same."""
        pull = await self.host.pull_request(request.repo, request.number)
        pull.require_merged()
        material = await self._load(request, pull)
        current = await self._current(material)
        prepared = await self._prepare(request, material)
        plan = Plan(pull, prepared.facts, prepared.coverage, material.model_name, current)
        if material.model is None or current is not None:
            return plan
        call = prepared.call
        return replace(plan, input_tokens=_input_tokens(call), output_tokens=call.max_output_tokens)

    async def _load(self, request: GenerateDocsRequest, pull: PullRequest) -> _Material:
        changes = await self.host.changes(request.repo, pull)
        if not changes.files:
            raise NothingChanged(f"{pull.repo}#{pull.number} changes no file: there is nothing to document")
        digest = await asyncio.to_thread(diff_hash, changes)
        return _Material(pull, changes, digest, self.model if request.use_model else None)

    async def _current(self, material: _Material) -> Documentation | None:
        pull = material.pull
        if material.model is None:
            for document in reversed(await self.documentations.versions(pull.repo, pull.number)):
                same = (document.head_sha, document.diff_hash) == (pull.head_sha, material.diff_hash)
                if same and document.narrative:
                    return document
        return await self.documentations.current(pull.repo, pull.number, material.fingerprint)

    async def _document(
        self, request: GenerateDocsRequest, material: _Material, job: JobContext
    ) -> tuple[Documentation, bool]:
        """The document, and whether it is new."""
        current = await self._current(material)
        if current is not None:
            return current, False
        await job.progress(30, "computing the facts")
        prepared = await self._prepare(request, material)
        told = await self._ask(material, prepared.call, job)
        await job.progress(90, "saving the document")
        draft = self._draft(material, prepared, told)
        saved = await self.documentations.add(draft)
        return saved, saved.id == draft.id

    async def _prepare(self, request: GenerateDocsRequest, material: _Material) -> _Prepared:
        pull, changes, model = material.pull, material.changes, material.model
        facts = await gather_facts(self.host, self.syntax, request.repo, pull, changes)
        background = prompt.background(pull, changes, facts)
        limit = min(model.input_limit, INPUT_TOKENS) if model else INPUT_TOKENS
        packed = await asyncio.to_thread(
            pack,
            changes,
            budget_tokens=max(0, limit - _input_tokens(prompt.model_call(background, ""))),
            count_tokens=estimate_tokens,
            ignore=self.ignore,
        )
        return _Prepared(facts, packed.coverage, prompt.model_call(background, packed.text))

    async def _ask(self, material: _Material, call: ModelCall, job: JobContext) -> _Told | None:
        model = material.model
        if model is None:
            return None

        async def work() -> _Told:
            reply = await ask(model, call, job)
            try:
                answer = prompt.Answer.model_validate(reply.output)
            except ValidationError as error:
                problem = f"the answer of {model.name} is not a narrative: {_first(error)}"
                raise ModelOutputInvalid(problem, usage=reply.usage) from error
            return _Told(answer.narrative(material.changes), reply.usage)

        await job.progress(50, f"asking {model.name}")
        key = sha256(material.fingerprint.encode()).hexdigest()[:32]
        told = await job.step(f"narrative-{key}", work, _Told)
        if told.narrative.dropped:
            await job.log("warning", "claims that rest on no changed file", dropped=told.narrative.dropped)
        return told

    def _draft(self, material: _Material, prepared: _Prepared, told: _Told | None) -> Documentation:
        pull, now = material.pull, self.clock()
        return Documentation(
            id=new_id(now),
            repo=pull.repo,
            number=pull.number,
            version=0,
            title=pull.title,
            author=pull.author,
            url=pull.url,
            head_sha=pull.head_sha,
            diff_hash=material.diff_hash,
            prompt_version=prompt.PROMPT_VERSION,
            model=material.model_name,
            facts=prepared.facts,
            coverage=prepared.coverage,
            narrative=told.narrative if told else None,
            usage=told.usage if told else Usage(),
            created_at=now,
        )

    async def _record(self, pull: PullRequest) -> PullRequestRecord:
        """What we knew, with what the host says now."""
        known = await self.records.get(pull.repo, pull.number)
        fresh = PullRequestRecord.of(pull)
        if known is None:
            return fresh
        return replace(
            fresh,
            status=known.status,
            documentation_id=known.documentation_id,
            published_url=known.published_url,
        )

    async def _publish(
        self,
        request: GenerateDocsRequest,
        document: Documentation,
        record: PullRequestRecord,
        job: JobContext,
    ) -> PullRequestRecord:
        await job.progress(95, "publishing the document")
        key = f"generate-docs:{document.repo}#{document.number}"
        comment = await publish_comment(self.comments, request.repo, request.number, key, markdown(document))
        published = record.published_at(comment.url)
        await self.records.save(published)
        return published


def _result(document: Documentation, created: bool, published_url: str | None) -> GenerateDocsResult:
    return GenerateDocsResult(
        documentation_id=document.id,
        repo=str(document.repo),
        number=document.number,
        version=document.version,
        created=created,
        model=document.model,
        usage=document.usage if created else Usage(),
        published_url=published_url,
    )


def _input_tokens(call: ModelCall) -> int:
    texts = [call.instructions, json.dumps(call.schema), *(message.text for message in call.messages)]
    return sum(estimate_tokens(text) for text in texts)


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
