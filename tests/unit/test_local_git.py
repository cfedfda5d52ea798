"""A local git repository as a code host: the contracts, and what only a clone on disk can do."""

from __future__ import annotations

from pathlib import Path

import pytest

from forgehand.application.ports.code_host import CodeHost
from forgehand.infrastructure.git import LocalGit
from tests.contracts.code_host import CodeHostContract
from tests.contracts.comments import CommentsContract, Thread
from tests.repositories import Sample, SampleRepository, build_sample


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return build_sample(tmp_path_factory.mktemp("sample") / "clone")


@pytest.fixture(scope="module")
def bare(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.repository.bare_clone(tmp_path_factory.mktemp("bare") / "sample.git", "--mirror")


class TestLocalGitWithWorktree(CodeHostContract):
    @pytest.fixture
    def location(self, sample: Sample) -> str:
        return str(sample.repository.path)

    @pytest.fixture
    def host(self, sample: Sample) -> CodeHost:
        return LocalGit([sample.repository.path])


class TestLocalGitBare(CodeHostContract):
    @pytest.fixture
    def location(self, bare: Path) -> str:
        return str(bare)

    @pytest.fixture
    def host(self, bare: Path) -> CodeHost:
        return LocalGit([bare.parent])
