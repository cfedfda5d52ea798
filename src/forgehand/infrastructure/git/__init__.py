"""A local git repository as a code host."""

from forgehand.infrastructure.git.diffs import PatchLimits
from forgehand.infrastructure.git.local_git import LocalGit

__all__ = ["LocalGit", "PatchLimits"]
