"""Reservations of uploads: what a client has asked for, stored beside the bytes it is to send."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from actors.blob_keys import upload_key
from actors.ports import BlobNotFound
from ilios.edge import uploads
from ilios.edge.context import Edge
from schemas.documents import DEFAULT_PRIORITY
from schemas.options import ConversionOptions, EngineName, fill_options, options_from_json

RESERVATION_SUFFIX = "request"


class Reservation(Struct, frozen=True):
    """The request for an upload URL, as it is stored. Times are UTC.

    ``engine`` and ``model`` stand outside of ``options`` for services of the version before.
    """

    tenant: str
    file_name: str
    size: int
    content_type: str
    retention_days: int
    created_at: datetime
    expires_at: datetime
    withdrawn_at: datetime | None = None
    options: msgspec.Raw = msgspec.Raw(b"{}")
    engine: EngineName | None = None
    model: str | None = None
    priority: int = DEFAULT_PRIORITY
    reference: str | None = None
    metadata: dict[str, Any] | None = None
    deadline: datetime | None = None

    @property
    def conversion(self) -> ConversionOptions:
        """The options, those of former versions included."""
        return fill_options(options_from_json(bytes(self.options)), self.engine, self.model)


async def store(edge: Edge, document_id: str, reservation: Reservation) -> None:
    """Store a reservation under the id of its document."""
    key = upload_key(document_id, RESERVATION_SUFFIX)
    await edge.blobs.put_bytes(key, msgspec.json.encode(reservation))


async def load(edge: Edge, document_id: str) -> Reservation | None:
    """Return the reservation of an id, or None without one."""
    try:
        chunks = edge.blobs.read(upload_key(document_id, RESERVATION_SUFFIX))
        text = b"".join([chunk async for chunk in chunks])
    except BlobNotFound:
        return None
    return msgspec.json.decode(text, type=Reservation)


async def discard(edge: Edge, document_id: str) -> None:
    """Delete a reservation, if it can be; the janitor deletes what is left."""
    await uploads.discard(edge.blobs, upload_key(document_id, RESERVATION_SUFFIX))
