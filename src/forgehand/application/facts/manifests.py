"""What manifests require: pairs of a dependency's name and its requirement.

Each reader takes a manifest's text and raises ManifestBroken, or any ValueError, where it cannot be read.
"""

from __future__ import annotations

import ast
import configparser
import json
import re
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

Requirement: TypeAlias = tuple[str, str]
Reader: TypeAlias = Callable[[str], Iterable[Requirement]]

ANY = "any version"
_PEP_508 = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(.*)", re.DOTALL)
_LISTS_IN_CODE = frozenset(
    {"install_requires", "requires", "requirements", "setup_requires", "tests_require", "test_requirements"}
    | {"extras_require", "test_requires", "REQUIRES"}
)


class ManifestBroken(ValueError):
    """The text is not what its name promises."""


def reader_for(path: str) -> Reader | None:
    """Who reads the manifest at `path`; None where it is none. Lock files are none."""
    for pattern, reader in _READERS:
        if pattern.fullmatch(path):
            return reader
    return None


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, str))


def _pep_508(lines: Iterable[str]) -> Iterator[Requirement]:
    for line in lines:
        match = _PEP_508.fullmatch(line)
        if match:
            name, rest = match.groups()
            yield re.sub(r"[-_.]+", "-", name).lower(), rest.strip() or ANY


def _pyproject(text: str) -> Iterator[Requirement]:
    data = _toml(text)
    project, tool = _table(data.get("project")), _table(data.get("tool"))
    if isinstance(project.get("requires-python"), str):
        yield "python", project["requires-python"]
    yield from _pep_508(_strings(project.get("dependencies")))
    for group in (
        *_table(project.get("optional-dependencies")).values(),
        *_table(data.get("dependency-groups")).values(),
    ):
        yield from _pep_508(_strings(group))
    yield from _pep_508(_strings(_table(data.get("build-system")).get("requires")))
    poetry = _table(tool.get("poetry"))
    groups = (_table(group).get("dependencies") for group in _table(poetry.get("group")).values())
    for table in (poetry.get("dependencies"), poetry.get("dev-dependencies"), *groups):
        yield from _versions(table, lambda name: re.sub(r"[-_.]+", "-", name).lower())


def _versions(table: object, name_of: Callable[[str], str] = str) -> Iterator[Requirement]:
    """A table of names with a version, a table that has one, or a list of those (Poetry, Cargo, npm)."""
    for name, value in _table(table).items():
        for one in value if isinstance(value, list) else (value,):
            yield name_of(_table(one).get("package") or name), _version(one)


def _version(value: object) -> str:
    if isinstance(value, str):
        return value or ANY
    table = _table(value)
    if isinstance(table.get("version"), str):
        return str(table["version"])
    told = [
        f"{key} {table[key]}"
        for key in ("git", "url", "path", "rev", "tag", "branch", "workspace")
        if key in table
    ]
    return " ".join(told) or ANY


def _requirements(text: str) -> Iterator[Requirement]:
    joined = re.sub(r"\\\r?\n", " ", text)
    lines = (re.sub(r"(?:^|\s)#.*|\s--\S.*", "", line).strip() for line in joined.splitlines())
    yield from _pep_508(line for line in lines if line and not line.startswith("-"))


def _setup_cfg(text: str) -> Iterator[Requirement]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ManifestBroken("not an INI file") from error
    options = dict(parser["options"]) if parser.has_section("options") else {}
    extras = dict(parser["options.extras_require"]) if parser.has_section("options.extras_require") else {}
    if options.get("python_requires"):
        yield "python", options["python_requires"]
    for value in (options.get("install_requires", ""), options.get("setup_requires", ""), *extras.values()):
        yield from _pep_508(
            line for line in value.splitlines() if line.strip() and not line.strip().startswith("#")
        )


def _setup_py(text: str) -> Iterator[Requirement]:
    """The literal lists that setup scripts call by the usual names; nothing is run."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ManifestBroken("not Python") from error
    for node in ast.walk(tree):
        for name, value in _named_values(node):
            if name == "python_requires" and isinstance(value, ast.Constant):
                yield "python", str(value.value)
            elif name in _LISTS_IN_CODE:
                yield from _pep_508(_literals(value))


def _named_values(node: ast.AST) -> Iterator[tuple[str | None, ast.expr]]:
    if isinstance(node, ast.keyword):
        yield node.arg, node.value
    elif isinstance(node, ast.Assign):
        yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))


def _literals(value: ast.expr) -> Iterator[str]:
    if isinstance(value, ast.Dict):
        for group in value.values:
            yield from _literals(group)
    elif isinstance(value, ast.List | ast.Tuple):
        for item in value.elts:
            if isinstance(item, ast.Constant) and isinstance(item.value, str):
                yield item.value


def _package_json(text: str) -> Iterator[Requirement]:
    data = _json(text)
    for section in ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies"):
        yield from _versions(data.get(section))
    yield from _versions(data.get("engines"))


def _toml(text: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ManifestBroken("nested too deeply") from error


def _json(text: str) -> Mapping[str, Any]:
    try:
        return _table(json.loads(text))
    except RecursionError as error:
        raise ManifestBroken("nested too deeply") from error


def _cargo(text: str) -> Iterator[Requirement]:
    data = _toml(text)
    rust = _table(data.get("package")).get("rust-version")
    if isinstance(rust, str):
        yield "rust", rust
    owners = (data, _table(data.get("workspace")), *_table(data.get("target")).values())
    for owner in map(_table, owners):
        for section in ("dependencies", "dev-dependencies", "build-dependencies"):
            yield from _versions(owner.get(section))


_GO_REQUIRE = re.compile(r"\s*(?:require\s+)?([\w.~-]+(?:/[\w.~/-]+)?)\s+(v\d\S*)\s*(//.*)?")
_GO_VERSION = re.compile(r"(go|toolchain)\s+(\S+)")


def _go_mod(text: str) -> Iterator[Requirement]:
    """What the module needs itself: `// indirect` lines follow from that."""
    other_block = False
    for line in text.splitlines():
        if line.rstrip().endswith("("):
            other_block = not line.startswith("require")
        elif line.startswith(")"):
            other_block = False
        elif version := _GO_VERSION.match(line):
            yield version[1], version[2]
        elif (
            not other_block and (match := _GO_REQUIRE.fullmatch(line)) and "indirect" not in (match[3] or "")
        ):
            yield match[1], match[2]


def _pom(text: str) -> Iterator[Requirement]:
    if re.search(r"<!(?:DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise ManifestBroken("it declares a document type, which is not read")
    try:
        root = ET.fromstring(re.sub(r"^\s*<\?xml.*?\?>", "", text))  # noqa: S314 - no entities
    except ET.ParseError as error:
        raise ManifestBroken("not XML") from error
    properties = {
        _local(entry): (entry.text or "").strip()
        for table in root.iter()
        if _local(table) == "properties"
        for entry in table
    }
    for element in root.iter():
        if _local(element) in {"dependency", "parent", "plugin"}:
            yield from _coordinates(element, properties)


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _coordinates(element: ET.Element, properties: Mapping[str, str]) -> Iterator[Requirement]:
    told = {_local(child): (child.text or "").strip() for child in element}
    artifact = told.get("artifactId")
    if artifact:
        version = told.get("version") or ANY
        variable = re.fullmatch(r"\$\{(.+)\}", version)
        group = told.get("groupId") or "org.apache.maven.plugins"
        yield f"{group}:{artifact}", properties.get(variable[1], version) if variable else version


_GRADLE_DEPENDENCY = re.compile(
    r"""\s*\w*(?:api|implementation|compile|compileonly|runtimeonly|classpath|annotationprocessor|kapt|ksp)"""
    r"""\s*\(?\s*(?:platform\s*\(\s*)?["']([\w.-]+:[\w.-]+)(?::([^"'@:]+))?[^"']*["']""",
    re.IGNORECASE,
)
_GRADLE_PLUGIN = re.compile(r"""\s*id\s*\(?\s*["']([\w.-]+)["']\s*\)?\s*version\s*\(?\s*["']([^"']+)["']""")


def _gradle(text: str) -> Iterator[Requirement]:
    for line in text.splitlines():
        if match := _GRADLE_DEPENDENCY.match(line) or _GRADLE_PLUGIN.match(line):
            yield match[1], match[2] or ANY


def _version_catalog(text: str) -> Iterator[Requirement]:
    """Gradle's `libs.versions.toml`."""
    data = _toml(text)
    versions = _table(data.get("versions"))
    for alias, value in (*_table(data.get("libraries")).items(), *_table(data.get("plugins")).items()):
        if isinstance(value, str):
            yield value.rpartition(":")[0], value.rpartition(":")[2]
            continue
        table = _table(value)
        name = (
            table.get("module")
            or table.get("id")
            or ":".join(map(str, (table.get("group"), table.get("name"))))
        )
        version = table.get("version")
        reference = _table(version).get("ref")
        yield str(name or alias), _version(versions.get(reference) if isinstance(reference, str) else version)


_USES = re.compile(r"""\s*(?:-\s*)?["']?uses["']?:\s*["']?([^\s"'@#]+)@([^\s"'#]+)["']?(?:\s*#\s*(\S+))?""")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def _actions(text: str) -> Iterator[Requirement]:
    """Commits are shortened, and followed by the version that a comment names somewhere in the file."""
    used = [match.groups() for line in text.splitlines() if (match := _USES.match(line))]
    versions = {(name, reference): comment for name, reference, comment in used if comment}
    for name, reference, _ in used:
        short = reference[:12] if _COMMIT.fullmatch(reference) else reference
        version = versions.get((name, reference))
        yield name, f"{short} # {version}" if version else short


_HOOKS = re.compile(r"""\s*(?:-\s*)?(repo|rev):\s*["']?([^\s"'#]+)""")


def _pre_commit(text: str) -> Iterator[Requirement]:
    name = None
    for line in text.splitlines():
        match = _HOOKS.match(line)
        if match and match[1] == "repo":
            name = re.sub(r"^[a-z+]+://(?:[^/@]*@)?(?:github\.com/)?", "", match[2]).removesuffix(".git")
        elif match and name:
            yield name, match[2]


_READERS: tuple[tuple[re.Pattern[str], Reader], ...] = tuple(
    (re.compile(f"(?:.*/)?(?:{pattern})", re.DOTALL), reader)
    for pattern, reader in (
        (r"pyproject\.toml", _pyproject),
        (
            r"[\w.-]*requirements[\w.-]*\.(?:txt|in)|requirements/[\w.-]+\.(?:txt|in)|constraints\.txt",
            _requirements,
        ),
        (r"setup\.cfg", _setup_cfg),
        (r"setup\.py", _setup_py),
        (r"package\.json", _package_json),
        (r"Cargo\.toml", _cargo),
        (r"go\.mod", _go_mod),
        (r"pom\.xml", _pom),
        (r"[\w.-]+\.gradle(?:\.kts)?", _gradle),
        (r"libs\.versions\.toml", _version_catalog),
        (r"\.github/workflows/[^/]+\.ya?ml|(?:.*/)?action\.ya?ml", _actions),
        (r"\.pre-commit-config\.ya?ml", _pre_commit),
    )
)
