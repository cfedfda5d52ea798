"""Schedules, as a person or a program reads them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from forgehand.domain.schedules import Schedule
from forgehand.entrypoints.cli.exits import ExitCode
from forgehand.entrypoints.cli.printing import say, show, show_json, show_rows

if TYPE_CHECKING:
    from forgehand.container import Container


async def show_all(it: Container, *, as_json: bool) -> ExitCode:
    """All schedules, by name."""
    found = await it.schedules().all()
    if as_json:
        show_json([_json(it, schedule) for schedule in found])
        return ExitCode.OK
    heads = ("schedule", "type", "timing", "zone", "next", "fired", "missed")
    show_rows(heads, [_row(it, schedule) for schedule in found])
    if not found:
        say("There are no schedules: make one with `forgehand schedules add`.")
    return ExitCode.OK


def _row(it: Container, schedule: Schedule) -> tuple[object, ...]:
    upcoming = it.keep_schedules().upcoming(schedule, 1)
    said = _local(upcoming[0], schedule.zone) if upcoming else _resting(schedule)
    timing = (schedule.timing, schedule.zone)
    return schedule.name, schedule.type, *timing, said, schedule.fired, schedule.missed


def show_one(it: Container, schedule: Schedule, *, as_json: bool) -> ExitCode:
    """What a schedule is, did, and will do."""
    if as_json:
        show_json(_json(it, schedule))
        return ExitCode.OK
    lines = {
        "schedule": f"{schedule.name}, {schedule.type}, by {schedule.submitted_by}",
        "timing": f"{schedule.timing}, {schedule.zone}",
        "policies": f"overlap {schedule.overlap}, catch-up {schedule.catch_up}",
        **{f"request {name}": value for name, value in schedule.request.items()},
        "fired": f"{schedule.fired} times{_last(schedule.last_at, schedule.zone)}",
        "missed": f"{schedule.missed} times{_last(schedule.missed_at, schedule.zone)}",
    }
    for name, value in lines.items():
        show(f"{name + ':':<24} {value}")
    upcoming = it.keep_schedules().upcoming(schedule)
    for at in upcoming:
        show(f"{'next:':<24} {_local(at, schedule.zone)}")
    if not upcoming:
        show(f"{'next:':<24} {_resting(schedule)}")
    return ExitCode.OK


def _resting(schedule: Schedule) -> str:
    return "paused" if schedule.paused_at else "never"


def _last(moment: datetime | None, zone: str) -> str:
    return f", last {_local(moment, zone)}" if moment else ""


def _local(moment: datetime, zone: str) -> str:
    """In the schedule's own zone; in UTC where this machine does not know it."""
    try:
        moment = moment.astimezone(ZoneInfo(zone))
    except (LookupError, ValueError, OSError):
        zone = "UTC"
    return f"{moment:%a %Y-%m-%d %H:%M:%S %z} {zone}"


def _json(it: Container, schedule: Schedule) -> dict[str, Any]:
    return {
        "name": schedule.name,
        "type": schedule.type,
        "request": dict(schedule.request),
        "timing": schedule.timing,
        "zone": schedule.zone,
        "overlap": schedule.overlap.value,
        "catchUp": schedule.catch_up.value,
        "submittedBy": schedule.submitted_by,
        "createdAt": schedule.created_at.isoformat(),
        "pausedAt": schedule.paused_at and schedule.paused_at.isoformat(),
        "upcoming": [at.isoformat() for at in it.keep_schedules().upcoming(schedule)],
        "lastAt": schedule.last_at and schedule.last_at.isoformat(),
        "lastJobId": schedule.last_job_id and str(schedule.last_job_id),
        "fired": schedule.fired,
        "missed": schedule.missed,
        "missedAt": schedule.missed_at and schedule.missed_at.isoformat(),
    }
