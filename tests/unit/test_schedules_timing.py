"""What the timing of a schedule means: intervals, cron text, time zones, and what is refused."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgehand.domain.schedules import Interval, InvalidTiming, UnknownZone
from forgehand.infrastructure.cron import read_timing

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
moments = st.timedeltas(timedelta(days=3_650), timedelta(days=84_000)).map(lambda age: EPOCH + age)
periods = st.integers(1, 366 * 86_400).map(lambda seconds: timedelta(seconds=seconds))


def times(timing: str, zone: str, after: datetime, number: int) -> list[datetime]:
    return list(islice(read_timing(timing, zone)(after), number))


def berlin(year: int, month: int, day: int, hour: int = 0, minute: int = 0, fold: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=BERLIN, fold=fold).astimezone(UTC)


def on_the_wall(found: Sequence[datetime]) -> list[str]:
    return [f"{at.astimezone(BERLIN):%d %H:%M %z}" for at in found]


@given(periods, moments)
def test_an_interval_comes_within_its_period_and_at_a_multiple_of_it(
    period: timedelta, after: datetime
) -> None:
    first = next(Interval(period).times(after))
    assert after < first <= after + period
    assert (first - EPOCH) % period == timedelta(0)


@given(periods, moments, moments)
def test_whoever_asks_and_whenever_an_interval_has_the_same_times(
    period: timedelta, one: datetime, other: datetime
) -> None:
    earlier, later = sorted((one, other))
    far = next(Interval(period).times(later))
    just_before = far - timedelta(microseconds=1)
    assert next(Interval(period).times(max(earlier, far - period))) == far
    assert next(Interval(period).times(just_before)) == far


@given(periods, moments)
def test_the_times_of_an_interval_are_one_period_apart(period: timedelta, after: datetime) -> None:
    found = list(islice(Interval(period).times(after), 5))
    assert [later - earlier for earlier, later in pairwise(found)] == [period] * 4


@pytest.mark.parametrize(
    ("text", "seconds"), [("every 1s", 1), ("every 5m", 300), ("every 2h", 7200), ("every  1 d", 86_400)]
)
def test_an_interval_is_written_with_its_unit(text: str, seconds: int) -> None:
    assert Interval.parsed(text) == Interval(timedelta(seconds=seconds))


def test_an_interval_ends_with_the_calendar() -> None:
    assert len(list(Interval(timedelta(days=1)).times(datetime(9999, 12, 30, tzinfo=UTC)))) == 1


@given(
    st.sampled_from(
        ["* * * * *", "*/7 * * * *", "30 2 * * *", "0 0 29 2 *", "15 */2 * * 1-5", "* * * * * *"]
    ),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    st.timedeltas(timedelta(days=20_000), timedelta(days=22_000)).map(lambda age: EPOCH + age),
)
def test_cron_times_lie_ahead_and_only_move_on(timing: str, zone: str, after: datetime) -> None:
    found = times(timing, zone, after, 5)
    assert found[0] > after
    assert all(earlier < later for earlier, later in pairwise(found))
    assert all(at.utcoffset() == timedelta(0) for at in found)
    assert times(timing, zone, found[0], 4) == found[1:]


def test_five_fields_are_read_in_the_time_zone() -> None:
    found = times("30 9 * * 1-5", "Europe/Berlin", berlin(2026, 1, 2, 12), 3)
    assert found == [berlin(2026, 1, 5, 9, 30), berlin(2026, 1, 6, 9, 30), berlin(2026, 1, 7, 9, 30)]


def test_six_fields_have_the_seconds_first() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert times("*/20 * * * * *", "UTC", start, 3) == [start + timedelta(seconds=n) for n in (20, 40, 60)]


@pytest.mark.parametrize(
    ("named", "fields"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ],
)
def test_the_usual_names_stand_for_fields(named: str, fields: str) -> None:
    start = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
    assert times(named, "UTC", start, 3) == times(fields, "UTC", start, 3)


def test_a_leap_day_is_found_however_far_it_is() -> None:
    assert times("0 0 29 2 *", "UTC", datetime(2097, 1, 1, tzinfo=UTC), 1) == [
        datetime(2104, 2, 29, tzinfo=UTC)
    ]


def test_a_fixed_time_that_the_clock_jumps_over_comes_right_after_the_gap() -> None:
    """29 March 2026 has no 02:30 in Berlin."""
    found = times("30 2 * * *", "Europe/Berlin", berlin(2026, 3, 28), 3)
    assert on_the_wall(found) == ["28 02:30 +0100", "29 03:00 +0200", "30 02:30 +0200"]


def test_a_fixed_time_that_the_clock_shows_twice_comes_once() -> None:
    """25 October 2026 has 02:30 twice in Berlin: the first one counts."""
    found = times("30 2 * * *", "Europe/Berlin", berlin(2026, 10, 24), 3)
    assert on_the_wall(found) == ["24 02:30 +0200", "25 02:30 +0200", "26 02:30 +0100"]


def test_a_fixed_time_is_not_repeated_for_who_asks_within_the_doubled_hour() -> None:
    within = berlin(2026, 10, 25, 2, 10, fold=1)
    assert on_the_wall(times("30 2 * * *", "Europe/Berlin", within, 1)) == ["26 02:30 +0100"]


def test_what_comes_every_hour_follows_real_time_through_both_changes() -> None:
    forwards = times("0 * * * *", "Europe/Berlin", berlin(2026, 3, 29, 0, 30), 3)
    assert on_the_wall(forwards) == ["29 01:00 +0100", "29 03:00 +0200", "29 04:00 +0200"]
    back = times("0 * * * *", "Europe/Berlin", berlin(2026, 10, 25, 1, 30), 3)
    assert on_the_wall(back) == ["25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"]


def test_six_fields_follow_the_clock_on_the_wall() -> None:
    """A time that does not exist is left out; one that comes twice is fired twice."""
    gap = times("0 30 2 * * *", "Europe/Berlin", berlin(2026, 3, 28), 2)
    assert on_the_wall(gap) == ["28 02:30 +0100", "30 02:30 +0200"]
    twice = times("0 30 2 * * *", "Europe/Berlin", berlin(2026, 10, 25), 3)
    assert on_the_wall(twice) == ["25 02:30 +0200", "25 02:30 +0100", "26 02:30 +0100"]


@pytest.mark.parametrize("timing", ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 0 31 2 *"])
def test_a_date_that_never_comes_is_refused(timing: str) -> None:
    with pytest.raises(InvalidTiming):
        read_timing(timing, "UTC")


@pytest.mark.parametrize(
    "timing",
    [
        "",
        " ",
        "nonsense",
        "* * * *",
        "* * * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "*/0 * * * *",
        "1-99999999999 * * * *",
        "0-59/0 * * * *",
        "5-1 * * * *",
        "* * * * MON#6",
        "@reboot",
        "@every 5m",
        "every 0s",
        "every 5",
        "every -5m",
        "every 5y",
        "every 999999d",
        "every 9999999999999999999s",
        "٣ * * * *",
        "* * * * *\n* * * * *",
        "* * * * *\x00",
        "1," * 5_000 + "1 * * * *",
        "*/1" * 3_000,
        "0" * 10_240,
    ],
)
def test_what_is_no_timing_is_refused_at_once_in_one_short_line(timing: str) -> None:
    tracemalloc.start()
    try:
        started = time.process_time()
        with pytest.raises(InvalidTiming) as caught:
            read_timing(timing, "UTC")
        assert time.process_time() - started < 0.25
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@given(st.text("0123456789*/-,LW#MONFEB @every", max_size=100))
def test_any_text_is_either_a_timing_or_refused(timing: str) -> None:
    try:
        found = read_timing(timing, "Europe/Berlin")
    except InvalidTiming:
        return
    assert next(found(EPOCH)) > EPOCH


@pytest.mark.parametrize(
    "zone",
    [
        "",
        "Mars/Olympus",
        "../../etc/passwd",
        "/etc/localtime",
        "Europe",
        "Europe/Berlin\x00",
        "tzdata.zi",
        "x" * 9000,
    ],
)
def test_an_unknown_zone_is_refused_and_said(zone: str) -> None:
    with pytest.raises(UnknownZone, match="time zone") as caught:
        read_timing("@daily", zone)
    assert len(str(caught.value)) < 200
