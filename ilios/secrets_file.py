"""Secrets on disk: files that only their owner can read, made once."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

Content = TypeVar("Content", bound=msgspec.Struct)


class SecretsDamaged(Exception):
    """The file does not hold the secrets it should."""


def generate_password() -> str:
    """Return a random password of 128 bits; it begins with a letter and needs no quoting."""
    return "s" + secrets.token_hex(16)


def write(path: Path, text: str) -> None:
    """Write ``text`` in one step to a file of mode 0600."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)  # what a former run left there may have been more open
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def load_or_create(path: Path, kind: type[Content], make: Callable[[], Content]) -> Content:
    """Read the secrets in ``path``, or make them and write them there.

    :raises SecretsDamaged: they cannot be read from what lies there.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        content = make()
        write(path, msgspec.json.encode(content).decode())
        return content
    except msgspec.DecodeError as error:  # its words may quote what is in there
        raise SecretsDamaged(
            f"{path} is damaged; it may be deleted: it is made anew, with other passwords"
        ) from error
