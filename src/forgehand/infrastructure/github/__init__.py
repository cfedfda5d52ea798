"""GitHub and GitHub Enterprise as a code host, over githubkit, which is imported on the first call."""

from forgehand.infrastructure.github.adapter import GitHub as GitHub
