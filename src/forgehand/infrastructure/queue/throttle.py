"""When rings are sent: the first at once, then few."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Throttle:
    """Leading and trailing: each queue once in `interval` seconds at most, and always after the last ring."""

    interval: float
    _waiting: set[str] = field(default_factory=set)
    _not_before: dict[str, float] = field(default_factory=dict)

    def ring(self, queue: str) -> bool:
        """Ask for a ring. False: it becomes one with a ring that waits already."""
        if queue in self._waiting:
            return False
        self._waiting.add(queue)
        return True

    def take(self, now: float) -> list[str]:
        """The queues to ring now. They are quiet for the interval that follows."""
        due = [queue for queue in self._waiting if self._not_before.get(queue, now) <= now]
        for queue in due:
            self._not_before[queue] = now + self.interval
        self._waiting.difference_update(due)
        return due

    def take_all(self) -> list[str]:
        """Everything that waits, due or not."""
        rest = list(self._waiting)
        self._waiting.clear()
        return rest

    def due_at(self) -> float | None:
        """When `take` has something next; None: nothing waits."""
        return min((self._not_before.get(queue, 0.0) for queue in self._waiting), default=None)
