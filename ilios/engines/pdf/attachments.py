"""Files attached to a PDF, as in a portfolio: they are named, but not converted."""

from collections.abc import Iterable, Sequence
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from ilios.engines.converters import markdown
from schemas.warnings import PageWarning, page_warning

MAX_NAMED, MAX_NAME_CHARS = 8, 40
"""Attached files that a warning names, and characters of their names; further ones are counted."""

MAX_NAME_BYTES = 100_000
UNNAMED = "a file without a name"
"""What stands for a name that is missing, or longer than this."""

MAX_LOOKED_AT = 1_000
"""Annotations of a page that are searched for attached files."""


def document_files(document: pypdfium2.PdfDocument) -> Iterable[PageWarning]:
    """Yield a warning about the files that are attached to a document as a whole."""
    count = pdfium.FPDFDoc_GetAttachmentCount(document.raw)
    first = range(min(count, MAX_NAMED))
    names = [_name(pdfium.FPDFDoc_GetAttachment(document.raw, at)) for at in first]
    yield from _warning(names, count)


def page_files(page: pypdfium2.PdfPage) -> Iterable[PageWarning]:
    """Yield a warning about the files that are attached at places of a page."""
    names: list[str] = []
    count = 0
    for number in range(min(pdfium.FPDFPage_GetAnnotCount(page.raw), MAX_LOOKED_AT)):
        annotation = pdfium.FPDFPage_GetAnnot(page.raw, number)
        if not annotation:
            continue
        if pdfium.FPDFAnnot_GetSubtype(annotation) == pdfium.FPDF_ANNOT_FILEATTACHMENT:
            count += 1
            if count <= MAX_NAMED:
                names.append(_name(pdfium.FPDFAnnot_GetFileAttachment(annotation)))
        pdfium.FPDFPage_CloseAnnot(annotation)
    yield from _warning(names, count)


def _warning(names: Sequence[str], count: int) -> Iterable[PageWarning]:
    if not count:
        return
    listed = ", ".join(names)
    more = f" and {count - len(names)} more" if count > len(names) else ""
    yield page_warning("attachments_not_converted", f"{listed}{more}")


def _name(attachment: Any) -> str:
    """Return the name of an attached file, which may be long or missing."""
    length = pdfium.FPDFAttachment_GetName(attachment, None, 0) if attachment else 0
    if not 2 < length <= MAX_NAME_BYTES:
        return UNNAMED
    buffer = (pdfium.FPDF_WCHAR * (length // 2 + 1))()
    pdfium.FPDFAttachment_GetName(attachment, buffer, length)
    text = bytes(buffer).decode("utf-16-le", errors="replace").split("\0", 1)[0]
    name = markdown.one_line(markdown.clean(text))
    return (name if len(name) <= MAX_NAME_CHARS else f"{name[:MAX_NAME_CHARS]}...") or UNNAMED
