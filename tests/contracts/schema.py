"""What bringing a database up to date promises, on every database."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text

from forgehand.application.ports.jobs import StoreNewer, StoreOutdated
from forgehand.infrastructure.sql import schema
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.tables import attempts, metadata


def differences(connection: Connection) -> list[Any]:
    options = {"version_table": "forgehand_alembic_version", "compare_type": True}
    found: list[Any] = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    return found


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    return ScriptDirectory.from_config(config)


def to_revision(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


_ATTEMPT = """
INSERT INTO forgehand_attempts (lease_id, job_id, type, number, worker, started_at, outcome)
VALUES (:lease, :job, 'paint', 1, 'here:1', 7, :outcome)
"""


class SchemaContract:
    """Subclass with a fixture `empty`: a database without tables."""

    async def test_the_migrations_make_the_tables_that_the_code_uses(self, empty: Database) -> None:
        assert await schema.upgrade(empty) is None
        async with empty.read() as connection:
            assert await connection.run_sync(differences) == []
        assert await schema.current_revision(empty) == schema.HEAD

    async def test_what_an_earlier_revision_kept_outlives_the_upgrade(self, empty: Database) -> None:
        async with empty.write() as connection:
            await connection.run_sync(to_revision, "0001")
            for lease, outcome in (("a" * 32, "completed"), ("b" * 32, None)):
                row = {"lease": lease, "job": "c" * 32, "outcome": outcome}
                await connection.execute(text(_ATTEMPT), row)
        assert await schema.upgrade(empty) == "0001"
        async with empty.read() as connection:
            assert await connection.run_sync(differences) == []
            query = select(attempts.c.lease_id, attempts.c.outcome).where(attempts.c.job_id == UUID("c" * 32))
            kept = (await connection.execute(query.order_by(attempts.c.lease_id))).all()
        assert [tuple(row) for row in kept] == [(UUID("a" * 32), "completed"), (UUID("b" * 32), None)]

    async def test_upgrading_twice_changes_nothing(self, empty: Database) -> None:
        await schema.upgrade(empty)
        assert await schema.upgrade(empty) == schema.HEAD

    async def test_the_known_revisions_are_the_scripts_in_one_line(self, empty: Database) -> None:
        line = [script.revision for script in scripts().walk_revisions()][::-1]
        assert tuple(line) == schema.REVISIONS

    async def test_a_database_from_a_newer_version_is_refused_and_untouched(self, empty: Database) -> None:
        await schema.upgrade(empty)
        async with empty.write() as connection:
            await connection.execute(text("UPDATE forgehand_alembic_version SET version_num = '9999'"))
        for act in (schema.prepare, schema.upgrade):
            with pytest.raises(StoreNewer, match="9999"):
                await act(empty)
        async with empty.read() as connection:
            assert (
                await connection.scalar(text("SELECT version_num FROM forgehand_alembic_version")) == "9999"
            )

    async def test_reading_tables_that_are_not_there_says_to_upgrade(self, empty: Database) -> None:
        with pytest.raises(StoreOutdated, match="forgehand db upgrade"):
            async with empty.read() as connection:
                await connection.execute(text("SELECT * FROM forgehand_jobs"))
