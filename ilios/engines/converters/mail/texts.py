"""The page of a mail's own text: subject, headers, text."""

import re

from lxml import html

from ilios.engines.converters import inline, markdown
from ilios.engines.converters.mail import bodies
from ilios.engines.converters.mail.message import Html, Message, Plain
from ilios.engines.pages import ConvertedPage
from schemas.results import PageResult

_ADDRESS = re.compile(r"\\<([\w.+-]{1,64}@[\w.-]{1,255})>")

MAX_LISTED = 100
"""Attachments named in the list of them; each has a page, or a warning."""


def page(message: Message, name: str, attached: list[str]) -> ConvertedPage:
    """Return the page of a mail, which is attached to another under ``name`` or to none."""
    title = markdown.one_line(name or message.subject)
    blocks = [f"# {inline.escape(title)}"] if title else []
    headers = list(message.headers)
    if message.subject and title != message.subject:
        headers.insert(0, ("Subject", message.subject))
    if attached:
        more = len(attached) - MAX_LISTED
        listed = attached[:MAX_LISTED] + ([f"{more} more"] if more > 0 else [])
        headers.append(("Attachments", ", ".join(map(markdown.one_line, listed))))
    blocks += [f"**{name}:** {_addressed(value)}" for name, value in headers]
    for body in message.bodies:
        match body:
            case Plain():
                blocks.append(bodies.plain(body))
            case Html():
                root = html.fromstring(body.source)
                blocks.append(markdown.clean(root.text_content()))
    return ConvertedPage(PageResult(index=0, markdown=markdown.clean("\n\n".join(blocks))))


def _addressed(value: str) -> str:
    """Return a header's text with its addresses as Markdown has them: in angle brackets."""
    return _ADDRESS.sub(r"<\1>", inline.escape(value))
