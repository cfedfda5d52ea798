"""Everything about a change that needs no model."""

from __future__ import annotations

from forgehand.application.facts.breaking import breaking_markers
from forgehand.application.facts.dependencies import dependency_facts
from forgehand.application.facts.paths import component, is_test
from forgehand.application.facts.sides import Sides
from forgehand.application.facts.symbols import FILE_LIMIT, symbol_facts
from forgehand.application.ports.code_host import CodeHost
from forgehand.application.ports.syntax import Syntax
from forgehand.domain.documentation import Facts, FileFact
from forgehand.domain.pull_requests import ChangeSet, FileChange, PullRequest, Withheld


async def gather_facts(
    host: CodeHost, syntax: Syntax, location: str, pull: PullRequest, changes: ChangeSet
) -> Facts:
    """The facts of `pull`; whatever could not be computed is in their notes.

    Raises what reading a file of `host` raises.
    """
    sides = Sides(host, location, pull, FILE_LIMIT)
    dependencies, unread_manifests = await dependency_facts(sides, changes.files)
    symbols, unread_sources = await symbol_facts(sides, syntax, changes.files)
    return Facts(
        files=tuple(_file_fact(file) for file in changes.files),
        symbols=symbols,
        dependencies=dependencies,
        breaking=await breaking_markers(sides, syntax, changes.commits, symbols),
        notes=(*unread_manifests, *unread_sources),
    )


def _file_fact(file: FileChange) -> FileFact:
    return FileFact(
        path=file.path,
        status=file.status,
        additions=file.additions,
        deletions=file.deletions,
        component=component(file.path),
        previous_path=file.previous_path,
        binary=file.withheld is Withheld.BINARY,
        is_test=is_test(file.path),
    )
