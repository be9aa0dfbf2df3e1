"""Making the database anew from a snapshot and the log, and proving that it is the same."""
