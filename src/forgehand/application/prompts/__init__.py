"""The words sent to a model: one file per use case."""
