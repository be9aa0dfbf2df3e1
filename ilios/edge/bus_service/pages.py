"""Pages of documents as replies on the bus: those that are converted so far, or the final ones."""

from contextlib import aclosing, suppress

import msgspec

from actors.draft_pages import MAX_REPLY_BYTES
from bus.errors import BusUnavailable
from ilios.edge import blob_responses, content, responses
from ilios.edge.bus_service.results import Room, too_large_problem
from ilios.edge.context import Edge
from schemas.pages import DocumentPages, DraftsReply, PageLine
from schemas.records import DocumentRecord
from schemas.results import PageResult, split_lines
from schemas.states import UNFINISHED_STATES

FIRST_DRAFT = 2**40
"""Numbers of drafts are greater: since one of them no final page was read."""

_decode = msgspec.json.Decoder(PageResult).decode


async def read_pages(edge: Edge, document: DocumentRecord, since: int, room: Room) -> DocumentPages:
    """Return pages of a document after ``since``, as many as a reply has room for.

    :raises HttpProblem: the next page is larger than a reply may be (413), or as by HTTP.
    """
    if document.state in UNFINISHED_STATES:
        return await _drafts(edge, document, since)
    since = since if since < FIRST_DRAFT else 0
    failed = responses.has_failed(document)
    found: tuple[list[PageLine], bool] = ([], False)
    if document.result is not None and not failed:
        async with content.gone_if_removed(edge, document):
            found = await _final_pages(edge, document, since, room.max_bytes)
    lines, more = found
    return DocumentPages(
        id=document.document_id,
        state="failed" if failed else document.state,
        until=since + len(lines),
        more=more,
        pages=tuple(lines),
        error=document.reason,
        code=document.code,
    )


async def _drafts(edge: Edge, document: DocumentRecord, since: int) -> DocumentPages:
    found = DraftsReply(until=since, more=False, pages=())
    with suppress(BusUnavailable):  # the worker restarts, or none has begun
        found = await edge.pages.drafts(document.tenant, document.document_id, since)
    return DocumentPages(
        id=document.document_id,
        state=document.state,
        until=max(since, found.until),
        more=found.more,
        pages=tuple(_line(page, final=False) for page in found.pages),
    )


async def _final_pages(
    edge: Edge, document: DocumentRecord, since: int, max_bytes: int
) -> tuple[list[PageLine], bool]:
    """Return pages of the result after so many, and whether there are more."""
    assert document.result is not None
    lines, size, number = list[PageLine](), 0, -1  # the first line is the head
    chunks = blob_responses.verified_chunks(edge.blobs, document.result)
    async with aclosing(chunks):
        async for line in split_lines(chunks):
            number += 1
            if number <= since:
                continue
            if len(line) > max_bytes:
                if lines:
                    return lines, True
                raise too_large_problem(document, max_bytes, None)
            if lines and size + len(line) > MAX_REPLY_BYTES:
                return lines, True
            size += len(line)
            lines.append(_line(_decode(line), final=True))
    return lines, False


def _line(page: PageResult, *, final: bool) -> PageLine:
    return PageLine(final=final, **{name: getattr(page, name) for name in page.__struct_fields__})
