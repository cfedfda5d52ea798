"""A small repository with real history: three merged pull requests of a recipe library."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

NUMBER: Final = 2
"""The pull request that the demo documents."""

_ORIGIN = "https://github.com/forgehand-demo/pantry.git"
_BEGAN = datetime(2024, 3, 4, 9, 0, tzinfo=UTC)
_ANA = ("Ana Baker", "ana@example.com")
_LEE = ("Lee Cook", "lee@example.com")


class GitMissing(Exception):
    """The machine has no git that runs."""


@dataclass(slots=True)
class _History:
    """A repository in the making. Each commit is an hour younger than the one before."""

    path: Path
    now: datetime = field(default=_BEGAN)

    def git(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """With nobody's git configuration, so that it works on every machine and gives the same commits."""
        own = {
            "PATH": os.environ.get("PATH", os.defpath),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": str(self.path),
            "LC_ALL": "C",
        }
        subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env={**own, **(environment or {})},
            check=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )

    def record(self, *command: str, author: tuple[str, str]) -> None:
        self.now += timedelta(hours=1)
        moment = f"{int(self.now.timestamp())} +0000"
        identity = {
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in zip(("NAME", "EMAIL", "DATE"), (*author, moment), strict=True)
        }
        self.git(*command, environment=identity)

    def write(self, files: Mapping[str, str]) -> None:
        for name, content in files.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8")

    def commit(self, message: str, files: Mapping[str, str], author: tuple[str, str] = _ANA) -> None:
        self.write(files)
        self.git("add", "--all")
        self.record("commit", "--quiet", "-m", message, author=author)


def build(path: Path) -> Path:
    """The sample at `path`: made whole or not at all, and left as it is where it is there already.

    Raise GitMissing.
    """
    if (path / ".git").is_dir():
        return path
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    making = Path(tempfile.mkdtemp(prefix=".sample-", dir=path.parent))
    try:
        _write_history(_History(making))
        making.rename(path)
    except FileNotFoundError as error:
        raise GitMissing("git is not installed: install it, then run this again") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise GitMissing(f"git failed to make the sample ({said}): `forgehand doctor` looks at it") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return path


def _write_history(history: _History) -> None:
    history.git("init", "--quiet")
    history.git("symbolic-ref", "HEAD", "refs/heads/main")
    history.git("remote", "add", "origin", _ORIGIN)
    history.commit("Start", _START)
    history.git("checkout", "--quiet", "-b", "round-amounts")
    history.commit("Round what nobody can weigh", _ROUNDING)
    _squash(history, "round-amounts", "Round amounts to what a kitchen can weigh (#1)")
    history.git("checkout", "--quiet", "-b", "scale-by-servings")
    history.git("mv", "src/pantry/helpers.py", "src/pantry/units.py")
    history.commit("Call the units what they are", _RENAMED, _LEE)
    history.commit("Scale recipes by servings\n\nA factor was easy to get wrong.", _SCALING, _LEE)
    history.commit("Read recipes from YAML", _YAML, _LEE)
    _merge(history, NUMBER, "scale-by-servings", "Scale recipes by servings, and read them from YAML", _WHY)
    history.git("checkout", "--quiet", "-b", "say-servings")
    history.commit("Say how many servings there are", _README)
    _squash(history, "say-servings", "Say how many servings there are (#3)")


def _squash(history: _History, branch: str, title: str) -> None:
    history.git("checkout", "--quiet", "main")
    history.git("merge", "--quiet", "--squash", branch)
    history.record("commit", "--quiet", "-m", title, author=_ANA)


def _merge(history: _History, number: int, branch: str, title: str, body: str) -> None:
    history.git("checkout", "--quiet", "main")
    message = f"Merge pull request #{number} from lee/{branch}\n\n{title}\n\n{body}"
    history.record("merge", "--quiet", "--no-ff", "-m", message, branch, author=_ANA)


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


_UNITS = _lines(
    '"""Units of a kitchen."""',
    "",
    "GRAMS = {",
    '    "g": 1,',
    '    "kg": 1000,',
    '    "tbsp": 15,',
    '    "cup": 240,',
    "}",
    "",
    "",
    "def to_grams(amount: float, unit: str) -> float:",
    '    """Raise KeyError for a unit that is not known."""',
    "    return amount * GRAMS[unit]",
)

_START: Mapping[str, str] = {
    "README.md": _lines("# pantry", "", "Recipes as data.", "", "    bread = scale(bread, 2)"),
    "pyproject.toml": _lines(
        "[project]", 'name = "pantry"', 'version = "1.0.0"', 'requires-python = ">=3.11"', "dependencies = []"
    ),
    "uv.lock": _lines("version = 1", "", "[[package]]", 'name = "pantry"', 'version = "1.0.0"'),
    "src/pantry/__init__.py": "",
    "src/pantry/helpers.py": _UNITS,
    "src/pantry/recipes.py": _lines(
        '"""Recipes."""',
        "",
        "from pantry.helpers import to_grams",
        "",
        "",
        "def scale(recipe: dict, factor: float) -> dict:",
        '    """The recipe with every amount times `factor`."""',
        "    return {name: amount * factor for name, amount in recipe.items()}",
        "",
        "",
        "def weight(recipe: dict) -> float:",
        '    """Grams in all."""',
        '    return sum(to_grams(amount, "g") for amount in recipe.values())',
    ),
    "tests/test_recipes.py": _lines(
        "from pantry.recipes import scale",
        "",
        "",
        "def test_twice_the_recipe_has_twice_the_flour():",
        '    assert scale({"flour": 500}, 2) == {"flour": 1000}',
    ),
}

_ROUNDING: Mapping[str, str] = {
    "src/pantry/helpers.py": _UNITS
    + _lines(
        "",
        "",
        "def rounded(grams: float) -> int:",
        '    """To five grams."""',
        "    return round(grams / 5) * 5",
    ),
}

_RENAMED: Mapping[str, str] = {
    "src/pantry/recipes.py": _START["src/pantry/recipes.py"].replace("pantry.helpers", "pantry.units"),
}

_SCALING: Mapping[str, str] = {
    "src/pantry/recipes.py": _lines(
        '"""Recipes."""',
        "",
        "from dataclasses import dataclass, replace",
        "",
        "from pantry.units import rounded, to_grams",
        "",
        "",
        "@dataclass(frozen=True)",
        "class Recipe:",
        '    """Amounts in grams, for a number of servings."""',
        "",
        "    name: str",
        "    servings: int",
        "    amounts: dict[str, float]",
        "",
        "",
        "def scale(recipe: Recipe, servings: int) -> Recipe:",
        '    """The recipe for `servings`. Raise ValueError for none."""',
        "    if servings < 1:",
        '        raise ValueError("a recipe needs at least one serving")',
        "    factor = servings / recipe.servings",
        "    amounts = {name: rounded(amount * factor) for name, amount in recipe.amounts.items()}",
        "    return replace(recipe, servings=servings, amounts=amounts)",
        "",
        "",
        "def weight(recipe: Recipe) -> float:",
        '    """Grams in all."""',
        '    return sum(to_grams(amount, "g") for amount in recipe.amounts.values())',
    ),
    "tests/test_recipes.py": _lines(
        "import pytest",
        "",
        "from pantry.recipes import Recipe, scale",
        "",
        'BREAD = Recipe("bread", servings=4, amounts={"flour": 500})',
        "",
        "",
        "def test_twice_the_servings_need_twice_the_flour():",
        '    assert scale(BREAD, 8).amounts == {"flour": 1000}',
        "",
        "",
        "def test_a_recipe_for_nobody_is_refused():",
        "    with pytest.raises(ValueError):",
        "        scale(BREAD, 0)",
    ),
}

_YAML: Mapping[str, str] = {
    "pyproject.toml": _START["pyproject.toml"]
    .replace("dependencies = []", 'dependencies = ["pyyaml>=6.0"]')
    .replace("1.0.0", "2.0.0"),
    "uv.lock": _START["uv.lock"].replace("1.0.0", "2.0.0")
    + _lines("", "[[package]]", 'name = "pyyaml"', 'version = "6.0.1"'),
    "src/pantry/files.py": _lines(
        '"""Recipes in files."""',
        "",
        "from pathlib import Path",
        "",
        "import yaml",
        "",
        "from pantry.recipes import Recipe",
        "",
        "",
        "def read(path: Path) -> Recipe:",
        '    """A recipe from a YAML file with a name, servings and amounts."""',
        "    return Recipe(**yaml.safe_load(path.read_text()))",
    ),
}

_README: Mapping[str, str] = {
    "README.md": _START["README.md"].replace("scale(bread, 2)", "scale(bread, servings=8)"),
}

_WHY = """\
Scaling by a factor made people divide by hand, and they got it wrong.

BREAKING CHANGE: scale() takes the servings that are wanted, and recipes are `Recipe` objects."""


def _claim(text: str, *files: str) -> dict[str, Any]:
    return {"text": text, "files": list(files)}


_RECIPES, _FILES, _PROJECT = "src/pantry/recipes.py", "src/pantry/files.py", "pyproject.toml"
_TESTS, _UNITS_FILE = "tests/test_recipes.py", "src/pantry/units.py"

_NARRATIVE: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "summary": [
        _claim(
            "Recipes are scaled by the servings that are wanted instead of by a factor, "
            "and can be read from YAML files.",
            _RECIPES,
            _FILES,
        )
    ],
    "what_changed": [
        _claim("`Recipe` holds a name, servings and amounts; `scale` and `weight` take it.", _RECIPES),
        _claim("Scaled amounts are rounded to what a kitchen can weigh.", _RECIPES),
        _claim("`pantry.helpers` is now called `pantry.units`.", _UNITS_FILE),
    ],
    "why": [_claim("With a factor, people had to divide by hand and got it wrong.", _RECIPES)],
    "how_to_use": [
        _claim("Call `scale(recipe, servings)` with the number of servings that you want.", _RECIPES),
        _claim("Call `files.read(path)` for a recipe from a YAML file.", _FILES),
    ],
    "migration_notes": [
        _claim("Make `Recipe` objects of dictionaries, and pass servings instead of a factor.", _RECIPES),
        _claim("Import from `pantry.units` instead of `pantry.helpers`.", _UNITS_FILE),
        _claim("The package now needs `pyyaml`.", _PROJECT),
    ],
    "risks": [
        _claim("Reading from YAML has no test.", _FILES, _TESTS),
    ],
}

REPLIES: Final[Sequence[Mapping[str, Any]]] = ({"output": _NARRATIVE, "repeat": True},)
"""What the scripted model answers about the pull request that the demo documents."""
