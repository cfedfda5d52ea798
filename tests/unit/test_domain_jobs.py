"""The words of the job kernel, and what they refuse."""

from __future__ import annotations

import pytest

from forgehand.domain.jobs import Priority, UnknownPriority


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("urgent", Priority.URGENT),
        ("CRITICAL", Priority.URGENT),
        ("high", Priority.HIGH),
        ("Normal", Priority.NORMAL),
        (" medium ", Priority.NORMAL),
        ("low", Priority.LOW),
    ],
)
def test_a_priority_is_known_by_both_its_names_in_any_case(name: str, meant: Priority) -> None:
    assert Priority.parse(name) is meant


def test_there_are_four_priorities_whatever_the_names() -> None:
    assert [it.name for it in Priority] == ["LOW", "NORMAL", "HIGH", "URGENT"]


@pytest.mark.parametrize("name", ["", "20", "urgent!", "__class__", "x" * 90])
def test_another_priority_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(UnknownPriority, match="low, normal, high, urgent, medium, critical") as refused:
        Priority.parse(name)
    assert len(str(refused.value)) < 160
