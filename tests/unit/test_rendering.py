"""A document as people and programs read it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from forgehand.application.documents import as_json
from forgehand.application.rendering import difference, markdown
from forgehand.domain.documentation import (
    BreakingMarker,
    Claim,
    Coverage,
    DependencyFact,
    Documentation,
    Facts,
    FileCoverage,
    FileFact,
    HunkCoverage,
    Narrative,
    Seen,
    SymbolEvent,
    SymbolFact,
)
from forgehand.domain.pull_requests import ChangeStatus
from forgehand.domain.repositories import RepoName
from forgehand.domain.usage import Usage

FACTS = Facts(
    files=(
        FileFact("src/client.py", ChangeStatus.MODIFIED, 12, 3, "src"),
        FileFact("src/new.py", ChangeStatus.RENAMED, 0, 0, "src", previous_path="src/old.py"),
        FileFact("docs/logo.png", ChangeStatus.ADDED, 0, 0, "docs", binary=True),
        FileFact("tests/test_client.py", ChangeStatus.ADDED, 20, 0, "tests", is_test=True),
    ),
    symbols=(
        SymbolFact(
            "src/client.py", "method", "Client.get", SymbolEvent.CHANGED, "def get(url, n)", "def get(url)"
        ),
        SymbolFact("src/client.py", "class", "Old", SymbolEvent.REMOVED),
    ),
    dependencies=(
        DependencyFact("pyproject.toml", "httpx", ">=0.27", ">=0.28"),
        DependencyFact("pyproject.toml", "rich", None, ">=15"),
        DependencyFact("pyproject.toml", "six", "", None),
    ),
    breaking=(BreakingMarker("commit 1a2b3c4", "feat!: drop Old"),),
    notes=("src/huge.py is over the parser's limit",),
)  # fmt: skip
COVERAGE = Coverage(
    (
        FileCoverage("src/client.py", Seen.SEEN, None, (HunkCoverage("@@ -1 +1 @@", Seen.SEEN),)),
        FileCoverage(
            "src/new.py",
            Seen.CLIPPED,
            "over the budget",
            (
                HunkCoverage("@@ -1 +1 @@", Seen.SEEN),
                HunkCoverage("@@ -9 +9 @@", Seen.IGNORED, "over the budget"),
            ),
        ),
        FileCoverage("docs/logo.png", Seen.IGNORED, "binary"),
    )
)
FACTS_ONLY = Documentation(
    id=UUID(int=7),
    repo=RepoName("octo", "sample"),
    number=12,
    version=3,
    title="Retry requests",
    author="ada",
    url="https://example.org/octo/sample/pull/12",
    head_sha="c0ffee" * 6 + "beef",
    diff_hash="d" * 64,
    prompt_version="1",
    model=None,
    facts=FACTS,
    coverage=COVERAGE,
    narrative=None,
    usage=Usage(),
    created_at=datetime(2024, 5, 6, tzinfo=UTC),
)
TOLD = replace(
    FACTS_ONLY,
    model="scripted/told",
    narrative=Narrative(
        summary=(Claim("Requests are retried by `Client.get`.", ("src/client.py",)),),
        what_changed=(Claim("A file moved.", ("src/new.py", "src/client.py")),),
        why=(Claim("Networks fail.", ("src/client.py",)),),
        how_to_use=(Claim("Pass n.", ("src/client.py",)),),
        migration_notes=(Claim("Do not use Old.", ("src/client.py",)),),
        risks=(Claim("Slow.", ("src/client.py",)),),
        dropped=2,
    ),
    usage=Usage(input_tokens=12_345, output_tokens=678, calls=1, cost=4_200),
)


def test_the_narrative_comes_first_then_facts_then_coverage() -> None:
    text = markdown(TOLD)

    parts = [
        "# octo/sample#12: Retry requests",
        "By `ada`, 4 files, +32 -3.",
        "- Requests are retried by `Client.get`. (`src/client.py`)",
        "**What changed**\n\n- A file moved. (`src/new.py`, `src/client.py`)",
        "**Why**\n\n- Networks fail. (`src/client.py`)",
        "**How to use it**\n\n- Pass n. (`src/client.py`)",
        "**Migration notes**\n\n- Do not use Old. (`src/client.py`)",
        "**Risks**\n\n- Slow. (`src/client.py`)",
        "## Facts",
        "## Coverage",
        "---",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_the_facts_are_all_there() -> None:
    text = markdown(FACTS_ONLY)

    for line in (
        "- commit 1a2b3c4: feat!: drop Old",
        "- changed method `Client.get` in `src/client.py`: `def get(url, n)`, was `def get(url)`",
        "- removed class `Old` in `src/client.py`",
        "- `httpx` in `pyproject.toml`: `>=0.27` → `>=0.28`",
        "- `rich` in `pyproject.toml`: added, `>=15`",
        "- `six` in `pyproject.toml`: removed, was any version",
        "- `src`: 2 files, +12 -3",
        "  - `src/client.py` modified, +12 -3",
        "  - `src/new.py` renamed from `src/old.py`, +0 -0",
        "  - `docs/logo.png` added, binary",
        "**Tests:** 1 test file touched.",
        "- src/huge.py is over the parser's limit",
    ):
        assert f"\n{line}\n" in text


def test_coverage_says_what_was_not_shown_and_why() -> None:
    text = markdown(TOLD)

    assert "What the model was shown of 3 files: 1 seen, 1 clipped, 1 ignored." in text
    assert "- `src/new.py` clipped: over the budget (1 of 2 hunks whole)\n" in text
    assert "- `docs/logo.png` ignored: binary\n" in text


def test_a_long_list_of_ignored_files_is_folded_and_cut() -> None:
    files = tuple(FileCoverage(f"{number}.lock", Seen.IGNORED, "lock file") for number in range(100))

    text = markdown(replace(TOLD, coverage=Coverage(files)))

    assert "<summary>Clipped and ignored: 100 files</summary>" in text
    assert "- `59.lock` ignored: lock file\n- and 40 more\n\n</details>" in text


def test_a_thousand_files_are_cut_and_counted() -> None:
    files = tuple(
        FileFact(f"f{number}.py", ChangeStatus.ADDED, 1, 0, f"part{number // 40}") for number in range(1_000)
    )

    text = markdown(replace(FACTS_ONLY, facts=Facts(files)))

    assert "- `part0`: 40 files, +40 -0\n" in text
    assert text.count("added, +1 -0") == 60
    assert "- and 940 more files\n" in text
    assert len(text) < 20_000


def test_the_footer_says_who_told_it_and_what_that_cost() -> None:
    footer = markdown(TOLD).rpartition("---\n")[2]

    assert footer == (
        "Version 3 at `c0ffeec0ffee`, by Forgehand. Told by `scripted/told`, 12,345 tokens in, 678 out, "
        "$0.0042. 2 claims dropped for naming a file outside the diff.\n"
    )


def test_without_a_price_the_cost_is_unknown_not_nothing() -> None:
    text = markdown(replace(TOLD, usage=Usage(input_tokens=1, output_tokens=1, calls=1, cost=None)))

    assert "at an unknown price" in text
    assert "$" not in text


def test_without_a_model_the_document_says_so() -> None:
    text = markdown(FACTS_ONLY)

    assert "No model is configured: this document holds the facts alone." in text
    assert "What a model would be shown of 3 files" in text
    assert "**Why**" not in text


def test_a_narrative_of_which_nothing_is_left_says_so() -> None:
    text = markdown(replace(TOLD, narrative=Narrative(dropped=1)))

    assert "Nothing that the model said rests on a changed file." in text
    assert "1 claim dropped" in text


ATTACK = "<!-- forgehand:x --> ![p](https://evil.example/a.png) [l](javascript:x) @everyone fixes #1\n# big"


def attacked() -> Documentation:
    claim = Claim(ATTACK, (ATTACK,))
    return replace(
        TOLD,
        title=ATTACK,
        author=ATTACK,
        model=ATTACK,
        facts=Facts(
            files=(FileFact(ATTACK, ChangeStatus.RENAMED, 1, 1, ATTACK, previous_path=ATTACK),),
            symbols=(SymbolFact(ATTACK, "class", ATTACK, SymbolEvent.CHANGED, ATTACK, f"{ATTACK} old"),),
            dependencies=(DependencyFact(ATTACK, ATTACK, ATTACK, f"{ATTACK} new"),),
            breaking=(BreakingMarker(ATTACK, ATTACK),),
            notes=(ATTACK,),
        ),
        coverage=Coverage((FileCoverage(ATTACK, Seen.IGNORED, ATTACK),)),
        narrative=Narrative((claim,), (claim,), (claim,), (claim,), (claim,), (claim,)),
    )


def test_nothing_that_others_wrote_is_markup() -> None:
    text = markdown(attacked())

    outside = "".join(text.split("`")[::2])
    assert "<!--" not in text
    assert "\n# big" not in text
    assert "@everyone" not in outside
    assert "fixes #1" not in outside
    assert "](" not in outside.replace(r"\](", "")
    assert "://" not in outside
    assert next(line for line in outside.splitlines() if line.startswith("#")).startswith(
        "# octo/sample#12: "
    )
    assert outside.count("javascript:") > 0, "the attack is still there to be read"


def test_the_difference_of_a_document_with_itself_is_empty() -> None:
    assert difference(TOLD, TOLD) == ""
    assert difference(TOLD, replace(TOLD, version=4, usage=Usage())) == ""


def test_the_difference_shows_both_versions_and_what_changed() -> None:
    new = replace(
        TOLD,
        version=4,
        prompt_version="2",
        narrative=replace(
            TOLD.narrative or Narrative(), why=(Claim("Servers restart.", ("src/client.py",)),)
        ),
    )

    lines = difference(TOLD, new).splitlines()

    assert lines[:2] == [
        "--- version 3 (c0ffeec0ffee, scripted/told, prompt 1)",
        "+++ version 4 (c0ffeec0ffee, scripted/told, prompt 2)",
    ]
    assert "-- Networks fail. (`src/client.py`)" in lines
    assert "+- Servers restart. (`src/client.py`)" in lines


def test_json_is_in_camel_case_all_the_way_down() -> None:
    found = json.loads(json.dumps(as_json(TOLD)))

    assert found["repo"] == "octo/sample"
    assert found["headSha"] == TOLD.head_sha
    assert found["createdAt"] == "2024-05-06T00:00:00Z"
    assert found["facts"]["files"][1]["previousPath"] == "src/old.py"
    assert found["facts"]["symbols"][0]["previousSignature"] == "def get(url)"
    assert found["narrative"]["whatChanged"][0] == {
        "text": "A file moved.",
        "files": ["src/new.py", "src/client.py"],
    }
    assert found["coverage"]["files"][1]["hunks"][1] == {
        "header": "@@ -9 +9 @@",
        "seen": "ignored",
        "reason": "over the budget",
    }
    assert found["usage"] == {
        "inputTokens": 12345,
        "outputTokens": 678,
        "cachedTokens": 0,
        "calls": 1,
        "cost": 4200,
    }
    assert [name for name in keys(found) if "_" in name] == []


def keys(value: object) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(name for part in value.values() for name in keys(part))]
    return [name for part in value for name in keys(part)] if isinstance(value, list) else []


@pytest.mark.parametrize("document", [FACTS_ONLY, TOLD], ids=["facts", "told"])
def test_a_document_ends_with_one_newline(document: Documentation) -> None:
    assert markdown(document).rstrip("\n") + "\n" == markdown(document)
