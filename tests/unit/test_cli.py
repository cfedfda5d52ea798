"""The command line, called within this process: what it prints, where, and how it ends."""

from __future__ import annotations

import json
import logging
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from forgehand.entrypoints.cli import main
from forgehand.entrypoints.cli.serving import alone_in
from tests.repositories import Sample, SampleRepository, build_sample

NARRATIVE = {
    name: [{"text": f"The {name} of it.", "files": ["src/app.py"]}]
    for name in ("summary", "what_changed", "why", "how_to_use", "migration_notes", "risks")
}


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


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The sample, with #6 that changes nothing."""
    built = build_sample(tmp_path_factory.mktemp("cli") / "sample")
    built.repository.commit("Nothing at all (#6)")
    return built


@pytest.fixture
def clone(sample: Sample) -> str:
    return str(sample.repository.path)


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """For commands that need nothing of one another: no file is made and migrated."""
    monkeypatch.setenv("DATABASE_URL", "sqlite://")


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def write(*replies: dict[str, Any]) -> None:
        path = tmp_path / "script.json"
        path.write_text(json.dumps(replies))
        monkeypatch.setenv("FORGEHAND_MODEL", f"scripted:{path}")

    return write


def is_one_line(ended: Ended) -> bool:
    return ended.out == "" and re.fullmatch(r"forgehand: [^\n]+\n", ended.err) is not None


class TestDocs:
    def test_a_pipe_gets_markdown_and_stderr_the_rest(self, call: Call, clone: str, in_memory: None) -> None:
        ended = call("docs", "--repo", clone, "--pr", "2")
        assert ended.code == 0
        assert ended.out.startswith("# octo/sample#2: Greet louder\n")
        assert "octo/sample#2, version 1 (new)" in ended.err
        assert "No model is configured" in ended.err

    def test_json_is_all_that_stdout_gets(self, call: Call, clone: str, in_memory: None) -> None:
        ended = call("docs", "--repo", clone, "--pr", "2", "--json")
        assert (ended.json["repo"], ended.json["number"]) == ("octo/sample", 2)
        assert ended.json["facts"]["files"]

    def test_the_folder_one_is_in_is_the_default(
        self, call: Call, sample: Sample, in_memory: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(sample.repository.path / "src")
        assert call("docs", "--pr", "2").code == 0

    def test_a_rerun_says_that_nothing_had_changed(self, call: Call, clone: str) -> None:
        call("docs", "--repo", clone, "--pr", "2")
        again = call("docs", "--repo", clone, "--pr", "2")
        assert "version 1 (nothing had changed)" in again.err
        assert again.out.startswith("# octo/sample#2")

    def test_a_model_tells_what_changed_and_what_that_cost(
        self, call: Call, clone: str, script: Callable[..., None], in_memory: None
    ) -> None:
        script({"output": NARRATIVE, "usage": {"input_tokens": 70, "output_tokens": 8, "cost": 1_200}})
        ended = call("docs", "--repo", clone, "--pr", "2")
        assert "The summary of it." in ended.out
        assert "70 tokens in, 8 out, $0.0012" in ended.err

    def test_no_model_is_called_when_told_so(
        self, call: Call, clone: str, script: Callable[..., None], in_memory: None
    ) -> None:
        script({"error": "refused"})
        ended = call("docs", "--repo", clone, "--pr", "2", "--no-model", "--json")
        assert ended.code == 0
        assert ended.json["narrative"] is None

    def test_a_dry_run_says_what_would_be_done_and_does_nothing(
        self, call: Call, clone: str, script: Callable[..., None]
    ) -> None:
        script()
        ended = call("docs", "--repo", clone, "--pr", "2", "--publish", "--dry-run")
        assert ended.code == 0
        assert "octo/sample#2: Greet louder" in ended.out
        assert re.search(r"about \d{3,} tokens in, at most \d{4,} out: at most \$0.0000", ended.out)
        assert "Model: scripted/script" in ended.out
        assert "Nothing was saved or published" in ended.out
        assert call("jobs", "list", "--json").json == []
        assert call("docs", "--repo", clone, "--pr", "2", "--compare", "1:2").code == 3

    def test_a_dry_run_knows_the_price_of_a_real_model(
        self, call: Call, clone: str, in_memory: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-no-key-at-all-0000")
        monkeypatch.setenv("FORGEHAND_MODEL", "anthropic/claude-sonnet-4-5")
        plan = call("docs", "--repo", clone, "--pr", "2", "--dry-run", "--json").json
        # Three dollars a million in, fifteen out.
        assert plan["costAtMost"] == plan["inputTokens"] * 3 + plan["outputTokensAtMost"] * 15
        assert plan["coverage"]["seen"] > 0

    def test_a_range_goes_on_past_a_failure_and_ends_with_its_code(self, call: Call, clone: str) -> None:
        ended = call("docs", "--repo", clone, "--since", "2024-01-01")
        assert ended.code == 4
        rows = [line.split("\t") for line in ended.out.splitlines()]
        assert [(row[0], row[2]) for row in rows] == [
            ("#6", "failed"),
            ("#5", "new"),
            ("#3", "new"),
            ("#2", "new"),
        ]
        assert "4 pull requests: 3 new, 0 current, 1 failed" in ended.err

    def test_a_range_as_json_names_the_problems(self, call: Call, clone: str, in_memory: None) -> None:
        outcomes = call("docs", "--repo", clone, "--since", "2024-01-01", "--json").json
        assert outcomes[0]["problem"]["kind"] == "NothingChanged"
        assert [it["version"] for it in outcomes[1:]] == [1, 1, 1]

    def test_a_range_with_nothing_in_it_is_no_failure(self, call: Call, clone: str, in_memory: None) -> None:
        ended = call("docs", "--repo", clone, "--since", "2999-01-01")
        assert (ended.code, ended.out) == (0, "")
        assert "0 pull requests" in ended.err

    def test_two_versions_are_compared(self, call: Call, clone: str, script: Callable[..., None]) -> None:
        call("docs", "--repo", clone, "--pr", "2")
        script({"output": NARRATIVE})
        call("docs", "--repo", clone, "--pr", "2")
        ended = call("docs", "--repo", clone, "--pr", "2", "--compare", "1:2")
        assert ended.code == 0
        assert "+- The summary of it." in ended.out
        missing = call("docs", "--repo", clone, "--pr", "2", "--compare", "1:7")
        assert missing.code == 3
        assert "has no version 7; stored versions: 1, 2" in missing.err

    def test_a_queued_job_waits_and_says_what_to_type_next(self, call: Call, clone: str) -> None:
        ended = call("docs", "--repo", clone, "--pr", "2", "--queue")
        job_id = ended.out.strip()
        assert f"FORGEHAND_LOCAL_ROOTS={clone} forgehand worker generate-docs" in ended.err
        assert f"forgehand jobs show {job_id}" in ended.err
        [job] = call("jobs", "list", "--json").json
        assert (job["id"], job["state"], job["request"]["number"]) == (job_id, "pending", 2)

    def test_a_range_can_be_queued(self, call: Call, clone: str) -> None:
        queued = call("docs", "--repo", clone, "--since", "2024-01-01", "--queue", "--json").json
        assert [it["number"] for it in queued] == [6, 5, 3, 2]
        assert {it["id"] for it in call("jobs", "list", "--json").json} == {it["jobId"] for it in queued}


class TestBadInput:
    def check(self, ended: Ended, code: int, *words: str) -> None:
        assert ended.code == code, ended.err
        assert is_one_line(ended), ended
        for word in words:
            assert word in ended.err

    def test_a_folder_that_is_no_repository(self, call: Call, tmp_path: Path, in_memory: None) -> None:
        ended = call("docs", "--repo", str(tmp_path), "--pr", "1")
        self.check(ended, 3, "is not a git repository")

    def test_a_pull_request_that_does_not_exist(self, call: Call, clone: str, in_memory: None) -> None:
        self.check(call("docs", "--repo", clone, "--pr", "99"), 3, "#99")

    def test_a_pull_request_that_is_not_merged(self, call: Call, clone: str, in_memory: None) -> None:
        self.check(call("docs", "--repo", clone, "--pr", "4"), 4, "#4 is not merged")

    def test_a_pull_request_without_a_diff(self, call: Call, clone: str, in_memory: None) -> None:
        self.check(call("docs", "--repo", clone, "--pr", "6"), 4, "changes no file")

    def test_a_clone_that_is_too_shallow(
        self, call: Call, sample: Sample, tmp_path: Path, in_memory: None
    ) -> None:
        shallow = sample.repository.bare_clone(tmp_path / "shallow.git", "--depth", "1")
        ended = call("docs", "--repo", str(shallow), "--pr", "2")
        self.check(ended, 3, "shallow")

    def test_an_unknown_host(self, call: Call, in_memory: None) -> None:
        ended = call("docs", "--repo", "https://code.example.org/a/b", "--pr", "1")
        self.check(ended, 7, "code.example.org is not a host that is configured")

    @pytest.mark.parametrize("error", ["refused", "truncated", "quota", "authentication", "rejected"])
    def test_a_model_that_fails(
        self, call: Call, clone: str, script: Callable[..., None], in_memory: None, error: str
    ) -> None:
        script({"error": error, "message": "it says why"})
        self.check(call("docs", "--repo", clone, "--pr", "2"), 5, "scripted/script")

    def test_a_model_that_is_not_configured_right(
        self, call: Call, clone: str, in_memory: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FORGEHAND_MODEL", "anthropic/claude")
        self.check(call("docs", "--repo", clone, "--pr", "2"), 7, "ANTHROPIC_API_KEY is not set")

    @pytest.mark.parametrize("url", ["nonsense", "mysql://user:hunter22@host/db"])
    def test_an_invalid_database_url(
        self, call: Call, clone: str, monkeypatch: pytest.MonkeyPatch, url: str
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", url)
        ended = call("docs", "--repo", clone, "--pr", "2")
        self.check(ended, 7, "DATABASE_URL")
        assert "hunter22" not in ended.err

    def test_a_database_that_cannot_be_reached(self, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgresql://user:hunter22@127.0.0.1:1/db")
        ended = call("jobs", "list")
        self.check(ended, 6, "database")
        assert "hunter22" not in ended.err

    def test_a_database_from_a_newer_version(self, call: Call, tmp_path: Path) -> None:
        assert call("jobs", "list").code == 0
        with sqlite3.connect(tmp_path / "forgehand-home" / "forgehand.db") as database:
            database.execute("UPDATE forgehand_alembic_version SET version_num = '9999'")
        database.close()
        self.check(call("jobs", "list"), 7, "9999", "upgrade Forgehand")
        self.check(call("db", "upgrade"), 7, "9999", "upgrade Forgehand")

    def test_a_port_in_use(self, call: Call, in_memory: None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            self.check(call("up", "--port", port), 7, f"port {port} is in use")
            self.check(call("serve", "--port", port), 7, f"port {port} is in use")

    def test_a_data_folder_that_another_up_has(self, call: Call, tmp_path: Path) -> None:
        with alone_in(tmp_path / "forgehand-home"):
            self.check(call("up"), 7, "another Forgehand runs on")

    def test_a_data_folder_that_cannot_be_made(
        self, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("FORGEHAND_HOME", str(tmp_path / "file" / "home"))
        self.check(call("up"), 7, "set FORGEHAND_HOME")
        self.check(call("jobs", "list"), 7, "cannot be made")

    def test_a_setting_that_is_no_number(self, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FORGEHAND_PORT", "many")
        self.check(call("jobs", "list"), 7, "FORGEHAND_PORT")

    def test_a_bad_date(self, call: Call) -> None:
        self.check(call("docs", "--since", "yesterday"), 2, "'yesterday' is not a date")

    def test_neither_a_pull_request_nor_a_date(self, call: Call) -> None:
        self.check(call("docs"), 2, "--pr N")

    def test_both_a_pull_request_and_a_date(self, call: Call) -> None:
        self.check(call("docs", "--pr", "1", "--since", "2024-01-01"), 2, "--since DATE")

    def test_versions_that_are_none(self, call: Call) -> None:
        self.check(call("docs", "--pr", "1", "--compare", "new"), 2, "1:2")

    def test_wishes_that_exclude_one_another(self, call: Call) -> None:
        self.check(call("docs", "--pr", "1", "--dry-run", "--queue"), 2, "exclude")
        self.check(call("docs", "--since", "2024-01-01", "--dry-run"), 2, "--since")

    def test_an_unknown_job_type(self, call: Call, in_memory: None) -> None:
        self.check(call("run", "make-coffee"), 2, "'make-coffee'", "generate-docs")
        self.check(call("worker", "make-coffee"), 2, "'make-coffee'", "generate-docs")
        self.check(call("jobs", "list", "--type", "make-coffee"), 2, "'make-coffee'")

    def test_a_request_that_does_not_fit_its_type(self, call: Call, in_memory: None) -> None:
        ended = call("run", "generate-docs", "repo=a/b", "number=none", "nmber=1")
        self.check(ended, 2, "number:", "nmber:")

    def test_fields_that_are_none(self, call: Call, tmp_path: Path, in_memory: None) -> None:
        self.check(call("run", "generate-docs", "number"), 2, "KEY=VALUE")
        self.check(call("run", "generate-docs", "x=[1"), 2, "not JSON")
        self.check(call("run", "generate-docs", "--input", str(tmp_path / "gone")), 2, "cannot be read")
        (tmp_path / "list.json").write_text("[]")
        self.check(call("run", "generate-docs", "--input", str(tmp_path / "list.json")), 2, "JSON object")

    def test_an_unknown_command_or_option(self, call: Call) -> None:
        self.check(call("dcos"), 2, "dcos")
        self.check(call("docs", "--prr", "1"), 2, "--prr")
        self.check(call("docs", "--pr", "one"), 2, "--pr")

    def test_an_unknown_job(self, call: Call, in_memory: None) -> None:
        nobody = "01a2027d-c776-73a2-a369-d637ed135356"
        for command in ("show", "logs"):
            self.check(call("jobs", command, nobody), 3, nobody)
            self.check(call("jobs", command, "last"), 2, "not a job's id")

    def test_an_unknown_state(self, call: Call, in_memory: None) -> None:
        self.check(call("jobs", "list", "--state", "asleep"), 2, "'asleep'", "running")


class TestDebug:
    def test_it_adds_the_traceback_wherever_it_stands(
        self, call: Call, tmp_path: Path, in_memory: None
    ) -> None:
        wrong = ["docs", "--repo", "https://code.example.org/a/b", "--pr", "1"]
        for arguments in (["--debug", *wrong], [*wrong, "--debug"]):
            ended = call(*arguments)
            assert ended.code == 7
            assert "Traceback (most recent call last)" in ended.err
            assert ended.err.splitlines()[-1].startswith("forgehand: code.example.org")

    def test_no_secret_is_in_a_traceback(self, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgresql://user:hunter22@127.0.0.1:1/db")
        ended = call("jobs", "list", "--debug")
        assert "Traceback" in ended.err
        assert "hunter22" not in ended.err

    def test_a_surprise_says_how_to_learn_more(self, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        def surprise() -> None:
            raise ZeroDivisionError("a token like ghp_0123456789abcdefghij")

        monkeypatch.setattr("forgehand.container.opened", lambda _: surprise())
        ended = call("jobs", "list")
        assert ended.code == 1
        assert "--debug" in ended.err
        assert "ghp_0123456789" not in ended.err
        assert is_one_line(ended)


class TestJobs:
    def test_a_failed_job_shows_its_attempts_and_its_problem(
        self, call: Call, clone: str, script: Callable[..., None]
    ) -> None:
        script({"error": "refused", "message": "not today", "usage": {"input_tokens": 9, "cost": 30}})
        call("docs", "--repo", clone, "--pr", "2")
        [job] = call("jobs", "list", "--state", "failed", "--type", "generate-docs", "--json").json
        shown = call("jobs", "show", job["id"], "--json").json
        assert shown["problem"]["kind"] == "ModelRefused"
        assert [it["outcome"] for it in shown["attempts"]] == ["failed"]
        assert [(it["state"], it["inputTokens"]) for it in shown["modelCalls"]] == [
            ("asked", 0),
            ("failed", 9),
        ]
        said = call("jobs", "show", job["id"]).out
        assert re.search(r"attempt 1: +.* failed: ModelRefused: .*not today", said)
        assert re.search(r"model call: +scripted/script failed, 9 tokens in, 0 out, \$0.0000", said)

    def test_the_log_is_every_event_after_a_number(self, call: Call, clone: str) -> None:
        call("docs", "--repo", clone, "--pr", "2")
        job_id = call("jobs", "list").out.split("\t")[0]
        lines = call("jobs", "logs", job_id, "--follow").out.splitlines()
        assert lines[0].split()[3] == "submitted"
        assert lines[-1].split()[3] == "completed"
        number = lines[-2].split()[0]
        events = call("jobs", "logs", job_id, "--after", number, "--json").out.splitlines()
        assert [json.loads(line)["kind"] for line in events] == ["completed"]

    def test_no_more_are_listed_than_asked_for(self, call: Call, clone: str) -> None:
        call("docs", "--repo", clone, "--since", "2024-01-01", "--queue")
        ended = call("jobs", "list", "--limit", "3")
        assert len(ended.out.splitlines()) == 3
        assert "more than 3" in ended.err
        assert call("jobs", "list", "--state", "running").err == "There are no such jobs.\n"

    def test_a_terminal_is_told_no_control_characters(self, call: Call, tmp_path: Path) -> None:
        evil = SampleRepository.create(tmp_path / "evil")
        evil.write("a.txt", "a\n")
        evil.commit("Nothing \x1b[31mred\x07 (#1)")
        call("docs", "--repo", str(evil.path), "--pr", "1")
        call("docs", "--repo", str(evil.path), "--since", "2024-01-01")
        job_id = call("jobs", "list").out.split("\t")[0]
        for command in (["jobs", "show", job_id], ["jobs", "logs", job_id], ["jobs", "list"]):
            assert "\x1b" not in call(*command).out


class TestRun:
    def test_any_type_runs_with_the_fields_of_its_request(
        self, call: Call, clone: str, in_memory: None
    ) -> None:
        ended = call("run", "generate-docs", f"repo={clone}", "number=2", "--json")
        assert ended.code == 0
        assert ended.json["version"] == 1
        assert "version: 1" in call("run", "generate-docs", f"repo={clone}", "number=2").out

    def test_fields_win_over_the_file(self, call: Call, clone: str, tmp_path: Path, in_memory: None) -> None:
        file = tmp_path / "request.json"
        file.write_text(json.dumps({"repo": clone, "number": 99}))
        ended = call("run", "generate-docs", "number=3", "--input", str(file), "--json")
        assert ended.json["number"] == 3

    def test_the_types_and_their_fields_are_listed(self, call: Call) -> None:
        assert "generate-docs: Document a merged pull request" in call("run", "--list").out
        [listed] = call("run", "--list", "--json").json
        assert set(listed["request"]["properties"]) == {"repo", "number", "publish", "use_model"}

    def test_a_type_is_needed(self, call: Call) -> None:
        assert call("run").code == 2

    def test_a_job_can_be_queued(self, call: Call) -> None:
        ended = call("run", "generate-docs", "repo=a/b", "number=1", "--queue", "--json")
        assert ended.json["type"] == "generate-docs"
        assert "`forgehand worker generate-docs`" in ended.err


class TestTokens:
    def test_a_token_is_shown_once_and_kept_as_a_hash(self, call: Call, tmp_path: Path) -> None:
        made = call("token", "create", "ci", "--role", "operator")
        text = made.out.strip()
        assert re.fullmatch(r"fh_[\w-]{43}", text)
        assert "It is not shown again" in made.err
        listed = call("token", "list", "--json")
        assert [(it["name"], it["role"]) for it in listed.json] == [("ci", "operator")]
        assert text not in listed.out
        stored = b"".join(path.read_bytes() for path in (tmp_path / "forgehand-home").glob("forgehand.db*"))
        assert b"ci" in stored
        assert text.encode() not in stored

    def test_a_name_is_taken_until_its_token_is_revoked(self, call: Call) -> None:
        assert call("token", "create", "ci", "--json").json["role"] == "viewer"
        assert call("token", "create", "ci").code == 4
        assert call("token", "revoke", "ci").code == 0
        assert call("token", "revoke", "ci").code == 3
        assert call("token", "create", "ci").code == 0
        assert len(call("token", "list").out.splitlines()) == 2

    def test_a_role_that_is_none_is_refused(self, call: Call) -> None:
        ended = call("token", "create", "ci", "--role", "king")
        assert ended.code == 2
        assert is_one_line(ended)


class TestDoctor:
    def test_it_says_what_is_missing_and_what_to_do(self, call: Call, in_memory: None) -> None:
        ended = call("doctor")
        assert ended.code == 0
        assert "set ANTHROPIC_API_KEY or GEMINI_API_KEY" in ended.out
        assert "Forgehand can be used." in ended.out

    def test_what_is_broken_makes_it_fail(self, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgresql://user:hunter22@127.0.0.1:1/db")
        monkeypatch.setenv("REDIS_URL", "redis://:hunter22@127.0.0.1:1")
        monkeypatch.setenv("GITHUB_TOKEN", "hunter2222")
        monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:1")
        monkeypatch.setenv("FORGEHAND_MODEL", "somebody/else")
        ended = call("doctor", "--json")
        assert ended.code == 7
        assert ended.json["usable"] is False
        states = {it["name"]: it["state"] for it in ended.json["findings"]}
        assert states == {
            "forgehand": "ok",
            "git": "ok",
            "data folder": "ok",
            "database": "broken",
            "Redis": "broken",
            "model": "broken",
            "GitHub token": "broken",
        }
        assert all(it["advice"] for it in ended.json["findings"] if it["state"] == "broken")
        assert "hunter22" not in ended.out + ended.err

    def test_a_machine_without_git_is_told_so(
        self, call: Call, in_memory: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        ended = call("doctor")
        assert ended.code == 7
        assert "broken   git: not found on the PATH" in ended.out


class TestTheRest:
    def test_help_names_the_commands_and_every_exit_code(self, call: Call) -> None:
        said = call("--help").out
        for word in ("docs", "worker", "doctor", "  0  done", "130  interrupted"):
            assert word in said

    def test_nothing_written_gets_the_help(self, call: Call) -> None:
        ended = call()
        assert ended.code == 2
        assert ended.err.startswith("Usage: forgehand")

    def test_the_version(self, call: Call) -> None:
        assert re.fullmatch(r"forgehand \d+\.\d+\.\d+\S*\n", call("--version").out)

    def test_the_http_interface_is_described_without_a_database(self, call: Call, tmp_path: Path) -> None:
        described = call("openapi").json
        assert "/api/jobs/generate-docs" in described["paths"]
        assert not (tmp_path / "forgehand-home").exists()

    def test_a_database_is_upgraded_from_and_to(self, call: Call) -> None:
        assert "is upgraded from nothing to 0002" in call("db", "upgrade").out
        assert "is at revision 0002 already" in call("db", "upgrade").out

    def test_help_loads_nothing_heavy(self) -> None:
        probe = (
            "import sys; from forgehand.entrypoints.cli import main; main(['--help']);"
            "heavy = {'pydantic', 'rich', 'sqlalchemy', 'litestar', 'dependency_injector', 'httpx'};"
            "print(*heavy & set(sys.modules), file=sys.stderr)"
        )
        ended = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
        assert ended.stderr == "\n"
