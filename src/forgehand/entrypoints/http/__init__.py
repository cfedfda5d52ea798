"""The HTTP API: parse, call, answer. Import `app` or `server`; this package itself loads nothing."""
