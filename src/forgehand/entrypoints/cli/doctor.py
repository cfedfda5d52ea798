"""`forgehand doctor`: what is configured, reachable and missing, and what to do about it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import TYPE_CHECKING

from forgehand.application.ports.failures import Permanent
from forgehand.entrypoints.cli.exits import ExitCode
from forgehand.entrypoints.cli.printing import show, show_json

if TYPE_CHECKING:
    from forgehand.container import Container
    from forgehand.settings import Settings

_OLDEST_GIT = (2, 25)
_PATIENCE = 10.0


class State(StrEnum):
    """MISSING: it can do without. BROKEN: it cannot."""

    OK = "ok"
    MISSING = "missing"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `advice` says what to do where it is not ok."""

    name: str
    state: State
    said: str
    advice: str | None = None


async def diagnose(settings: Settings, *, as_json: bool) -> ExitCode:
    """Print every finding; a broken one makes the exit code 7."""
    findings = [finding async for finding in _findings(settings)]
    usable = all(finding.state is not State.BROKEN for finding in findings)
    if as_json:
        show_json({"usable": usable, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            show(f"{finding.state:<8} {finding.name}: {finding.said}")
            if finding.advice:
                show(f"{'':<8}   → {finding.advice}")
        show("Forgehand can be used." if usable else "Forgehand cannot be used yet.")
    return ExitCode.OK if usable else ExitCode.CONFIGURATION


async def _findings(settings: Settings) -> AsyncIterator[Finding]:
    from forgehand.container import Container

    yield Finding("forgehand", State.OK, f"{version('forgehand')} on Python {sys.version.split()[0]}")
    yield await asyncio.to_thread(_git)
    yield _home(settings)
    container = Container(settings=settings)
    try:
        yield await _database(container)
        yield await _redis(container, settings)
        yield _model(container)
        yield await _github(settings)
    finally:
        await container.closing().close()


def _git() -> Finding:
    advice = f"install git {'.'.join(map(str, _OLDEST_GIT))} or newer"
    if shutil.which("git") is None:
        return Finding("git", State.BROKEN, "not found on the PATH", advice)
    try:
        said = subprocess.run(
            ["git", "--version"], capture_output=True, text=True, check=True, timeout=_PATIENCE
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("git", State.BROKEN, f"does not run: {error}", advice)
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < _OLDEST_GIT:
        return Finding("git", State.BROKEN, f"{said} is too old", advice)
    return Finding("git", State.OK, said)


def _home(settings: Settings) -> Finding:
    home = settings.home
    nearest = next((path for path in (home, *home.parents) if path.exists()), home)
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return Finding("data folder", State.OK, str(home))
    return Finding("data folder", State.BROKEN, f"{home} cannot be written", "set FORGEHAND_HOME to another")


async def _database(container: Container) -> Finding:
    try:
        database = container.database()
        async with asyncio.timeout(_PATIENCE):
            await container.prepare()
    except TimeoutError:
        return Finding("database", State.BROKEN, "does not answer", "check DATABASE_URL and the server")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return Finding("database", State.BROKEN, str(error), "check DATABASE_URL and the server")
    return Finding("database", State.OK, f"{database.location}, at the revision that this version needs")


async def _redis(container: Container, settings: Settings) -> Finding:
    if settings.redis_url is None:
        return Finding(
            "Redis",
            State.MISSING,
            "not configured: workers in other processes look for jobs every two seconds",
            "set REDIS_URL to wake them at once",
        )
    try:
        async with asyncio.timeout(_PATIENCE):
            await container.checks()["redis"]()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        said = str(error) or "does not answer"
        return Finding("Redis", State.BROKEN, said, "start it, correct REDIS_URL, or unset it")
    return Finding("Redis", State.OK, "answers")


def _model(container: Container) -> Finding:
    try:
        model = container.model()
    except Permanent as error:
        return Finding("model", State.BROKEN, str(error), "correct that setting, or unset it to do without")
    if model is None:
        return Finding(
            "model",
            State.MISSING,
            "no key is set: documents have their facts alone",
            "set ANTHROPIC_API_KEY or GEMINI_API_KEY",
        )
    return Finding("model", State.OK, f"{model.name} (its key is not tried: that would be a paid call)")


async def _github(settings: Settings) -> Finding:
    if settings.github_token is None:
        return Finding(
            "GitHub token",
            State.MISSING,
            "not set: local clones and public repositories can be read, nothing can be published",
            "set GITHUB_TOKEN",
        )
    import httpx

    url = f"{settings.github_api_url.rstrip('/')}/rate_limit"
    headers = {"Authorization": f"Bearer {settings.github_token.get_secret_value().strip()}"}
    try:
        async with httpx.AsyncClient(timeout=_PATIENCE) as client:
            status = (await client.get(url, headers=headers)).status_code
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        said = f"{settings.github_api_url} cannot be reached ({type(error).__name__})"
        return Finding("GitHub token", State.BROKEN, said, "check the network and GITHUB_API_URL")
    if status in {401, 403}:
        said = f"{settings.github_api_url} does not accept it"
        return Finding("GitHub token", State.BROKEN, said, "make a new token and set GITHUB_TOKEN")
    if status >= 400 and status != 404:  # GitHub Enterprise without rate limits answers 404 to a good token
        said = f"{settings.github_api_url} answers with status {status}"
        return Finding("GitHub token", State.BROKEN, said, "check GITHUB_API_URL, or try again later")
    return Finding("GitHub token", State.OK, f"accepted by {settings.github_api_url}")
