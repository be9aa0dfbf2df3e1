"""What is done about a database that turns out to be damaged: nothing is read off it any more."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, Self

import aiosqlite

REPAIR_HINT = (
    "`ilios rebuild` makes it anew from the newest snapshot and the log (docs/operations.md, "
    "Damage)"
)
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PRIMARY = 0xFF  # SQLite's extended error codes have the primary one in their lowest byte
READ_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What reading a damaged file raises: SQLite quotes it in messages, which are then no UTF-8."""
_FETCH_SIZE = 64


class DatabaseDamaged(sqlite3.DatabaseError):
    """The file is not a sound SQLite database; the message says what to do."""


class DamageMonitor:
    """Remembers that SQLite has met damage in a file, for everybody who has it open.

    A damaged page is met by whoever happens to need it. What is read elsewhere may hang together
    with it, so from then on nobody is answered.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.reason: str | None = None

    def raise_if_damaged(self) -> None:
        """Do nothing, while all is well.

        :raises DatabaseDamaged: damage was met.
        """
        if self.reason is not None:
            raise DatabaseDamaged(f"{self._path}: {self.reason}; {REPAIR_HINT}")

    def check_error(self, error: sqlite3.Error) -> None:
        """Remember ``error`` if it is about the file itself.

        :raises DatabaseDamaged: it is.
        """
        code = getattr(error, "sqlite_errorcode", None)
        # Text that we wrote was UTF-8; Python tells of one that is not by its words alone.
        if (code is not None and code & _PRIMARY in _DAMAGE) or "decode to UTF-8" in str(error):
            self.record_and_raise(str(error))

    def record_and_raise(self, reason: str) -> NoReturn:
        """Remember damage.

        :raises DatabaseDamaged: always.
        """
        self.reason = self.reason or reason
        raise DatabaseDamaged(f"{self._path}: {self.reason}; {REPAIR_HINT}")


class WatchedConnection(aiosqlite.Connection):
    """A connection that is not answered any more once damage was met on it, or beside it."""

    def __init__(self, connector: Callable[[], sqlite3.Connection], damage: DamageMonitor) -> None:
        super().__init__(connector, _FETCH_SIZE)
        self.damage = damage

    async def __aenter__(self) -> Self:
        _ = await self
        return self

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        # All of aiosqlite goes through here. A transaction may still be rolled back, and closing
        # is never refused.
        if not self._conn.in_transaction and fn != self._conn.close:
            self.damage.raise_if_damaged()
        try:
            return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]
        except UnicodeDecodeError as error:
            self.damage.record_and_raise(str(error))
        except sqlite3.Error as error:
            self.damage.check_error(error)
            raise
