"""The key that seals passwords: 32 random bytes as base64, in a file of its owner or a variable."""

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path

from ilios.secret import Secret, SecretsDamaged, write_private_file

KEY_BYTES = 32
OWN_FILE = "passwords.key"
"""Name of the key file that the service creates in its data directory."""

_FOR_OTHERS = 0o077
_MAX_FILE_BYTES = 1024


def load_key(given: Path | None, data_dir: Path, itself: Secret | None = None) -> bytes:
    """Return the key of the settings, or that in the data directory, made where missing.

    The settings have the key ``itself``, or the path of a file.

    A given file is never created: several hosts that share documents need the same one.

    :raises SecretsDamaged: it is missing, can be read by others, or holds no key; the message has
        the remedy.
    """
    if itself is not None:
        if (key := _decode(itself.get_secret_value())) is None:
            raise SecretsDamaged(
                f"ILIOS_SEALING_KEY must be {KEY_BYTES} bytes as base64, as in a file passwords.key"
            )
        return key
    path = given or data_dir / OWN_FILE
    try:
        return _read(path)
    except FileNotFoundError:
        if given is not None:
            raise SecretsDamaged(
                f"there is no key for passwords in {path} (ILIOS_SEAL_KEY_FILE); copy that of the "
                "other hosts (passwords.key in the core's data directory), or make the first one "
                f"with: (umask 077; head -c {KEY_BYTES} /dev/urandom | base64 > {path})"
            ) from None
    key = secrets.token_bytes(KEY_BYTES)
    write_private_file(path, base64.b64encode(key).decode() + "\n")
    return key


def check_key(given: Path | None, data_dir: Path) -> Path | None:
    """Return the path of the key file that is in use, None before the first start.

    :raises SecretsDamaged: as ``load_key``; nothing is created.
    """
    if given is not None:
        load_key(given, data_dir)
        return given
    if not data_dir.is_dir():
        return None
    try:
        _read(data_dir / OWN_FILE)
    except FileNotFoundError:
        return None
    return data_dir / OWN_FILE


def _read(path: Path) -> bytes:
    """Return the key in a file.

    :raises FileNotFoundError: there is none.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SecretsDamaged(f"{path} cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if mode & _FOR_OTHERS:
            raise SecretsDamaged(
                f"{path} seals passwords, and others than its owner may use it (mode {mode:04o}); "
                f"run: chmod 600 {path}. On a volume without modes, name a file elsewhere in "
                "ILIOS_SEAL_KEY_FILE."
            )
        text = file.read(_MAX_FILE_BYTES)
    key = _decode(text)
    if key is None:
        raise SecretsDamaged(
            f"{path} does not hold {KEY_BYTES} bytes as base64; it may be deleted: documents "
            "in work that need a password then fail with password_required"
        )
    return key


def _decode(text: str | bytes) -> bytes | None:
    """Return a key that is written as base64; None if it is none."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None
