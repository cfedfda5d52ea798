"""`python -m benchmarks.install`: put the peers into .cache/bench, as locked, once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.systems import CACHE, NODE, ROOT

_LOCK = ROOT / "requirements-bench.lock"
_BULLMQ = ROOT / "benchmarks" / "peers" / "bullmq"


def main() -> None:
    """Each part is made anew only when its lock changed."""
    _once(CACHE / "venv", _LOCK.read_bytes(), _python_peers)
    _once(CACHE / "bullmq", (_BULLMQ / "package-lock.json").read_bytes(), _node_peers)
    shutil.copy(_BULLMQ / "peer.mjs", CACHE / "bullmq")


def _once(folder: Path, lock: bytes, install: Callable[[Path], None]) -> None:
    mark = folder / ".installed"
    if mark.exists() and mark.read_bytes() == lock:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"Installing into {folder.relative_to(ROOT)}", flush=True)
    install(folder)
    mark.write_bytes(lock)


def _python_peers(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", str(_LOCK)], check=True)


def _node_peers(folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_BULLMQ / name, folder)
    npm = NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    path = os.pathsep.join([str(NODE.parent), os.environ.get("PATH", os.defpath)])
    command = [str(NODE), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, check=True)


if __name__ == "__main__":
    main()
