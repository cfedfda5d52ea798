"""Policies: the table in code, and what an operator changes of it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from forgehand.application.jobs.job_type import Policy, Retention
from forgehand.application.jobs.policies import PolicyChange
from forgehand.application.registry import JOB_TYPES, POLICIES, policy_of
from forgehand.container import opened
from forgehand.domain.jobs import RateLimit
from forgehand.settings import InvalidSettings, load

TOML = """
[policies.generate-docs]
max_attempts = 7
keep_last = 10
"""


async def policy_in(settings: dict[str, object]) -> Policy:
    async with opened(load({"database_url": "sqlite://", **settings})) as container:
        return container.job_types().named("generate-docs").policy


@pytest.mark.parametrize(
    ("name", "attempts", "delays", "concurrency"),
    [
        ("anything-else", 3, [1, 2, 4], 5),
        ("auto-resolve-issue", 3, [2, 4, 8], 1),
        ("comment-on-issue", 3, [2, 4, 8], 3),
        ("process-document", 3, [2, 4, 8], 5),
        ("send-notification", 5, [1, 2, 4], 5),
        ("analyze-compliance", 3, [5, 10, 20], 5),
    ],
)
def test_each_type_is_run_as_the_table_says(
    name: str, attempts: int, delays: list[int], concurrency: int
) -> None:
    policy = policy_of(name)
    assert policy.retry.max_attempts == attempts
    assert [policy.retry.delay_after(n).total_seconds() for n in (1, 2, 3)] == delays
    assert policy.concurrency == concurrency
    assert policy.rate == RateLimit(100, timedelta(minutes=1))
    assert policy.retention == Retention(timedelta(hours=24), timedelta(hours=48), 0)


def test_every_registered_type_is_run_by_the_table() -> None:
    assert {it.name: it.policy for it in JOB_TYPES} == {it.name: policy_of(it.name) for it in JOB_TYPES}
    assert POLICIES.keys() >= {"generate-docs"}


async def test_the_environment_changes_what_it_names_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change = {
        "max_attempts": 5,
        "first_delay_seconds": 0.5,
        "running": 2,
        "rate_starts": 10,
        "rate_seconds": 1,
    }
    monkeypatch.setenv("FORGEHAND_POLICIES", json.dumps({"generate-docs": change}))
    policy, before = await policy_in({}), policy_of("generate-docs")
    assert (policy.retry.max_attempts, policy.retry.first_delay) == (5, timedelta(seconds=0.5))
    assert (policy.running, policy.rate) == (2, RateLimit(10, timedelta(seconds=1)))
    assert (policy.timeout, policy.concurrency) == (before.timeout, before.concurrency)
    assert policy.retention == before.retention


async def test_forgehand_toml_changes_policies_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "forgehand.toml").write_text(TOML)
    monkeypatch.setenv("FORGEHAND_HOME", str(tmp_path))
    policy = await policy_in({})
    assert (policy.retry.max_attempts, policy.retention.last) == (7, 10)
    monkeypatch.setenv("FORGEHAND_POLICIES", '{"generate-docs": {"max_attempts": 2}}')
    assert (await policy_in({})).retry.max_attempts == 2


def test_all_that_can_be_changed_is_changed() -> None:
    change = PolicyChange(
        max_attempts=9,
        first_delay_seconds=3,
        timeout_seconds=60,
        concurrency=7,
        running=8,
        rate_starts=2,
        rate_seconds=30,
        keep_completed_hours=1,
        keep_failed_hours=2,
        keep_last=3,
    )
    policy = change.applied_to(Policy())
    assert (policy.retry.max_attempts, policy.retry.first_delay) == (9, timedelta(seconds=3))
    assert (policy.timeout, policy.concurrency, policy.running) == (timedelta(minutes=1), 7, 8)
    assert policy.rate == RateLimit(2, timedelta(seconds=30))
    assert policy.retention == Retention(timedelta(hours=1), timedelta(hours=2), 3)


def test_nothing_takes_a_bound_away_and_half_a_rate_keeps_the_other_half() -> None:
    bounded = Policy(running=3)
    unbounded = PolicyChange(running=0, rate_starts=0).applied_to(bounded)
    assert (unbounded.running, unbounded.rate) == (None, None)
    assert PolicyChange(rate_seconds=1).applied_to(bounded).rate == RateLimit(100, timedelta(seconds=1))
    assert PolicyChange(rate_seconds=1).applied_to(unbounded).rate is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "dictionary"),
        ('{"generate-docs": {"max_attempts": 0}}', "generate-docs.max_attempts"),
        ('{"generate-docs": {"max_atempts": 3}}', "generate-docs.max_atempts"),
        ('{"generate-docs": {"concurrency": "many"}}', "generate-docs.concurrency"),
        ('{"generate-docs": 3}', "generate-docs"),
    ],
)
def test_a_policy_that_cannot_be_used_is_told_by_name(
    text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORGEHAND_POLICIES", text)
    with pytest.raises(InvalidSettings, match=said):
        load()


async def test_a_policy_for_an_unknown_type_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidSettings, match=r"no job type 'generate-dogs'; there are: .*generate-docs"):
        await policy_in({"policies": {"generate-dogs": {"max_attempts": 2}}})
