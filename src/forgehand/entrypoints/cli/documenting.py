"""`forgehand docs`: the document of one merged pull request, of many, or what it would take."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from forgehand.application.documents import as_json
from forgehand.application.ports.documentations import DocumentationNotFound
from forgehand.application.rendering import difference, markdown
from forgehand.application.untrusted import one_line
from forgehand.client import JobFailed
from forgehand.domain.documentation import Documentation, Seen
from forgehand.domain.usage import Usage
from forgehand.entrypoints.cli.exits import ExitCode, is_ours, of_error
from forgehand.entrypoints.cli.printing import (
    Shown,
    progress_bar,
    say,
    show,
    show_json,
    show_markdown,
    show_rows,
    spinner,
)
from forgehand.entrypoints.cli.working import completed, how_to_go_on, queue_job, submit

if TYPE_CHECKING:
    from forgehand.application.use_cases.generate_docs import Plan
    from forgehand.container import Container

_JOB_TYPE = "generate-docs"
_MOST_FILES = 30


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line, whatever the pull request."""

    location: str
    publish: bool
    use_model: bool
    json: bool

    def request(self, number: int) -> dict[str, Any]:
        return {
            "repo": self.location,
            "number": number,
            "publish": self.publish,
            "use_model": self.use_model,
        }


@dataclass(frozen=True, slots=True)
class Made:
    """A document, and what the run did to get it."""

    document: Documentation
    created: bool
    usage: Usage
    published_url: str | None


async def document_one(container: Container, wish: Wish, number: int) -> ExitCode:
    """Print the document of pull request `number`. Raise JobFailed."""
    with spinner(f"documenting #{number}") as shown:
        made = await _make(container, wish, number, shown)
    if wish.json:
        show_json(as_json(made.document))
    else:
        show_markdown(markdown(made.document))
    say(_summary(made))
    if made.document.model is None and wish.use_model:
        say("No model is configured, so these are the facts alone: `forgehand doctor` says how to add one.")
    return ExitCode.OK


async def _make(container: Container, wish: Wish, number: int, shown: Shown) -> Made:
    job_id = await submit(container, _JOB_TYPE, wish.request(number))
    result = await completed(container, job_id, shown)
    document = await container.documentations().get(UUID(str(result["documentation_id"])))
    return Made(document, bool(result["created"]), Usage(**result["usage"]), result["published_url"])


def _summary(made: Made) -> str:
    document = made.document
    news = "new" if made.created else "nothing had changed"
    parts = [f"{document.repo}#{document.number}, version {document.version} ({news})"]
    if made.usage.calls:
        parts.append(_spent(made.usage))
    parts.append(f"document {document.id}")
    if made.published_url:
        parts.append(f"published at {made.published_url}")
    return "; ".join(parts)


def _spent(usage: Usage) -> str:
    return f"{usage.input_tokens} tokens in, {usage.output_tokens} out, {_dollars(usage.cost)}"


def _dollars(micros: int | None) -> str:
    return "at an unknown price" if micros is None else f"${micros / 1_000_000:.4f}"


async def queue_one(container: Container, wish: Wish, number: int) -> ExitCode:
    """Submit only, and say what to type next."""
    return await queue_job(container, _JOB_TYPE, wish.request(number), as_json=wish.json)


async def plan_one(container: Container, wish: Wish, number: int) -> ExitCode:
    """Say what a run would do, without doing it."""
    from forgehand.application.use_cases.generate_docs import GenerateDocs, GenerateDocsRequest

    use_case = container.build_use_case()(GenerateDocs)
    with spinner(f"reading #{number}"):
        plan = await use_case.plan(GenerateDocsRequest(**wish.request(number)))
    cost = _most(container, plan)
    if wish.json:
        show_json(_plan_json(plan, cost))
    else:
        for line in _plan_lines(plan, cost, publish=wish.publish):
            show(line)
    return ExitCode.OK


def _plan_json(plan: Plan, cost: int | None) -> dict[str, Any]:
    return {
        "repo": str(plan.pull.repo),
        "number": plan.pull.number,
        "title": plan.pull.title,
        "files": len(plan.facts.files),
        "additions": plan.facts.additions,
        "deletions": plan.facts.deletions,
        "coverage": {seen.value: plan.coverage.count(seen) for seen in Seen},
        "model": plan.model,
        "inputTokens": plan.input_tokens,
        "outputTokensAtMost": plan.output_tokens,
        "costAtMost": cost,
        "currentDocumentId": plan.current and str(plan.current.id),
    }


def _plan_lines(plan: Plan, cost: int | None, *, publish: bool) -> Iterator[str]:
    facts, coverage = plan.facts, plan.coverage
    yield f"{plan.pull.repo}#{plan.pull.number}: {one_line(plan.pull.title, 200)}"
    yield f"Files: {len(facts.files)} (+{facts.additions} -{facts.deletions} lines)"
    for file in facts.files[:_MOST_FILES]:
        yield f"  {file.status}  +{file.additions} -{file.deletions}  {one_line(file.path, 200)}"
    if len(facts.files) > _MOST_FILES:
        yield f"  … {len(facts.files) - _MOST_FILES} more"
    if plan.current is not None:
        yield f"Version {plan.current.version} is current: no model would be called and nothing saved."
    elif plan.model is None:
        yield "No model would be called: the document would have its facts alone."
    else:
        counts = ", ".join(f"{coverage.count(seen)} {seen}" for seen in Seen)
        yield f"Coverage: {counts}"
        yield f"Model: {plan.model}"
        tokens = f"about {plan.input_tokens} tokens in, at most {plan.output_tokens} out"
        yield f"Cost: {tokens}: at most {_dollars(cost)}"
    yield f"Nothing was saved{'' if not publish else ' or published'}: this was a dry run."


def _most(container: Container, plan: Plan) -> int | None:
    """The price of the plan in micro-dollars; None where the model has no known price."""
    if not plan.input_tokens or plan.model is None:
        return 0
    cost: int | None = container.most_expensive()(plan.model, plan.input_tokens, plan.output_tokens)
    return cost


async def compare(container: Container, wish: Wish, number: int, versions: tuple[int, int]) -> ExitCode:
    """Print the difference between two stored versions. Raise DocumentationNotFound."""
    pull = await container.hosts().pull_request(wish.location, number)
    stored = {it.version: it for it in await container.documentations().versions(pull.repo, number)}
    for version in versions:
        if version not in stored:
            known = ", ".join(map(str, stored)) or "none yet"
            raise DocumentationNotFound(
                f"{pull.repo}#{number} has no version {version}; stored versions: {known}"
            )
    old, new = (stored[version] for version in versions)
    changed = difference(old, new)
    if wish.json:
        show_json({"repo": str(pull.repo), "number": number, "versions": versions, "difference": changed})
    elif changed:
        show(changed.rstrip("\n"))
    else:
        say(f"Versions {versions[0]} and {versions[1]} read the same.")
    return ExitCode.OK


async def document_since(container: Container, wish: Wish, since: datetime) -> ExitCode:
    """Document every pull request merged since; what fails stops nothing, and decides the exit code."""
    with spinner("looking for merged pull requests"):
        numbers = [number async for number in container.hosts().merged_since(wish.location, since)]
    outcomes: dict[int, Made | Exception] = {}
    limit = asyncio.Semaphore(container.job_types().named(_JOB_TYPE).policy.concurrency)

    async def one(number: int) -> None:
        async with limit:
            try:
                outcomes[number] = await _make(container, wish, number, lambda _: None)
            except Exception as error:
                if not is_ours(error):
                    raise
                outcomes[number] = error
        counted(len(numbers), len(outcomes))

    with progress_bar("documenting") as counted:
        async with asyncio.TaskGroup() as group:
            for number in numbers:
                group.create_task(one(number))
    return _reported(wish, [(number, outcomes[number]) for number in numbers])


async def queue_since(container: Container, wish: Wish, since: datetime) -> ExitCode:
    """Submit a job for every pull request merged since."""
    numbers = [number async for number in container.hosts().merged_since(wish.location, since)]
    jobs = [await submit(container, _JOB_TYPE, wish.request(number)) for number in numbers]
    if wish.json:
        rows = zip(numbers, jobs, strict=True)
        show_json([{"number": number, "jobId": str(job)} for number, job in rows])
    else:
        for job in jobs:
            show(str(job))
    say(f"{len(jobs)} jobs are queued. {how_to_go_on(_JOB_TYPE, wish.location)}")
    return ExitCode.OK


def _reported(wish: Wish, outcomes: Sequence[tuple[int, Made | Exception]]) -> ExitCode:
    failures = [error for _, error in outcomes if isinstance(error, Exception)]
    if wish.json:
        show_json([_outcome_json(number, outcome) for number, outcome in outcomes])
    else:
        show_rows(("PR", "version", "", "title or problem"), [_row(*outcome) for outcome in outcomes])
    made = [outcome for _, outcome in outcomes if isinstance(outcome, Made)]
    new = sum(each.created for each in made)
    spent = sum((each.usage for each in made), Usage())
    cost = f", {_spent(spent)}" if spent.calls else ""
    say(f"{len(outcomes)} pull requests: {new} new, {len(made) - new} current, {len(failures)} failed{cost}")
    return of_error(failures[0]) if failures else ExitCode.OK


def _row(number: int, outcome: Made | Exception) -> tuple[str, ...]:
    if isinstance(outcome, Exception):
        return f"#{number}", "", "failed", str(outcome)
    document = outcome.document
    return f"#{number}", f"v{document.version}", "new" if outcome.created else "current", document.title


def _outcome_json(number: int, outcome: Made | Exception) -> dict[str, Any]:
    if isinstance(outcome, Exception):
        kind = outcome.kind if isinstance(outcome, JobFailed) else type(outcome).__name__
        return {"number": number, "problem": {"kind": kind, "message": str(outcome)}}
    return {
        "number": number,
        "documentationId": str(outcome.document.id),
        "version": outcome.document.version,
        "created": outcome.created,
        "title": outcome.document.title,
    }
