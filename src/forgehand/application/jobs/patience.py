"""How long a worker may go unseen, in the eyes of one who may have been cut off himself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(slots=True)
class Patience:
    """While the store answers nobody, nobody can show that he lives: after that, all get a lease to do so.

    Else the first to sweep after an outage would take their jobs from workers that never stopped.
    Times in seconds; `answered` is when the store last answered, by the clock that `unseen` is given.
    """

    lease: float
    answered: float
    _silence: float = 0.0
    _until: float = float("-inf")

    def unseen(self, now: float) -> timedelta:
        """For how long a worker has to be unseen now to count as dead."""
        silence = now - self.answered
        if silence > self.lease / 2:
            self._silence, self._until = silence, now + self.lease
        return timedelta(seconds=self.lease + (self._silence if now < self._until else 0.0))
