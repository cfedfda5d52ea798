"""The command line. Importing it costs no more than typer: everything else is imported by the commands."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

import typer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command (`sys.argv` unless given) and return its exit code."""
    from forgehand.entrypoints.cli.app import app

    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    debug = "--debug" in given
    try:
        # The flag is the whole program's, and may stand anywhere.
        args = ["--debug"] * debug + [it for it in given if it != "--debug"]
        return int(app(args, prog_name="forgehand", standalone_mode=False) or 0)
    except typer.TyperException as error:
        return _misused(error)
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - the last place where an error can be said
        from forgehand.entrypoints.cli.running import failed

        return failed(error, debug=debug)


def _misused(error: typer.TyperException) -> int:
    """Answer a command that was written wrongly: one line, or its help where nothing was written."""
    message = error.format_message()
    if message.startswith("Usage:"):
        print(message, file=sys.stderr)
        return 2
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "forgehand"
    said = " ".join(message.split()).removeprefix("Invalid value: ").rstrip(".")
    print(f"forgehand: {said} (`{command} --help` says more)", file=sys.stderr)
    return 2
