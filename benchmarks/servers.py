"""PostgreSQL and Redis as they come: the tests' servers, but with their default durability."""

from __future__ import annotations

import re

from tests.services import Postgres, Redis

_STATEMENT = re.compile(r" LOG:  (?:execute|statement)\b")


class DurablePostgres(Postgres):
    """Every commit is on disk before it is answered."""

    def _command(self) -> list[str]:
        return [*super()._command(), "-c", "fsync=on"]

    def log_statements(self) -> None:
        """From now on, for `statements` to count."""
        self._execute("ALTER SYSTEM SET log_statement = 'all'")
        self._execute("SELECT pg_reload_conf()")

    def statements(self) -> int:
        """How many it was sent since, whoever sent them, BEGIN and COMMIT too."""
        return len(_STATEMENT.findall((self.folder / "log").read_text(errors="replace")))


class SavingRedis(Redis):
    """Snapshots as its makers set them."""

    def _command(self) -> list[str]:
        command = super()._command()
        return command[: command.index("--save")]
