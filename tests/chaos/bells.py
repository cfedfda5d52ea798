"""A bell that keeps no promise but the port's: rings are lost and doubled at both ends."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from forgehand.application.ports.bell import Bell


@dataclass(frozen=True, slots=True)
class UnreliableBell:
    """Port Bell, around another one."""

    bell: Bell
    chance: random.Random = field(default_factory=random.Random)

    def ring(self, queue: str) -> None:
        for _ in range(self._times()):
            self.bell.ring(queue)

    def listen(
        self, queues: Collection[str], heard: Callable[[str], None]
    ) -> AbstractAsyncContextManager[None]:
        def hear(queue: str) -> None:
            for _ in range(self._times()):
                heard(queue)

        return self.bell.listen(queues, hear)

    def _times(self) -> int:
        """A third is lost, a third doubled."""
        return self.chance.choice((0, 1, 2))
