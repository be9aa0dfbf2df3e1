"""MD5 as S3 says it: of the bytes, or of the MD5s of the parts they were put in.

It guards against accidents on the way, not against anybody's will: that is what SHA-256 is for.
"""

import hashlib
from collections.abc import Iterable

PART_BYTES = 8 * 1024 * 1024
"""Of all parts but the last. S3 takes no less than 5 MiB, and 10,000 of them."""


def md5(data: bytes = b"") -> "hashlib._Hash":
    """Return the MD5 of ``data``, to be continued."""
    return hashlib.md5(data, usedforsecurity=False)


def multipart_md5(digests: Iterable[bytes]) -> str:
    """Return what S3 says of an object that was put in parts with these MD5s."""
    listed = list(digests)
    return f"{md5(b''.join(listed)).hexdigest()}-{len(listed)}"


class Md5Check:
    """Holds bytes, as they come, against what S3 says of them: nothing, or one of the two kinds."""

    def __init__(self, expected: str | None) -> None:
        self._expected = expected
        self._by_parts = expected is not None and "-" in expected
        self._parts: list[bytes] = []
        self._current = md5()
        self._left = PART_BYTES

    def update(self, data: bytes) -> None:
        """Go on with ``data``."""
        if self._expected is None:
            return
        while self._by_parts and len(data) >= self._left:
            self._current.update(data[: self._left])
            data = data[self._left :]
            self._next_part()
        self._current.update(data)
        self._left -= len(data)

    @property
    def matches(self) -> bool:
        """Whether these were the bytes; true also where nothing is said of them."""
        if self._expected is None:
            return True
        if not self._by_parts:
            return self._current.hexdigest() == self._expected
        rest = [self._current.digest()] if self._left < PART_BYTES else []
        return multipart_md5([*self._parts, *rest]) == self._expected

    def _next_part(self) -> None:
        self._parts.append(self._current.digest())
        self._current, self._left = md5(), PART_BYTES
