"""The format ``html``: a page that executes nothing and fetches nothing when it is opened."""

import base64
import hashlib
from collections.abc import Iterator
from html import escape

from ilios.formats.declaration import Format, FormatOptions, Page, PageRenderer
from ilios.formats.pages import printed, streamed
from ilios.visible import clean_name

_STYLE = (
    "body{font-family:sans-serif;line-height:1.5;max-width:50em;margin:0 auto;padding:1em}"
    "section+section{border-top:1px solid #999;margin-top:2em;padding-top:1em}"
    "table{border-collapse:collapse}td,th{border:1px solid #999;padding:.2em .5em;"
    "text-align:left;vertical-align:top}.right{text-align:right}.center{text-align:center}"
    "pre{white-space:pre-wrap}"
)
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'"
"""Allows the style of the page and nothing else; also where the page was saved."""


class _HtmlRenderer(PageRenderer):
    def __init__(self, name: str, _document_id: str | None, _options: FormatOptions) -> None:
        self._title = escape(clean_name(name))

    def begin(self) -> str:
        return (
            '<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_POLICY}">\n'
            '<meta name="viewport" content="width=device-width">\n'
            f"<title>{self._title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        )

    def page(self, page: Page) -> Iterator[str]:
        # Late: the parser is not loaded before somebody asks for HTML.
        from ilios.formats.fragments import fragments  # noqa: PLC0415

        yield f'<section data-page="{page.number}" id="page-{page.number}">\n'
        yield from fragments(page)
        yield "</section>\n"

    def end(self) -> Iterator[str]:
        yield "</body>\n</html>\n"


HTML = Format(
    "text/html; charset=utf-8",
    "html",
    streamed(_HtmlRenderer),
    printed(_HtmlRenderer),
    heading=None,
    headers={"Content-Security-Policy": f"sandbox; {CONTENT_POLICY}"},
)
