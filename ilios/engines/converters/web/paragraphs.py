"""Text between two block elements, with its blanks as a browser shows them."""

import re

import msgspec

from ilios.engines.converters.inline import Run

_BLANKS = re.compile(r"[ \t\n\r\f]+")
PLAIN = Run("")


class Inlines:
    """The runs of a paragraph so far, in the styles of the elements around the text."""

    def __init__(self) -> None:
        self._runs: list[Run] = []
        self._styles: list[Run] = [PLAIN]
        self._trailing_blank = True

    def push(self, **changes: object) -> None:
        """Begin an element with a style."""
        self._styles.append(msgspec.structs.replace(self._styles[-1], **changes))

    def pop(self) -> None:
        """End the element begun last."""
        self._styles.pop()

    def text(self, text: str | None) -> None:
        """Add text of the document."""
        if not text:
            return
        text = _BLANKS.sub(" ", text)
        if self._trailing_blank:
            text = text.removeprefix(" ")
        if not text:
            return
        self._trailing_blank = text.endswith(" ")
        self._runs.append(msgspec.structs.replace(self._styles[-1], text=text))

    def line_break(self) -> None:
        """Add a line break."""
        self._strip_end()
        self._runs.append(msgspec.structs.replace(PLAIN, text="\n"))
        self._trailing_blank = True

    def markup(self, text: str) -> None:
        """Add Markdown as it is: an equation, a picture, a checkbox."""
        if text:
            self._trailing_blank = False
            link = self._styles[-1].link
            self._runs.append(Run(text, markup=True, link=link))

    def separate(self) -> None:
        """Make sure that what follows does not touch the text before."""
        self.text(" ")

    def take(self) -> tuple[Run, ...]:
        """Return the runs, and begin the next paragraph."""
        self._strip_end()
        while self._runs and not self._runs[-1].text.strip():
            self._runs.pop()
            self._strip_end()
        while self._runs and not self._runs[0].text.strip():
            del self._runs[0]
        runs = tuple(self._runs)
        self._runs = []
        self._trailing_blank = True
        return runs

    def _strip_end(self) -> None:
        if self._runs and not self._runs[-1].markup:
            self._runs[-1] = msgspec.structs.replace(
                self._runs[-1], text=self._runs[-1].text.rstrip(" ")
            )
