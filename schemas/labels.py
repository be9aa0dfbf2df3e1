"""What a client attaches to its submission for itself: a reference and metadata.

They are stored and returned, never interpreted, and erased with the document.
"""

import math
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

MAX_REFERENCE_LENGTH = 255
MAX_METADATA_BYTES = 4096
"""Bytes of metadata as JSON in UTF-8, without blanks between its parts."""
MAX_METADATA_MEMBERS = 64
"""Members of the object itself; those of objects in it are bounded by its size."""
MAX_METADATA_DEPTH = 16
"""Objects and lists within each other, the outermost included."""

Reference = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_REFERENCE_LENGTH,
        # Without control characters, line separators and halves of surrogate pairs.
        pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+\Z",
        extra_json_schema={"pattern": r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"},
    ),
]
Metadata = Annotated[dict[str, Any], Meta(max_length=MAX_METADATA_MEMBERS)]

METADATA_EXPECTED = (
    f"a JSON object of at most {MAX_METADATA_BYTES} bytes and {MAX_METADATA_MEMBERS} members, "
    f"nested at most {MAX_METADATA_DEPTH} deep"
)


class Labels(Struct, frozen=True, kw_only=True):
    """The reference and the metadata of a submission; None where its client gave none."""

    reference: Reference | None = None
    metadata: Metadata | None = None


NO_LABELS = Labels()


def check_metadata(found: dict[str, Any] | None) -> None:
    """Refuse metadata that is too large or too deep, or has a number that JSON cannot express.

    :raises ValueError: with a sentence for the client.
    """
    if found is None:
        return
    if len(found) > MAX_METADATA_MEMBERS or not _is_plain(found, MAX_METADATA_DEPTH):
        raise ValueError(f"metadata must be {METADATA_EXPECTED}")
    try:
        size = len(msgspec.json.encode(found))
    except UnicodeEncodeError:
        raise ValueError("metadata has text that is not Unicode") from None
    if size > MAX_METADATA_BYTES:
        raise ValueError(f"metadata must be {METADATA_EXPECTED}")


def parse_metadata(text: str) -> dict[str, Any]:
    """Return metadata from its JSON.

    :raises ValueError: it is not a JSON object, or it is too large or too deep.
    """
    try:
        found: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise ValueError(f"metadata must be {METADATA_EXPECTED}") from None
    check_metadata(found)
    return found


def _is_plain(found: object, depth: int) -> bool:
    """Whether objects and lists are nested at most ``depth`` deep and every number is finite."""
    if isinstance(found, dict | list):
        inner = found.values() if isinstance(found, dict) else found
        return depth > 0 and all(_is_plain(one, depth - 1) for one in inner)
    return not isinstance(found, float) or math.isfinite(found)
