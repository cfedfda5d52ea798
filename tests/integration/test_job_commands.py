"""`forgehand jobs …` and the options of `forgehand run`, called within this process."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest

from forgehand.application.clock import new_id, utc_now
from forgehand.application.ports.leases import Worker
from forgehand.container import Container, opened
from forgehand.domain.jobs import Job, JobState, Priority
from forgehand.entrypoints.cli import main
from forgehand.entrypoints.cli.watching import watch_all
from forgehand.settings import load

T = TypeVar("T")


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Ended]


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """Commands set up the log of their process, which here is everybody's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return run


@pytest.fixture
def queued(call: Call, tmp_path: Path) -> Callable[..., str]:
    """A job that fails at once: no worker may read that folder."""

    def queue(*options: str) -> str:
        ended = call("run", "generate-docs", f"repo={tmp_path}", "number=1", "--queue", "--json", *options)
        assert ended.code == 0, ended.err
        return str(ended.json["jobId"])

    return queue


def inside(work: Callable[[Container], Awaitable[T]]) -> T:
    async def open_() -> T:
        async with opened(load()) as container:
            return await work(container)

    return asyncio.run(open_())


def job(job_id: str) -> Job:
    return inside(lambda it: it.jobs().get(UUID(job_id)))


def test_a_job_is_queued_as_its_options_say(queued: Callable[..., str]) -> None:
    parent = queued()
    found = job(
        queued(
            *("--priority", "critical", "--delay", "2h", "--unique-key", "one", "--max-attempts", "9"),
            *("--timeout", "90", "--tag", "red", "--tag", "blue", "--after", parent),
            *("--on-parent-failure", "release"),
        )
    )
    assert (found.priority, found.max_attempts, found.timeout) == (Priority.URGENT, 9, timedelta(seconds=90))
    assert (found.unique_key, found.tags, found.blockers) == ("one", ("red", "blue"), 1)
    assert timedelta(minutes=119) < found.run_at - utc_now() <= timedelta(hours=2)


def test_what_has_to_wait_is_queued_not_run(call: Call, tmp_path: Path) -> None:
    ended = call("run", "generate-docs", f"repo={tmp_path}", "number=1", "--at", "2100-01-01T00:00:00Z")
    assert ended.code == 0
    assert job(ended.out.strip()).condition(utc_now()) == "scheduled"


def test_all_faults_of_the_options_are_told_in_one_line(call: Call, tmp_path: Path) -> None:
    wrong = ("--priority", "soon", "--delay", "ages", "--after", "nobody")
    ended = call("run", "generate-docs", f"repo={tmp_path}", "number=1", *wrong)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert all(word in ended.err for word in ("soon", "ages", "nobody"))


def test_jobs_are_listed_by_condition_tag_and_submitter(call: Call, queued: Callable[..., str]) -> None:
    later, plain = queued("--delay", "1h", "--tag", "x"), queued()

    def listed(*options: str) -> set[str]:
        return {it["id"] for it in call("jobs", "list", "--json", *options).json}

    assert listed("--state", "scheduled") == {later}
    assert listed("--tag", "x") == {later}
    assert listed() == {later, plain}
    assert listed("--by", "nobody") == set()
    ended = call("jobs", "list", "--state", "sleeping")
    assert (ended.code, "dead" in ended.err) == (2, True)


def test_jobs_are_cancelled_by_their_ids(call: Call, queued: Callable[..., str]) -> None:
    ids = [queued() for _ in range(3)]
    ended = call("jobs", "cancel", ids[0], ids[1], "--json")
    assert [(it["id"], it["condition"]) for it in ended.json] == [(id_, "cancelled") for id_ in ids[:2]]
    assert job(ids[2]).state is JobState.PENDING
    assert call("jobs", "cancel", str(uuid4())).code == 3


def test_many_are_changed_only_when_it_was_said_so(
    call: Call, queued: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [queued("--tag", "red"), queued("--tag", "red"), queued()]
    assert call("jobs", "cancel").code == 2
    assert call("jobs", "cancel", "--tag", "red").code == 2
    unanswered = call("jobs", "cancel", "--tag", "red", "--all")
    assert unanswered.code == 2
    assert "this would cancel 2 jobs: add --yes" in unanswered.err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda text, **_: "Cancel 2 jobs?" not in text)
    assert call("jobs", "cancel", "--tag", "red", "--all").code == 0
    assert {job(id_).state for id_ in ids} == {JobState.PENDING}
    assert call("jobs", "cancel", "--tag", "red", "--all", "--yes").out == "2 jobs cancelled\n"
    assert [job(id_).state.value for id_ in ids] == ["cancelled", "cancelled", "pending"]


def test_dead_jobs_are_retried_and_replayed(call: Call, queued: Callable[..., str]) -> None:
    ids = [queued("--max-attempts", "1") for _ in range(3)]
    assert call("jobs", "process", "--limit", "3").code == 4
    assert {job(id_).state for id_ in ids} == {JobState.FAILED}
    assert call("jobs", "retry", ids[0]).out == f"{ids[0]} is pending\n"
    again = call("jobs", "retry", ids[0])
    assert (again.code, "only failed and cancelled" in again.err) == (4, True)
    assert call("jobs", "replay", "--all", "--yes", "--json").json == {"replayed": 2}
    assert {job(id_).state for id_ in ids} == {JobState.PENDING}
    assert {job(id_).attempts for id_ in ids} == {0}


def test_the_jobs_that_are_due_are_processed_and_told(call: Call, queued: Callable[..., str]) -> None:
    due, later = queued(), queued("--delay", "1h")
    ended = call("jobs", "process", "--json")
    assert ended.json["jobs"] == [{"id": due, "type": "generate-docs", "status": "failed"}]
    assert (ended.json["success"], ended.json["processed"], ended.json["failed"]) == (False, 1, 1)
    assert ended.json.keys() == {"success", "message", "processed", "failed", "jobs"}
    assert ended.code == 4
    nothing = call("jobs", "process")
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "Nothing is due.\n")
    one = call("jobs", "process", later)
    assert (one.code, "scheduled" in one.err) == (4, True)


def test_a_paused_type_waits(call: Call, queued: Callable[..., str]) -> None:
    assert call("jobs", "pause", "generate-docs").code == 0
    queued()
    assert call("jobs", "process").err == "Nothing is due.\n"
    [row] = call("jobs", "stats", "--json").json
    assert (row["type"], row["paused"], row["pending"], row["completed"]) == ("generate-docs", True, 1, 0)
    assert "paused" in call("jobs", "stats").out
    assert call("jobs", "resume", "generate-docs").code == 0
    assert not call("jobs", "stats", "--json").json[0]["paused"]
    assert call("jobs", "pause", "unheard-of").code == 2


def test_workers_are_listed(call: Call) -> None:
    none = call("jobs", "workers")
    assert (none.code, "forgehand worker" in none.err) == (0, True)

    async def beat() -> None:
        async with opened(load()) as container:
            now = container.clock()()
            await container.upkeep().beat(Worker(new_id(now), "here:1"), now)
            await container.upkeep().beat(Worker(new_id(now), "there:2"), now - timedelta(minutes=3))

    asyncio.run(beat())
    told = call("jobs", "workers", "--json").json
    assert [(it["label"], it["alive"]) for it in told] == [("there:2", False), ("here:1", True)]
    assert "dead: its jobs are rescued" in call("jobs", "workers").out


def test_ended_jobs_are_purged_by_age(call: Call, queued: Callable[..., str]) -> None:
    gone, live = queued(), queued()
    call("jobs", "cancel", gone)
    assert call("jobs", "purge", "--all", "--yes", "--older-than", "1h").out == "0 jobs purged\n"
    assert call("jobs", "purge", "--all", "--yes").out == "1 job purged\n"
    assert call("jobs", "show", gone).code == 3
    assert call("jobs", "show", live).code == 0
    assert call("jobs", "purge", "--all", "--older-than", "long").code == 2


@pytest.mark.parametrize(("end", "code"), [("cancel", 4), ("process", 4)])
def test_watching_a_job_ends_with_it_and_with_its_code(
    call: Call, queued: Callable[..., str], end: str, code: int
) -> None:
    job_id = queued()
    call("jobs", end, job_id)
    lines = call("jobs", "watch", job_id)
    assert lines.code == code
    assert lines.out.splitlines()[0].split()[3] == "submitted"
    assert lines.out.splitlines()[-1].split()[3] == {"cancel": "cancelled", "process": "failed"}[end]
    told = [json.loads(line) for line in call("jobs", "watch", job_id, "--json").out.splitlines()]
    assert told[-1]["kind"] in {"cancelled", "failed"}
    followed = call("jobs", "logs", job_id, "--follow", "--after", str(told[0]["sequence"]))
    assert len(followed.out.splitlines()) == len(told) - 1
    assert call("jobs", "watch", str(uuid4())).code == 3


def test_watching_on_a_terminal_shows_lines_and_a_bar(
    call: Call, queued: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = queued()
    call("jobs", "cancel", job_id)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    ended = call("jobs", "watch", job_id)
    assert "cancelled" in ended.out
    assert (ended.code, f"Job {job_id} is cancelled" in ended.err) == (4, True)


@pytest.mark.parametrize("terminal", [False, True])
def test_watching_all_tells_what_happens_from_now_on(
    terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")

    async def watch(container: Container) -> str:
        request = {"repo": str(tmp_path), "number": 1}
        await container.submit_job().submit("generate-docs", request, by="before")
        monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
        watching = asyncio.create_task(watch_all(container, as_json=False))
        await asyncio.sleep(0.2)
        submission = await container.submit_job().submit("generate-docs", request, by="after")
        said = ""
        async with asyncio.timeout(10):
            while str(submission.job.id) not in said:
                await asyncio.sleep(0.05)
                said += capsys.readouterr().out
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        return said

    said = inside(watch)
    assert ("by=before" in said, "by=after" in said) == (False, not terminal)
    assert ("condition" in said) is terminal
