"""What a path tells of a file: its component, whether it is a test, whether it is a library's own code."""

from __future__ import annotations

import re
from collections.abc import Sequence

from forgehand.application.untrusted import one_line

ROOT = "(root)"
_WORKSPACES = frozenset({"apps", "crates", "libs", "modules", "packages", "plugins", "projects", "services"})
_LAYOUT = frozenset({"lib", "source", "sources", "src"})
_JVM_LANGUAGES = frozenset({"groovy", "java", "kotlin", "scala"})
_DOMAINS = frozenset({"com", "de", "dev", "edu", "eu", "fr", "gov", "io", "me", "net", "org", "uk"})
_TEST_FOLDERS = frozenset({"__tests__", "e2e", "spec", "specs", "test", "testdata", "tests"})
_TEST_FILE = re.compile(
    r"test_.*\.pyi?|.*_test\.pyi?|conftest\.py|tests\.py"
    r"|.*_test\.go"
    r"|.*\.(?:spec|test|e2e|cy)\.[cm]?[jt]sx?"
    r"|tests?\.rs|.*_tests?\.rs"
)
_JAVA_TEST_FILE = re.compile(r"(?:Test[A-Z].*|.*(?:Test|Tests|TestCase|IT))\.(?:java|kt|scala|groovy)")
_ASIDE = frozenset(
    {"benchmark", "benchmarks", "demo", "demos", "doc", "docs", "docs_src", "samples", "scripts"}
)
_NEVER_OURS = frozenset(
    {"dist", "example", "examples", "node_modules", "site-packages", "third_party", "vendor"}
)
_GENERATED = re.compile(r".*(?:\.min\.[cm]?js|_pb2(?:_grpc)?\.pyi?|\.pb\.go|_generated\.go|\.g\.ts)")
_LONGEST_NAME = 120


def component(path: str) -> str:
    """The part of the repository that `path` belongs to: at most two folders that mean something.

    Folders that only lay out the code are skipped at the front (`src`, `lib`; `src/main/java` with the
    domain and the owner below it), and a workspace folder gives way to the member in it
    (`packages/ui/src/forms/x.ts` is `ui/forms`). What lies in no folder is `(root)`; what lies in
    layout folders alone is called by them.
    """
    folders = path.split("/")[:-1]
    named = _without_layout(folders)
    return one_line("/".join((named or folders)[:2]), _LONGEST_NAME) or ROOT


def _without_layout(folders: Sequence[str]) -> list[str]:
    if len(folders) > 1 and folders[0] in _WORKSPACES:
        return [folders[1], *_without_layout(folders[2:])]
    for at in range(len(folders) - 2):
        if folders[at] == "src" and folders[at + 2] in _JVM_LANGUAGES:
            return [*folders[:at], *_without_domain(folders[at + 3 :])]
    if folders and folders[0] in _LAYOUT:
        return _without_layout(folders[1:])
    return list(folders)


def _without_domain(packages: Sequence[str]) -> list[str]:
    """`shop/cart` of `com/acme/shop/cart`; the owner stays where nothing follows it."""
    if not packages or packages[0] not in _DOMAINS:
        return list(packages)
    return list(packages[2:] or packages[1:])


def is_test(path: str) -> bool:
    """By the conventions of Python, JavaScript, TypeScript, Go, Java and Rust: a test or what tests use."""
    *folders, name = path.split("/")
    lowered = {folder.lower() for folder in folders}
    return bool(
        lowered & _TEST_FOLDERS or _TEST_FILE.fullmatch(name.lower()) or _JAVA_TEST_FILE.fullmatch(name)
    )


def is_library_code(path: str) -> bool:
    """Whether others can use its symbols: no test, example, script, vendored or generated file."""
    *folders, name = path.split("/")
    aside = _ASIDE.intersection(folders[:1]) or _NEVER_OURS.intersection(folders)
    return not (aside or is_test(path) or _GENERATED.fullmatch(name) or name == "setup.py")


def is_private(path: str) -> bool:
    """Whether its language or its name says that others must not import it."""
    *folders, name = path.split("/")
    if name.endswith(".go"):
        return bool({"internal", "cmd"}.intersection(folders))
    if name.endswith((".py", ".pyi")):
        return any(part.startswith("_") for part in (*folders, name.replace("__init__", "")))
    return False
