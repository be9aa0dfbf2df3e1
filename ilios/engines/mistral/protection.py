"""Protected PDFs are sent without their protection, which Mistral cannot open."""

import asyncio
import mmap
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

import msgspec

from actors.content_types import PDF
from actors.engines import SourceFile, Unconvertible
from ilios.engines.mistral import DOCUMENT_BYTES
from ilios.engines.mistral.small_documents import read_small
from ilios.engines.pages import PageSplitter

_ENCRYPTION_KEY = re.compile(rb"/Encrypt[\s<]")
"""Key of the trailer, which every protected PDF has in plain text."""

BINDING_CODES = frozenset(
    {"integrity", "password_incorrect", "password_protected", "password_required"}
)
"""Refusals that hold for Mistral as well."""


@asynccontextmanager
async def unprotected(document: SourceFile, splitter: PageSplitter) -> AsyncIterator[SourceFile]:
    """Yield the document, or a copy without protection, which has another hash.

    One that is too large to be sent whole is yielded as it is: it is cut, and its parts have none.

    :raises Unconvertible: it needs a password, and none or a wrong one was given.
    """
    if document.content_type != PDF or not await _is_protected(document.path):
        yield document
        return
    try:
        data = await splitter.remove_protection(document)
    except Unconvertible as refusal:
        if refusal.code in BINDING_CODES:
            raise
        yield document  # Mistral may be able to read a document that the local engine cannot
        return
    with NamedTemporaryFile(prefix="ilios-") as copy:
        await asyncio.to_thread(_write, copy.name, data)
        size = len(data)
        del data
        yield msgspec.structs.replace(document, path=Path(copy.name), sha256=None, size=size)


async def _is_protected(path: Path) -> bool:
    if content := read_small(path):
        return _ENCRYPTION_KEY.search(content) is not None
    return await asyncio.to_thread(_is_file_protected, path)


def _is_file_protected(path: Path) -> bool:
    """Whether a PDF of a size that can be sent whole seems to be protected."""
    size = os.stat(path).st_size
    if not 0 < size <= DOCUMENT_BYTES:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return _ENCRYPTION_KEY.search(content) is not None


def _write(path: str, data: bytes) -> None:
    Path(path).write_bytes(data)
