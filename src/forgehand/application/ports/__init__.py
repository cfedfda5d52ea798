"""The roles that the outside world plays: one per file, a Protocol with its values and errors."""
