from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forgehand.application.facts import gather_facts
from forgehand.application.facts.sides import AT_ONCE
from forgehand.application.facts.symbols import FILE_LIMIT, MOST_FILES
from forgehand.application.ports.code_host import CodeHost
from forgehand.domain.documentation import BreakingMarker, DependencyFact, Facts, SymbolEvent, SymbolFact
from forgehand.domain.pull_requests import ChangeSet, ChangeStatus, Commit, FileChange, PullRequest, Withheld
from forgehand.domain.repositories import RepoName
from forgehand.infrastructure.git.local_git import LocalGit
from forgehand.infrastructure.syntax.tree_sitter_syntax import TreeSitterSyntax
from tests.repositories import SampleRepository

PULL = PullRequest(
    repo=RepoName("octo", "demo"),
    number=7,
    title="A change",
    body="",
    author="Ada",
    base_sha="base",
    head_sha="head",
    merged_at=datetime(2024, 1, 1, tzinfo=UTC),
)


@dataclass
class TwoRevisions:
    """A code host that holds the files of one change in memory, and counts how it is asked."""

    base: Mapping[str, str | bytes]
    head: Mapping[str, str | bytes]
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def file(self, location: str, revision: str, path: str, limit: int) -> bytes | None:
        self.asked.append((revision, path))
        content = {"base": self.base, "head": self.head}[revision].get(path)
        content = content.encode() if isinstance(content, str) else content
        return content if content is not None and len(content) <= limit else None

    async def pull_request(self, location: str, number: int) -> PullRequest:
        return PULL

    async def changes(self, location: str, pull: PullRequest) -> ChangeSet:
        raise NotImplementedError

    def merged_since(self, location: str, since: datetime) -> AsyncIterator[int]:
        raise NotImplementedError

    def changed(self, renames: Mapping[str, str]) -> tuple[FileChange, ...]:
        """One change for each path; `renames` are new paths by old path."""
        moved = {new: old for old, new in renames.items()}
        files = []
        for path in dict.fromkeys((*self.base, *self.head)):
            if path in renames:
                continue
            if path in moved:
                status = ChangeStatus.RENAMED
            elif path in self.base and path in self.head:
                status = ChangeStatus.MODIFIED
            else:
                status = ChangeStatus.ADDED if path in self.head else ChangeStatus.REMOVED
            files.append(FileChange(path, status, 1, 1, previous_path=moved.get(path)))
        return tuple(files)


async def facts_of(
    base: Mapping[str, str | bytes],
    head: Mapping[str, str | bytes],
    *,
    pull: PullRequest = PULL,
    commits: tuple[Commit, ...] = (),
    renames: Mapping[str, str] | None = None,
) -> Facts:
    host = TwoRevisions(base, head)
    changes = ChangeSet(commits, host.changed(renames or {}))
    return await gather_facts(host, TreeSitterSyntax(), "demo", pull, changes)


def events(facts: Facts) -> list[tuple[SymbolEvent, str, str]]:
    return [(fact.event, fact.kind, fact.name) for fact in facts.symbols]


class TestFiles:
    async def test_each_file_keeps_its_counts_and_gets_its_place(self) -> None:
        changes = ChangeSet(
            (),
            (
                FileChange("src/pkg/new.py", ChangeStatus.RENAMED, 3, 1, previous_path="src/pkg/old.py"),
                FileChange("tests/test_new.py", ChangeStatus.ADDED, 9, 0),
                FileChange("logo.png", ChangeStatus.MODIFIED, patch=None, withheld=Withheld.BINARY),
            ),
        )
        host = TwoRevisions({"src/pkg/old.py": ""}, {"src/pkg/new.py": ""})

        facts = await gather_facts(host, TreeSitterSyntax(), "demo", PULL, changes)

        renamed, test, logo = facts.files
        assert (renamed.previous_path, renamed.additions, renamed.deletions) == ("src/pkg/old.py", 3, 1)
        assert [file.component for file in facts.files] == ["pkg", "tests", "(root)"]
        assert [file.is_test for file in facts.files] == [False, True, False]
        assert [file.binary for file in facts.files] == [False, False, True]
        assert facts.tests == (test,)
        assert (facts.additions, facts.deletions) == (12, 1)
        assert logo.path == "logo.png"


class TestSymbols:
    async def test_symbols_that_came_changed_and_went_are_told_apart(self) -> None:
        facts = await facts_of(
            {"a.py": "def same(): ...\ndef body(): 1\ndef signature(a): ...\ndef gone(): ...\n"},
            {"a.py": "def new(): ...\ndef same(): ...\ndef body(): 2\ndef signature(a, b=1): ...\n"},
        )

        assert facts.symbols == (
            SymbolFact("a.py", "function", "new", SymbolEvent.ADDED, "def new()"),
            SymbolFact("a.py", "function", "body", SymbolEvent.CHANGED, "def body()"),
            SymbolFact(
                "a.py",
                "function",
                "signature",
                SymbolEvent.CHANGED,
                "def signature(a, b=1)",
                "def signature(a)",
            ),
            SymbolFact("a.py", "function", "gone", SymbolEvent.REMOVED, None, "def gone()"),
        )
        assert facts.notes == ()

    @pytest.mark.parametrize(
        ("path", "source", "name"),
        [
            ("a.py", "def f(): ...", "f"),
            ("a.js", "export function f() {}", "f"),
            ("a.ts", "export type T = string;", "T"),
            ("a.go", "package a\nfunc F() {}", "F"),
            ("A.java", "public class A {}", "A"),
            ("a.rs", "pub fn f() {}", "f"),
        ],
    )
    async def test_every_language_is_compared(self, path: str, source: str, name: str) -> None:
        added = await facts_of({path: ""}, {path: source})
        removed = await facts_of({path: source}, {path: ""})

        assert [(SymbolEvent.ADDED, name)] == [(fact.event, fact.name) for fact in added.symbols]
        assert [(SymbolEvent.REMOVED, name)] == [(fact.event, fact.name) for fact in removed.symbols]

    async def test_a_new_file_and_a_removed_file_have_one_side(self) -> None:
        facts = await facts_of({"old.py": "def old(): ..."}, {"new.py": "def new(): ..."})

        assert events(facts) == [
            (SymbolEvent.REMOVED, "function", "old"),
            (SymbolEvent.ADDED, "function", "new"),
        ]

    async def test_a_renamed_file_is_compared_with_its_old_self(self) -> None:
        facts = await facts_of(
            {"old.py": "def f(): ...\ndef g(): ..."},
            {"new.py": "def f(): ...\ndef h(): ..."},
            renames={"old.py": "new.py"},
        )

        assert events(facts) == [
            (SymbolEvent.ADDED, "function", "h"),
            (SymbolEvent.REMOVED, "function", "g"),
        ]
        assert {fact.path for fact in facts.symbols} == {"new.py"}

    async def test_a_symbol_that_moved_to_another_file_unaltered_is_no_fact(self) -> None:
        body = "class A:\n    def m(self):\n        return 1\n"
        facts = await facts_of({"a.py": body, "b.py": "x = 1"}, {"a.py": "", "b.py": "x = 1\n\n" + body})

        assert facts.symbols == ()
        assert facts.breaking == ()

    async def test_a_change_of_kind_is_one_change(self) -> None:
        facts = await facts_of({"a.py": "def f(): ..."}, {"a.py": "class f: ..."})

        assert events(facts) == [(SymbolEvent.CHANGED, "class", "f")]

    async def test_an_overload_that_goes_changes_those_that_stay(self) -> None:
        facts = await facts_of(
            {"A.java": "public class A { public void m(int a) {} public void m(String a) {} }"},
            {"A.java": "public class A { public void m(String a) {} }"},
        )

        assert facts.symbols == (
            SymbolFact(
                "A.java",
                "method",
                "A.m",
                SymbolEvent.CHANGED,
                "public void m(String a)",
                "public void m(int a)",
            ),
        )

    @pytest.mark.parametrize(
        "path", ["tests/a.py", "test_a.py", "docs/conf.py", "examples/a.py", "README.md"]
    )
    async def test_files_that_are_no_library_code_are_not_even_read(self, path: str) -> None:
        host = TwoRevisions({path: ""}, {path: "def f(): ..."})
        changes = ChangeSet((), host.changed({}))

        facts = await gather_facts(host, TreeSitterSyntax(), "demo", PULL, changes)

        assert facts.symbols == ()
        assert facts.notes == ()
        assert host.asked == []

    async def test_a_pure_rename_is_not_read(self) -> None:
        host = TwoRevisions({}, {})
        moved = FileChange("new.py", ChangeStatus.RENAMED, previous_path="old.py")

        facts = await gather_facts(host, TreeSitterSyntax(), "demo", PULL, ChangeSet((), (moved,)))

        assert facts.notes == ()
        assert host.asked == []

    async def test_a_file_over_the_limit_is_noted_instead(self) -> None:
        facts = await facts_of({"big.py": "def f(): ..."}, {"big.py": b"#" * (FILE_LIMIT + 1)})

        assert facts.symbols == ()
        assert facts.notes == (
            "big.py: public symbols not compared, it is over 512 KiB or not in this clone",
        )

    async def test_a_file_that_takes_too_long_to_parse_is_noted_instead(self) -> None:
        host = TwoRevisions({"a.py": "def f(): ..."}, {"a.py": "def g(): ...\n" * 39_000})
        changes = ChangeSet((), host.changed({}))

        facts = await gather_facts(host, TreeSitterSyntax(seconds=0.05), "demo", PULL, changes)

        assert facts.symbols == ()
        assert facts.notes == ("a.py: public symbols not compared, parsing it takes too much time or memory",)

    async def test_files_over_the_number_are_noted(self) -> None:
        head = {f"m{i:03}.py": f"def f{i}(): ..." for i in range(MOST_FILES + 3)}

        facts = await facts_of({}, head)

        assert len(facts.symbols) == MOST_FILES
        assert facts.notes == (f"public symbols: 3 files over the limit of {MOST_FILES} were not read",)

    async def test_few_files_are_read_at_once(self) -> None:
        @dataclass
        class Crowded(TwoRevisions):
            now: int = 0
            most: int = 0

            async def file(self, location: str, revision: str, path: str, limit: int) -> bytes | None:
                self.now += 1
                self.most = max(self.most, self.now)
                try:
                    await asyncio.sleep(0)
                    return await TwoRevisions.file(self, location, revision, path, limit)
                finally:
                    self.now -= 1

        files = {f"m{i}.py": "" for i in range(20)} | {f"m{i}/go.mod": "" for i in range(20)}
        host = Crowded(files, files)

        await gather_facts(host, TreeSitterSyntax(), "demo", PULL, ChangeSet((), host.changed({})))

        assert len(host.asked) == 80
        assert 1 < host.most <= AT_ONCE

    async def test_source_in_another_encoding_is_compared_all_the_same(self) -> None:
        before = "def f():\n    return 'é'\n".encode("latin-1")

        facts = await facts_of({"a.py": before}, {"a.py": before.replace(b"\xe9", b"\xe8")})

        assert events(facts) == [(SymbolEvent.CHANGED, "function", "f")]


class TestDependencies:
    async def test_requirements_that_differ_are_told_by_manifest(self) -> None:
        facts = await facts_of(
            {
                "requirements.txt": "httpx==1\ntrio==1\nsame==1\n",
                "web/package.json": '{"dependencies": {"react": "^18"}}',
            },
            {
                "requirements.txt": "httpx==2\nrich\nsame==1\n",
                "web/package.json": '{"devDependencies": {"react": "^18"}}',
            },
        )

        assert facts.dependencies == (
            DependencyFact("requirements.txt", "httpx", "==1", "==2"),
            DependencyFact("requirements.txt", "rich", None, "any version"),
            DependencyFact("requirements.txt", "trio", "==1", None),
        )

    async def test_a_new_manifest_requires_what_it_lists(self) -> None:
        facts = await facts_of({}, {"go.mod": "module a\nrequire x.org/y v1.0.0\n"})

        assert facts.dependencies == (DependencyFact("go.mod", "x.org/y", None, "v1.0.0"),)

    async def test_a_manifest_that_does_not_parse_is_noted(self) -> None:
        facts = await facts_of({"package.json": "{}"}, {"package.json": "{"})

        assert facts.dependencies == ()
        assert facts.notes == (
            "package.json: dependencies not compared, it does not parse at the head of the change",
        )

    async def test_no_credentials_of_a_url_and_nothing_invisible_get_through(self) -> None:
        head = {"requirements.txt": "a @ git+https://user:secret@example.org/a.git\nb==1\u200b\u202e\n"}

        facts = await facts_of({"requirements.txt": ""}, head)

        assert [fact.after for fact in facts.dependencies] == ["@ git+https://example.org/a.git", "==1"]


class TestBreaking:
    async def test_people_say_it_in_title_description_commits_and_labels(self) -> None:
        pull = replace(
            PULL,
            title="feat(api)!: drop v1",
            body="Text\n\nBREAKING CHANGE: use v2,\nwhich is better\n\nMore",
            labels=("breaking-change", "non-breaking", "docs"),
        )
        commits = (
            Commit("a" * 40, "Ada", "feat(api)!: drop v1 (#7)"),
            Commit("b" * 40, "Ada", "refactor!: rename\n\nBREAKING-CHANGE: the name"),
            Commit("c" * 40, "Ada", "fix: nothing BREAKING CHANGE here"),
        )

        facts = await facts_of({}, {}, pull=pull, commits=commits)

        assert facts.breaking == (
            BreakingMarker("title", "feat(api)!: drop v1"),
            BreakingMarker("description", "use v2, which is better"),
            BreakingMarker("label", "breaking-change"),
            BreakingMarker("commit bbbbbbbbbb", "refactor!: rename"),
            BreakingMarker("commit bbbbbbbbbb", "the name"),
        )

    async def test_a_removed_symbol_speaks_for_its_members(self) -> None:
        facts = await facts_of({"a.py": "class A:\n    def m(self): ...\n"}, {"a.py": "X = 1"})

        assert facts.breaking == (BreakingMarker("a.py", "public class A removed"),)

    async def test_only_a_signature_that_callers_notice_counts(self) -> None:
        facts = await facts_of(
            {"a.py": "def f(a): ...\ndef g(a): ...\nLIMIT = 1"},
            {"a.py": "def f(a, b=1): ...\ndef g(a, b): ...\nLIMIT = 2"},
        )

        assert facts.breaking == (BreakingMarker("a.py", "signature of g changed"),)

    async def test_private_modules_count_where_a_package_passes_the_name_on(self) -> None:
        init = "from ._a import *\n__all__ = ['shown']\n"
        facts = await facts_of(
            {"pkg/__init__.py": init, "pkg/_a.py": "def shown(a): ...\ndef inner(a): ..."},
            {"pkg/__init__.py": init, "pkg/_a.py": "def shown(): ...\ndef inner(): ..."},
        )

        assert facts.breaking == (BreakingMarker("pkg/_a.py", "signature of shown changed"),)

    async def test_a_name_taken_from_all_is_told_once(self) -> None:
        facts = await facts_of(
            {"pkg/__init__.py": "__all__ = ['shown']\n", "pkg/_a.py": "def shown(a): ..."},
            {"pkg/__init__.py": "__all__ = []\n", "pkg/_a.py": ""},
        )

        assert facts.breaking == (BreakingMarker("pkg/__init__.py", "public export shown removed"),)

    async def test_a_major_version_of_a_dependency_is_no_breaking_change(self) -> None:
        facts = await facts_of({"requirements.txt": "a==1"}, {"requirements.txt": "a==2"})

        assert facts.breaking == ()

    async def test_texts_are_one_bounded_visible_line(self) -> None:
        pull = replace(PULL, title="feat!: \u202e\u200b" + "x" * 5000)

        facts = await facts_of({}, {}, pull=pull)

        assert len(facts.breaking[0].text) <= 300
        assert facts.breaking[0].text.isprintable()


async def test_a_merged_pull_request_of_a_real_repository(tmp_path: Path) -> None:
    repository = SampleRepository.create(tmp_path / "octo" / "demo")
    repository.write("src/shop/cart.py", "def add(item): ...\n\ndef total(cart):\n    return sum(cart)\n")
    repository.write("src/shop/old name.py", "LIMIT = 1\n\n\n\ndef kept(): ...\n\ndef lost(): ...\n")
    repository.write("pyproject.toml", '[project]\ndependencies = ["httpx>=0.27"]\n')
    repository.commit("Start")
    repository.start_branch("topic")
    repository.write(
        "src/shop/cart.py", "def add(item, count): ...\n\ndef total(cart):\n    return sum(cart)\n"
    )
    repository.git("mv", "src/shop/old name.py", "src/shop/new name.py")
    repository.write("src/shop/new name.py", "LIMIT = 1\n\n\n\ndef kept(): ...\n\ndef found(): ...\n")
    repository.write("pyproject.toml", '[project]\ndependencies = ["httpx>=0.28"]\n')
    repository.write("tests/test_cart.py", "def test_add(): ...\n")
    repository.commit("Add counts")
    repository.merge_pull(7, "topic", "Count items")
    host: CodeHost = LocalGit([tmp_path])
    location = str(repository.path)
    pull = await host.pull_request(location, 7)

    facts = await gather_facts(host, TreeSitterSyntax(), location, pull, await host.changes(location, pull))

    assert list(facts.components) == ["(root)", "shop", "tests"]
    assert [file.path for file in facts.tests] == ["tests/test_cart.py"]
    assert {(fact.path, fact.event, fact.name) for fact in facts.symbols} == {
        ("src/shop/cart.py", SymbolEvent.CHANGED, "add"),
        ("src/shop/new name.py", SymbolEvent.ADDED, "found"),
        ("src/shop/new name.py", SymbolEvent.REMOVED, "lost"),
    }
    assert facts.dependencies == (DependencyFact("pyproject.toml", "httpx", ">=0.27", ">=0.28"),)
    assert facts.breaking == (
        BreakingMarker("src/shop/cart.py", "signature of add changed"),
        BreakingMarker("src/shop/new name.py", "public function lost removed"),
    )
    assert facts.notes == ()
