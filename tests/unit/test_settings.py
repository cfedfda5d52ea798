"""Where settings come from, and which one wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from forgehand.settings import InvalidSettings, load


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORGEHAND_HOME", str(tmp_path))
    return tmp_path


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "forgehand.toml").write_text("concurrency = 3\nport = 1003\nlease_seconds = 9\n")
    monkeypatch.setenv("FORGEHAND_CONCURRENCY", "4")
    monkeypatch.setenv("FORGEHAND_PORT", "1004")
    settings = load({"port": 1005, "concurrency": None})
    assert (settings.port, settings.concurrency, settings.lease_seconds) == (1005, 4, 9)


def test_a_file_in_the_current_folder_is_not_read(
    home: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path_factory.mktemp("clone")
    (clone / "forgehand.toml").write_text('github_api_url = "https://evil.test"\n')
    monkeypatch.chdir(clone)
    assert load().github_api_url == "https://api.github.com"


def test_another_file_can_be_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGEHAND_CONFIG", str(home / "other.toml"))
    with pytest.raises(InvalidSettings, match="not a file"):
        load()
    (home / "other.toml").write_text("port = 1006\n")
    assert load().port == 1006


def test_a_file_that_cannot_be_read_is_named(home: Path) -> None:
    (home / "forgehand.toml").write_text("port = = 1\n")
    with pytest.raises(InvalidSettings, match=r"forgehand\.toml cannot be read"):
        load()


def test_the_shells_own_variables_are_no_settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "host", "PORT", "port", "MODEL", "model", "HOME_"):
        monkeypatch.setenv(name, "77")
    settings = load()
    assert (settings.host, settings.port, settings.model) == ("127.0.0.1", 8321, None)


def test_every_fault_is_named_and_no_secret_is_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGEHAND_PORT", "99999")
    monkeypatch.setenv("FORGEHAND_CONCURRENCY", "none")
    monkeypatch.setenv("GITHUB_TOKEN", "a-secret-value")
    with pytest.raises(InvalidSettings) as caught:
        load()
    assert "FORGEHAND_PORT" in str(caught.value)
    assert "FORGEHAND_CONCURRENCY" in str(caught.value)
    assert "a-secret-value" not in str(caught.value)


def test_lists_are_separated_by_commas_and_paths_as_paths_are(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKER_TYPE", "generate-docs, write-report,")
    monkeypatch.setenv("FORGEHAND_LOCAL_ROOTS", "/srv/a:/srv/b")
    settings = load()
    assert settings.worker_type == ("generate-docs", "write-report")
    assert settings.local_roots == (Path("/srv/a"), Path("/srv/b"))


def test_a_database_url_is_masked_wherever_settings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:pa55word@host/db")
    settings = load()
    assert "pa55word" not in repr(settings)
    assert settings.database.startswith("postgresql://u:pa55word@")
