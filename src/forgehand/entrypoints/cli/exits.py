"""How a command ends: one table from errors, raised here or on record with a job, to exit codes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from forgehand.application.jobs.failed import JobFailed


class ExitCode(IntEnum):
    """What the shell is told."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    MODEL_FAILED = 5
    UNAVAILABLE = 6
    CONFIGURATION = 7
    INTERRUPTED = 130


MEANINGS: Final[Mapping[ExitCode, str]] = {
    ExitCode.OK: "done",
    ExitCode.UNEXPECTED: "an unexpected error: run again with --debug",
    ExitCode.USAGE: "the command or the request is wrong",
    ExitCode.NOT_FOUND: "no such repository, pull request, job, schedule, document or token",
    ExitCode.REFUSED: "refused: not merged, nothing changed, no access, already taken, cancelled",
    ExitCode.MODEL_FAILED: "the model failed: refused, stopped half-way, invalid answer, no quota, wrong key",
    ExitCode.UNAVAILABLE: "unavailable right now: database, host, model or time limit; try again later",
    ExitCode.CONFIGURATION: "configuration: a setting, the database's version, a port or data folder in use",
    ExitCode.INTERRUPTED: "interrupted",
}

_KINDS: Final[Mapping[ExitCode, str]] = {
    ExitCode.UNEXPECTED: """
        InvalidPolicy InvalidJobType LeaseLost RequestUnreadable ResultTooLarge ResultUnstorable
    """,
    ExitCode.USAGE: """
        InvalidRequest InvalidRepoName UnknownJobType UnknownPriority InvalidSelection DependencyCycle
        TyperException
        InvalidSchedule InvalidTiming UnknownZone
    """,
    ExitCode.NOT_FOUND: """
        RepositoryNotFound PullRequestNotFound HistoryIncomplete JobNotFound ParentNotFound
        DocumentationNotFound TokenNotFound ScheduleNotFound CommentGone
    """,
    ExitCode.REFUSED: """
        NotMerged NothingChanged AccessRefused TokenNameTaken IdempotencyConflict JobIdTaken JobCancelled
        AlreadyEnded NotReplayable
    """,
    ExitCode.MODEL_FAILED: """
        ModelRefused ModelTruncated ModelOutputInvalid ModelQuotaExhausted ModelAuthenticationFailed
        ModelRequestRejected
    """,
    ExitCode.UNAVAILABLE: """
        StoreUnavailable RedisUnavailable HostUnavailable ModelRateLimited ModelOverloaded TimeLimitExceeded
        Transient
    """,
    ExitCode.CONFIGURATION: """
        InvalidSettings ModelNotConfigured InvalidGlob UnusableDatabase StoreNewer StoreOutdated HostUnknown
        CannotListen DataFolderInUse GitMissing
    """,
    ExitCode.INTERRUPTED: "KeyboardInterrupt CancelledError",
}

BY_KIND: Final[Mapping[str, ExitCode]] = {
    kind: code for code, kinds in _KINDS.items() for kind in kinds.split()
}


def of_kind(kind: str) -> ExitCode:
    """The code for the class name of an error, as a failed job has it on record."""
    return BY_KIND.get(kind, ExitCode.UNEXPECTED)


def of_error(error: BaseException) -> ExitCode:
    """The code of the nearest class of `error` that is in the table; of a job's problem, by its kind."""
    if isinstance(error, JobFailed):
        return of_kind(error.kind)
    names = (cls.__name__ for cls in type(error).__mro__)
    return next((BY_KIND[name] for name in names if name in BY_KIND), ExitCode.UNEXPECTED)


def is_ours(error: BaseException) -> bool:
    """Whether the message of `error` is made for a person, rather than a surprise."""
    return isinstance(error, JobFailed) or any(cls.__name__ in BY_KIND for cls in type(error).__mro__)


class DataFolderInUse(Exception):
    """Another process of ours has the data folder."""
