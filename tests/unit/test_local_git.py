"""A local git repository as a code host: the contracts, and what only a clone on disk can do."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tracemalloc
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from forgehand.application.ports.code_host import (
    AccessRefused,
    CodeHost,
    HistoryIncomplete,
    HostUnavailable,
    PullRequestNotFound,
    RepositoryNotFound,
)
from forgehand.application.ports.comments import Comment, Comments
from forgehand.domain.pull_requests import ChangeSet, ChangeStatus, FileChange, Withheld
from forgehand.infrastructure.git import LocalGit, PatchLimits
from tests.contracts.code_host import CodeHostContract
from tests.contracts.comments import CommentsContract, Thread
from tests.repositories import (
    ADA,
    FIRST_COMMIT_AT,
    GRACE,
    Sample,
    SampleRepository,
    build_sample,
    numstat,
    run_git,
)

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return build_sample(tmp_path_factory.mktemp("sample") / "clone")


@pytest.fixture(scope="module")
def bare(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.repository.bare_clone(tmp_path_factory.mktemp("bare") / "sample.git", "--mirror")


@pytest.fixture(scope="module")
def one_commit(tmp_path_factory: pytest.TempPathFactory) -> SampleRepository:
    created = SampleRepository.create(tmp_path_factory.mktemp("one") / "clone")
    created.write("a.txt", "a\n")
    created.commit("Start")
    created.start_branch("work")
    return created


@pytest.fixture
def repository(one_commit: SampleRepository, tmp_path: Path) -> SampleRepository:
    """One commit on main and a branch `work` to change things on."""
    shutil.copytree(one_commit.path, tmp_path / "clone")
    return SampleRepository(tmp_path / "clone", now=one_commit.now)


@pytest.fixture
def host(tmp_path: Path) -> LocalGit:
    return LocalGit([tmp_path])


async def changes_of(host: CodeHost, location: Path, number: int) -> ChangeSet:
    return await host.changes(str(location), await host.pull_request(str(location), number))


async def files_of(host: CodeHost, location: Path, number: int) -> dict[str, FileChange]:
    return {file.path: file for file in (await changes_of(host, location, number)).files}


async def merged(host: CodeHost, location: Path) -> list[int]:
    since = FIRST_COMMIT_AT - timedelta(days=1)
    return [number async for number in host.merged_since(str(location), since)]


def text_of(comment: Comment) -> str:
    return Path(comment.url).read_text()


def names_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


class TestLocalGitWithWorktree(CodeHostContract):
    @pytest.fixture
    def location(self, sample: Sample) -> str:
        return str(sample.repository.path)

    @pytest.fixture
    def host(self, sample: Sample) -> CodeHost:
        return LocalGit([sample.repository.path])


class TestLocalGitBare(CodeHostContract):
    @pytest.fixture
    def location(self, bare: Path) -> str:
        return str(bare)

    @pytest.fixture
    def host(self, bare: Path) -> CodeHost:
        return LocalGit([bare.parent])


class TestLocalComments(CommentsContract):
    @pytest.fixture
    def thread(self, host: Comments, repository: SampleRepository) -> Thread:
        folder = repository.path / ".git" / "forgehand" / "comments" / "7"

        async def say_as_stranger(body: str) -> None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "stranger.md").write_text(body)
            (folder.parent / "7.md").write_text(body)

        async def delete(comment_id: str) -> None:
            (folder / f"{comment_id}.md").unlink()

        return Thread(host, str(repository.path), 7, say_as_stranger, delete)

    async def test_a_comment_is_a_file_that_a_person_can_read(self, thread: Thread) -> None:
        comment = await thread.say("# Title\n\nText.")
        assert (comment.id, Path(comment.url).name) == ("1", "1.md")
        assert text_of(comment) == "# Title\n\nText."

    async def test_nothing_but_whole_comments_is_left_on_disk(self, thread: Thread) -> None:
        first = await thread.say("first")
        await asyncio.gather(*(thread.say(f"at once {index}") for index in range(8)))
        await thread.change(first.id, "rewritten")
        assert names_in(Path(first.url).parent) == {f"{n}.md" for n in range(1, 10)}

    async def test_linked_worktrees_share_one_conversation(
        self, thread: Thread, host: LocalGit, repository: SampleRepository, tmp_path: Path
    ) -> None:
        comment = await thread.say("once")
        repository.git("worktree", "add", "--quiet", str(tmp_path / "linked"), "main")
        assert [own async for own in host.own_comments(str(tmp_path / "linked"), 7)] == [comment]

    async def test_comments_that_cannot_be_kept_are_refused_in_one_line(
        self, thread: Thread, repository: SampleRepository
    ) -> None:
        (repository.path / ".git" / "forgehand").write_text("in the way")
        with pytest.raises(AccessRefused, match=r"^the comments of .* cannot be kept"):
            await thread.say("nowhere")


class TestLocations:
    @pytest.mark.parametrize("inside", [".", "src", ".git", "src/../src"])
    async def test_any_place_inside_of_a_clone_names_it(self, sample: Sample, inside: str) -> None:
        host = LocalGit([sample.repository.path])
        pull = await host.pull_request(f"{sample.repository.path}/{inside}", 2)
        assert pull.head_sha == sample.merged.head_sha

    async def test_a_linked_worktree_is_its_repository(
        self, host: LocalGit, repository: SampleRepository, tmp_path: Path
    ) -> None:
        repository.write("b.txt", "b\n")
        repository.commit("Add b")
        pull = repository.squash_pull(7, "work", "Add b")
        repository.git("worktree", "add", "--quiet", str(tmp_path / "linked"), "HEAD")
        linked, main = [
            await host.pull_request(str(place), 7) for place in (tmp_path / "linked", repository.path)
        ]
        assert linked == main
        assert linked.head_sha == pull.head_sha

    async def test_a_path_outside_of_every_root_is_refused(self, sample: Sample, tmp_path: Path) -> None:
        outside = sample.repository.path
        (tmp_path / "link").symlink_to(outside)
        dots = "/".join([".."] * (len(tmp_path.parts) - 1))
        for location in (outside, tmp_path / "link", f"{tmp_path}/{dots}{outside}", "/no/such/place"):
            with pytest.raises(
                AccessRefused, match="is not below FORGEHAND_LOCAL_ROOTS; add it where the job"
            ):
                await LocalGit([tmp_path]).pull_request(str(location), 2)

    async def test_without_roots_nothing_may_be_read(self, sample: Sample) -> None:
        with pytest.raises(AccessRefused):
            await LocalGit([]).pull_request(str(sample.repository.path), 2)

    async def test_a_root_may_be_a_link(self, sample: Sample, tmp_path: Path) -> None:
        (tmp_path / "root").symlink_to(sample.repository.path.parent)
        pull = await LocalGit([tmp_path / "root"]).pull_request(str(sample.repository.path), 2)
        assert pull.number == 2

    async def test_a_worktree_whose_repository_is_elsewhere_is_refused(
        self, host: LocalGit, sample: Sample, tmp_path: Path
    ) -> None:
        (tmp_path / "decoy").mkdir()
        (tmp_path / "decoy" / ".git").write_text(f"gitdir: {sample.repository.path}/.git\n")
        with pytest.raises(AccessRefused, match="FORGEHAND_LOCAL_ROOTS"):
            await host.pull_request(str(tmp_path / "decoy"), 2)

    async def test_a_repository_around_the_root_is_not_found(self, sample: Sample) -> None:
        inner = sample.repository.path / "src"
        with pytest.raises(RepositoryNotFound):
            await LocalGit([inner]).pull_request(str(inner), 2)

    @pytest.mark.parametrize("name", ["missing", "folder", "file", "nul\0", "loop"])
    async def test_what_is_no_repository_is_said_in_one_line(
        self, host: LocalGit, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").write_text("")
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        with pytest.raises(RepositoryNotFound) as raised:
            await host.pull_request(f"{tmp_path}/{name}", 2)
        assert "\n" not in str(raised.value)


class TestNames:
    @pytest.mark.parametrize(
        ("url", "name", "page"),
        [
            ("https://github.com/octo/sample.git", "octo/sample", "https://github.com/octo/sample/pull/7"),
            (
                "https://me:s3cret@github.com/octo/sample",
                "octo/sample",
                "https://github.com/octo/sample/pull/7",
            ),
            ("git@github.com:octo/sample.git", "octo/sample", "https://github.com/octo/sample/pull/7"),
            (
                "ssh://git@github.com:22/octo/sample.git",
                "octo/sample",
                "https://github.com/octo/sample/pull/7",
            ),
            (
                "https://github.example.org:8443/octo/sample/",
                "octo/sample",
                "https://github.example.org:8443/octo/sample/pull/7",
            ),
            ("https://gitlab.example.org/group/octo/sample.git", "octo/sample", None),
        ],
    )
    async def test_a_repository_is_named_by_its_origin_without_credentials(
        self, host: LocalGit, repository: SampleRepository, url: str, name: str, page: str | None
    ) -> None:
        repository.git("remote", "add", "origin", url)
        repository.write("b.txt", "b\n")
        repository.commit("Add b")
        repository.squash_pull(7, "work", "Add b")
        pull = await host.pull_request(str(repository.path), 7)
        assert (str(pull.repo), pull.url) == (name, page)
        assert "s3cret" not in repr(pull)

    @pytest.mark.parametrize("url", [None, "/srv/mirrors/octo/sample", "https://github.com/only", "x"])
    async def test_a_repository_without_a_telling_origin_is_named_by_its_folder(
        self, host: LocalGit, tmp_path: Path, url: str | None
    ) -> None:
        repository = SampleRepository.create(tmp_path / "-my été", origin=url)
        repository.commit("Start (#1)")
        pull = await host.pull_request(str(repository.path), 1)
        again = await host.pull_request(str(repository.path / ".git"), 1)
        assert pull.repo.owner == "local"
        assert pull.repo.name.startswith("my--t-")
        assert (pull.url, again.repo) == (None, pull.repo)

    async def test_a_changed_origin_is_noticed(self, host: LocalGit, repository: SampleRepository) -> None:
        repository.commit("Add (#1)")
        before = await host.pull_request(str(repository.path), 1)
        repository.git("remote", "add", "origin", "https://github.com/octo/renamed")
        after = await host.pull_request(str(repository.path), 1)
        assert (before.repo.owner, str(after.repo)) == ("local", "octo/renamed")


class TestHistory:
    async def test_the_last_number_of_a_title_counts(
        self, host: LocalGit, repository: SampleRepository
    ) -> None:
        repository.commit('Revert "Foo (#12)" (#15)')
        assert (await host.pull_request(str(repository.path), 15)).title == 'Revert "Foo (#12)"'
        with pytest.raises(PullRequestNotFound, match="no merged pull request #12 in the history of work"):
            await host.pull_request(str(repository.path), 12)
        assert await merged(host, repository.path) == [15]

    async def test_a_number_elsewhere_in_a_message_is_no_merge(
        self, host: LocalGit, repository: SampleRepository
    ) -> None:
        repository.commit("Fix (#12) for good\n\nSee also (#13)")
        repository.commit("Say so\n\nMerge pull request #14 from octo/work")
        assert await merged(host, repository.path) == []

    async def test_a_merge_outranks_a_newer_title(self, host: LocalGit, repository: SampleRepository) -> None:
        repository.write("b.txt", "b\n")
        repository.commit("Add b")
        pull = repository.merge_pull(7, "work", "Add b")
        repository.commit("Mention b again (#7)")
        assert (await host.pull_request(str(repository.path), 7)).head_sha == pull.head_sha
        assert await merged(host, repository.path) == [7]

    async def test_of_two_titles_the_newer_counts(self, host: LocalGit, repository: SampleRepository) -> None:
        repository.commit("First try (#7)")
        newer = repository.commit("Second try (#7)")
        assert (await host.pull_request(str(repository.path), 7)).head_sha == newer

    async def test_a_merge_may_carry_the_title_itself(
        self, host: LocalGit, repository: SampleRepository
    ) -> None:
        own = repository.commit("Add b", author=ADA)
        repository.switch("main")
        repository.git("-c", "user.name=G", "-c", "user.email=g@example.org",
                       "merge", "--quiet", "--no-ff", "-m", "Add b (#7)", "work")  # fmt: skip
        pull = await host.pull_request(str(repository.path), 7)
        assert (pull.title, pull.author) == ("Add b", ADA)
        commits = (await host.changes(str(repository.path), pull)).commits
        assert [commit.sha for commit in commits] == [own]

    async def test_a_merge_of_merges_has_the_owner_of_its_branch_as_author(
        self, host: LocalGit, repository: SampleRepository
    ) -> None:
        older = repository.git("rev-parse", "HEAD")
        base = repository.commit("Go on")

        def merge(message: str, one: str, other: str) -> str:
            person = ("-c", "user.name=G", "-c", "user.email=g@example.org")
            return repository.git(
                *person, "commit-tree", f"{base}^{{tree}}", "-p", one, "-p", other, "-m", message
            )

        branch = merge("Merge branch main", base, older)
        repository.git("reset", "--quiet", "--hard", merge("Merge pull request #7 from octo/x", base, branch))
        pull = await host.pull_request(str(repository.path), 7)
        assert (pull.author, pull.title) == ("octo", "Merge pull request #7 from octo/x")

    async def test_a_pull_request_of_a_pull_request_is_found_and_not_listed(
        self, host: LocalGit, repository: SampleRepository
    ) -> None:
        repository.start_branch("inner")
        repository.commit("Add c", author=GRACE)
        inner = repository.merge_pull(8, "inner", "Add c", into="work")
        repository.merge_pull(7, "work", "Add b and c")
        assert (await host.pull_request(str(repository.path), 8)).head_sha == inner.head_sha
        assert await merged(host, repository.path) == [7]

    async def test_the_first_commit_is_compared_with_nothing(self, host: LocalGit, tmp_path: Path) -> None:
        repository = SampleRepository.create(tmp_path / "clone")
        repository.write("a.txt", "a\n")
        sha = repository.commit("Start (#1)")
        changes = await changes_of(host, repository.path, 1)
        assert [(file.path, file.status) for file in changes.files] == [("a.txt", ChangeStatus.ADDED)]
        assert [commit.sha for commit in changes.commits] == [sha]

    async def test_what_was_fetched_and_not_pulled_counts(
        self, host: LocalGit, repository: SampleRepository, tmp_path: Path
    ) -> None:
        run_git(tmp_path, "clone", "--quiet", "--branch=main", repository.path.as_uri(), "copy")
        run_git(tmp_path / "copy", "remote", "set-head", "origin", "main")
        repository.switch("main")
        repository.commit("Add b (#7)")
        run_git(tmp_path / "copy", "fetch", "--quiet")
        assert await merged(host, tmp_path / "copy") == [7]

    async def test_a_checkout_of_an_old_commit_still_sees_main(
        self, host: LocalGit, repository: SampleRepository
    ) -> None:
        repository.switch("main")
        repository.commit("Add b (#7)")
        repository.git("switch", "--quiet", "--detach", "HEAD^")
        assert await merged(host, repository.path) == [7]

    async def test_a_repository_without_a_commit_has_no_pull_requests(
        self, host: LocalGit, tmp_path: Path
    ) -> None:
        repository = SampleRepository.create(tmp_path / "clone")
        assert await merged(host, repository.path) == []
        with pytest.raises(PullRequestNotFound):
            await host.pull_request(str(repository.path), 1)

    async def test_other_object_formats_are_read(self, host: LocalGit, tmp_path: Path) -> None:
        path = tmp_path / "clone"
        run_git(tmp_path, "init", "--quiet", "--object-format=sha256", "--initial-branch=main", str(path))
        repository = SampleRepository(path)
        repository.write("a.txt", "a\n")
        sha = repository.commit("Start (#1)")
        assert [file.path for file in (await changes_of(host, path, 1)).files] == ["a.txt"]
        assert await host.file(str(path), sha, "a.txt", 10) == b"a\n"


class TestShallowClones:
    @pytest.fixture
    def shallow(self, sample: Sample, tmp_path: Path) -> Path:
        """It ends at the merge of #3: #5 is whole, #2 is not there."""
        return sample.repository.bare_clone(tmp_path / "shallow.git", "--depth=2", "--branch=main")

    async def test_what_is_whole_is_read(self, host: LocalGit, shallow: Path, sample: Sample) -> None:
        assert (await host.pull_request(str(shallow), 5)).base_sha == sample.large.base_sha
        assert len(await files_of(host, shallow, 5)) == 2

    @pytest.mark.parametrize("number", [2, 3])
    async def test_what_was_cut_off_says_how_to_get_it(
        self, host: LocalGit, shallow: Path, number: int
    ) -> None:
        with pytest.raises(HistoryIncomplete, match=f"#{number}.*git fetch --unshallow"):
            await host.pull_request(str(shallow), number)

    async def test_a_pull_request_known_from_elsewhere_is_not_half_read(
        self, host: LocalGit, shallow: Path, sample: Sample
    ) -> None:
        whole = await LocalGit([sample.repository.path]).pull_request(str(sample.repository.path), 3)
        with pytest.raises(HistoryIncomplete, match="git fetch --unshallow"):
            await host.changes(str(shallow), whole)

    async def test_a_list_that_would_be_cut_off_is_refused(
        self, host: LocalGit, shallow: Path, sample: Sample
    ) -> None:
        merged_at = sample.large.merged_at
        assert merged_at is not None
        assert [number async for number in host.merged_since(str(shallow), merged_at)] == [5]
        with pytest.raises(HistoryIncomplete, match="git fetch --unshallow"):
            await merged(host, shallow)


class TestPartialClones:
    async def test_missing_contents_are_named_and_nothing_fails(
        self, host: LocalGit, sample: Sample, tmp_path: Path
    ) -> None:
        clone = sample.repository.bare_clone(tmp_path / "partial.git", "--filter=blob:none")
        files = await files_of(host, clone, 2)
        assert {file.withheld for file in files.values()} == {Withheld.NOT_IN_CLONE}
        assert files["docs/here.md"].previous_path == "docs/moved.md"
        assert len(files) >= len(numstat(sample.repository.path, "main~2^1", "main~2"))
        assert await host.file(str(clone), sample.merged.head_sha, "src/app.py", MEGABYTE) is None

    async def test_what_is_present_is_counted_all_the_same(
        self, host: LocalGit, sample: Sample, tmp_path: Path
    ) -> None:
        clone = sample.repository.bare_clone(tmp_path / "partial.git", "--filter=blob:limit=1k")
        files = await files_of(host, clone, 5)
        big, small = files["data/big.txt"], files["data/small.txt"]
        assert (big.withheld, big.patch, big.additions) == (Withheld.NOT_IN_CLONE, None, 0)
        assert (small.withheld, small.additions) == (None, 1)

    async def test_missing_folders_are_said_in_one_line(
        self, host: LocalGit, sample: Sample, tmp_path: Path
    ) -> None:
        clone = sample.repository.bare_clone(tmp_path / "partial.git", "--filter=tree:0")
        with pytest.raises(HistoryIncomplete, match="clone without --filter"):
            await changes_of(host, clone, 2)


class TestDiffs:
    async def assert_counted_like_git(
        self, host: CodeHost, repository: SampleRepository, number: int
    ) -> dict[str, FileChange]:
        pull = repository.pulls[number]
        files = await files_of(host, repository.path, number)
        expected = numstat(repository.path, pull.base_sha, pull.head_sha)
        assert {file: counts or (0, 0) for file, counts in expected.items()} == {
            path.encode(): (file.additions, file.deletions) for path, file in files.items()
        }
        return files

    async def test_modes_links_and_submodules_are_changes(
        self, host: LocalGit, repository: SampleRepository
    ) -> None:
        for name in ("script", "becomes-link"):
            repository.write(name, "same\n")
        repository.commit("Before")
        repository.squash_pull(6, "work", "Before")
        repository.start_branch("more")
        (repository.path / "script").chmod(0o755)
        (repository.path / "becomes-link").unlink()
        (repository.path / "becomes-link").symlink_to("script")
        (repository.path / "link").symlink_to("/etc/passwd")
        repository.commit("After")
        commit = repository.git("rev-parse", "HEAD")
        repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},vendored")
        repository.git("-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qm", "Vendor")
        pull = repository.merge_pull(7, "more", "After")
        files = await self.assert_counted_like_git(host, repository, 7)
        assert (files["script"].status, files["script"].patch) == (ChangeStatus.MODIFIED, "")
        assert files["becomes-link"].status is ChangeStatus.TYPE_CHANGED
        assert str(files["becomes-link"].patch).count("@@ -") == 2
        assert files["vendored"].patch == f"@@ -0,0 +1 @@\n+Subproject commit {commit}"
        assert await host.file(str(repository.path), pull.head_sha, "link", 99) == b"/etc/passwd"
        assert await host.file(str(repository.path), pull.head_sha, "vendored", 99) is None

    async def test_names_that_are_not_utf_8_are_told_apart_from_names_that_look_so(
        self, host: LocalGit, repository: SampleRepository
    ) -> None:
        repository.write(b"caf\xe9.txt", "bytes\n")
        repository.write(r"tab\x09.txt", "literal\n")
        repository.write("-n", "dash\n")
        repository.write(".hidden/..x", "dots\n")
        repository.write("two\nlines\t", "newline\n")
        repository.write(":(glob)*", "magic\n")
        repository.commit("Odd names")
        head = repository.squash_pull(7, "work", "Odd names").head_sha
        expected = {
            r"caf\xe9.txt": b"bytes\n",
            r"tab\x09.txt": b"literal\n",
            "-n": b"dash\n",
            ".hidden/..x": b"dots\n",
            "two\nlines\t": b"newline\n",
            ":(glob)*": b"magic\n",
        }
        assert {
            path: file.additions for path, file in (await files_of(host, repository.path, 7)).items()
        } == (dict.fromkeys(expected, 1))
        for path, content in expected.items():
            assert await host.file(str(repository.path), head, path, 99) == content

    @pytest.mark.parametrize(
        "path", ["", ".", "..", "../a.txt", "/etc/passwd", "a.txt\n", "no\\such", "\ud800"]
    )
    async def test_a_path_that_names_no_file_is_none(
        self, host: LocalGit, repository: SampleRepository, path: str
    ) -> None:
        assert await host.file(str(repository.path), "main", path, 99) is None

    @pytest.mark.parametrize("revision", ["", "0" * 40, "nowhere", "--help", "main\n", "main:a.txt"])
    async def test_a_revision_that_is_none_has_no_files(
        self, host: LocalGit, repository: SampleRepository, revision: str
    ) -> None:
        for path in ("a.txt", "odd\\name"):
            assert await host.file(str(repository.path), revision, path, 99) is None

    async def test_text_that_looks_like_a_diff_stays_in_its_file(
        self, host: LocalGit, repository: SampleRepository
    ) -> None:
        repository.write("one.diff", "x\ndiff --git a/two b/two\n@@ -1 +1 @@\n-a\n+b\n")
        repository.write("two", "second\n")
        repository.commit("Add a diff")
        repository.squash_pull(7, "work", "Add a diff")
        files = await self.assert_counted_like_git(host, repository, 7)
        assert str(files["one.diff"].patch).splitlines()[2] == "+diff --git a/two b/two"
        assert files["two"].patch == "@@ -0,0 +1 @@\n+second"

    async def test_text_that_is_not_utf_8_has_a_patch(
        self, host: LocalGit, repository: SampleRepository
    ) -> None:
        repository.write("latin.txt", b"caf\xe9\n")
        repository.commit("Add latin")
        repository.squash_pull(7, "work", "Add latin")
        assert (await files_of(host, repository.path, 7))["latin.txt"].patch == "@@ -0,0 +1 @@\n+caf\ufffd"

    async def test_a_huge_line_costs_bounded_memory(
        self, host: LocalGit, repository: SampleRepository
    ) -> None:
        repository.write("huge.json", b"x" * (20 * MEGABYTE))
        repository.write("zlast.txt", "last\n")
        repository.commit("Add a huge line")
        repository.squash_pull(7, "work", "Add a huge line")
        tracemalloc.start()
        try:
            files = await files_of(host, repository.path, 7)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        huge = files["huge.json"]
        assert (huge.patch, huge.withheld, huge.additions) == (None, Withheld.TOO_LARGE, 1)
        assert files["zlast.txt"].patch == "@@ -0,0 +1 @@\n+last"
        assert peak < 5 * MEGABYTE

    async def test_patches_are_kept_up_to_the_limits(
        self, repository: SampleRepository, tmp_path: Path
    ) -> None:
        for name in ("a1", "a2", "a3"):
            repository.write(name, "0123456789\n")
        repository.write("b", "0123456789ab\n")
        repository.commit("Add")
        repository.squash_pull(7, "work", "Add")
        size = len("@@ -0,0 +1 @@\n+0123456789")
        host = LocalGit([tmp_path], limits=PatchLimits(per_file=size, total=2 * size))
        files = await self.assert_counted_like_git(host, repository, 7)
        assert {path: file.withheld for path, file in files.items()} == {
            "a1": None,
            "a2": None,
            "a3": Withheld.TOO_LARGE,  # both before it filled the total
            "b": Withheld.TOO_LARGE,  # over the limit of one file
        }

    async def test_settings_of_a_clone_change_no_number(
        self, host: LocalGit, repository: SampleRepository
    ) -> None:
        repository.git("mv", "a.txt", "z.txt")
        repository.write("b c.txt", "b\n")
        repository.commit("Move")
        repository.squash_pull(7, "work", "Move")
        before = await self.assert_counted_like_git(host, repository, 7)
        for key, value in {
            "diff.renames": "false",
            "diff.noprefix": "true",
            "diff.mnemonicPrefix": "true",
            "diff.algorithm": "patience",
            "diff.context": "0",
            "diff.orderFile": "/dev/null",
            "core.quotePath": "false",
            "log.showRoot": "false",
            "core.attributesFile": "/dev/zero",
        }.items():
            repository.git("config", key, value)
        assert await files_of(host, repository.path, 7) == before

    async def test_attributes_of_the_worktree_count_as_git_counts_them(
        self, host: LocalGit, repository: SampleRepository
    ) -> None:
        repository.write(".gitattributes", "*.lock -diff\n")
        repository.write("x.lock", "locked\n")
        repository.commit("Lock")
        repository.squash_pull(7, "work", "Lock")
        files = await self.assert_counted_like_git(host, repository, 7)
        assert files["x.lock"].withheld is Withheld.BINARY


class TestHostileClones:
    """A clone is somebody else's folder: nothing that its configuration names may run."""

    ATTACKS = (
        ({"diff.external": "{run}"}, ["diff", "HEAD~1", "HEAD"]),
        ({"diff.evil.textconv": "{run}"}, ["diff", "HEAD~1", "HEAD"]),
        ({"diff.evil.command": "{run}"}, ["diff", "HEAD~1", "HEAD"]),
        ({"core.fsmonitor": "{run}"}, ["status"]),
        ({"log.showSignature": "true", "gpg.program": "{run}"}, ["log"]),
        (
            {
                "core.repositoryFormatVersion": "1",
                "extensions.partialClone": "evil",
                "remote.evil.promisor": "true",
                "remote.evil.url": "ext::{run}",
                "protocol.ext.allow": "always",
            },
            ["show", "HEAD:b.evil"],
        ),
    )

    @pytest.mark.parametrize(
        ("settings", "proof"), ATTACKS, ids=[next(iter(attack[0])) for attack in ATTACKS]
    )
    async def test_no_command_of_a_clone_is_run(
        self,
        host: LocalGit,
        repository: SampleRepository,
        tmp_path: Path,
        settings: dict[str, str],
        proof: list[str],
    ) -> None:
        ran = tmp_path / "ran"
        self._plant(repository, tmp_path / "run", ran)
        for key, value in settings.items():
            repository.git("config", key, value.format(run=tmp_path / "run"))
        if "extensions.partialClone" in settings:
            self._lose(repository, "HEAD:b.evil")

        await self._use_everything(host, repository)
        assert not ran.exists()

        with suppress(subprocess.CalledProcessError):  # whether git likes the answer does not matter
            repository.git(*proof)
        assert ran.exists(), "the attack is harmless even to careless git: it proves nothing"

    def _plant(self, repository: SampleRepository, script: Path, ran: Path) -> None:
        script.write_text(f"#!/bin/sh\necho ran >> '{ran}'\n")
        script.chmod(0o755)
        repository.write(".gitattributes", "*.evil diff=evil\n")
        repository.write("b.evil", "one\n")
        repository.commit("Plant")
        repository.write("b.evil", "two\n")
        repository.commit("Grow (#7)")
        signed = repository.git("cat-file", "commit", "HEAD").replace(
            "\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\n", 1
        )
        (script.parent / "signed").write_text(signed + "\n")
        sha = repository.git("hash-object", "-t", "commit", "-w", str(script.parent / "signed"))
        repository.git("update-ref", "HEAD", sha)

    def _lose(self, repository: SampleRepository, name: str) -> None:
        sha = repository.git("rev-parse", name)
        (repository.path / ".git" / "objects" / sha[:2] / sha[2:]).unlink()

    async def _use_everything(self, host: LocalGit, repository: SampleRepository) -> None:
        location = str(repository.path)
        assert await merged(host, repository.path) == [7]
        pull = await host.pull_request(location, 7)
        changes = await host.changes(location, pull)
        assert [file.path for file in changes.files] == ["b.evil"]
        await host.file(location, pull.head_sha, "b.evil", 99)
        comment = await host.create_comment(location, 7, "hello")
        await host.update_comment(location, 7, comment.id, "hello again")


class TestGitItself:
    async def test_cancelling_kills_the_process(self, repository: SampleRepository, tmp_path: Path) -> None:
        pid_file, program = tmp_path / "pid", tmp_path / "slow-git"
        program.write_text(
            f"#!/bin/sh\necho $$ > '{pid_file}.new'\nmv '{pid_file}.new' '{pid_file}'\nexec sleep 60\n"
        )
        program.chmod(0o755)
        host = LocalGit([tmp_path], program=str(program))
        task = asyncio.create_task(host.pull_request(str(repository.path), 7))
        async with asyncio.timeout(20):
            while not pid_file.exists():
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid_file.read_text()), 0)

    async def test_a_machine_without_git_says_so(self, repository: SampleRepository, tmp_path: Path) -> None:
        host = LocalGit([tmp_path], program="no-such-git")
        with pytest.raises(HostUnavailable, match="no-such-git does not start"):
            await host.pull_request(str(repository.path), 7)

    async def test_a_broken_clone_is_said_in_one_line(
        self, host: LocalGit, repository: SampleRepository
    ) -> None:
        repository.commit("Add (#7)")
        sha = repository.git("rev-parse", "HEAD~1")
        broken = repository.path / ".git" / "objects" / sha[:2] / sha[2:]
        broken.chmod(0o644)
        broken.write_bytes(b"rubbish")
        with pytest.raises(HostUnavailable) as raised:
            await host.pull_request(str(repository.path), 8)
        assert str(repository.path) in str(raised.value)
        assert "\n" not in str(raised.value)

    async def test_nothing_is_left_in_the_temporary_folder(
        self, sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        host = LocalGit([sample.repository.path])
        await changes_of(host, sample.repository.path, 2)
        await host.file(str(sample.repository.path), sample.large.head_sha, "data/big.txt", 10)
        assert names_in(tmp_path) == set()
