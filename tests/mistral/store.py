"""The files that were uploaded and not deleted, and links that open one for a while.

Shapes: ``mistralai.client.models.FileSchema``. Deleted and expired files are gone at once.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import msgspec

from tests.mistral import document_reader, errors
from tests.mistral.document_reader import digest
from tests.mistral.rules import Rules

HOUR = 3600.0  # seconds
LINK_PREFIX = "/_files/"

MIMES = {
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "image": "image/png",
}
SUPPORTED = "application/pdf, image/.*, " + ", ".join((MIMES["docx"], MIMES["pptx"]))


class File(msgspec.Struct, kw_only=True):
    """One file; ``expires_at`` is a time of the clock on the wall, in seconds."""

    id: str
    content: bytes
    content_hash: str
    """The hash of the content, shortened, as everywhere in the fake."""
    filename: str
    purpose: str
    sample_type: str
    source: str
    mimetype: str | None
    visibility: str
    created_at: float
    expires_at: float | None
    num_lines: int | None = None

    def view(self) -> dict[str, Any]:
        """Return the file as the API shows it."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": int(self.created_at),
            "filename": self.filename,
            "purpose": self.purpose,
            "sample_type": self.sample_type,
            "num_lines": self.num_lines,
            "mimetype": self.mimetype,
            "source": self.source,
            "signature": self.content_hash,
            "expires_at": None if self.expires_at is None else int(self.expires_at),
            "visibility": self.visibility,
        }


class Files:
    """What is stored, by id."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._files: dict[str, File] = {}
        self._secret = secrets.token_bytes(32)

    def __len__(self) -> int:
        return len(self.existing())

    def existing(self) -> list[File]:
        """Return the files that are neither deleted nor expired, the newest first."""
        now = time.time()
        expired = [f.id for f in self._files.values() if f.expires_at and f.expires_at <= now]
        for id_ in expired:
            del self._files[id_]
        return list(reversed(self._files.values()))

    def get(self, id_: str) -> File:
        """Return the file, or raise a 404."""
        file = self._files.get(id_)
        if file is None or (file.expires_at and file.expires_at <= time.time()):
            raise errors.file_not_found()
        return file

    def hash_of(self, id_: str) -> str:
        """Return the hash of the file's content; of a file that is not there, its id."""
        return self._files[id_].content_hash if id_ in self._files else id_

    def delete(self, id_: str) -> None:
        """Delete the file, or raise a 404."""
        del self._files[self.get(id_).id]

    def upload(
        self,
        content: bytes,
        filename: str,
        purpose: str,
        *,
        visibility: str = "workspace",
        expiry: int | None = None,
    ) -> File:
        """Store an upload, or raise the 422 for one that its purpose cannot use."""
        mimetype, lines = None, None
        if purpose == "batch":
            lines = _count_requests(content)
        else:
            mimetype = MIMES.get(document_reader.kind_of(content))
            if mimetype is None and self._rules.looks_inside:
                sniffed = "application/octet-stream" if content else "application/x-empty"
                raise errors.invalid_file(
                    f"Received file with mimetype {sniffed}, only {SUPPORTED} are currently "
                    "supported"
                )
        now = time.time()
        return self._add(
            File(
                id=str(uuid4()),
                content=content,
                content_hash=digest(content),
                filename=filename,
                purpose=purpose,
                sample_type="batch_request" if purpose == "batch" else "ocr_input",
                source="upload",
                mimetype=mimetype,
                visibility=visibility,
                created_at=now,
                expires_at=None if expiry is None else now + expiry * HOUR,
                num_lines=lines,
            )
        )

    def write(self, rows: Iterable[bytes], filename: str, sample_type: str) -> File:
        """Store the results of a batch job."""
        content = b"".join(row + b"\n" for row in rows)
        return self._add(
            File(
                id=str(uuid4()),
                content=content,
                content_hash=digest(content),
                filename=filename,
                purpose="batch",
                sample_type=sample_type,
                source="mistral",
                mimetype=None,
                visibility="workspace",
                created_at=time.time(),
                expires_at=None,
                num_lines=content.count(b"\n"),
            )
        )

    def _add(self, file: File) -> File:
        self._files[file.id] = file
        return file

    def sign(self, origin: str, id_: str, hours: float) -> str:
        """Return a link to the file that opens it without a key, for so many hours."""
        expires = f"{time.time() + hours * HOUR:.3f}"
        signature = self._signature(self.get(id_).id, expires)
        return f"{origin}{LINK_PREFIX}{id_}?expires={expires}&signature={signature}"

    def open_link(self, id_: str, expires: str, signature: str) -> File | None:
        """Return the file a link leads to; None when it does not, or no longer."""
        if not hmac.compare_digest(signature, self._signature(id_, expires)):
            return None
        file = self._files.get(id_)
        now = time.time()
        if file is None or (file.expires_at and file.expires_at <= now):
            return None
        return file if float(expires) > now else None

    def _signature(self, id_: str, expires: str) -> str:
        return hmac.new(self._secret, f"{id_} {expires}".encode(), hashlib.sha256).hexdigest()


def _count_requests(content: bytes) -> int:
    """Count the requests in a file for a batch, each of which must be an object with a body."""
    wrong = []
    lines = content.splitlines()
    for number, line in enumerate(lines, 1):
        try:
            request = msgspec.json.decode(line)
        except msgspec.DecodeError as error:
            message = f"line contains invalid json: {error}"
        else:
            if isinstance(request, dict) and isinstance(request.get("body"), dict):
                continue
            message = "line needs a body"
        wrong.append({"message": message, "line_number": number})
    if wrong or not lines:
        text = f"Found {len(wrong)} errors in this file."
        raise errors.invalid_file(text, errors=wrong)
    return len(lines)
