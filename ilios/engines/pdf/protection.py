"""Protected PDFs: opened by their password, and written without their protection."""

import io
import stringprep
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

import pypdfium2
import pypdfium2.raw as pdfium

from actors.engines import Unconvertible
from ilios.engines.pdf.document import Damaged, open_pdf
from ilios.engines.pdf.repair import repaired_copy

HEARTBEAT_BYTES = 4 * 1024 * 1024
"""Bytes written between two heartbeats."""

MAX_UTF8_BYTES = 127
"""Bytes of a password that protection by AES-256 uses."""

_UNPROTECTED = -1
"""Revision of the security handler of a PDF without one."""

_PDF_DOC_ENCODING = {
    ord(character): code
    for first, characters in (
        (0x18, "˘ˇˆ˙˝˛˚˜"),  # noqa: RUF001  # the table of the standard
        (0x80, "•†‡…—–ƒ⁄‹›−‰„“”‘’‚™ﬁﬂŁŒŠŸŽıłœšž"),  # noqa: RUF001  # the table of the standard
        (0xA0, "€"),
    )
    for code, character in enumerate(characters, first)
}
"""Codes of PDFDocEncoding (ISO 32000-2, annex D.2) that differ from Latin-1."""


@contextmanager
def unprotected_copy(path: Path, password: str, heartbeat: Callable[[], None]) -> Iterator[Path]:
    """Yield the path of a copy without protection, which is removed afterwards.

    A PDF that needs no password is not copied; a damaged one is repaired first.

    :raises Unconvertible: ``password_incorrect``, or its protection is of an unknown kind.
    """
    with ExitStack() as opened:
        try:
            document = _open(path, password)
        except Damaged:
            repaired = opened.enter_context(repaired_copy(path))
            document = _open(repaired, password) if repaired else None
        if document is None:
            yield path
            return
        copy = opened.enter_context(NamedTemporaryFile(suffix=".pdf"))
        try:
            _save(document, _Pulse(copy, heartbeat))
        finally:
            document.close()
        copy.flush()
        yield Path(copy.name)


def remove_protection(path: Path) -> bytes:
    """Return a PDF that needs no password, without the restrictions on its use.

    :raises Unconvertible: it is damaged, or needs a password.
    """
    written = io.BytesIO()
    with open_pdf(path) as document:
        _save(document, written)
    return written.getvalue()


def encodings(password: str) -> list[bytes]:
    """Return the bytes that programs may have made of a password, the likeliest first.

    The standard has PDFDocEncoding for the older kinds of protection, and UTF-8 of what SASLprep
    makes of it for AES-256. PDFium itself converts between UTF-8 and Latin-1. A line break at the
    end comes from a file with the password on its only line.
    """
    line = password.rstrip("\r\n")
    return [password.encode(), *encodings(line)] if line != password else _encodings(password)


def _encodings(password: str) -> list[bytes]:
    composed = unicodedata.normalize("NFC", password)
    found = [password.encode(), composed.encode(), _prepare(password).encode()[:MAX_UTF8_BYTES]]
    if not password.isascii():
        codes = [_PDF_DOC_ENCODING.get(ord(character), ord(character)) for character in composed]
        if max(codes) < 256:
            found.append(bytes(codes))
        with suppress(UnicodeEncodeError):
            found.append(composed.encode("windows-1252"))
        found.append(unicodedata.normalize("NFD", password).encode())
    return [one for one in dict.fromkeys(found) if one]


def _open(path: Path, password: str) -> pypdfium2.PdfDocument | None:
    """Return a PDF that its password opens; None if it needs none.

    :raises Unconvertible: it cannot be opened.
    """
    with path.open("rb"):
        pass  # an error of the file is not one of the document
    for attempt in (b"", *encodings(password)):
        raw = pdfium.FPDF_LoadDocument(str(path).encode() + b"\0", attempt + b"\0")
        if raw:
            if not attempt or pdfium.FPDF_GetSecurityHandlerRevision(raw) == _UNPROTECTED:
                pdfium.FPDF_CloseDocument(raw)
                return None
            return pypdfium2.PdfDocument(raw)
        match pdfium.FPDF_GetLastError():
            case pdfium.FPDF_ERR_PASSWORD:
                continue
            case pdfium.FPDF_ERR_SECURITY:
                raise Unconvertible(
                    "password_protected", "The PDF uses a kind of protection that cannot be opened."
                )
            case _:
                raise Damaged
    raise Unconvertible(
        "password_incorrect",
        "The password given with the PDF does not open it; submit it again with the right one.",
    )


def _save(document: pypdfium2.PdfDocument, target: "IO[bytes] | _Pulse") -> None:
    try:
        document.save(target, flags=pdfium.FPDF_REMOVE_SECURITY)
    except pypdfium2.PdfiumError as error:
        if isinstance(target, _Pulse) and target.error is not None:
            raise target.error from None
        raise Damaged from error


def _prepare(password: str) -> str:
    """Return a password as SASLprep maps it (RFC 4013, 2.1 and 2.2)."""
    mapped = (
        " " if stringprep.in_table_c12(character) else character
        for character in password
        if not stringprep.in_table_b1(character)
    )
    return unicodedata.normalize("NFKC", "".join(mapped))


class _Pulse:
    """A file whose writer is seen to be alive."""

    def __init__(self, file: IO[bytes], heartbeat: Callable[[], None]) -> None:
        self._file = file
        self._heartbeat = heartbeat
        self._written = 0
        self.error: OSError | None = None
        """What made a write fail: PDFium reports only that one did."""

    def write(self, data: bytes) -> int:
        """Write all of the bytes."""
        before, self._written = self._written, self._written + len(data)
        if before // HEARTBEAT_BYTES != self._written // HEARTBEAT_BYTES:
            self._heartbeat()
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise
