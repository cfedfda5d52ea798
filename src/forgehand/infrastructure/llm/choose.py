"""Which model the settings mean. Nothing is imported or asked yet: that is left to the first call."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from forgehand.application.ports.failures import Permanent
from forgehand.infrastructure.llm.anthropic import AnthropicModel
from forgehand.infrastructure.llm.google import GoogleModel
from forgehand.infrastructure.llm.scripted import InvalidScript, ScriptedModel

ANTHROPIC_DEFAULT = "claude-sonnet-5-5"
GOOGLE_DEFAULT = "gemini-3.8-flash"

ChosenModel: TypeAlias = AnthropicModel | GoogleModel | ScriptedModel


class ModelNotConfigured(Permanent):
    """The settings name a model that cannot be used. The message says which setting to change."""


def choose_model(
    name: str | None,
    *,
    anthropic_api_key: str | None = None,
    anthropic_base_url: str | None = None,
    gemini_api_key: str | None = None,
    google_gemini_base_url: str | None = None,
) -> ChosenModel | None:
    """The model that `name` means: `anthropic/MODEL`, `google/MODEL` or `scripted:PATH`.

    With no name, the provider whose key is there, Anthropic's first; None with no key either.
    Raise ModelNotConfigured.
    """
    name = (name or "").strip() or _default(anthropic_api_key, gemini_api_key)
    if name is None:
        return None
    if name.startswith("scripted:"):
        return _scripted(name.removeprefix("scripted:"))
    provider, _, model = name.partition("/")
    if not model or any(character.isspace() for character in model):
        raise ModelNotConfigured(_unknown(name))
    if provider == "anthropic":
        key = _key(anthropic_api_key, "ANTHROPIC_API_KEY", name)
        return AnthropicModel(key, model, _url(anthropic_base_url, "ANTHROPIC_BASE_URL"))
    if provider == "google":
        key = _key(gemini_api_key, "GEMINI_API_KEY", name)
        return GoogleModel(key, model, _url(google_gemini_base_url, "GOOGLE_GEMINI_BASE_URL"))
    raise ModelNotConfigured(_unknown(name))


def _default(anthropic_api_key: str | None, gemini_api_key: str | None) -> str | None:
    if anthropic_api_key:
        return f"anthropic/{ANTHROPIC_DEFAULT}"
    return f"google/{GOOGLE_DEFAULT}" if gemini_api_key else None


def _scripted(path: str) -> ScriptedModel:
    try:
        return ScriptedModel.from_file(Path(path).expanduser())
    except InvalidScript as error:
        raise ModelNotConfigured(f"FORGEHAND_MODEL: {error}") from error


def _key(key: str | None, setting: str, name: str) -> str:
    key = (key or "").strip()
    if not key:
        raise ModelNotConfigured(f"FORGEHAND_MODEL is {name}, but {setting} is not set: set it to your key")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ModelNotConfigured(f"{setting} holds characters that no key has: copy the key again")
    return key


def _url(url: str | None, setting: str) -> str | None:
    if not url:
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ModelNotConfigured(f"{setting} is not a URL that starts with http:// or https://")
    return url.rstrip("/")


def _unknown(name: str) -> str:
    return f"FORGEHAND_MODEL is {name!r}: write anthropic/MODEL, google/MODEL or scripted:PATH"
