"""The Syntax port over tree-sitter, one grammar wheel for each language."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import weakref
from contextlib import suppress

from forgehand.application.ports.syntax import Symbol
from forgehand.infrastructure.syntax.grammars import grammar_for

_PROCESS = "forgehand.infrastructure.syntax.parser_process"


class TreeSitterSyntax:
    """Reads Python, JavaScript, TypeScript, Go, Java and Rust. A grammar is loaded when first needed.

    Parsing happens in one process of its own, started when first needed, without our environment: a
    few kilobytes that are no source code can cost a grammar minutes and gigabytes. A file that takes
    more than `seconds` of processor time or `memory` bytes ends that process and is given up; the
    next file gets a new one. It ends with this object.
    """

    def __init__(self, *, seconds: float = 1.0, memory: int = 768 * 1024 * 1024) -> None:
        self._command = [sys.executable, "-I", "-m", _PROCESS, str(seconds), str(memory)]
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    async def public_symbols(self, path: str, source: bytes) -> tuple[Symbol, ...] | None:
        if grammar_for(path) is None:
            return None
        return await asyncio.to_thread(self._ask, path, source) if source else ()

    def _ask(self, path: str, source: bytes) -> tuple[Symbol, ...] | None:
        request = json.dumps({"path": path, "size": len(source)}).encode() + b"\n"
        with self._turn:
            answer = _answer(self._running(), request + source)
        return tuple(Symbol(*fields) for fields in json.loads(answer)) if answer else None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
            )
            weakref.finalize(self, _end, self._process)
        return self._process


def _answer(process: subprocess.Popen[bytes], request: bytes) -> bytes:
    """Empty where the process did not live to give one."""
    assert process.stdin is not None  # noqa: S101 - it was opened with pipes
    assert process.stdout is not None  # noqa: S101 - see above
    try:
        process.stdin.write(request)
        process.stdin.flush()
        answer = process.stdout.readline()
    except BrokenPipeError:
        answer = b""
    if not answer.endswith(b"\n"):
        _end(process)
        return b""
    return answer


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(BrokenPipeError):
            if pipe is not None:
                pipe.close()
