"""One table of exit codes: complete, and the same in the README."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import forgehand
from forgehand.application.ports.failures import Permanent, PortFailure, Transient
from forgehand.client import JobFailed
from forgehand.domain.errors import DomainError
from forgehand.domain.pull_requests import NotMerged
from forgehand.entrypoints.cli.exits import BY_KIND, MEANINGS, ExitCode, is_ours, of_error, of_kind
from forgehand.settings import Settings

README = (Path(__file__).parents[2] / "README.md").read_text()


def _below(cls: type[Exception]) -> Iterator[type[Exception]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _below(sub)


def _ours() -> set[str]:
    """The names of the errors that a person may be told of, or that a job may have on record."""
    for module in pkgutil.walk_packages(forgehand.__path__, "forgehand."):
        if not module.name.endswith(("__main__", ".env")) and ".versions" not in module.name:
            importlib.import_module(module.name)
    found = {*_below(DomainError), *_below(PortFailure)} - {Permanent, Transient}
    return {cls.__name__ for cls in found if cls.__module__.startswith("forgehand.")}


def test_every_error_of_a_rule_or_a_port_has_its_exit_code() -> None:
    assert _ours() - set(BY_KIND) == set()


def test_every_name_in_the_table_is_an_error_that_exists() -> None:
    everything = {cls.__name__ for cls in _below(Exception)} | {"KeyboardInterrupt", "CancelledError"}
    assert set(BY_KIND) - everything - {"JobCancelled"} == set()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotMerged("no"), ExitCode.REFUSED),
        (type("Later", (Transient,), {})("no"), ExitCode.UNAVAILABLE),
        (JobFailed("ModelRefused", "no"), ExitCode.MODEL_FAILED),
        (JobFailed("SomethingElse", "no"), ExitCode.UNEXPECTED),
        (ValueError("no"), ExitCode.UNEXPECTED),
    ],
)
def test_an_error_ends_the_same_way_raised_here_or_on_record(error: Exception, code: ExitCode) -> None:
    assert of_error(error) is code


def test_a_surprise_is_none_of_ours() -> None:
    assert is_ours(NotMerged("no"))
    assert is_ours(JobFailed("SomethingElse", "no"))
    assert not is_ours(ValueError("no"))
    assert of_kind("KeyError") is ExitCode.UNEXPECTED


def test_the_readme_has_the_same_table() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", README, re.MULTILINE)
    assert [(int(code), said) for code, said in rows] == [(int(it), said) for it, said in MEANINGS.items()]


def test_the_readme_names_every_setting_and_no_other() -> None:
    table = README.partition("## Settings")[2].partition("## Security")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == {str(field.validation_alias) for field in Settings.model_fields.values()}
