"""Parts of the command line that are easier seen alone."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from forgehand.application.redaction import Redactor
from forgehand.entrypoints.cli.logs import log_to_stderr
from forgehand.entrypoints.cli.places import Place, place
from forgehand.entrypoints.cli.printing import progress_bar, show_markdown, show_rows, spinner


class TestPlaces:
    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize("text", ["encode/httpx", "https://github.com/encode/httpx", "http://h/a/b"])
    def test_what_a_host_has_is_left_as_it_is(self, text: str) -> None:
        assert place(text) == Place(text, local=False)

    def test_what_git_remote_prints_is_understood(self) -> None:
        assert place("git@github.com:encode/httpx.git") == Place(
            "https://github.com/encode/httpx.git", local=False
        )

    @pytest.mark.parametrize("text", [".", "./x", "../x", "/x/y", "a/b/c", "odd name"])
    def test_everything_else_is_a_path(self, text: str) -> None:
        found = place(text)
        assert found.local
        assert Path(found.location).is_absolute()

    def test_a_folder_that_exists_wins(self, tmp_path: Path) -> None:
        (tmp_path / "encode" / "httpx").mkdir(parents=True)
        assert place("encode/httpx") == Place(str(tmp_path / "encode" / "httpx"), local=True)

    def test_a_file_url_is_a_path(self, tmp_path: Path) -> None:
        (tmp_path / "a clone").mkdir()
        assert place(f"file://{tmp_path}/a%20clone") == Place(str(tmp_path / "a clone"), local=True)

    def test_a_folder_inside_a_clone_means_the_clone(self, tmp_path: Path) -> None:
        (tmp_path / "clone" / ".git").mkdir(parents=True)
        (tmp_path / "clone" / "src" / "deep").mkdir(parents=True)
        assert place("clone/src/deep") == Place(str(tmp_path / "clone"), local=True)

    def test_a_tilde_is_the_home_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        assert place("~/clone") == Place(str(tmp_path / "clone"), local=True)


class TestLog:
    @pytest.fixture(autouse=True)
    def own_log(self) -> Iterator[None]:
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        yield
        root.handlers[:] = handlers
        root.setLevel(level)

    def test_a_service_logs_json_lines_without_secrets(self, capsys: pytest.CaptureFixture[str]) -> None:
        log_to_stderr(Redactor(["hunter22"]), long_running=True, debug=False)
        try:
            int("hunter22")
        except ValueError:
            logging.getLogger("x").exception("with %s", "hunter22")
        line = json.loads(capsys.readouterr().err)
        assert (line["level"], line["logger"], line["message"]) == ("error", "x", "with [redacted]")
        assert "ValueError" in line["error"]
        assert "hunter22" not in line["error"]

    def test_a_command_logs_warnings_alone_without_secrets(self, capsys: pytest.CaptureFixture[str]) -> None:
        log_to_stderr(Redactor(["hunter22"]), long_running=False, debug=False)
        logging.getLogger("x").info("not a word")
        logging.getLogger("x").warning("a word with %s", "hunter22")
        said = capsys.readouterr().err
        assert said.endswith("WARNING a word with [redacted]\n")
        assert said.count("\n") == 1

    def test_debugging_logs_everything(self, capsys: pytest.CaptureFixture[str]) -> None:
        log_to_stderr(Redactor(), long_running=False, debug=True)
        logging.getLogger("x").debug("a detail")
        assert "DEBUG a detail" in capsys.readouterr().err


class TestTerminal:
    """Where stdout and stderr are a terminal."""

    def pretend(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for stream in (sys.stdout, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "60")

    def test_markdown_is_rendered(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.pretend(monkeypatch)
        show_markdown("# Title\n\n**bold**\n")
        said = capsys.readouterr().out
        assert "bold" in said
        assert "**" not in said

    def test_rows_get_heads_and_nothing_is_lost(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.pretend(monkeypatch)
        job = "01a2027d-c776-73a2-a369-d637ed135356"
        show_rows(("name", "said"), [(job, "long " * 30), ("b", "[red]x[/red]")])
        said = capsys.readouterr().out
        assert "name" in said
        assert job in said
        assert said.count("long") == 30
        assert "[red]x[/red]" in said

    def test_progress_goes_to_stderr(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.pretend(monkeypatch)
        with spinner("starting") as shown:
            shown("halfway [red]")
        with progress_bar("documenting") as counted:
            counted(4, 3)
        said = capsys.readouterr()
        assert said.out == ""
        assert "documenting" in said.err
        assert "3/4" in said.err
