"""PostgreSQL and SQLite, through SQLAlchemy Core."""
