"""The library: jobs in the caller's own event loop."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from forgehand import Forgehand, JobFailed
from forgehand.application.jobs.submit import InvalidRequest
from forgehand.application.ports.documentations import DocumentationNotFound
from forgehand.application.use_cases.generate_docs import GenerateDocsResult
from forgehand.settings import InvalidSettings, load
from tests.repositories import Sample, build_sample

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return build_sample(tmp_path_factory.mktemp("client") / "sample")


@pytest.fixture
def clone(sample: Sample) -> str:
    return str(sample.repository.path)


def test_the_script_in_the_readme_prints_a_document(clone: str, tmp_path: Path) -> None:
    [script] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in script.splitlines() if line]) <= 10
    file = tmp_path / "script.py"
    file.write_text(script)
    ended = subprocess.run(
        [sys.executable, str(file), clone, "2"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("# octo/sample#2: Greet louder\n")
    assert not (tmp_path / "forgehand-home").exists()


async def test_a_job_answers_with_the_result_of_its_type(clone: str) -> None:
    async with Forgehand() as hand:
        result = await hand.run("generate-docs", repo=clone, number=2)
        assert isinstance(result, GenerateDocsResult)
        document = await hand.document(result.documentation_id)
    assert (document.number, document.version, result.created) == (2, 1, True)


async def test_what_ended_a_job_is_raised(clone: str) -> None:
    async with Forgehand() as hand:
        with pytest.raises(JobFailed, match="#4 is not merged") as raised:
            await hand.run("generate-docs", repo=clone, number=4)
    assert raised.value.kind == "NotMerged"


async def test_a_wrong_request_never_becomes_a_job(clone: str) -> None:
    async with Forgehand() as hand:
        with pytest.raises(InvalidRequest, match="number"):
            await hand.run("generate-docs", repo=clone, number=0)


async def test_a_database_keeps_jobs_and_documents_for_the_next_time(clone: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'kept.db'}"
    async with Forgehand(database_url=url) as hand:
        first = await hand.run("generate-docs", repo=clone, number=2)
        waiting = await hand.submit("generate-docs", repo=clone, number=3)
    async with Forgehand(database_url=url) as hand:
        again = await hand.run("generate-docs", repo=clone, number=2)
        assert (await hand.job(waiting)).state == "pending"
    assert (again.documentation_id, again.created) == (first.documentation_id, False)


async def test_keywords_are_settings_and_win(
    clone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    async with Forgehand(local_roots=(tmp_path / "elsewhere",)) as hand:
        with pytest.raises(JobFailed) as raised:
            await hand.run("generate-docs", repo=clone, number=2)
    assert raised.value.kind == "AccessRefused"


async def test_whole_settings_can_be_given(clone: str) -> None:
    settings = load({"database_url": "sqlite://", "local_roots": (Path(clone),)})
    async with Forgehand(settings) as hand:
        assert (await hand.run("generate-docs", repo=clone, number=2)).version == 1


async def test_a_setting_that_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="greater than or equal to 0"):
        async with Forgehand(port=-1):
            pass


async def test_it_has_to_be_opened_first() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await Forgehand().submit("generate-docs", repo="a/b", number=1)


async def test_it_can_be_opened_again(clone: str) -> None:
    hand = Forgehand()
    async with hand:
        kept = await hand.run("generate-docs", repo=clone, number=2)
    async with hand:
        with pytest.raises(DocumentationNotFound):
            await hand.document(kept.documentation_id)


def test_importing_the_package_loads_nothing_else() -> None:
    probe = (
        "import sys, forgehand;"
        "print(*(name for name in sys.modules if name.startswith(('forgehand.', 'pydantic'))))"
    )
    ended = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert ended.stdout == "\n"


def test_the_package_has_no_other_names() -> None:
    import forgehand

    assert set(dir(forgehand)) == {"Forgehand", "JobFailed", "Order", "Priority", "Terms"}
    with pytest.raises(AttributeError, match="Hammer"):
        _ = forgehand.Hammer
