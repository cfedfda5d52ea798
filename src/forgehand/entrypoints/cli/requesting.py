"""`forgehand run`: any job type, by the fields of its request."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from forgehand.application.jobs.job_type import JobType
from forgehand.application.registry import JOB_TYPES
from forgehand.entrypoints.cli.exits import ExitCode
from forgehand.entrypoints.cli.printing import show, show_json


def list_types(*, as_json: bool) -> ExitCode:
    """Every registered type with its summary and the fields of its request."""
    if as_json:
        show_json(
            [
                {
                    "type": it.name,
                    "summary": it.summary,
                    "request": it.request.model_json_schema(by_alias=False),
                }
                for it in JOB_TYPES
            ]
        )
        return ExitCode.OK
    for it in JOB_TYPES:
        show(f"{it.name}: {it.summary}")
        for name, field in it.request.model_fields.items():
            need = "required" if field.is_required() else f"default {field.default}"
            show(f"  {name}  {field.description or ''} ({need})")
    return ExitCode.OK


def _described(job_type: JobType) -> dict[str, Any]:
    schema = job_type.request.model_json_schema(by_alias=False)
    return {"type": job_type.name, "summary": job_type.summary, "request": schema}


def read(source: Path | None, fields: Sequence[str]) -> dict[str, Any]:
    """The request of a JSON file, with `fields` on top. Raise typer.BadParameter."""
    request: dict[str, Any] = {} if source is None else _object(_text(source), f"--input {source}")
    for field in fields:
        key, equals, value = field.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{field!r} is not of the form KEY=VALUE")
        request[key] = _value(key, value)
    return request


def _text(source: Path) -> str:
    try:
        return sys.stdin.read() if str(source) == "-" else source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise typer.BadParameter(f"--input {source} cannot be read: {reason}") from error


def _object(text: str, said: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{said} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{said} is not a JSON object")
    return found


def _value(key: str, text: str) -> Any:
    """Numbers and truth values are pydantic's to read; it does not read lists and objects in text."""
    if not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"the value of {key} is not JSON: {error}") from error
