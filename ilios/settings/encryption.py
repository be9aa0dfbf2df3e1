"""Settings of encryption at rest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from ilios.secret import Secret
from ilios.settings.metrics import MetricsSettings
from ilios.settings.values import Env

MIN_LENGTH = 16  # characters of a key


def database_key(text: str) -> Secret:
    """Parse a key; the error does not repeat it."""
    if len(text) < MIN_LENGTH:
        raise ValueError(
            f"must have at least {MIN_LENGTH} characters, better 64 hexadecimal digits"
        )
    return Secret(text)


def read_database_key(path: Path) -> Secret:
    """Read a key from a file.

    :raises ValueError: there is none in it; the message has the reason.
    """
    try:
        key = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8; it must hold the key as text") from error
    try:
        return database_key(key)
    except ValueError as error:
        raise ValueError(f"the key in {path} {error}") from error


class EncryptionSettings(MetricsSettings, frozen=True, kw_only=True):
    """The keys of what is on disk; each field names its variable."""

    db_encryption_key: Annotated[
        Secret | None,
        Env(
            "DB_ENCRYPTION_KEY",
            "Key that encrypts the database, 16 characters or more; losing it loses everything",
            "output-of-openssl-rand-hex-32",
            database_key,
        ),
    ] = None
    db_encryption_key_file: Annotated[
        Path | None,
        Env("DB_ENCRYPTION_KEY_FILE", "File with that key, rather than itself", "./database.key"),
    ] = None

    @property
    def database_key(self) -> Secret | None:
        """The key of the database, wherever it comes from; None: it is not encrypted.

        :raises ValueError: there is none in its file.
        """
        if self.db_encryption_key_file is not None:
            return read_database_key(self.db_encryption_key_file)
        return self.db_encryption_key


def contradictions(settings: EncryptionSettings) -> Iterator[str]:
    """Yield a sentence if there are two keys."""
    if settings.db_encryption_key is not None and settings.db_encryption_key_file is not None:
        yield "DB_ENCRYPTION_KEY: the key is in DB_ENCRYPTION_KEY_FILE; unset one of them"
