"""Actors, which consume one event and publish the next. No I/O library is imported here."""
