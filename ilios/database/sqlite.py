"""Connections to SQLite that stop answering once the file turns out to be damaged."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import aiosqlite

from ilios.database.encryption import open_sqlite

REPAIR_HINT = (
    "`ilios rebuild` makes a new one from the newest snapshot and the log (docs/operations.md, "
    "Damage)"
)
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PRIMARY = 0xFF  # SQLite's extended error codes have the primary one in their lowest byte
ITERATED_ROWS = 64  # rows of one step of an iteration, which nothing here uses
READ_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)
"""Errors of reading a damaged file: SQLite quotes the file in messages that are then not UTF-8."""


class DatabaseDamaged(sqlite3.DatabaseError):
    """The file is not a sound SQLite database; the message contains the remedy."""


class DamageMonitor:
    """The first damage that SQLite met in a file, shared by all connections to it.

    Only the query that needs a damaged page fails. Rows that are read elsewhere may depend on that
    page, so from then on every query fails.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.reason: str | None = None
        self._on_damage: list[Callable[[], None]] = []

    def on_damage(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, when the first damage is recorded."""
        self._on_damage.append(callback)

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

    def record(self, reason: str) -> None:
        """Record damage, unless there is some already."""
        if self.reason is None:
            self.reason = reason
            for callback in self._on_damage:
                callback()

    def record_and_raise(self, reason: str) -> NoReturn:
        """Record damage.

        :raises DatabaseDamaged: always.
        """
        self.record(reason)
        raise DatabaseDamaged(f"{self._path}: {self.reason}; {REPAIR_HINT}")


Parameters = Mapping[str, Any] | Sequence[Any]
Row = tuple[Any, ...]

_T = TypeVar("_T")


class Session:
    """The statements of a function that runs on the thread of a connection (``Database.run``)."""

    def __init__(self, connection: sqlite3.Connection, damage: DamageMonitor) -> None:
        self._connection = connection
        self._damage = damage

    def execute(self, statement: str, parameters: Parameters = ()) -> None:
        """Execute a statement whose rows, if any, are not needed."""
        self.fetchall(statement, parameters)

    def executemany(self, statement: str, parameters: Iterable[Parameters]) -> None:
        """Execute a statement once for each set of parameters."""
        with _detecting_damage(self._damage, in_transaction=self._connection.in_transaction):
            self._connection.executemany(statement, parameters)

    def fetchall(self, statement: str, parameters: Parameters = ()) -> list[Row]:
        """Execute a statement and return all its rows."""
        with _detecting_damage(self._damage, in_transaction=self._connection.in_transaction):
            return self._connection.execute(statement, parameters).fetchall()


class Database:
    """One connection, on its own thread; all connections to a file share a ``DamageMonitor``.

    Every method raises ``DatabaseDamaged`` once damage was met on any of these connections.
    """

    def __init__(self, connection: aiosqlite.Connection, session: Session) -> None:
        self._connection = connection
        self._session = session

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    async def run(self, work: Callable[[Session], _T]) -> _T:
        """Run a function on the thread of the connection: one hand-over for all its statements.

        It runs to its end even if the caller is cancelled.
        """
        executed: _T = await self._connection._execute(  # type: ignore[no-untyped-call]  # noqa: SLF001
            work, self._session
        )
        return executed

    async def execute(self, statement: str, parameters: Parameters = ()) -> None:
        """Execute a statement whose rows, if any, are not needed."""
        await self.run(lambda session: session.execute(statement, parameters))

    async def fetchall(self, statement: str, parameters: Parameters = ()) -> list[Row]:
        """Execute a statement and return all its rows."""
        return await self.run(lambda session: session.fetchall(statement, parameters))


@contextmanager
def _detecting_damage(damage: DamageMonitor, *, in_transaction: bool) -> Iterator[None]:
    # A transaction that has begun may still be rolled back.
    if not in_transaction:
        damage.raise_if_damaged()
    try:
        yield
    except UnicodeDecodeError as error:
        damage.record_and_raise(str(error))
    except sqlite3.Error as error:
        damage.check_error(error)
        raise


@asynccontextmanager
async def connect(path: str, damage: DamageMonitor) -> AsyncIterator[Database]:
    """Open a connection to a path or a ``file:`` URI, and close it at the end."""
    opened: list[sqlite3.Connection] = []

    def open_file() -> sqlite3.Connection:
        opened.append(open_sqlite(path))
        return opened[0]

    # The client's own ``connect`` does not give its connection away.
    async with aiosqlite.Connection(open_file, iter_chunk_size=ITERATED_ROWS) as connection:
        yield Database(connection, Session(opened[0], damage))
