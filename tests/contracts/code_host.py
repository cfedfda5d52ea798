"""What every code host promises. A subclass provides the fixtures `host`, `location` and `sample`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from forgehand.application.ports.code_host import CodeHost, PullRequestNotFound
from forgehand.domain.pull_requests import ChangeStatus, FileChange, NotMerged, Withheld
from tests.repositories import FAR_TOO_LARGE, FIRST_COMMIT_AT, ODD_NAME, Sample, SamplePull, numstat

MEGABYTE = 1 << 20


async def files_of(host: CodeHost, location: str, pull: SamplePull) -> dict[str, FileChange]:
    changes = await host.changes(location, await host.pull_request(location, pull.number))
    files = {file.path: file for file in changes.files}
    assert len(files) == len(changes.files)
    return files


class CodeHostContract:
    """`host` serves the repository of `sample` at `location`."""

    async def test_a_merged_pull_request_is_found(
        self, host: CodeHost, location: str, sample: Sample
    ) -> None:
        pull = await host.pull_request(location, sample.merged.number)
        assert (pull.repo, pull.number) == (sample.repo, 2)
        assert (pull.title, pull.body) == (sample.merged.title, sample.merged.body)
        assert (pull.base_sha, pull.head_sha) == (sample.merged.base_sha, sample.merged.head_sha)
        assert pull.author == sample.merged.author

    async def test_a_squashed_pull_request_is_found(
        self, host: CodeHost, location: str, sample: Sample
    ) -> None:
        pull = await host.pull_request(location, sample.squashed.number)
        assert (pull.title, pull.author) == (sample.squashed.title, sample.squashed.author)
        assert (pull.base_sha, pull.head_sha) == (sample.squashed.base_sha, sample.squashed.head_sha)

    async def test_a_merge_has_a_moment_in_utc(self, host: CodeHost, location: str, sample: Sample) -> None:
        for expected in (sample.merged, sample.squashed):
            pull = await host.pull_request(location, expected.number)
            assert pull.merged_at == expected.merged_at
            assert pull.merged_at is not None
            assert pull.merged_at.tzinfo is UTC

    async def test_a_pull_request_has_a_page_to_read(
        self, host: CodeHost, location: str, sample: Sample
    ) -> None:
        pull = await host.pull_request(location, sample.merged.number)
        assert pull.url is not None
        assert pull.url.endswith(f"/{sample.repo}/pull/{pull.number}")

    async def test_a_number_that_never_was_is_not_found(self, host: CodeHost, location: str) -> None:
        with pytest.raises(PullRequestNotFound, match="#999"):
            await host.pull_request(location, 999)

    async def test_an_open_pull_request_is_not_merged(
        self, host: CodeHost, location: str, sample: Sample
    ) -> None:
        pull = await host.pull_request(location, sample.unmerged.number)
        assert pull.merged_at is None
        with pytest.raises(NotMerged):
            pull.require_merged()

    async def test_merged_numbers_come_newest_first(self, host: CodeHost, location: str) -> None:
        assert [number async for number in host.merged_since(location, _long_ago())] == [5, 3, 2]

    async def test_since_is_inclusive(self, host: CodeHost, location: str, sample: Sample) -> None:
        merged_at = sample.squashed.merged_at
        assert merged_at is not None
        later = merged_at + timedelta(seconds=1)
        assert [number async for number in host.merged_since(location, merged_at)] == [5, 3]
        assert [number async for number in host.merged_since(location, later)] == [5]

    async def test_a_pull_request_has_its_own_commits_oldest_first(
        self, host: CodeHost, location: str, sample: Sample
    ) -> None:
        pull = await host.pull_request(location, sample.merged.number)
        changes = await host.changes(location, pull)
        assert changes.commits == sample.merged.commits

    async def test_every_changed_file_is_listed_and_counted_as_git_counts(
        self, host: CodeHost, location: str, sample: Sample
    ) -> None:
        for pull in (sample.merged, sample.squashed, sample.large):
            files = await files_of(host, location, pull)
            expected = numstat(sample.repository.path, pull.base_sha, pull.head_sha)
            assert {name.decode(): counts or (0, 0) for name, counts in expected.items()} == {
                path: (file.additions, file.deletions) for path, file in files.items()
            }

    async def test_what_happened_to_a_file_is_told(
        self, host: CodeHost, location: str, sample: Sample
    ) -> None:
        files = await files_of(host, location, sample.merged)
        assert {path: file.status for path, file in files.items()} == {
            "src/app.py": ChangeStatus.MODIFIED,
            "src/new.py": ChangeStatus.ADDED,
            "src/renamed.py": ChangeStatus.RENAMED,
            "docs/here.md": ChangeStatus.RENAMED,
            "docs/gone.md": ChangeStatus.REMOVED,
            "logo.png": ChangeStatus.MODIFIED,
            ODD_NAME: ChangeStatus.ADDED,
            "naïve.txt": ChangeStatus.ADDED,
            "empty.txt": ChangeStatus.ADDED,
        }

    async def test_a_rename_keeps_its_previous_path(
        self, host: CodeHost, location: str, sample: Sample
    ) -> None:
        files = await files_of(host, location, sample.merged)
        previous = {path: file.previous_path for path, file in files.items() if file.previous_path}
        assert previous == {"src/renamed.py": "src/old name.py", "docs/here.md": "docs/moved.md"}

    async def test_a_patch_is_the_hunks_alone(self, host: CodeHost, location: str, sample: Sample) -> None:
        patch = (await files_of(host, location, sample.merged))["src/new.py"].patch
        assert patch is not None
        assert patch.rstrip("\n") == "@@ -0,0 +1 @@\n+NEW = True"

    async def test_a_change_without_hunks_has_an_empty_patch(
        self, host: CodeHost, location: str, sample: Sample
    ) -> None:
        files = await files_of(host, location, sample.merged)
        for path in ("docs/here.md", "empty.txt"):
            assert (files[path].patch, files[path].withheld) == ("", None)

    async def test_a_binary_file_has_no_patch_and_says_why(
        self, host: CodeHost, location: str, sample: Sample
    ) -> None:
        logo = (await files_of(host, location, sample.merged))["logo.png"]
        assert logo.patch is None
        assert logo.withheld is Withheld.BINARY
        assert (logo.additions, logo.deletions) == (0, 0)

    async def test_a_patch_is_missing_exactly_where_a_reason_is_given(
        self, host: CodeHost, location: str, sample: Sample
    ) -> None:
        files = await files_of(host, location, sample.large)
        assert {path: file.patch is None for path, file in files.items()} == {
            path: file.withheld is not None for path, file in files.items()
        }
        assert files["data/big.txt"].additions == FAR_TOO_LARGE // 10
        assert files["data/small.txt"].patch is not None

    async def test_content_is_that_of_the_revision(
        self, host: CodeHost, location: str, sample: Sample
    ) -> None:
        pull = sample.merged
        before = await host.file(location, pull.base_sha, "src/app.py", MEGABYTE)
        after = await host.file(location, pull.head_sha, "src/app.py", MEGABYTE)
        assert before == sample.repository.read(pull.base_sha, "src/app.py")
        assert after == sample.repository.read(pull.head_sha, "src/app.py")
        assert before != after

    async def test_content_is_raw_bytes(self, host: CodeHost, location: str, sample: Sample) -> None:
        content = await host.file(location, sample.merged.head_sha, "logo.png", MEGABYTE)
        assert content == b"\x89PNG\0\3\2\1\0"

    @pytest.mark.parametrize("path", [ODD_NAME, "naïve.txt", "src/renamed.py"])
    async def test_content_is_found_by_the_name_that_the_change_gives(
        self, host: CodeHost, location: str, sample: Sample, path: str
    ) -> None:
        assert path in await files_of(host, location, sample.merged)
        content = await host.file(location, sample.merged.head_sha, path, MEGABYTE)
        assert content == sample.repository.read(sample.merged.head_sha, path)

    async def test_an_empty_file_is_empty_and_not_missing(
        self, host: CodeHost, location: str, sample: Sample
    ) -> None:
        assert await host.file(location, sample.merged.head_sha, "empty.txt", MEGABYTE) == b""

    async def test_a_file_that_is_not_there_is_none(
        self, host: CodeHost, location: str, sample: Sample
    ) -> None:
        pull = sample.merged
        assert await host.file(location, pull.head_sha, "docs/gone.md", MEGABYTE) is None
        assert await host.file(location, pull.base_sha, "src/new.py", MEGABYTE) is None
        assert await host.file(location, pull.head_sha, "src", MEGABYTE) is None

    async def test_a_file_over_the_limit_is_none(self, host: CodeHost, location: str, sample: Sample) -> None:
        size = len(sample.repository.read(sample.merged.head_sha, "src/new.py"))
        assert await host.file(location, sample.merged.head_sha, "src/new.py", size) is not None
        assert await host.file(location, sample.merged.head_sha, "src/new.py", size - 1) is None


def _long_ago() -> datetime:
    return FIRST_COMMIT_AT - timedelta(days=1)
