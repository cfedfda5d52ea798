"""The schema's history, one line of hand-written revisions."""
