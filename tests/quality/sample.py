"""A document of our own making, and what is expected of its conversion."""

from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

from tests.quality.paper import Paper, Sheet

CLEAN = "no-warnings:"


class Sample(Struct, frozen=True):
    """A document of a kind; ``expected`` are lines as ``ilios score`` reads them."""

    kind: str
    variant: str
    suffix: str
    make: Callable[[], bytes]
    expected: tuple[str, ...]

    @property
    def name(self) -> str:
        """The path of the document below the directory of the samples."""
        return f"{self.kind}/{self.variant}.{self.suffix}"

    def write(self, directory: Path) -> None:
        """Write the document and its expectations."""
        path = directory / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.make())
        path.with_suffix(".expect").write_text("".join(f"{line}\n" for line in self.expected))


def of_pages(
    kind: str, variant: str, pages: Iterable[Sheet], *expected: str, clean: bool = True
) -> Sample:
    """Return a PDF of these pages, of which nothing is to be warned if it is ``clean``."""
    sheets = tuple(pages)
    lines = (*expected, CLEAN) if clean else expected
    return Sample(kind, variant, "pdf", lambda: Paper(*sheets).write(), lines)
