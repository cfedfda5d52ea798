"""The only reader of the environment. Flag > environment > settings file > default."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from forgehand.application.jobs.policies import PolicyChange


class InvalidSettings(Exception):
    """A setting has a value that cannot be used. The message names each one; it never shows a secret."""


def _default_home() -> Path:
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "forgehand"


def _file() -> Path:
    """FORGEHAND_CONFIG, else `forgehand.toml` in the data folder.

    Never one in the current folder: that may be somebody's clone, and its file could send our keys
    to a host of theirs.
    """
    named = os.environ.get("FORGEHAND_CONFIG")
    if named:
        if not Path(named).is_file():
            raise InvalidSettings(f"FORGEHAND_CONFIG names {named}, which is not a file")
        return Path(named)
    home = os.environ.get("FORGEHAND_HOME")
    return (Path(home) if home else _default_home()) / "forgehand.toml"


class _Environment(EnvSettingsSource):
    """Only the documented upper-case names: a shell's own `host` or `home` is not a setting of ours."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name: value for name, value in super()._load_env_vars().items() if name.isupper()}


class Settings(BaseSettings):
    """What can be set. Each field's alias is its environment variable; in TOML it is the field's name."""

    model_config = SettingsConfigDict(
        extra="ignore", case_sensitive=True, frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    home: Path = Field(default_factory=_default_home, validation_alias="FORGEHAND_HOME")
    database_url: SecretStr | None = Field(None, validation_alias="DATABASE_URL")
    redis_url: SecretStr | None = Field(None, validation_alias="REDIS_URL")
    redis_namespace: str = Field(
        "forgehand", validation_alias="FORGEHAND_REDIS_NAMESPACE", pattern=r"^[A-Za-z0-9_.-]{1,64}$"
    )

    github_token: SecretStr | None = Field(None, validation_alias="GITHUB_TOKEN")
    github_api_url: str = Field("https://api.github.com", validation_alias="GITHUB_API_URL")
    local_roots: Annotated[tuple[Path, ...], NoDecode] = Field((), validation_alias="FORGEHAND_LOCAL_ROOTS")

    anthropic_api_key: SecretStr | None = Field(None, validation_alias="ANTHROPIC_API_KEY")
    anthropic_base_url: str | None = Field(None, validation_alias="ANTHROPIC_BASE_URL")
    gemini_api_key: SecretStr | None = Field(None, validation_alias="GEMINI_API_KEY")
    google_gemini_base_url: str | None = Field(None, validation_alias="GOOGLE_GEMINI_BASE_URL")
    model: str | None = Field(None, validation_alias="FORGEHAND_MODEL")

    docs_ignore: Annotated[tuple[str, ...], NoDecode] = Field((), validation_alias="FORGEHAND_DOCS_IGNORE")

    host: str = Field("127.0.0.1", validation_alias="FORGEHAND_HOST")
    port: int = Field(8321, ge=0, le=65535, validation_alias="FORGEHAND_PORT")
    worker_type: Annotated[tuple[str, ...], NoDecode] = Field((), validation_alias="WORKER_TYPE")
    processes: int = Field(1, ge=1, le=64, validation_alias="FORGEHAND_PROCESSES")
    concurrency: int = Field(20, ge=1, le=1000, validation_alias="FORGEHAND_CONCURRENCY")
    lease_seconds: float = Field(30.0, ge=1, le=3600, validation_alias="FORGEHAND_LEASE_SECONDS")
    grace_seconds: float = Field(20.0, ge=0, le=3600, validation_alias="FORGEHAND_GRACE_SECONDS")
    policies: Annotated[dict[str, PolicyChange], NoDecode] = Field(
        default_factory=dict, validation_alias="FORGEHAND_POLICIES"
    )

    @field_validator("local_roots", mode="before")
    @classmethod
    def _paths(cls, value: Any) -> Any:
        return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value

    @field_validator("docs_ignore", "worker_type", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        return (
            [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        )

    @field_validator("policies", mode="before")
    @classmethod
    def _object(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"is not JSON: {error}") from None

    @property
    def database(self) -> str:
        """The database's URL: what was set, else SQLite in the data folder."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.home / 'forgehand.db'}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value, to be blotted out of whatever is written down."""
        kept = [
            self.database_url,
            self.redis_url,
            self.github_token,
            self.anthropic_api_key,
            self.gemini_api_key,
        ]
        return tuple(secret.get_secret_value() for secret in kept if secret is not None)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (
            init_settings,
            _Environment(settings_cls),
            TomlConfigSettingsSource(settings_cls, _file()),
        )


def load(flags: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings; `flags` win over the environment. Raise InvalidSettings."""
    try:
        return Settings(**{name: value for name, value in (flags or {}).items() if value is not None})
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise InvalidSettings("; ".join(lines)) from None
    except ValueError as error:
        raise InvalidSettings(f"{_file()} cannot be read: {error}") from None
