"""The wiring: everything that is named can be built, and the layers hold."""

from __future__ import annotations

import ast
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from dependency_injector import providers

import forgehand
from forgehand.application.jobs.context import JobContext
from forgehand.application.jobs.job_type import InvalidJobType, JobRequest, JobResult
from forgehand.container import Container, opened
from forgehand.settings import load

SOURCE = Path(forgehand.__file__).parent


@pytest.fixture
async def container() -> AsyncIterator[Container]:
    async with opened(load({"database_url": "sqlite://"})) as container:
        yield container


async def test_every_provider_builds(container: Container) -> None:
    for name, provider in container.providers.items():
        if isinstance(provider, providers.Singleton | providers.Dict):
            # No key, no model; and a database in memory has one connection, so no heart of its own.
            assert provider() is not None or name in {"model", "open_upkeep"}, name
    assert container.pump(queues=container.job_types().names) is not None


async def test_every_job_type_is_built_from_the_ports_that_are_wired(container: Container) -> None:
    build = container.build_use_case()
    for job_type in container.job_types():
        assert isinstance(build(job_type.use_case), job_type.use_case)
        assert job_type.summary


@dataclass(frozen=True, slots=True)
class Strange:
    """Wants what nobody offers."""

    number: complex

    async def execute(self, request: JobRequest, job: JobContext) -> JobResult:
        return JobResult()


async def test_a_field_that_is_no_port_is_refused_by_name(container: Container) -> None:
    with pytest.raises(InvalidJobType, match=r"Strange\.number"):
        container.build_use_case()(Strange)


async def test_what_was_built_is_closed_when_the_container_is_left() -> None:
    async with opened(load({"database_url": "sqlite://"})) as container:
        database = container.database()
        assert await container.jobs().attempts(container.pump(queues=()).worker.id) == []
    assert database._engine is None


def imports_of(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_the_domain_imports_the_standard_library_alone() -> None:
    for file in (SOURCE / "domain").glob("**/*.py"):
        foreign = {
            name
            for name in imports_of(file)
            if name.partition(".")[0] not in sys.stdlib_module_names
            and not name.startswith("forgehand.domain")
        }
        assert foreign == set(), file.name


def test_only_the_settings_read_the_environment() -> None:
    readers = {
        file.relative_to(SOURCE).as_posix()
        for file in SOURCE.glob("**/*.py")
        if "os.environ" in file.read_text() or "getenv" in file.read_text()
    }
    # The demo hands its PATH on to git, as whoever starts it set it.
    assert readers == {"settings.py", "entrypoints/cli/demo/sample.py"}


def test_only_the_container_names_adapters() -> None:
    outside = [
        file.relative_to(SOURCE).as_posix()
        for file in SOURCE.glob("**/*.py")
        if "infrastructure" not in file.parts and file.name != "container.py"
        if any(name.startswith("forgehand.infrastructure") for name in imports_of(file))
    ]
    assert outside == []
