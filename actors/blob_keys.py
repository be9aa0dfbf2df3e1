"""Keys of the blob store. They never contain text of a client."""

import secrets

from msgspec import Struct

ORIGINALS = "originals/"
MARKDOWN = "markdown/"
UPLOADS = "uploads/"
ARCHIVE = "archive/"
RESULTS = "results/"
IMAGES = "images/"
PASSWORDS = "passwords/"
NO_TENANT = "anybody"
PREFIXES = (ORIGINALS, MARKDOWN, UPLOADS, ARCHIVE, RESULTS, IMAGES, PASSWORDS)


def new_suffix() -> str:
    """Return a random suffix for the key of one attempt to store something.

    Each attempt has its own key, so that a late one cannot replace the bytes of another; the event
    names the valid one.
    """
    return secrets.token_hex(4)


def original_key(tenant: str, document_id: str, suffix: str | None = None) -> str:
    """Return the key of an original."""
    return _key(ORIGINALS, tenant, document_id, suffix)


def fetched_key(tenant: str, document_id: str) -> str:
    """Return a new key for an original that the fetcher stores."""
    return original_key(tenant, document_id, new_suffix())


def markdown_key(tenant: str, document_id: str, suffix: str | None = None) -> str:
    """Return a key for the Markdown of a document; without a suffix it is a new one."""
    return _key(MARKDOWN, tenant, document_id, suffix or new_suffix())


def upload_key(document_id: str, suffix: str | None = None) -> str:
    """Return the key of an upload by URL until it is completed.

    The URL may show this key, so it does not contain the tenant.
    """
    return _key(UPLOADS, NO_TENANT, document_id, suffix)


def archived_key(original: str) -> str:
    """Return the key of an original in the archive."""
    return ARCHIVE + original.removeprefix(ORIGINALS)


def result_key(tenant: str, document_id: str, work: str, part: str | None = None) -> str:
    """Return the key of the stored result of an engine, or of a part of it.

    ``work`` identifies the work and the bytes, so that repeated work finds the result.
    """
    return _key(RESULTS, tenant, document_id, f"{work}.{part}" if part else work)


def image_key(tenant: str, document_id: str, name: str) -> str:
    """Return the key of an image of a page; ``name`` is derived from its bytes."""
    return _key(IMAGES, tenant, document_id, name)


def password_key(tenant: str, document_id: str) -> str:
    """Return the key of the sealed password of a document, while it is in work."""
    return _key(PASSWORDS, tenant, document_id, None)


class BlobOwner(Struct, frozen=True):
    """The tenant and the document of a blob."""

    tenant: str
    document_id: str


def owner_of(key: str) -> BlobOwner | None:
    """Return the owner of a blob; None for keys that do not come from this module."""
    parts = key.split("/")
    if len(parts) != 3 or f"{parts[0]}/" not in PREFIXES:
        return None
    return BlobOwner(parts[1], parts[2].partition(".")[0])


def _key(prefix: str, tenant: str, document_id: str, suffix: str | None) -> str:
    key = f"{prefix}{tenant}/{document_id}"
    return f"{key}.{suffix}" if suffix else key
