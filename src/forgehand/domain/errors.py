"""The root of everything that the domain refuses."""


class DomainError(Exception):
    """A rule says no. Trying again changes nothing, so a job that raises it is not retried."""
