"""PostgreSQL and Redis as they come: the tests' servers, but with their default durability."""

from __future__ import annotations

from tests.services import Postgres, Redis


class DurablePostgres(Postgres):
    """Every commit is on disk before it is answered."""

    def _command(self) -> list[str]:
        return [*super()._command(), "-c", "fsync=on"]


class SavingRedis(Redis):
    """Snapshots as its makers set them."""

    def _command(self) -> list[str]:
        command = super()._command()
        return command[: command.index("--save")]
