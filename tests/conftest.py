"""What every test gets: a clean environment; and, for those that ask, real servers."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.services import Postgres, Redis, ServiceMissing

S = TypeVar("S", Postgres, Redis)

MEMORY_BYTES = 4 * 2**30

OURS = ("DATABASE_URL", "REDIS_URL", "GITHUB_TOKEN", "WORKER_TYPE", "XDG_DATA_HOME")
PREFIXES = ("FORGEHAND_", "GITHUB_A", "GIT_")
SUFFIXES = ("_API_KEY", "_BASE_URL")


def pytest_configure() -> None:
    """A test that runs away with memory fails by itself, and not by taking the machine with it."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or hard > MEMORY_BYTES:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, hard))


@pytest.fixture(autouse=True)
def hermetic(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the settings, the keys, the data or the git configuration of whoever runs it."""
    for name in list(os.environ):
        if name in OURS or name.startswith(PREFIXES) or name.endswith(SUFFIXES):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FORGEHAND_HOME", str(tmp_path / "forgehand-home"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ada Tester")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@example.com")


def _found(kind: type[S]) -> S:
    try:
        return kind()
    except ServiceMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for the session. A test that stops it need not start it again."""
    with _found(Postgres) as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """A new database."""
    postgres.start()
    url = postgres.create_database()
    yield url
    postgres.start()
    postgres.drop_database(url)


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    """One Redis for the session. A test that stops it need not start it again."""
    with _found(Redis) as server:
        yield server


@pytest.fixture
def redis_url(redis: Redis) -> str:
    """An empty Redis."""
    redis.start()
    redis.flush()
    return redis.url
