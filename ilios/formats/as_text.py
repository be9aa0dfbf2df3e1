"""The format ``text``: plain text, with a form feed between two pages."""

from collections.abc import Iterator

from ilios.formats.declaration import Format, FormatOptions, Page, PageRenderer
from ilios.formats.pages import printed, streamed
from ilios.formats.plain_text import PlainText
from ilios.visible import visible


class _TextRenderer(PageRenderer):
    def __init__(self, _name: str, _document_id: str | None, _options: FormatOptions) -> None:
        self._is_first = True

    def page(self, page: Page) -> Iterator[str]:
        # Late: the parser is not loaded before somebody asks for text.
        from ilios.formats.fragments import fragments  # noqa: PLC0415

        if not self._is_first:
            yield "\f"
        self._is_first = False
        text = PlainText()
        for fragment in fragments(page):
            text.add(fragment)
            yield text.take()
        text.close()
        yield text.take() + "\n"


TEXT = Format(
    "text/plain; charset=utf-8",
    "txt",
    streamed(_TextRenderer),
    printed(_TextRenderer),
    heading=lambda name: f"==> {visible(name)} <==\n\n",
)
