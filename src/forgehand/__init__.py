"""Background work on your repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forgehand.client import Forgehand, JobFailed, Order, Priority, Terms

__all__ = ["Forgehand", "JobFailed", "Order", "Priority", "Terms"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `import forgehand` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from forgehand import client

    return getattr(client, name)


def __dir__() -> list[str]:
    return __all__
