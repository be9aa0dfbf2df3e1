"""Blob keys never change: blobs are stored under them already."""

import hashlib
import json
import re
from pathlib import Path

from actors import blob_keys as keys
from ilios.api_keys import tenant_of
from ilios.blobs.layout import blob_path
from schemas.batches import batch_id_of, document_id
from schemas.ids import id_from_digest

TENANT, NAME = "acme-1", "d" * 24
GOLDEN: dict[str, str] = json.loads((Path(__file__).parent / "golden" / "keys.json").read_text())


def found() -> dict[str, str]:
    """Return keys of every kind, without what is random in them, and where they lie on disk."""
    original = keys.original_key(TENANT, NAME, "0a1b2c3d")
    made = {
        "original": original,
        "original of the bus": keys.original_key(TENANT, NAME),
        "fetched": keys.fetched_key(TENANT, NAME),
        "markdown": keys.markdown_key(TENANT, NAME),
        "upload": keys.upload_key(NAME),
        "reservation": keys.upload_key(NAME, "request"),
        "archived": keys.archived_key(original),
        "result": keys.result_key(TENANT, NAME, "0123456789abcdef"),
        "part of a result": keys.result_key(TENANT, NAME, "0123456789abcdef", "50-100"),
        "password": keys.password_key(TENANT, NAME),
        "image": keys.image_key(TENANT, NAME, "0" * 32 + ".png"),
    }
    fixed = {kind: re.sub(r"\.[0-9a-f]{8}$", ".RANDOM", key) for kind, key in made.items()}
    return fixed | {
        "original on disk": blob_path("blobs", original),
        "part of a result on disk": blob_path("blobs", made["part of a result"]),
        "id of a digest": id_from_digest(hashlib.sha256(b"acme-1\nmy-key").digest()),
        "id of a digest that is small": id_from_digest(bytes(32)),
        "tenant of a key": tenant_of("the-key-of-a-client"),
        "third document of a batch": document_id("b" * 24, 3),
        "batch of a document": str(batch_id_of("b" * 24 + "003")),
        "batch of a document that is alone": str(batch_id_of(NAME)),
    }


def test_blobs_and_documents_are_called_as_they_always_were() -> None:
    assert found() == GOLDEN
