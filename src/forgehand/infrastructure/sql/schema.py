"""Bringing a database to the schema that this version of Forgehand needs."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from forgehand.application.ports.jobs import StoreNewer, StoreOutdated
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.tables import metadata

REVISIONS = ("0001", "0002")
HEAD = REVISIONS[-1]
_VERSION_TABLE = "forgehand_alembic_version"
_LOCK = 0x666F726765  # "forge": one migration at a time on a PostgreSQL server's database


async def prepare(database: Database) -> None:
    """Make `database` usable, or say why it is not.

    SQLite, the embedded store, is upgraded here. PostgreSQL is somebody's server: raise
    StoreOutdated unless `upgrade` has been run. Raise StoreNewer where a newer version wrote it.
    """
    if database.in_memory:
        async with database.write() as connection:
            await connection.run_sync(metadata.create_all)
        return
    revision = await current_revision(database)
    if revision == HEAD:
        return
    if not database.sqlite:
        raise _outdated(revision)
    await upgrade(database)


async def require_current(database: Database) -> None:
    """Raise StoreOutdated or StoreNewer for another schema, StoreUnavailable for no database."""
    revision = await current_revision(database)
    if revision != HEAD and not database.in_memory:
        raise _outdated(revision)


def _outdated(revision: str | None) -> StoreOutdated:
    return StoreOutdated(
        f"the database is at revision {revision or 'none'}, this version needs {HEAD}:"
        " run `forgehand db upgrade`"
    )


async def current_revision(database: Database) -> str | None:
    """The revision the database is at; None for an empty one. Raise StoreNewer for one not known here."""
    async with database.read() as connection:
        return await _revision(connection)


async def upgrade(database: Database) -> str | None:
    """Bring the database to HEAD and return the revision it was at. Safe to run in several processes."""
    async with database.write() as connection:
        if not database.sqlite:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        before = await _revision(connection)
        if before != HEAD:
            await connection.run_sync(_run_alembic)
    return before


async def _revision(connection: AsyncConnection) -> str | None:
    if not await connection.run_sync(lambda sync: inspect(sync).has_table(_VERSION_TABLE)):
        return None
    revision: str | None = await connection.scalar(text(f"SELECT version_num FROM {_VERSION_TABLE}"))  # noqa: S608 - a constant
    if revision is not None and revision not in REVISIONS:
        raise StoreNewer(
            f"the database is at revision {revision}, which this version of Forgehand does not know:"
            " upgrade Forgehand"
        )
    return revision


def _run_alembic(connection: Connection) -> None:
    from alembic import command  # a third of a second, needed only when there is work
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
