"""Which model the settings mean."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from forgehand.infrastructure.llm.choose import (
    ANTHROPIC_DEFAULT,
    GOOGLE_DEFAULT,
    ModelNotConfigured,
    choose_model,
)

KEY = "key-that-nobody-may-see"


def chosen(name: str | None, **keys: str | None) -> str | None:
    model = choose_model(name, **keys)
    return model.name if model else None


def test_without_name_and_key_there_is_no_model() -> None:
    assert chosen(None) is None
    assert chosen("  ") is None


def test_a_key_alone_chooses_its_provider_anthropic_first() -> None:
    assert chosen(None, gemini_api_key=KEY) == f"google/{GOOGLE_DEFAULT}"
    assert chosen(None, anthropic_api_key=KEY, gemini_api_key=KEY) == f"anthropic/{ANTHROPIC_DEFAULT}"


def test_a_name_wins_over_the_keys() -> None:
    assert chosen("google/gemini-x", anthropic_api_key=KEY, gemini_api_key=KEY) == "google/gemini-x"
    assert chosen("anthropic/claude-x", anthropic_api_key=KEY) == "anthropic/claude-x"


def test_a_script_needs_no_key(tmp_path: Path) -> None:
    script = tmp_path / "answers.json"
    script.write_text('[{"text": "x"}]')
    assert chosen(f"scripted:{script}") == "scripted/answers"


@pytest.mark.parametrize("name", ["gpt-9", "openai/gpt-9", "anthropic/", "anthropic", "google/two words"])
def test_an_unknown_name_is_told_what_to_write(name: str) -> None:
    with pytest.raises(ModelNotConfigured, match="write anthropic/MODEL, google/MODEL or scripted:PATH"):
        choose_model(name, anthropic_api_key=KEY, gemini_api_key=KEY)


@pytest.mark.parametrize(
    ("name", "setting"), [("anthropic/claude-x", "ANTHROPIC_API_KEY"), ("google/gemini-x", "GEMINI_API_KEY")]
)
def test_a_missing_key_names_its_setting(name: str, setting: str) -> None:
    with pytest.raises(ModelNotConfigured, match=f"{setting} is not set"):
        choose_model(name)


@pytest.mark.parametrize("key", [f"{KEY} {KEY}", f"{KEY}\n{KEY}", f"{KEY}\N{BULLET}"])
def test_a_key_that_can_be_no_key_is_refused_unseen(key: str) -> None:
    with pytest.raises(ModelNotConfigured) as caught:
        choose_model(None, anthropic_api_key=key)
    assert "ANTHROPIC_API_KEY" in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://host", "http://", "http://host:port", "http://[::1"]
)
def test_a_base_url_that_is_none_names_its_setting(url: str) -> None:
    with pytest.raises(ModelNotConfigured, match="ANTHROPIC_BASE_URL is not a URL"):
        choose_model(None, anthropic_api_key=KEY, anthropic_base_url=url)
    with pytest.raises(ModelNotConfigured, match="GOOGLE_GEMINI_BASE_URL is not a URL"):
        choose_model(None, gemini_api_key=KEY, google_gemini_base_url=url)


def test_a_bad_script_is_a_matter_of_settings(tmp_path: Path) -> None:
    with pytest.raises(ModelNotConfigured, match=r"FORGEHAND_MODEL: the script .*none\.json cannot be read"):
        choose_model(f"scripted:{tmp_path / 'none.json'}")


def test_choosing_loads_no_sdk() -> None:
    program = (
        "import sys; from forgehand.infrastructure.llm.choose import choose_model as choose;"
        "choose('anthropic/x', anthropic_api_key='k'); choose('google/x', gemini_api_key='k');"
        "print(sorted({'anthropic', 'google.genai', 'genai_prices', 'httpx2'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
