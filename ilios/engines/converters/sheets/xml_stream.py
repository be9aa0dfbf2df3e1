"""Elements of a large XML part, one by one, in memory that does not grow with the part."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any
from zipfile import BadZipFile

from lxml import etree

from ilios.engines.converters.xml_trees import CONTENT_ONLY

CHUNK_BYTES = 256 * 1024
MAX_PENDING_BYTES = 16 * 1024 * 1024
"""Bytes without the end of a wanted element: their tree takes thirty times as much memory."""


class UnreadableXml(ValueError):
    """The part is damaged, or its elements are too large; those before were yielded."""


def elements(
    stream: IO[bytes], names: Sequence[str], heartbeat: Callable[[], None]
) -> Iterator[Any]:
    """Yield elements with these local names when they end; each is emptied after its turn.

    :raises UnreadableXml: the rest cannot be read.
    """
    for event, element in events(stream, names, heartbeat, only_ends=True):
        if event == "end":
            yield element


def events(
    stream: IO[bytes],
    names: Sequence[str],
    heartbeat: Callable[[], None],
    *,
    only_ends: bool = False,
) -> Iterator[tuple[str, Any]]:
    """Yield ``start`` and ``end`` with elements of these names, which are emptied after their end.

    At its start, an element has its attributes only.

    :raises UnreadableXml: the rest cannot be read.
    """
    parser = etree.XMLPullParser(
        events=("end",) if only_ends else ("start", "end"),
        tag=[f"{{*}}{name}" for name in names],
        **CONTENT_ONLY,
    )
    pending = 0
    try:
        while chunk := stream.read(CHUNK_BYTES):
            parser.feed(chunk)
            pending += len(chunk)
            for event, element in parser.read_events():
                yield event, element
                if event == "end":
                    pending = 0
                    _forget(element)
            if pending > MAX_PENDING_BYTES:
                raise UnreadableXml("an element is too large")
            heartbeat()
        parser.close()
        yield from parser.read_events()
    except (etree.XMLSyntaxError, EOFError, BadZipFile, zlib.error) as error:
        raise UnreadableXml(str(error)) from error


def _forget(element: Any) -> None:
    """Empty an element, and remove those before it."""
    element.clear()
    parent = element.getparent()
    if parent is not None:
        while element.getprevious() is not None:
            del parent[0]


def local_name(element: Any) -> str:
    """Return the name of an element without its namespace; empty for a comment."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def is_on(value: str | None, default: str = "0") -> bool:
    """Whether an attribute is true."""
    return (default if value is None else value) in ("1", "true", "on")


def natural(value: str | None, default: int = 0) -> int:
    """Return an attribute as a number from 0 with at most nine digits, or the default."""
    if value and len(value) <= 9 and value.isdecimal() and value.isascii():
        return int(value)
    return default
