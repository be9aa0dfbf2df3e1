"""What a key is, and where its blob lies below the root of the local store.

A key is one or more segments of ``[a-z0-9._-]`` joined by "/"; on disk the "/" is a "+",
which no key can hold, so two keys never share a file and no key reaches out of its shard.
"""

import hashlib
import re

SHARDS = tuple(f"{number:02x}" for number in range(256))
TMP_DIR = "tmp"
MAX_KEY_LENGTH = 200

_SEGMENT = r"[a-z0-9_-][a-z0-9._-]*"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")


def is_key(key: str) -> bool:
    """Whether a blob can lie under this key."""
    # fullmatch, because match with "$" lets a trailing newline through.
    return len(key) <= MAX_KEY_LENGTH and ".." not in key and _KEY.fullmatch(key) is not None


def validate_key(key: str) -> str:
    """Return the key.

    :raises ValueError: it is none.
    """
    if not is_key(key):
        message = f"not a blob key: {key!r}"
        raise ValueError(message)
    return key


def blob_path(root: str, key: str) -> str:
    """Return where the blob of this key lies.

    :raises ValueError: this is no key.
    """
    shard = hashlib.sha256(validate_key(key).encode()).hexdigest()[:2]
    return f"{root}/{shard}/{key.replace('/', '+')}"


def key_from_file_name(name: str) -> str:
    """Return what would be the key of a file of this name; it need not be one of ours."""
    return name.replace("+", "/")
