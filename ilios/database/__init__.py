"""The SQLite database, a projection of the log. The only package with SQL."""
