"""Where the bytes of a document lie in the blob store. Keys are ours, never a client's words."""

import secrets


def original_key(tenant: str, document_id: str) -> str:
    """Return the key under which an upload lies before it is submitted."""
    return f"originals/{tenant}/{document_id}"


def fetched_key(tenant: str, document_id: str) -> str:
    """Return a fresh key for an original that an actor brings in.

    Each attempt has its own, so that one that was thought dead cannot change the bytes under
    another's feet; the event names the one that counts.
    """
    return f"{original_key(tenant, document_id)}.{secrets.token_hex(4)}"


def markdown_key(tenant: str, document_id: str) -> str:
    """Return a fresh key for a document's Markdown; each attempt has its own, as above."""
    return f"markdown/{tenant}/{document_id}.{secrets.token_hex(4)}"
