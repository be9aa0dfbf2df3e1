"""Connections of SQLCipher that raise the errors of ``sqlite3``.

SQLCipher has a client of its own, whose exceptions are not those of the standard library.
"""

import sqlite3
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlcipher3 import dbapi2

# It would write about a wrong key to stderr, several lines for each connection.
_QUIET = "PRAGMA cipher_log_level = NONE"
# What is too large for memory would go to a file in /tmp. It is compiled so; this is to be sure.
_NO_FILES = "PRAGMA temp_store = MEMORY"

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _mapped(method: _Method) -> _Method:
    """Raise the same error of ``sqlite3`` where ``method`` raises one of SQLCipher's client."""

    @wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401  # whatever the method takes
        try:
            return method(*arguments, **named)
        except dbapi2.Error as error:
            raise _as_sqlite3(error) from error

    return cast("_Method", call)


def _as_sqlite3(error: Exception) -> sqlite3.Error:
    kind: type[sqlite3.Error] = getattr(sqlite3, type(error).__name__, sqlite3.Error)
    same = kind(*error.args)
    for name in ("sqlite_errorcode", "sqlite_errorname"):
        if hasattr(error, name):
            setattr(same, name, getattr(error, name))
    return same


class _Cursor(dbapi2.Cursor):
    execute = _mapped(dbapi2.Cursor.execute)
    executemany = _mapped(dbapi2.Cursor.executemany)
    fetchone = _mapped(dbapi2.Cursor.fetchone)
    fetchmany = _mapped(dbapi2.Cursor.fetchmany)
    fetchall = _mapped(dbapi2.Cursor.fetchall)
    __next__ = _mapped(dbapi2.Cursor.__next__)


class _Connection(dbapi2.Connection):
    commit = _mapped(dbapi2.Connection.commit)
    rollback = _mapped(dbapi2.Connection.rollback)
    interrupt = _mapped(dbapi2.Connection.interrupt)
    close = _mapped(dbapi2.Connection.close)
    execute = _mapped(dbapi2.Connection.execute)
    executemany = _mapped(dbapi2.Connection.executemany)

    def cursor(self, factory: type[_Cursor] = _Cursor) -> _Cursor:
        """Return a cursor; ``execute`` and ``executemany`` of the client use it as well."""
        return cast("_Cursor", super().cursor(factory))


def connect(database: str | Path, key: str | None, *, timeout: float = 5.0) -> sqlite3.Connection:
    """Open a path or a ``file:`` URI with a key of 64 hexadecimal digits; None: a plain file.

    It has the methods of ``sqlite3.Connection``. A wrong key shows when something is read.
    """
    uri = str(database).startswith("file:")
    try:
        opened = dbapi2.connect(
            str(database),
            uri=uri,
            isolation_level=None,
            timeout=timeout,
            factory=_Connection,
        )
    except dbapi2.Error as error:
        raise _as_sqlite3(error) from error
    connection = cast("sqlite3.Connection", opened)
    try:
        connection.execute(_QUIET)
        if key is not None:
            connection.execute(f"PRAGMA key = \"x'{key}'\"")
        connection.execute(_NO_FILES)
    except BaseException:
        connection.close()
        raise
    return connection
