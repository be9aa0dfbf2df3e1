"""Results to score: by the local engine in its sandbox, or read from Markdown made elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from actors import sniffing
from actors.engines import PAGE_SEPARATOR, EngineCrashed, SourceFile, Unconvertible
from actors.text_sniffing import Claim
from ilios.engines.converters import registry
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.pool import Pool
from ilios.engines.local.protocol import Converted, Refused, ToMarkdown
from ilios.score.expectations import Outcome, ReadPage
from schemas.results import PageResult


class LocalConverter:
    """Converts documents as ``ilios convert`` does, keeping what each page carries beside its text.

    Its children end with :meth:`close`.
    """

    def __init__(self, limits: EngineLimits) -> None:
        self._pool = Pool(limits, None)

    async def close(self) -> None:
        """End the children."""
        await self._pool.close()

    async def convert(self, path: Path) -> tuple[Outcome, float]:
        """Return what becomes of a document, and the seconds of the work."""
        content_type, described = _sniff(path)
        if content_type is None:
            return Outcome(refusal=f"This is {described}."), 0.0
        if not registry.is_supported(content_type):
            return Outcome(refusal=str(registry.unsupported_type(content_type))), 0.0
        try:
            done = await self._pool.run(SourceFile(path, content_type), ToMarkdown(), None)
        except Unconvertible as error:
            return Outcome(refusal=f"{error.reason} ({error.code})"), 0.0
        except EngineCrashed as error:
            return Outcome(refusal=f"{error.reason} (crashed)"), 0.0
        if isinstance(done.outcome, Refused):
            refusal = f"{done.outcome.reason} ({done.outcome.code})"
            return Outcome(refusal=refusal), done.seconds
        assert isinstance(done.outcome, Converted)
        return Outcome(tuple(_read(page.result) for page in done.outcome.pages)), done.seconds


@asynccontextmanager
async def local_converter(limits: EngineLimits) -> AsyncIterator[LocalConverter]:
    """Yield a converter."""
    converter = LocalConverter(limits)
    try:
        yield converter
    finally:
        await converter.close()


class StoredMarkdown:
    """Reads results that ``ilios convert -o DIR`` or another program has written."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def convert(self, path: Path) -> tuple[Outcome, float]:
        """Return the pages of ``NAME.md``; without that file the document is refused."""
        file = self._directory / f"{path.name}.md"
        try:
            text = await asyncio.to_thread(file.read_text, "utf-8", "replace")
        except FileNotFoundError:
            return Outcome(refusal=f"There is no {file}."), 0.0
        pages = text.split(PAGE_SEPARATOR)
        return Outcome(tuple(ReadPage(index, page) for index, page in enumerate(pages))), 0.0


Converter = LocalConverter | StoredMarkdown


def _sniff(path: Path) -> tuple[str | None, str]:
    with path.open("rb") as file:
        head = file.read(sniffing.SNIFF_LENGTH)
        file.seek(max(0, path.stat().st_size - sniffing.SNIFF_LENGTH))
        tail = file.read(sniffing.SNIFF_LENGTH)
    return sniffing.sniff(head, tail, Claim.of(path.name)), sniffing.describe(head, tail)


def _read(page: PageResult) -> ReadPage:
    return ReadPage(
        page.index,
        page.markdown,
        page.header or "",
        page.footer or "",
        tuple(warning.code for warning in page.warnings),
        page.method or "",
    )


def joined(pages: Sequence[ReadPage]) -> str:
    """Return the Markdown of all pages."""
    return "\n\n".join(page.markdown for page in pages)
