"""Git as a subprocess: argument lists, a fixed environment, and nothing of the clone's own configuration."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from forgehand.infrastructure.git.clones import Clone

CHUNK: Final = 1 << 16
_COMPLAINT: Final = 4096

_ENVIRONMENT: Final[Mapping[str, str]] = {
    "GIT_ALLOW_PROTOCOL": "",  # a partial clone must not fetch what it lacks
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "HOME": os.devnull,
    "LC_ALL": "C",
    "XDG_CONFIG_HOME": os.devnull,
}

_CONFIGURATION: Final = """[core]
	repositoryFormatVersion = {version}
	bare = {bare}
	hooksPath = {nowhere}
	fsmonitor = false
	attributesFile = {nowhere}
[log]
	showSignature = false
	mailmap = false
[extensions]
"""


class GitFailed(Exception):
    """Git ended with an error. The message is what it said of it, in one line."""


@dataclass(frozen=True, slots=True)
class Git:
    """Runs git for one clone, one process a call. Cancelling a call kills its process."""

    program: str
    directory: Path
    environment: Mapping[str, str]

    async def output(self, *arguments: str | bytes, given: bytes = b"") -> bytes:
        """All of the standard output, with `given` as standard input. Raise GitFailed."""
        async with self.stream(*arguments, given=given) as stdout:
            return await stdout.read()

    async def records(self, *arguments: str | bytes) -> AsyncIterator[bytes]:
        """The output's NUL-terminated records as they come. Raise GitFailed."""
        async with self.stream(*arguments) as stdout:
            rest = b""
            while chunk := await stdout.read(CHUNK):
                *complete, rest = (rest + chunk).split(b"\0")
                for record in complete:
                    yield record

    @asynccontextmanager
    async def stream(
        self, *arguments: str | bytes, given: bytes = b""
    ) -> AsyncIterator[asyncio.StreamReader]:
        """The standard output, to be read in the block. Raise GitFailed if git fails.

        Git is killed if the block ends before the output does; that is no failure.
        """
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
            stdin.write(given)
            stdin.seek(0)
            process = await self._start(arguments, stdin, stderr)
            assert process.stdout is not None  # noqa: S101 - it was asked for
            left_early = True
            try:
                yield process.stdout
                left_early = not process.stdout.at_eof()
            finally:
                if left_early and process.returncode is None:
                    _kill(process.pid)
                while await process.stdout.read(CHUNK):
                    pass
                await process.wait()
            if process.returncode and not left_early:
                stderr.seek(0)
                raise GitFailed(_first_complaint(stderr.read(_COMPLAINT)) or f"status {process.returncode}")

    async def _start(
        self, arguments: tuple[str | bytes, ...], stdin: IO[bytes], stderr: IO[bytes]
    ) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                self.program,
                "--no-pager",
                *arguments,
                cwd=self.directory,
                env=self.environment,
                stdin=stdin,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                limit=CHUNK,
                process_group=0,  # Ctrl-C is ours to handle
            )
        except OSError as error:
            raise GitFailed(f"{self.program} does not start: {error.strerror}") from error


def git_alone(program: str) -> Git:
    """Git that finds no repository wherever it stands: for reading single files."""
    return Git(program, Path("/"), {**_ENVIRONMENT, "GIT_DIR": os.devnull})


@contextmanager
def git_for(clone: Clone, program: str, extensions: Mapping[str, str]) -> Iterator[Git]:
    """Git on the objects and refs of `clone`, through a stand-in for its git directory.

    The stand-in has a configuration of ours, so whatever the clone's own would run (a file monitor, an
    ssh command, a filter, a signature checker) or fetch (the missing objects of a partial clone) is
    unknown to git. `extensions` are the clone's format extensions that reading needs.
    """
    with tempfile.TemporaryDirectory(prefix="forgehand-git-") as name:
        stand_in = Path(name)
        _furnish(stand_in, clone, extensions)
        environment = {
            **_ENVIRONMENT,
            "GIT_DIR": name,
            "GIT_OBJECT_DIRECTORY": str(clone.common_dir / "objects"),
        }
        if clone.work_tree is not None:
            environment["GIT_WORK_TREE"] = str(clone.work_tree)
        # attributes (binary, -diff) are read from the worktree, which is where git expects to stand
        yield Git(program, clone.work_tree or clone.git_dir, environment)


def _kill(pid: int) -> None:
    """Not `Process.kill`: that may reap the process itself, and asyncio then misses its end."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def find_program(name: str) -> str:
    return shutil.which(name) or name


def _furnish(stand_in: Path, clone: Clone, extensions: Mapping[str, str]) -> None:
    configuration = _CONFIGURATION.format(
        version=1 if extensions else 0, bare=str(clone.work_tree is None).lower(), nowhere=os.devnull
    )
    lines = "".join(f"\t{name} = {value}\n" for name, value in extensions.items())
    (stand_in / "config").write_text(configuration + lines)
    (stand_in / "HEAD").write_bytes((clone.git_dir / "HEAD").read_bytes())
    for name in ("refs", "packed-refs", "reftable", "shallow"):
        (stand_in / name).symlink_to(clone.common_dir / name)


def _first_complaint(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").splitlines()
    fatal = [line for line in lines if line.startswith(("fatal: ", "error: "))]
    return (fatal or lines or [""])[0].partition(": ")[2] or "".join(lines[:1])
