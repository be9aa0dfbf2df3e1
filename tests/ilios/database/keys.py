"""Keys of encrypted databases, and a look at the bytes of files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ilios.database.encryption import use_key
from ilios.secret import Secret

KEY, OTHER = Secret("0123456789abcdef" * 4), Secret("a passphrase of some length")


@contextmanager
def using(key: Secret | None) -> Iterator[None]:
    """Have this process use a key for a while."""
    use_key(key)
    try:
        yield
    finally:
        use_key(None)


def files_with(directory: Path, *markers: bytes) -> list[str]:
    """Return the files below a directory that have one of the markers in them."""
    found = [path for path in directory.rglob("*") if path.is_file()]
    return sorted(
        path.name for path in found if any(marker in path.read_bytes() for marker in markers)
    )
