"""One engine per process, and the one place where database errors become ours."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import asyncpg  # type: ignore[import-untyped]  # asyncpg ships no types
from sqlalchemy import URL, AsyncAdaptedQueuePool, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from forgehand.application.ports.failures import Permanent
from forgehand.application.ports.jobs import StoreOutdated, StoreUnavailable

T = TypeVar("T")
_BUSY_MS = 10_000
_LEAVE_SECONDS = 2.0
_SESSION = {
    "application_name": "forgehand",
    # A process that is frozen in a transaction holds its locks no longer than this: others sweep on.
    "idle_in_transaction_session_timeout": "10s",
    # Statements are planned by statistics that lag behind a queue: whatever those say, rows are looked up by
    # index, and no plan is compiled (half a second, for statements of a few milliseconds).
    "enable_seqscan": "off",
    "jit": "off",
}


class UnusableDatabase(Permanent):
    """The database's URL is wrong, or its file cannot be opened."""


class Database:
    """PostgreSQL or SQLite by URL (`postgresql://…`, `sqlite:///FILE`, `sqlite://` for memory).

    `read`, `write` and `statement` translate what goes wrong: StoreUnavailable for a lost, locked
    or unreachable database (the connection is dropped), StoreOutdated for a missing table.
    IntegrityError passes: it is the caller's to read.
    """

    def __init__(self, url: str) -> None:
        """Open nothing yet. Raise UnusableDatabase for a URL of another kind."""
        self.url = _async_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self.in_memory = self.sqlite and not self.url.database
        self._engine: AsyncEngine | None = None
        self._autocommit: AsyncEngine | None = None
        self._writing = asyncio.Lock()

    @property
    def engine(self) -> AsyncEngine:
        if self._engine is None:
            self._engine = _sqlite(self.url) if self.sqlite else _postgresql(self.url)
        return self._engine

    @property
    def _plain(self) -> AsyncEngine:
        """It saves PostgreSQL the BEGIN and the COMMIT around each statement."""
        if self._autocommit is None:
            engine = self.engine
            self._autocommit = (
                engine if self.sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")
            )
        return self._autocommit

    @property
    def location(self) -> str:
        """Where a person finds it: a file, or an address without its password."""
        if self.sqlite:
            return self.url.database or "memory"
        return self.url.render_as_string(hide_password=True)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """For queries, each of which sees what is committed when it begins."""
        async with _translated(), self._plain.connect() as connection, _dropped_on_error(connection):
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction, committed at the end; on SQLite one at a time."""
        if self.sqlite:
            async with _translated(), self._writing, self.engine.connect() as connection:
                async with _dropped_on_error(connection):
                    await connection.exec_driver_sql("BEGIN IMMEDIATE")
                    yield connection
                    await connection.commit()
        else:
            async with _translated(), self.engine.connect() as connection, _dropped_on_error(connection):
                async with connection.begin():
                    yield connection

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[AsyncConnection]:
        """For exactly one statement that writes."""
        if self.sqlite:
            async with self.write() as connection:
                yield connection
        else:
            async with _translated(), self._plain.connect() as connection, _dropped_on_error(connection):
                yield connection

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[asyncpg.Connection]:
        """As `statement`, on PostgreSQL alone: asyncpg's own connection.

        For a statement that moves so many rows that SQLAlchemy's way there and back would be most of it.
        """
        async with self.statement() as connection:
            yield (await connection.get_raw_connection()).driver_connection

    async def write_at_once(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `write`, on SQLite alone: `work` does all of it in one visit to the connection's thread.

        Each statement that is awaited costs such a visit, which takes longer than the statement.
        """
        async with self.write() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            done: T = await driver._execute(work, driver._conn)  # noqa: SLF001 - all else is made of it
            return done

    async def close(self) -> None:
        """Take leave of the server, for two seconds at most: a connection that fell silent never answers."""
        engine, self._engine, self._autocommit = self._engine, None, None
        deadline = time.monotonic() + _LEAVE_SECONDS
        while engine is not None and (left := deadline - time.monotonic()) > 0:
            with suppress(TimeoutError):
                # Cancelled, it drops the one that it waits for: the next round goes on with the others.
                await asyncio.wait_for(engine.dispose(), min(left, _LEAVE_SECONDS / 4))
                return


def _async_url(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # The error would quote the URL, and with it the password.
        raise UnusableDatabase("DATABASE_URL is no database URL (postgresql://… or sqlite:///…)") from None
    match url.get_backend_name():
        case "postgresql" | "postgres":
            query = dict(url.query)
            if "sslmode" in query:
                query["ssl"] = query.pop("sslmode")
            return url.set(drivername="postgresql+asyncpg", query=query)
        case "sqlite":
            database = None if url.database in {None, "", ":memory:"} else url.database
            return url.set(drivername="sqlite+aiosqlite", database=database)
        case other:
            raise UnusableDatabase(f"DATABASE_URL names {other}: PostgreSQL and SQLite are supported")


def _postgresql(url: URL) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=10,
        max_overflow=10,
        pool_timeout=30,
        pool_use_lifo=True,  # the one used last has its statements prepared
        pool_reset_on_return=None,  # every transaction of ours ends by its own hand
        connect_args={"timeout": 10, "server_settings": _SESSION},
    )


def _sqlite(url: URL) -> AsyncEngine:
    if url.database:
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise UnusableDatabase(
                f"the folder of {url.database} cannot be made: {error.strerror}"
            ) from error
    # In memory the one connection is the database; in a file, readers work beside the writer.
    size = 4 if url.database else 1
    engine = create_async_engine(
        url, poolclass=AsyncAdaptedQueuePool, pool_size=size, max_overflow=0, pool_timeout=60
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun by name, never by the driver
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    return engine


@asynccontextmanager
async def _dropped_on_error(connection: AsyncConnection) -> AsyncIterator[None]:
    """A connection that saw an error is not trusted again (a half-closed one fails in odd ways)."""
    try:
        yield
    except (IntegrityError, asyncpg.IntegrityConstraintViolationError):
        await connection.rollback()
        raise
    except BaseException as error:
        if _breaks(error) and not _in_memory(connection):
            await connection.invalidate()
        else:
            await connection.rollback()
        raise


def _breaks(error: BaseException) -> bool:
    return isinstance(error, DBAPIError | OSError | asyncio.CancelledError) or _of_asyncpg(error)


def _of_asyncpg(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] == "asyncpg"


def _in_memory(connection: AsyncConnection) -> bool:
    return not connection.engine.url.database


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except (IntegrityError, asyncpg.IntegrityConstraintViolationError):
        raise
    except PoolTimeout as error:
        raise StoreUnavailable("the database has no free connection") from error
    except DBAPIError as error:
        unusable = error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
        raise _known(error.orig or error) or (_unavailable(error.orig) if unusable else error) from error
    except asyncpg.PostgresError as error:
        raise _known(error) or error from error
    except (OSError, sqlite3.Error) as error:
        raise _known(error) or _unavailable(error) from error
    except Exception as error:
        if _of_asyncpg(error):
            raise _unavailable(error) from error
        raise


def _known(error: BaseException) -> Exception | None:
    """What a driver's error is to us, by its code or, on SQLite, by its words."""
    text, state = _first_line(error), getattr(error, "sqlstate", None) or ""
    if "no such table" in text or state == "42P01":
        return StoreOutdated("the database lacks tables: run `forgehand db upgrade`")
    if "unable to open database file" in text or "file is not a database" in text:
        return UnusableDatabase(f"the database file cannot be used: {text}")
    # 25006: a standby, or a server that was made read-only.
    if state.startswith(("08", "25006", "40", "53", "57")):
        return _unavailable(error)
    return None


def _unavailable(error: BaseException | None) -> StoreUnavailable:
    said = "" if error is None else f": {_first_line(error)}"
    return StoreUnavailable(f"the database cannot be used right now{said}")


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.partition("\n")[0][:300]
