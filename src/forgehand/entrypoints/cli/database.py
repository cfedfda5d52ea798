"""`forgehand db`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forgehand.entrypoints.cli.exits import ExitCode
from forgehand.entrypoints.cli.printing import show

if TYPE_CHECKING:
    from forgehand.settings import Settings


async def upgrade_database(settings: Settings) -> ExitCode:
    """Print from which revision to which. Raise UnusableDatabase, StoreNewer or StoreUnavailable."""
    from forgehand.container import upgraded

    place, before, after = await upgraded(settings)
    if before == after:
        show(f"{place} is at revision {after} already: nothing to do.")
    else:
        show(f"{place} is upgraded from {before or 'nothing'} to {after}.")
    return ExitCode.OK
