"""Damage of the database file: which errors mean it, and what every connection then raises."""

import sqlite3
from pathlib import Path
from typing import NoReturn

REPAIR_HINT = (
    "`ilios rebuild` makes a new one from the newest snapshot and the log (docs/operations.md, "
    "Damage)"
)
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PRIMARY = 0xFF  # SQLite's extended error codes have the primary one in their lowest byte
READ_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)
"""Errors of reading a damaged file: SQLite quotes the file in messages that are then not UTF-8."""


class DatabaseDamaged(sqlite3.DatabaseError):
    """The file is not a sound SQLite database; the message says what to do."""


class DamageMonitor:
    """The first damage that SQLite met in a file, shared by all connections to it.

    Only the query that needs a damaged page fails. Rows that are read elsewhere may depend on that
    page, so from then on every query fails.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.reason: str | None = None

    def raise_if_damaged(self) -> None:
        """Raise what was recorded.

        :raises DatabaseDamaged: damage was met.
        """
        if self.reason is not None:
            raise DatabaseDamaged(f"{self._path}: {self.reason}; {REPAIR_HINT}")

    def check_error(self, error: sqlite3.Error) -> None:
        """Record ``error`` if it is about the file itself.

        :raises DatabaseDamaged: it is.
        """
        code = getattr(error, "sqlite_errorcode", None)
        # All text was written as UTF-8. Python reports other text without an error code.
        if (code is not None and code & _PRIMARY in _DAMAGE) or "decode to UTF-8" in str(error):
            self.record_and_raise(str(error))

    def record_and_raise(self, reason: str) -> NoReturn:
        """Record damage.

        :raises DatabaseDamaged: always.
        """
        self.reason = self.reason or reason
        raise DatabaseDamaged(f"{self._path}: {self.reason}; {REPAIR_HINT}")
