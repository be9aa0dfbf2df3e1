"""Files that a document inserts among its paragraphs (``w:altChunk``): HTML, and plain text."""

import email
import email.policy
import posixpath

from ilios.engines.converters import blocks as web_blocks
from ilios.engines.converters.docx.blocks import Block, Display, Paragraph
from ilios.engines.converters.docx.source import Source
from ilios.engines.converters.encodings import decode_markup
from ilios.engines.converters.inline import Run, safe_link
from ilios.engines.converters.opc import UnreadablePart
from ilios.engines.converters.web import parsing, walk
from ilios.engines.local.limits import MIB

MAX_BYTES = 8 * MIB


def blocks(part: str, source: Source) -> list[Block]:
    """Return the blocks of an inserted file; of other kinds than these it is named only."""
    try:
        kind, data = _content(source, part)
    except (UnreadablePart, LookupError, ValueError, TypeError):
        source.leave_out("part_unreadable", part)
        return []
    if "html" in kind and len(data) <= MAX_BYTES:
        page = parsing.parse_html(data)
        found = walk.blocks_of(
            page.root, _Surroundings(), source.reading.merged_cells, source.breathe
        )
        return [Display(text)] if (text := web_blocks.write(found, source.breathe)) else []
    if kind == "text/plain" and len(data) <= MAX_BYTES:
        lines = decode_markup(data).text.split("\n")
        return [Paragraph((Run(line.strip()),)) for line in lines if line.strip()]
    source.leave_out("attachments_not_converted", posixpath.basename(part))
    return []


def _content(source: Source, part: str) -> tuple[str, bytes]:
    """Return the type and the bytes of a file, or of the HTML in a web archive."""
    kind, data = source.package.content_type(part).lower(), source.package.read(part)
    if kind != "message/rfc822" and not kind.startswith("multipart/"):
        return kind, data
    if len(data) > MAX_BYTES:
        return kind, b""
    archive = email.message_from_bytes(data, policy=email.policy.compat32)
    for one in archive.walk():
        if one.get_content_type() == "text/html":
            payload = one.get_payload(decode=True)
            charset = one.get_content_charset() or "utf-8"
            text = payload.decode(charset, "replace") if isinstance(payload, bytes) else ""
            return "text/html", b"\xef\xbb\xbf" + text.encode()
    return kind, b""


class _Surroundings(walk.WithoutNotes):
    """Of a page within a document: pictures are described, links lead outside."""

    def picture(self, source: str, alt: str) -> str:
        del source
        described = " ".join(alt.split()).translate(str.maketrans("[]\\", "()/"))
        return f"![{described}]()" if described else ""

    def link(self, target: str) -> str:
        return safe_link(walk.resolve("", target))
