"""API keys: the tenants they stand for, and warnings about weak ones."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

from ilios.secret import Secret

_DIGITS = 16  # 64 bits of the hash of the key
MIN_LENGTH = 16  # characters; random letters and digits then have more than 80 bits


def tenant_of(key: str) -> str:
    """Return the tenant of a key; the key cannot be derived from it."""
    return tenant_of_digest(key_digest(key))


def tenant_of_digest(digest: bytes) -> str:
    """Return the tenant of the key with this ``key_digest``."""
    return "k" + digest.hex()[:_DIGITS]


def key_digest(key: str) -> bytes:
    """Return the SHA-256 of a key."""
    # Header bytes that are not UTF-8 arrive as surrogates.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def warnings(keys: Sequence[Secret]) -> Iterator[str]:
    """Yield a warning for each key that should be changed; none shows a key."""
    texts = [key.get_secret_value() for key in keys]
    for place, text in enumerate(texts, 1):
        if len(text) < MIN_LENGTH:
            yield (
                f"API_KEY: key {place} has {len(text)} characters and can be guessed; "
                f"use {MIN_LENGTH} or more, for example of: openssl rand -hex 16"
            )
        if any(character.isspace() for character in text):
            yield (
                f"API_KEY: key {place} holds white space; keys are separated by commas, and what "
                "is between two of them is one key"
            )
        if not (text.isascii() and text.isprintable()):
            yield f"API_KEY: key {place} holds characters that clients cannot send in a header"
    for text, times in Counter(texts).items():
        if times > 1:
            first, *others = (place for place, other in enumerate(texts, 1) if other == text)
            doubled = ", ".join(map(str, others))
            yield f"API_KEY: key {first} is there again as key {doubled}; remove one of them"
    squeezed = Counter("".join(text.split()).lower() for text in dict.fromkeys(texts))
    for alike, times in squeezed.items():
        if times > 1:
            places = [
                n for n, text in enumerate(texts, 1) if "".join(text.split()).lower() == alike
            ]
            yield (
                f"API_KEY: keys {', '.join(map(str, places))} differ only by white space or case; "
                "each is another tenant, and tenants do not see the documents of one another"
            )
