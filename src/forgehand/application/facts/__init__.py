"""What can be said of a change without any model."""

from forgehand.application.facts.gathering import gather_facts

__all__ = ["gather_facts"]
