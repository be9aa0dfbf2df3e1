"""The page of a mail's own text: subject, headers, text."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from ilios.engines.converters import blocks, inline, markdown
from ilios.engines.converters.left_out_links import LeftOutLinks
from ilios.engines.converters.mail import bodies
from ilios.engines.converters.mail.message import Body, Html, Message, Plain, Rtf
from ilios.engines.converters.rtf.reader import Reader
from ilios.engines.converters.web import parsing, walk
from ilios.engines.converters.web.html import picture_page
from ilios.engines.converters.web.pictures import Pictures, data_of_url
from ilios.engines.pages import ConvertedPage, Reading
from schemas.warnings import page_warning

MAX_LISTED = 100
"""Attachments named in the list of them; each has a page, or a warning."""

TOO_DEEP = "the nesting of elements, which is too deep; the text is given in paragraphs"
_ADDRESS = re.compile(r"\\<([\w.+-]{1,64}@[\w.-]{1,255})>")
_CONTENT_ID = "cid:"


class TextReader:
    """Reads the texts of mails; ``heartbeat`` is called meanwhile."""

    def __init__(self, reading: Reading, heartbeat: Callable[[], None]) -> None:
        self._reading = reading
        self._heartbeat = heartbeat
        self._pictures = Pictures()
        self._links = LeftOutLinks()
        self._left_out: list[str] = []

    def page(self, message: Message, name: str, attached: list[str]) -> ConvertedPage:
        """Return the page of a mail, which is attached to another under ``name`` or to none."""
        self._pictures, self._links, self._left_out = Pictures(), LeftOutLinks(), []
        texts = [*_head(message, name, attached), *map(self._text, message.bodies)]
        warnings = [page_warning("content_left_out", one) for one in self._left_out]
        warnings += [*self._pictures.warnings(), *self._links.warnings()]
        return picture_page(0, "\n\n".join(texts), self._pictures, tuple(warnings))

    def _text(self, body: Body) -> str:
        match body:
            case Plain():
                return bodies.plain(body)
            case Html():
                return self._html(body)
            case Rtf():
                return self._rtf(body)

    def _html(self, body: Html) -> str:
        # The encoding is that of the part, whatever the page declares.
        page = parsing.parse_html(b"\xef\xbb\xbf" + body.source.encode("utf-8", "replace"))
        if page.flat:
            self._left_out.append(TOO_DEEP)
        surroundings = _MailPage(page.root, body.images, self._pictures, self._links)
        found = walk.blocks_of(page.root, surroundings, self._reading.merged_cells, self._heartbeat)
        return blocks.write(found, self._heartbeat)

    def _rtf(self, body: Rtf) -> str:
        reader = Reader(self._reading)
        reader.pictures, reader.links = self._pictures, self._links
        found = reader.read(body.source, self._heartbeat)
        if reader.left_out:
            self._left_out.append(f"{reader.left_out} pictures")
        return blocks.write(found, self._heartbeat)


class _MailPage(walk.WithoutNotes):
    """What an HTML text has of the mail around it: images by their content ids."""

    def __init__(
        self,
        root: Any,
        images: dict[str, Callable[[], bytes]],
        pictures: Pictures,
        links: LeftOutLinks,
    ) -> None:
        self._base = walk.base_address(root)
        self._images = images
        self._data: dict[str, bytes] = {}
        self._pictures = pictures
        self._links = links

    def picture(self, source: str, alt: str) -> str:
        if source[: len(_CONTENT_ID)].lower() != _CONTENT_ID:
            return self._pictures.add(data_of_url(source), alt)
        name = unquote(source[len(_CONTENT_ID) :])
        if name not in self._data and name in self._images:
            self._data[name] = self._images[name]()  # once: a page may show it a million times
        return self._pictures.add(self._data.get(name), alt)

    def link(self, target: str) -> str:
        return self._links.checked(walk.resolve(self._base, target))


def _head(message: Message, name: str, attached: list[str]) -> list[str]:
    """Return the heading and the headers as paragraphs."""
    title = markdown.one_line(name or message.subject)
    headers = list(message.headers)
    if message.subject and title != message.subject:
        headers.insert(0, ("Subject", message.subject))
    if attached:
        more = len(attached) - MAX_LISTED
        listed = attached[:MAX_LISTED] + ([f"{more} more"] if more > 0 else [])
        headers.append(("Attachments", ", ".join(map(markdown.one_line, listed))))
    texts = [f"# {inline.escape(title)}"] if title else []
    return texts + [f"**{header}:** {_addressed(value)}" for header, value in headers]


def _addressed(value: str) -> str:
    """Return a header's text with its addresses as Markdown has them: in angle brackets."""
    return _ADDRESS.sub(r"<\1>", inline.escape(value))
