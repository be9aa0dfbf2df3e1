"""Secrets: text that must not be logged, and files that only their owner can read."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

Content = TypeVar("Content", bound=msgspec.Struct)


class Secret:
    """A password or key whose ``repr`` and ``str`` are ``***``."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def get_secret_value(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


class SecretsDamaged(Exception):
    """The file does not have the expected secrets."""


def generate_password() -> str:
    """Return a random password of 128 bits; it begins with a letter and needs no quoting."""
    return "s" + secrets.token_hex(16)


def write_private_file(path: Path, text: str) -> None:
    """Replace a file atomically; its mode is 0600."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)  # a file left by a former run may have another mode
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def load_or_create_secrets(path: Path, kind: type[Content], make: Callable[[], Content]) -> Content:
    """Read the secrets in ``path``, or create them there.

    :raises SecretsDamaged: the file cannot be decoded.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        content = make()
        write_private_file(path, msgspec.json.encode(content).decode())
        return content
    except msgspec.DecodeError as error:  # its message may quote the content
        raise SecretsDamaged(
            f"{path} is damaged; it may be deleted: it is created again, with other passwords"
        ) from error
