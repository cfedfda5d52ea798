"""`forgehand db`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forgehand.entrypoints.cli.exits import ExitCode
from forgehand.entrypoints.cli.printing import show

if TYPE_CHECKING:
    from forgehand.infrastructure.sql.database import Database
    from forgehand.settings import Settings


def place_of(database: Database) -> str:
    """Where a person finds it: a file, or an address without its password."""
    return database.url.database or "memory" if database.sqlite else database.location


async def upgrade_database(settings: Settings) -> ExitCode:
    """Print from which revision to which. Raise UnusableDatabase, StoreNewer or StoreUnavailable."""
    from forgehand.container import Container
    from forgehand.infrastructure.sql.schema import HEAD, upgrade

    container = Container(settings=settings)
    try:
        database = container.database()
        before = await upgrade(database)
        if before == HEAD:
            show(f"{place_of(database)} is at revision {HEAD} already: nothing to do.")
        else:
            show(f"{place_of(database)} is upgraded from {before or 'nothing'} to {HEAD}.")
    finally:
        await container.closing().close()
    return ExitCode.OK
