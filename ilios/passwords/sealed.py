"""Sealed passwords in the blob store, beside the originals of their documents."""

from collections.abc import Callable

import structlog

from actors.blob_keys import password_key
from actors.engines import Password, SourceFile, Unconvertible
from actors.ports import BlobNotFound, Blobs
from ilios.passwords.seal import CannotUnseal, Seal

log = structlog.get_logger("passwords")


class SealedPasswords:
    """Stores passwords for as long as their documents are in work.

    :param on_sealed: called with tenant and id of each document whose password is stored, so that
        it is deleted at the document's end.
    """

    def __init__(
        self, blobs: Blobs, seal: Seal, on_sealed: Callable[[str, str], None] | None = None
    ) -> None:
        self._blobs = blobs
        self._seal = seal
        self._on_sealed = on_sealed

    async def put(self, tenant: str, document_id: str, password: str) -> None:
        """Store the password of a document; durable on return."""
        sealed = self._seal.seal(tenant, document_id, password)
        await self._blobs.put_bytes(password_key(tenant, document_id), sealed)
        if self._on_sealed is not None:
            self._on_sealed(tenant, document_id)

    async def find(self, document: SourceFile) -> Password | None:
        """Return the password of a document, or None if none is stored.

        :raises Unconvertible: ``password_required``, the stored one cannot be opened.
        """
        if not document.document_id:
            return None
        chunks = self._blobs.read(password_key(document.tenant, document.document_id))
        try:
            sealed = b"".join([chunk async for chunk in chunks])
        except BlobNotFound:
            return None
        try:
            return Password(self._seal.unseal(document.tenant, document.document_id, sealed))
        except CannotUnseal as error:
            log.error(  # noqa: TRY400  # the traceback adds nothing
                "password not unsealed", document_id=document.document_id, reason=str(error)
            )
            raise Unconvertible(
                "password_required",
                f"The PDF is protected, and {error}; submit it again with its `password`.",
            ) from error
