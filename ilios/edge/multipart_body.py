"""The body of a form as aiohttp's reader sees it: what it reads by lines is short and not endless.

The reader looks for the first boundary, and for whatever follows the last, line by line, and never
lets others have a turn while lines are there. Some hundred thousand of them are one megabyte.
"""

from typing import Any, cast

from aiohttp import MultipartReader, StreamReader, web
from aiohttp.http_exceptions import BadHttpMessage

MAX_HEADERS = 128
"""Header lines of one part."""
MAX_LINES = MAX_HEADERS + 8
"""Lines from the end of one part's content to the beginning of the next one's."""
MAX_LINE_BYTES = 8190


class BoundedBody:
    """Hands a request's body on and counts its lines."""

    def __init__(self, content: StreamReader) -> None:
        self._content = content
        self._lines = 0

    def begin_part(self) -> None:
        """Count the lines of the next part."""
        self._lines = 0

    async def readline(self, *, max_line_length: int | None = None) -> bytes:
        """Return the next line with its end, or what is left.

        :raises HttpProcessingError: it is too long, or there were too many since ``begin_part``.
        """
        self._lines += 1
        if self._lines > MAX_LINES:
            raise BadHttpMessage("too many lines between the parts of the form")
        longest = min(max_line_length or MAX_LINE_BYTES, MAX_LINE_BYTES)
        return await self._content.readline(max_line_length=longest)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # all else is the stream's own
        return getattr(self._content, name)


async def multipart_reader(request: web.Request, body: BoundedBody) -> MultipartReader:
    """Return a reader of the request's form that reads by way of ``body``; waits for nothing.

    :raises ValueError: the request does not say where the form's parts end.
    """
    return MultipartReader(
        request.headers,
        cast("StreamReader", body),
        max_field_size=MAX_LINE_BYTES,
        max_headers=MAX_HEADERS,
    )
