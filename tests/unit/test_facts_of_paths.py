from __future__ import annotations

import pytest

from forgehand.application.facts.paths import ROOT, component, is_library_code, is_private, is_test


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("README.md", ROOT),
        ("pkg/x.py", "pkg"),
        ("src/pkg/x.py", "pkg"),
        ("src/pkg/sub/x.py", "pkg/sub"),
        ("src/pkg/sub/deep/x.py", "pkg/sub"),
        ("src/index.ts", "src"),
        ("lib/parse.js", "lib"),
        ("pkg/lib/x.py", "pkg/lib"),
        ("packages/ui/src/forms/x.ts", "ui/forms"),
        ("packages/ui/package.json", "ui"),
        ("apps/web/src/pages/x.tsx", "web/pages"),
        ("crates/core/src/lib.rs", "core"),
        ("src/main/java/com/acme/shop/cart/Cart.java", "shop/cart"),
        ("src/test/java/com/acme/shop/cart/CartTest.java", "shop/cart"),
        ("server/src/main/java/com/acme/shop/Cart.java", "server/shop"),
        ("src/main/java/com/acme/Main.java", "acme"),
        ("src/main/kotlin/shop/Main.kt", "shop"),
        ("tests/unit/test_x.py", "tests/unit"),
        (".github/workflows/ci.yml", ".github/workflows"),
        ("odd\u202e\nname/x.py", "odd name"),
    ],
)
def test_a_component_is_named_by_the_first_folders_that_mean_something(path: str, expected: str) -> None:
    assert component(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "tests/data/page.html",
        "pkg/tests/helpers.py",
        "pkg/test_client.py",
        "client_test.py",
        "conftest.py",
        "net/client_test.go",
        "web/src/__tests__/a.js",
        "web/a.spec.ts",
        "web/a.test.tsx",
        "src/test/java/shop/Fixtures.java",
        "shop/CartTest.java",
        "shop/CartIT.java",
        "crates/core/tests/api.rs",
        "crates/core/src/tests.rs",
    ],
)
def test_tests_are_known_by_the_conventions_of_each_language(path: str) -> None:
    assert is_test(path)
    assert not is_library_code(path)


@pytest.mark.parametrize(
    "path",
    ["pkg/client.py", "pkg/testing.py", "pkg/latest.py", "contest/x.go", "shop/Attest.java", "web/inspect.ts",
     "src/lib.rs", "shop/Cart.java", "pkg/docs/build.py", "pkg/tools/shell.py"],
)  # fmt: skip
def test_other_code_is_no_test(path: str) -> None:
    assert not is_test(path)
    assert is_library_code(path)


@pytest.mark.parametrize(
    "path",
    ["docs/conf.py", "examples/a.go", "vendor/x/y.go", "node_modules/a/index.js", "static/a.min.js",
     "setup.py", "pkg/wire_pb2.py"],
)  # fmt: skip
def test_examples_vendored_and_generated_files_are_not_library_code(path: str) -> None:
    assert not is_library_code(path)


def test_private_places_are_known_by_their_names() -> None:
    assert is_private("pkg/_client.py")
    assert is_private("pkg/_inner/client.py")
    assert is_private("internal/wire/wire.go")
    assert not is_private("pkg/__init__.py")
    assert not is_private("pkg/client.py")
    assert not is_private("web/_page.ts")
