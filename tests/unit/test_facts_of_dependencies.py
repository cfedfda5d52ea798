from __future__ import annotations

import time

import pytest

from forgehand.application.facts.manifests import ManifestBroken, reader_for

MANIFESTS = {
    "pyproject.toml": (
        """
[project]
requires-python = ">=3.11"
dependencies = ["httpx[http2] >=0.28", "Typing_Extensions; python_version < '3.12'"]
[project.optional-dependencies]
cli = ["rich>=10"]
[dependency-groups]
dev = ["pytest>=8", { include-group = "cli" }]
[build-system]
requires = ["hatchling"]
""",
        {
            ("python", ">=3.11"),
            ("httpx", "[http2] >=0.28"),
            ("typing-extensions", "; python_version < '3.12'"),
            ("rich", ">=10"),
            ("pytest", ">=8"),
            ("hatchling", "any version"),
        },
    ),
    "poetry/pyproject.toml": (
        """
[tool.poetry.dependencies]
python = "^3.11"
httpx = { version = "^0.28", extras = ["http2"] }
local = { path = "../local" }
[tool.poetry.group.dev.dependencies]
pytest = "*"
""",
        {("python", "^3.11"), ("httpx", "^0.28"), ("local", "path ../local"), ("pytest", "*")},
    ),
    "requirements-dev.txt": (
        """
# a comment
-r requirements.txt
--index-url https://example.org
Django==5.0  # why
uvicorn[standard]>=0.30 ; sys_platform != "win32"
certifi==1 \\
    --hash=sha256:aa
plain
""",
        {
            ("django", "==5.0"),
            ("uvicorn", '[standard]>=0.30 ; sys_platform != "win32"'),
            ("certifi", "==1"),
            ("plain", "any version"),
        },
    ),
    "setup.cfg": (
        (
            "[options]\npython_requires = >=3.9\ninstall_requires =\n    # note\n    httpx>=1\n"
            "[options.extras_require]\nx = rich\n"
        ),
        {("python", ">=3.9"), ("httpx", ">=1"), ("rich", "any version")},
    ),
    "setup.py": (
        (
            'requires = ["idna>=2.5,<4"]\nsetup(install_requires=requires, python_requires=">=3.9",\n'
            ' extras_require={"socks": ["PySocks>=1.5.6"]})\n'
        ),
        {("idna", ">=2.5,<4"), ("python", ">=3.9"), ("pysocks", ">=1.5.6")},
    ),
    "web/package.json": (
        (
            '{"dependencies": {"react": "^19"}, "devDependencies": {"vite": "~7"},'
            ' "peerDependencies": {"vue": "3"},'
            ' "optionalDependencies": {"fsevents": "*"}, "engines": {"node": ">=20"}}'
        ),
        {("react", "^19"), ("vite", "~7"), ("vue", "3"), ("fsevents", "*"), ("node", ">=20")},
    ),
    "crates/a/Cargo.toml": (
        """
[package]
rust-version = "1.80"
[dependencies]
serde = { version = "1", features = ["derive"] }
shared = { workspace = true }
[dev-dependencies]
insta = "1.4"
[target.'cfg(unix)'.dependencies]
nix = "0.29"
[workspace.dependencies]
tokio = "1"
""",
        {
            ("rust", "1.80"),
            ("serde", "1"),
            ("shared", "workspace True"),
            ("insta", "1.4"),
            ("nix", "0.29"),
            ("tokio", "1"),
        },
    ),
    "go.mod": (
        (
            "module example.org/a\n\ngo 1.23\n\nrequire (\n\tgithub.com/x/y v1.2.3\n"
            "\tgithub.com/z/w v0.1.0 // indirect\n)\n"
            "require golang.org/x/net v0.30.0\nreplace (\n\tgithub.com/x/y v1.2.3 => ../y\n)\n"
        ),
        {("go", "1.23"), ("github.com/x/y", "v1.2.3"), ("golang.org/x/net", "v0.30.0")},
    ),
    "pom.xml": (
        """<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <properties><junit.version>5.11</junit.version></properties>
  <dependencies>
    <dependency>
      <groupId>org.junit</groupId><artifactId>junit</artifactId><version>${junit.version}</version>
    </dependency>
    <dependency><groupId>com.acme</groupId><artifactId>shop</artifactId></dependency>
  </dependencies>
</project>""",
        {("org.junit:junit", "5.11"), ("com.acme:shop", "any version")},
    ),
    "app/build.gradle.kts": (
        (
            'plugins {\n    id("org.springframework.boot") version "3.4"\n}\ndependencies {\n'
            '    implementation("com.acme:shop:1.2")\n'
            '    testImplementation(platform("org.junit:junit-bom:5.11"))\n}\n'
        ),
        {("org.springframework.boot", "3.4"), ("com.acme:shop", "1.2"), ("org.junit:junit-bom", "5.11")},
    ),
    "build.gradle": (
        "dependencies {\n    api 'com.acme:shop:1.2'\n    // implementation 'com.acme:old:1'\n}\n",
        {("com.acme:shop", "1.2")},
    ),
    "gradle/libs.versions.toml": (
        (
            '[versions]\nshop = "1.2"\n[libraries]\n'
            'shop = { module = "com.acme:shop", version.ref = "shop" }\n'
            'other = "com.acme:other:3"\n'
        ),
        {("com.acme:shop", "1.2"), ("com.acme:other", "3")},
    ),
    ".github/workflows/ci.yml": (
        (
            "jobs:\n  a:\n    steps:\n      - uses: actions/checkout@v4\n"
            f"      - name: x\n        uses: 'acme/act/sub@{'a' * 40}' # v1.2\n      - uses: ./local\n"
            f"      - uses: acme/act/sub@{'a' * 40}\n      # uses: old/one@v1\n"
        ),
        {("actions/checkout", "v4"), ("acme/act/sub", "aaaaaaaaaaaa # v1.2")},
    ),
    ".pre-commit-config.yaml": (
        (
            "repos:\n  - repo: https://github.com/acme/hooks\n    rev: v1.2\n    hooks:\n      - id: a\n"
            "  - repo: local\n    hooks:\n      - id: b\n"
            "  - repo: https://gitlab.example.org/x/y.git\n    rev: '3'\n"
        ),
        {("acme/hooks", "v1.2"), ("gitlab.example.org/x/y", "3")},
    ),
}


@pytest.mark.parametrize("path", MANIFESTS)
def test_a_manifest_tells_what_it_requires(path: str) -> None:
    text, expected = MANIFESTS[path]
    read = reader_for(path)

    assert read is not None
    assert set(read(text)) == expected


@pytest.mark.parametrize(
    "path",
    [
        "poetry.lock",
        "uv.lock",
        "package-lock.json",
        "Cargo.lock",
        "go.sum",
        "README.md",
        "ci.yml",
        "x/tsconfig.json",
    ],
)
def test_lock_files_and_others_are_no_manifests(path: str) -> None:
    assert reader_for(path) is None


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("pyproject.toml", "[project"),
        ("setup.py", "def ("),
        ("setup.py", "(" * 5000),
        ("setup.cfg", "no section\n"),
        ("package.json", "{"),
        ("package.json", "[" * 100_000),
        ("Cargo.toml", "a = ["),
        ("Cargo.toml", "a = " + "[" * 100_000),
        ("pom.xml", "<project>"),
        ("pom.xml", '<!DOCTYPE a [<!ENTITY b "c">]><project>&b;</project>'),
        ("pom.xml", '<!doctype a SYSTEM "file:///etc/passwd"><project/>'),
    ],
)
def test_a_manifest_that_cannot_be_read_is_an_error_of_value(path: str, text: str) -> None:
    read = reader_for(path)

    assert read is not None
    with pytest.raises(ValueError):  # noqa: PT011 - each format has its own subclass
        list(read(text))


def test_no_entity_of_a_pom_is_expanded() -> None:
    read = reader_for("pom.xml")

    assert read is not None
    with pytest.raises(ManifestBroken, match="document type"):
        list(read('<!DOCTYPE a [<!ENTITY b "c">]><project>&b;</project>'))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("pyproject.toml", ""),
        ("pyproject.toml", "project = 1\ntool = []\n"),
        ("pyproject.toml", "[project]\ndependencies = 1\n[tool]\npoetry = 3\n"),
        ("pyproject.toml", "[project]\ndependencies = [1, '']\n"),
        ("package.json", "[]"),
        ("package.json", "null"),
        ("package.json", '{"dependencies": [1]}'),
        ("Cargo.toml", "dependencies = 3\n"),
        ("gradle/libs.versions.toml", "versions = 1\nlibraries = 2\n"),
        ("go.mod", "\n" * 200_000),
        ("build.gradle", "\n" * 200_000),
        ("build.gradle", "a" * 200_000),
        ("requirements.txt", " " * 200_000),
        (".github/workflows/ci.yml", "\n" * 200_000),
        (".pre-commit-config.yaml", "- repo: a\n" + "\n" * 200_000),
    ],
    ids=lambda value: value[:30],
)
def test_a_manifest_of_an_odd_shape_requires_nothing_and_takes_no_time(path: str, text: str) -> None:
    read = reader_for(path)
    began = time.process_time()

    assert read is not None
    assert list(read(text)) == []
    assert time.process_time() - began < 2
