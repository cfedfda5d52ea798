"""Ids that rise."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from forgehand.application.clock import new_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_ids_of_one_moment_rise_and_are_of_version_7() -> None:
    ids = [new_id(NOW) for _ in range(10_000)]
    assert ids == sorted(set(ids))
    assert {(it.version, it.variant) for it in ids} == {(7, "specified in RFC 4122")}


def test_a_later_millisecond_gives_a_higher_id() -> None:
    assert new_id(NOW) < new_id(NOW + timedelta(milliseconds=1)) < new_id(NOW + timedelta(days=999))


def test_threads_never_get_the_same_id() -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = [
            it for batch in pool.map(lambda _: [new_id(NOW) for _ in range(500)], range(8)) for it in batch
        ]
    assert len(set(ids)) == 4000
