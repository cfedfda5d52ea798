"""What the timing of a schedule means."""

from forgehand.infrastructure.cron.timing import read_timing

__all__ = ["read_timing"]
