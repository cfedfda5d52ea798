"""`forgehand db`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forgehand.entrypoints.cli.exits import ExitCode
from forgehand.entrypoints.cli.printing import show

if TYPE_CHECKING:
    from forgehand.settings import Settings


async def upgrade_database(settings: Settings) -> ExitCode:
    """Print from which revision to which. Raise UnusableDatabase, StoreNewer or StoreUnavailable."""
    from forgehand.container import Container
    from forgehand.infrastructure.sql.schema import HEAD, upgrade

    container = Container(settings=settings)
    try:
        database = container.database()
        before = await upgrade(database)
        if before == HEAD:
            show(f"{database.location} is at revision {HEAD} already: nothing to do.")
        else:
            show(f"{database.location} is upgraded from {before or 'nothing'} to {HEAD}.")
    finally:
        await container.closing().close()
    return ExitCode.OK
