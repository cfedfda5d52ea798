"""Whether this command was called with --debug."""

from contextvars import ContextVar

debugging: ContextVar[bool] = ContextVar("debugging", default=False)
