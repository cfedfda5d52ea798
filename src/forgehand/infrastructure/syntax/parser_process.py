"""The process that parses, so that a file made to exhaust a parser takes nobody else with it.

A request is a line of JSON (path, size) and that many bytes of source; the answer is a line of JSON
with the symbols. The process ends with its input, or is ended by the kernel at its limits.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from dataclasses import astuple
from typing import BinaryIO

from forgehand.infrastructure.syntax.grammars import grammar_for


def serve(requests: BinaryIO, answers: BinaryIO, seconds: float) -> None:
    while line := requests.readline():
        request = json.loads(line)
        source = requests.read(request["size"])
        grammar = grammar_for(request["path"])
        # Nobody handles this signal: after so much processor time it ends the process.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        symbols = [] if grammar is None else [astuple(symbol) for symbol in grammar.symbols(source)]
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(json.dumps(symbols).encode() + b"\n")
        answers.flush()


def main() -> None:
    seconds, memory = float(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(sys.stdin.buffer, sys.stdout.buffer, seconds)


if __name__ == "__main__":
    main()
