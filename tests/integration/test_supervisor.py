"""`forgehand worker --processes N`: workers that die are replaced, and none outlives its supervisor."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.processes import Running, eventually, forgehand

GRACE = 1.0


@pytest.fixture(params=["postgresql", "sqlite"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    environment = {"FORGEHAND_HOME": str(tmp_path / "home"), "FORGEHAND_GRACE_SECONDS": str(GRACE)}
    if request.param == "postgresql":
        environment["DATABASE_URL"] = request.getfixturevalue("postgres_url")
        environment["REDIS_URL"] = request.getfixturevalue("redis_url")
    upgraded = forgehand("db", "upgrade", environment=environment)
    assert upgraded.returncode == 0, upgraded.stderr
    return environment


@pytest.fixture
def supervisor(environment: dict[str, str], tmp_path: Path) -> Iterator[Running]:
    options = ("--processes", "2", "--concurrency", "7")
    log = tmp_path / "supervisor.log"
    with Running("worker", "generate-docs", *options, environment=environment, log=log) as running:
        working(running, 2)
        yield running


def children(running: Running) -> list[psutil.Process]:
    return [it for it in psutil.Process(running.pid).children() if it.status() != psutil.STATUS_ZOMBIE]


def records(running: Running) -> list[dict[str, object]]:
    lines = running.log.read_text(errors="replace").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def working(running: Running, times: int, within: float = 30) -> list[int]:
    """The processes that said they work, once so many have."""

    def look() -> list[int] | None:
        told = [it for it in records(running) if str(it["message"]).startswith("working on")]
        return [int(str(it["pid"])) for it in told] if len(told) >= times else None

    return eventually(look, within, lambda: running.log.read_text(errors="replace"))


def gone(processes: list[psutil.Process], within: float) -> float:
    """Wait until none is alive; return the seconds that it took."""
    began = time.monotonic()
    eventually(
        lambda: True if not any(alive(it) for it in processes) else None,
        within,
        lambda: f"{processes} are gone",
    )
    return time.monotonic() - began


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_each_process_works_and_its_lines_carry_its_number(supervisor: Running) -> None:
    assert sorted(working(supervisor, 2)) == sorted(child.pid for child in children(supervisor))
    for child in children(supervisor):
        options = child.cmdline()
        assert options[options.index("--concurrency") + 1] == "7"
        assert "generate-docs" in options


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_process_that_dies_is_replaced_within_five_seconds(
    supervisor: Running, how: signal.Signals
) -> None:
    victim, other = children(supervisor)
    victim.send_signal(how)
    gone([victim], 5)
    began = time.monotonic()
    assert len(working(supervisor, 3, within=15)) == 3
    assert time.monotonic() - began < 5
    assert other.pid in {child.pid for child in children(supervisor)}
    assert len(children(supervisor)) == 2


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_ends_its_processes_in_good_order(supervisor: Running, how: signal.Signals) -> None:
    processes = children(supervisor)
    began = time.monotonic()
    assert supervisor.end(how) == 0
    assert time.monotonic() - began < GRACE + 5
    assert gone(processes, 1) < 1
    said = [it["pid"] for it in records(supervisor) if "nothing is left claimed" in str(it["message"])]
    assert sorted(map(str, said)) == sorted(str(it.pid) for it in processes)


def test_a_supervisor_killed_by_sigkill_leaves_no_worker_alive(supervisor: Running) -> None:
    processes = children(supervisor)
    processes[0].suspend()  # neither is one that cannot notice
    assert len(processes) == 2
    supervisor.process.kill()
    gone(processes, 5)


def test_a_second_signal_kills_processes_that_do_not_end(environment: dict[str, str], tmp_path: Path) -> None:
    environment["FORGEHAND_GRACE_SECONDS"] = "60"
    log = tmp_path / "supervisor.log"
    with Running("worker", "--processes", "2", environment=environment, log=log) as supervisor:
        working(supervisor, 2)
        processes = children(supervisor)
        for process in processes:
            process.suspend()  # deaf to everything but SIGKILL
        supervisor.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert supervisor.process.poll() is None
        began = time.monotonic()
        assert supervisor.end() == 128 + signal.SIGTERM
        assert time.monotonic() - began < 2
        assert gone(processes, 1) < 1


def test_a_process_that_cannot_end_is_killed_when_its_time_is_over(supervisor: Running) -> None:
    processes = children(supervisor)
    processes[0].suspend()
    began = time.monotonic()
    assert supervisor.end() == 128 + signal.SIGTERM
    assert time.monotonic() - began < GRACE + 5.5
    assert gone(processes, 1) < 1


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"FORGEHAND_LEASE_SECONDS": "soon"}, 7),
        ({"FORGEHAND_PROCESSES": "many"}, 7),
        ({"WORKER_TYPE": "make-coffee"}, 2),
        ({"DATABASE_URL": "mysql://nowhere"}, 7),
        ({"FORGEHAND_POLICIES": '{"make-coffee": {}}'}, 7),
    ],
)
def test_what_can_never_work_ends_the_supervisor_instead_of_looping(
    settings: dict[str, str], code: int
) -> None:
    began = time.monotonic()
    ended = forgehand("worker", "--processes", "2", environment=settings)
    assert ended.returncode == code, ended.stderr
    assert time.monotonic() - began < 20
    assert "forgehand: " in ended.stderr


def test_processes_that_die_at_once_are_started_ever_more_slowly(tmp_path: Path) -> None:
    nowhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "FORGEHAND_PROCESSES": "2"}
    with Running("worker", environment=nowhere, log=tmp_path / "log") as supervisor:
        supervisor.said("another one starts in 0.1 s")
        supervisor.said("another one starts in 0.2 s")
        supervisor.said("another one starts in 0.4 s", within=60)
        assert supervisor.end() == 0


def test_a_single_process_is_the_worker_itself(environment: dict[str, str], tmp_path: Path) -> None:
    with Running("worker", environment=environment, log=tmp_path / "log") as worker:
        assert working(worker, 1) == [worker.pid]
        assert worker.end() == 0


def test_a_worker_ends_when_the_other_end_of_its_bond_is_closed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """What tells a worker of its supervisor's end where the system does not kill it."""
    bond, held = os.pipe()
    options = ("--supervised", str(bond))
    log = tmp_path / "log"
    with Running("worker", *options, environment=environment, log=log, pass_fds=(bond,)) as worker:
        working(worker, 1)
        assert worker.process.poll() is None
        os.close(held)
        assert worker.process.wait(5) == 130
        assert "working on" in worker.log.read_text()
    os.close(bond)


def test_help_tells_of_processes_signals_and_types() -> None:
    shown = " ".join(forgehand("worker", "--help", environment={"COLUMNS": "200"}).stdout.split())
    for words in (
        "--processes",
        "--concurrency",
        "FORGEHAND_PROCESSES",
        "WORKER_TYPE",
        "SIGTERM",
        "replaced",
    ):
        assert words in shown
    assert "--supervised" not in shown
