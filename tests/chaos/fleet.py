"""The worker processes, and what is done to them."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.account import Fates
from tests.chaos.ledger import micros
from tests.chaos.worker import NO_STORE
from tests.services import _dies_with_parent

_ROOT = Path(__file__).parents[2]
_LOOK_EVERY = 0.05


@dataclass(slots=True)
class Member:
    """One worker process. `name` is also its ledger's."""

    name: str
    process: subprocess.Popen[bytes]
    ledger: Path
    doomed: bool = False
    frozen_at: int | None = None

    @property
    def at_work(self) -> bool:
        """It has begun a job at least, and has not been hit since."""
        alive = self.process.poll() is None and not self.doomed and self.frozen_at is None
        return alive and self.ledger.exists() and self.ledger.stat().st_size > 0


@dataclass(slots=True)
class Fleet:
    """`size` workers; whichever ends is replaced until the fleet is dismissed."""

    size: int
    folder: Path
    environment: Mapping[str, str]
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    _members: list[Member] = field(default_factory=list)
    _dead: dict[str, int] = field(default_factory=dict)
    _frozen: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    _born: int = 0
    _tending: asyncio.Task[None] | None = None

    @property
    def fates(self) -> Fates:
        return Fates(self._dead, self._frozen)

    def start(self) -> None:
        """Keep the fleet at its size from now on."""
        self._tending = asyncio.create_task(self._tend())

    async def _tend(self) -> None:
        while True:
            self._members = [it for it in self._members if not self._buried(it)]
            while len(self._members) < self.size:
                self._members.append(self._launch())
            await asyncio.sleep(_LOOK_EVERY)

    async def kill(self) -> None:
        """SIGKILL one that is at work."""
        victim = await self._victim()
        victim.doomed = True
        victim.process.kill()
        self.done["SIGKILL"] += 1

    async def freeze(self, seconds: float) -> None:
        """SIGSTOP one that is at work; it goes on after `seconds`."""
        victim = await self._victim()
        victim.frozen_at = micros()
        victim.process.send_signal(signal.SIGSTOP)
        self.done["SIGSTOP, then SIGCONT"] += 1
        asyncio.get_running_loop().call_later(seconds, self._thaw, victim)

    async def ask_to_end(self) -> None:
        """SIGTERM one that is at work."""
        victim = await self._victim()
        victim.doomed = True
        victim.process.terminate()
        self.done["SIGTERM"] += 1

    async def dismiss(self, within: float) -> None:
        """End all in good order. Nobody is left, and none is replaced."""
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.wait({self._tending})
        for member in self._members:
            self._thaw(member)
            member.doomed = True
            member.process.terminate()
        for member in self._members:
            try:
                await asyncio.to_thread(member.process.wait, within)
            except subprocess.TimeoutExpired:
                self.faults.append(f"{member.name} does not end: {_tail(self.folder, member)}")
                member.process.kill()
                member.process.wait()
            self._buried(member)
        self._members = []

    def _thaw(self, member: Member) -> None:
        if member.frozen_at is not None and member.process.poll() is None:
            self._frozen.setdefault(member.name, []).append((member.frozen_at, micros()))
            member.process.send_signal(signal.SIGCONT)
        member.frozen_at = None

    async def _victim(self) -> Member:
        while True:
            if candidates := [it for it in self._members if it.at_work]:
                return self.chance.choice(candidates)
            await asyncio.sleep(_LOOK_EVERY)

    def _launch(self) -> Member:
        self._born += 1
        name = f"worker-{self._born}"
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.worker"],
                cwd=_ROOT,
                env={**self.environment, "CHAOS_PROCESS": name, "CHAOS_LEDGER": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_dies_with_parent(signal.SIGKILL),  # noqa: PLW1509 - one system call
            )
        return Member(name, process, self.folder / f"{name}.jsonl")

    def _buried(self, member: Member) -> bool:
        code = member.process.poll()
        if code is None:
            return False
        self._dead[member.name] = micros()
        if code not in {0, -signal.SIGKILL} if member.doomed else code != NO_STORE:
            self.faults.append(f"{member.name} ended with {code}: {_tail(self.folder, member)}")
        return True


def _tail(folder: Path, member: Member) -> str:
    return (folder / f"{member.name}.log").read_text(errors="replace")[-1500:]


def clean_environment() -> dict[str, str]:
    """This process's own, without the settings of whoever runs it."""
    ours = ("DATABASE_URL", "REDIS_URL", "WORKER_TYPE")
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ours and not name.startswith(("FORGEHAND_", "CHAOS_"))
    }
