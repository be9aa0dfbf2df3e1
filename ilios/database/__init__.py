"""SQLite: what the log has said so far. The only place with SQL."""
