"""What an output format is made of, and what it is rendered from."""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from actors.engines import Conversion
from schemas.replies import DocumentContent

MIN_CHUNK_SIZE = 32
MAX_CHUNK_SIZE = 8192
DEFAULT_CHUNK_SIZE = 512

ChunkSize = Annotated[
    Annotated[int, Meta(ge=MIN_CHUNK_SIZE, le=MAX_CHUNK_SIZE)] | None,
    Meta(
        description="Estimated tokens of a chunk at most, for the format `chunks`; "
        f"{DEFAULT_CHUNK_SIZE} by default.",
        extra={"expected": f"a whole number from {MIN_CHUNK_SIZE} to {MAX_CHUNK_SIZE}"},
    ),
]


class FormatOptions(Struct, frozen=True, kw_only=True, rename="camel"):
    """Options of output formats; None was not requested. A format lists those it has."""

    chunk_size: ChunkSize = None

    @classmethod
    def of(cls, request: Struct) -> "FormatOptions":
        """Return those of a request, which has other members as well."""
        return msgspec.convert(request, cls, from_attributes=True)

    def not_of(self, output: "Format") -> str | None:
        """Return the name on the wire of a requested option that the format does not have."""
        for name, wire_name in zip(
            FormatOptions.__struct_fields__, FormatOptions.__struct_encode_fields__, strict=True
        ):
            if getattr(self, name) is not None and name not in output.options:
                return wire_name
        return None


class StoredDocument(Struct, frozen=True):
    """A completed document to be rendered: its reply without content, and its streams.

    ``result`` streams the JSON lines an engine left about the pages, if it left any.
    """

    reply: DocumentContent
    markdown: AsyncGenerator[bytes, None]
    result: AsyncGenerator[bytes, None] | None
    options: FormatOptions = FormatOptions()


class Page(Struct, frozen=True):
    """The Markdown of a page, and its number in the document, counted from 1."""

    number: int
    markdown: str


class PageRenderer:
    """A rendering of a document, page by page; a base of those that need no more than pages."""

    def begin(self) -> str:
        """Return what stands before the first page."""
        return ""

    def page(self, page: Page) -> Iterator[str]:
        """Yield the pieces of a page, each after a bounded amount of work."""
        raise NotImplementedError

    def end(self) -> Iterator[str]:
        """Yield what stands after the last page."""
        return iter(())


class Format(Struct, frozen=True):
    """An output format.

    ``render`` streams a stored document, its first piece with the first of the Markdown; None
    where the stored Markdown is the output itself, which is then sent with ranges. ``print``
    renders a conversion of the CLI: of a file name, with a line break at its end. ``heading``
    stands before each of several documents on stdout; None where they cannot stand in one file.
    ``schema`` describes the output, None as text. ``options`` are those the format has.
    """

    media_type: str
    suffix: str
    render: Callable[[StoredDocument], AsyncGenerator[bytes, None]] | None
    print: Callable[[str, Conversion, FormatOptions], str]
    heading: Callable[[str], str] | None = lambda _name: ""
    schema: type[Struct] | None = None
    options: frozenset[str] = frozenset()
    headers: Mapping[str, str] = {}


class Output(Struct, frozen=True):
    """A format with its options, as a request or a command line wants it."""

    format: Format
    options: FormatOptions = FormatOptions()
