"""The chaos proof: real workers, PostgreSQL and Redis are killed, and then every job is accounted for."""
