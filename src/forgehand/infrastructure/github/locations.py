"""What `location` means here: `owner/name`, or a web address of the one host that is configured."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from forgehand.application.ports.code_host import HostUnknown, RepositoryNotFound
from forgehand.domain.repositories import InvalidRepoName, RepoName

_DEFAULT_PORTS = {"http": 80, "https": 443}


def repository_at(location: str, api_url: str) -> RepoName:
    """Raise HostUnknown for another host's address, RepositoryNotFound where no repository is named."""
    configured = web_host(api_url)
    path = location if "://" not in location else _path_on(configured, location)
    owner, _, rest = path.strip("/").partition("/")
    name = rest.partition("/")[0] if "://" in location else rest
    try:
        return RepoName(owner, name.removesuffix(".git"))
    except InvalidRepoName as error:
        raise RepositoryNotFound(
            f"{path!r} names no repository: write owner/name or https://{configured}/owner/name"
        ) from error


def web_host(api_url: str) -> str:
    """Host (and port) of the pages that belong to an API: github.com for https://api.github.com."""
    try:
        parts = urlsplit(api_url)
        host = _host(parts)
    except ValueError:
        host = ""
        parts = SplitResult("", "", "", "", "")
    if not host or parts.scheme not in _DEFAULT_PORTS:
        raise HostUnknown("GITHUB_API_URL is not a web address: write it as https://host/api/v3")
    return host.removeprefix("api.") if not parts.path.strip("/") else host


def _path_on(configured: str, location: str) -> str:
    try:
        parts = urlsplit(location)
        host = _host(parts).removeprefix("www.")
    except ValueError:
        host = ""
        parts = SplitResult("", "", "", "", "")
    if host != configured:
        raise HostUnknown(
            f"{host or 'that address'} is not a host that is configured ({configured} is): "
            "set GITHUB_API_URL to the API of the host you mean"
        )
    return parts.path


def _host(parts: SplitResult) -> str:
    default = parts.port in {None, _DEFAULT_PORTS.get(parts.scheme)}
    return (parts.hostname or "") + ("" if default else f":{parts.port}")
