"""The job kernel: submit, claim, run, settle, sweep."""
