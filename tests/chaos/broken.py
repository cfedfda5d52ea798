"""A job store without its fence, to prove that the account would notice."""

from __future__ import annotations

from types import ModuleType

from forgehand.infrastructure.sql import exchange_postgresql, exchange_sqlite


def break_fence() -> None:
    """In this process, let whoever ran a job settle it, whether or not the lease is still its own."""
    _cut(exchange_postgresql, "_FOR_DRIVER", "WHERE j.id = g.job_id AND j.lease_id = g.lease_id")
    _cut(
        exchange_sqlite,
        "_HELD",
        "json_extract(g.value, '$.job_id') AND j.lease_id = json_extract(g.value, '$.lease_id')",
    )


def _cut(module: ModuleType, name: str, fenced: str) -> None:
    statement: str = getattr(module, name)
    if statement.count(fenced) != 1:
        raise AssertionError("the fence is not where it was: it cannot be broken here")
    setattr(module, name, statement.replace(fenced, fenced.partition(" AND ")[0]))
