"""Cron text by cronsim, in a time zone of this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from forgehand.domain.schedules import LONGEST_TIMING, Interval, InvalidTiming, Times, UnknownZone

_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_CRON = re.compile(r"[0-9A-Za-z*/,#\- \t]+")
_ZONE = re.compile(r"[A-Za-z0-9_+/-]{1,64}")
_PROBE = datetime(2024, 1, 1, tzinfo=UTC)
_FORMS = "five cron fields, six with the seconds first, @hourly and such, or `every 5m`"


@lru_cache(maxsize=512)
def read_timing(timing: str, zone: str) -> Times:
    """A ReadTiming. It takes milliseconds, whatever the text."""
    place = _zone(zone)
    if len(timing) > LONGEST_TIMING:
        raise InvalidTiming(f"the timing is longer than {LONGEST_TIMING} characters")
    interval = Interval.parsed(timing)
    if interval is not None:
        return interval.times
    text = _NAMED.get(timing, timing)
    if not _CRON.fullmatch(text):
        raise InvalidTiming(f"{timing!r} is no timing: write {_FORMS}")
    try:
        # A year that begins on a Monday, so that whatever is said of a text does not depend on the day.
        CronSim(text, _PROBE)
    except (CronSimError, AssertionError, ValueError) as error:
        raise InvalidTiming(f"{timing!r} is no timing ({_said(error)}): write {_FORMS}") from error
    cron = _Cron(text, place)
    if next(cron.times(_PROBE), None) is None:
        raise InvalidTiming(f"{timing!r} never comes: no date fits it")
    return cron.times


@dataclass(frozen=True, slots=True)
class _Cron:
    """Five fields as Debian's cron reads them; with six, all as the clock on the wall shows them."""

    text: str
    zone: tzinfo

    def times(self, after: datetime) -> Iterator[datetime]:
        latest = after
        try:
            for local in CronSim(self.text, after.astimezone(self.zone)):
                at = local.astimezone(UTC)
                # Where the clock is set back, cronsim goes by what the wall shows: that may lie before.
                if at > latest:
                    latest = at
                    yield at
        except OverflowError:
            return


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    unknown = f"{name[:64]!r} is no time zone of this machine: write one like Europe/Berlin or UTC"
    if not _ZONE.fullmatch(name):
        raise UnknownZone(unknown)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnknownZone(unknown) from error


def _said(error: Exception) -> str:
    return str(error).lower() or "it cannot be read"
