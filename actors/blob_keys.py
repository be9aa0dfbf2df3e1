"""Where the bytes of a document lie in the blob store. Keys are ours, never a client's words."""

import secrets

from msgspec import Struct

ORIGINALS = "originals/"
MARKDOWN = "markdown/"
UPLOADS = "uploads/"
ARCHIVE = "archive/"
RESULTS = "results/"
IMAGES = "images/"
NO_TENANT = "anybody"
PREFIXES = (ORIGINALS, MARKDOWN, UPLOADS, ARCHIVE, RESULTS, IMAGES)


def new_suffix() -> str:
    """Return what ends the key of one attempt to store something.

    Each attempt has its own, so that one that was thought dead cannot change the bytes under
    another's feet; the event names the one that counts.
    """
    return secrets.token_hex(4)


def original_key(tenant: str, document_id: str, suffix: str | None = None) -> str:
    """Return the key under which an upload lies before it is submitted."""
    return _key(ORIGINALS, tenant, document_id, suffix)


def fetched_key(tenant: str, document_id: str) -> str:
    """Return a fresh key for an original that an actor brings in."""
    return original_key(tenant, document_id, new_suffix())


def markdown_key(tenant: str, document_id: str) -> str:
    """Return a fresh key for a document's Markdown."""
    return _key(MARKDOWN, tenant, document_id, new_suffix())


def upload_key(document_id: str, suffix: str | None = None) -> str:
    """Return where a client puts what it has asked an upload URL for, until it says complete.

    Whoever has the URL may see this key, so it does not tell whose document it will be.
    """
    return _key(UPLOADS, NO_TENANT, document_id, suffix)


def archived_key(original: str) -> str:
    """Return where an original lies after its retention, where it is archived."""
    return ARCHIVE + original.removeprefix(ORIGINALS)


def result_key(tenant: str, document_id: str, work: str, part: str | None = None) -> str:
    """Return where the result of some work on a document lies, or of a part of the work.

    ``work`` tells what was done with which bytes: who is to do the same finds it done.
    """
    return _key(RESULTS, tenant, document_id, f"{work}.{part}" if part else work)


def image_key(tenant: str, document_id: str, name: str) -> str:
    """Return where an image of a page lies; ``name`` is made of its bytes."""
    return _key(IMAGES, tenant, document_id, name)


class BlobOwner(Struct, frozen=True):
    """Whose blob it is."""

    tenant: str
    document_id: str


def owner_of(key: str) -> BlobOwner | None:
    """Return the document a key was made for; None for keys that are not of this module."""
    parts = key.split("/")
    if len(parts) != 3 or f"{parts[0]}/" not in PREFIXES:
        return None
    return BlobOwner(parts[1], parts[2].partition(".")[0])


def _key(prefix: str, tenant: str, document_id: str, suffix: str | None) -> str:
    key = f"{prefix}{tenant}/{document_id}"
    return f"{key}.{suffix}" if suffix else key
