"""`forgehand docs` as a process: a vendor's SDK on its wire format, and a host that takes comments."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.aimock import Aimock, start_aimock
from tests.fakes.github_server import BOT, STRANGER, TOKEN, FakeGitHub, StoredPull
from tests.processes import forgehand
from tests.repositories import SamplePull, SampleRepository

SHOP = "acme/shop"


def narrative(*files: str) -> dict[str, Any]:
    names = ("summary", "what_changed", "why", "how_to_use", "migration_notes", "risks")
    return {name: [{"text": f"About the {name}.", "files": list(files)}] for name in names}


@pytest.fixture
def sample(tmp_path: Path) -> SampleRepository:
    repository = SampleRepository.create(tmp_path / "shop")
    repository.write("till.py", "def total(prices):\n    return sum(prices)\n")
    repository.commit("Open the shop")
    repository.start_branch("tax")
    repository.write("till.py", "def total(prices, tax):\n    return sum(prices) * (1 + tax)\n")
    repository.commit("Add tax")
    repository.switch("main")
    repository.merge_pull(4, "tax", "Add tax to the total")
    return repository


@pytest.fixture
def pull(sample: SampleRepository) -> SamplePull:
    return sample.pulls[4]


@pytest.fixture(scope="module")
def aimock() -> Iterator[Aimock]:
    with start_aimock([]) as server:
        yield server


PROVIDERS = {
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
    "google": ("GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL"),
}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_vendors_model_tells_the_narrative_and_is_called_once(
    sample: SampleRepository, aimock: Aimock, tmp_path: Path, provider: str
) -> None:
    answer = {
        "content": json.dumps(narrative("till.py")),
        "usage": {"input_tokens": 900, "output_tokens": 90},
    }
    aimock.replay([{"match": {}, "response": answer}])
    key, url = PROVIDERS[provider]
    environment = {"FORGEHAND_HOME": str(tmp_path / "home"), key: "key-of-nobody-123456", url: aimock.url}
    first = forgehand("docs", "--repo", str(sample.path), "--pr", "4", environment=environment)
    assert first.returncode == 0, first.stderr
    assert "About the summary." in first.stdout
    assert len(aimock.journal()) == 1
    second = forgehand("docs", "--repo", str(sample.path), "--pr", "4", "--json", environment=environment)
    assert second.returncode == 0, second.stderr
    document = json.loads(second.stdout)
    assert document["model"].startswith(f"{provider}/")
    assert document["version"] == 1
    assert len(aimock.journal()) == 1
    assert "key-of-nobody" not in first.stdout + first.stderr + second.stdout + second.stderr


@pytest.fixture
def github(sample: SampleRepository, pull: SamplePull) -> Iterator[FakeGitHub]:
    with FakeGitHub() as server:
        merged = datetime(2026, 3, 1, tzinfo=UTC)
        server.add_repository(SHOP, sample.path).add_pull(
            StoredPull(
                4,
                pull.title,
                pull.base_sha,
                pull.head_sha,
                merge_commit_sha=pull.head_sha,
                merged_at=merged,
                updated_at=merged,
                closed=True,
            )
        )
        yield server


def publish(github: FakeGitHub, tmp_path: Path, *, home: str = "home") -> dict[str, Any]:
    environment = {
        "FORGEHAND_HOME": str(tmp_path / home),
        "GITHUB_TOKEN": github.token,
        "GITHUB_API_URL": github.api_url,
    }
    command = ("docs", "--repo", SHOP, "--pr", "4", "--publish", "--json")
    ran = forgehand(*command, environment=environment)
    assert ran.returncode == 0, ran.stderr
    assert TOKEN not in ran.stdout + ran.stderr
    document: dict[str, Any] = json.loads(ran.stdout)
    return document


def test_publishing_twice_gives_one_comment_edited_in_place(github: FakeGitHub, tmp_path: Path) -> None:
    publish(github, tmp_path)
    [comment] = github.comments(SHOP, 4)
    comment.body = comment.body.replace("tax", "an older text")
    publish(github, tmp_path)
    [again] = github.comments(SHOP, 4)
    assert again.id == comment.id
    assert "an older text" not in again.body
    assert len(github.requests("POST", "comments")) == 1
    assert len(github.requests("PATCH", "comments")) == 1


def test_a_second_machine_that_knows_nothing_edits_the_same_comment(
    github: FakeGitHub, tmp_path: Path
) -> None:
    publish(github, tmp_path, home="one")
    publish(github, tmp_path, home="two")
    assert len(github.comments(SHOP, 4)) == 1


def test_a_foreign_comment_with_a_forged_marker_is_left_alone(github: FakeGitHub, tmp_path: Path) -> None:
    publish(github, tmp_path)
    [ours] = github.comments(SHOP, 4)
    github.delete_comment(SHOP, ours.id)
    forged = github.say(SHOP, 4, STRANGER, ours.body)
    publish(github, tmp_path)
    first, second = github.comments(SHOP, 4)
    assert (first.id, first.body) == (forged.id, ours.body)
    assert second.author == BOT


def test_our_own_comment_on_the_third_page_is_found(github: FakeGitHub, tmp_path: Path) -> None:
    publish(github, tmp_path)
    [ours] = github.comments(SHOP, 4)
    github.delete_comment(SHOP, ours.id)
    for number in range(250):
        github.say(SHOP, 4, STRANGER, f"comment {number}")
    late = github.say(SHOP, 4, BOT, ours.body.replace("tax", "an older text"))
    publish(github, tmp_path)
    assert len(github.comments(SHOP, 4)) == 251
    assert "an older text" not in next(it.body for it in github.comments(SHOP, 4) if it.id == late.id)
