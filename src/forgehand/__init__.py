"""Background work on your repositories."""
