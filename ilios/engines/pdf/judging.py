"""Whether the text layer of a page is what a reader sees, or the page has to be recognised."""

from collections import Counter, defaultdict

import pypdfium2
from liteparse.types import ParsedPage, TextItem
from msgspec import Struct

from ilios.engines.pdf import trust
from ilios.engines.pdf.characters import square_count
from ilios.engines.pdf.geometry import Rect, Sheet
from ilios.engines.pdf.items import MAX_ITEMS
from ilios.engines.pdf.objects import PageObjects
from ilios.engines.pdf.scans import READ_SHARE, PageReader, compare
from ilios.engines.recognition.ocr import ImageText
from schemas.options import RecognitionMode
from schemas.warnings import PageWarning, page_warning

TEXT_CHARS = 50
"""A page with fewer characters may be a scan."""

SCAN_COVERAGE = 0.25
"""Share of the page that one image covers on a scan with a little text."""

OUTLINED_TEXT_PATHS = 100
"""So many drawn paths on a page without any text are taken for text converted to outlines."""

NOISY_SHARE = 0.5
"""Share of the text from which on the whole page is recognised, and not just the noisy part."""

SQUARE_SHARE, LEAST_SQUARES, NARROW = 0.9, 20, 0.7
"""Share of letters of Chinese, Japanese or Korean in a text, how many of them, and their mean width
in the size of their font, below which they are those of another script: theirs are squares."""

TRUSTED_RUN = 3
SPOT_CHECK = 10
"""After so many pages with a good recognised layer, one in this many is compared."""

BAND = (0.3, 0.6)
"""The part of a page's height of which a recognised layer is compared."""


class Verdict(Struct, frozen=True):
    """How a page is read: by its recognition if there is one, else by its text layer.

    Of the layer, the text of ``noisy_fonts`` is not believed.
    """

    recognised: ImageText | None = None
    noisy_fonts: frozenset[str | None] = frozenset()
    warnings: tuple[PageWarning, ...] = ()


class Judge:
    """Judges the text layers of one document's pages, in their order."""

    def __init__(self, reader: PageReader, mode: RecognitionMode) -> None:
        self._reader = reader
        self._mode = mode
        self._good_scans = 0

    def judge(
        self,
        page: pypdfium2.PdfPage,
        layer: str,
        objects: PageObjects,
        parsed: ParsedPage | None,
        index: int,
    ) -> Verdict:
        """Return how a page is read, of which ``layer`` is the text layer."""
        if self._mode == "force":
            return Verdict(self._reader.read_page(page, objects))
        if _is_scan(layer, objects) or _is_blank(layer, parsed):
            if self._mode == "never":
                return Verdict(warnings=(page_warning("image_text_unread"),))
            return Verdict(self._reader.read_page(page, objects))
        if self._mode == "never":
            is_suspect = trust.is_unreadable(layer) or _is_mostly_suspect(*_suspects(parsed))
            return Verdict(warnings=(page_warning("text_layer_suspect"),) if is_suspect else ())
        if trust.is_unreadable(layer):
            read: ImageText | None = self._reader.read_page(page, objects)
        elif objects.hides_text:
            read = self._read_bad_scan(page, layer, objects, index)
        else:
            return self._judge_letters(page, layer, objects, parsed)
        return Verdict(read, warnings=(page_warning("text_layer_untrusted"),) if read else ())

    def has_layer(self, layer: str, objects: PageObjects, parsed: ParsedPage | None) -> bool:
        """Whether a page may be read by its text layer, as far as is clear without recognition."""
        if self._mode != "auto":
            return self._mode == "never"
        is_scan = _is_scan(layer, objects) or _is_blank(layer, parsed)
        return not (is_scan or trust.is_unreadable(layer))

    def _read_bad_scan(
        self, page: pypdfium2.PdfPage, layer: str, objects: PageObjects, index: int
    ) -> ImageText | None:
        """Return the text of a scan the recognised layer of which a part of it contradicts."""
        if self._good_scans >= TRUSTED_RUN and index % SPOT_CHECK and not trust.is_noise(layer):
            return None
        sheet = Sheet.of(page)
        width, height = sheet.size
        band = Rect(0.0, BAND[0] * height, width, BAND[1] * height)
        comparison = compare(self._reader.read_band(page, objects, sheet, band), layer)
        read: ImageText | None = None
        if comparison.contradicts or not comparison.decisive:
            read = self._reader.read_page(page, objects)
            comparison = compare(read, layer)
        self._good_scans = 0 if comparison.contradicts else self._good_scans + 1
        return read if comparison.contradicts else None

    def _judge_letters(
        self,
        page: pypdfium2.PdfPage,
        layer: str,
        objects: PageObjects,
        parsed: ParsedPage | None,
    ) -> Verdict:
        """Return how a page is read whose letters may be no language."""
        suspected, texts = _suspects(parsed)
        if not suspected:
            return Verdict()
        if not _is_mostly_suspect(suspected, texts):
            return Verdict(noisy_fonts=suspected)
        read = self._reader.read_page(page, objects)
        if compare(read, layer).contradicts:
            return Verdict(read, warnings=(page_warning("text_layer_untrusted"),))
        return Verdict()


def _suspects(
    parsed: ParsedPage | None,
) -> tuple[frozenset[str | None], dict[str | None, str]]:
    """Return the fonts whose letters may be no language, and the text of every font."""
    lists: dict[str | None, list[str]] = defaultdict(list)
    for item in parsed.text_items[:MAX_ITEMS] if parsed else ():
        lists[item.font_name].append(item.text)
    texts = {font: " ".join(found) for font, found in lists.items()}
    return trust.suspect_fonts(texts) | _narrow_fonts(parsed), texts


def _narrow_fonts(parsed: ParsedPage | None) -> frozenset[str | None]:
    """Return the fonts whose glyphs are narrower than the Chinese letters that they claim to be."""
    widths: Counter[str | None] = Counter()
    squares: Counter[str | None] = Counter()
    letters: Counter[str | None] = Counter()
    for item in parsed.text_items[:MAX_ITEMS] if parsed else ():
        count = len(item.text)
        if item.rotation or not item.font_size or square_count(item.text) < SQUARE_SHARE * count:
            continue
        letters[item.font_name] += count
        widths[item.font_name] += round(item.width)
        squares[item.font_name] += round(item.font_size * count)
    return frozenset(
        font
        for font, count in letters.items()
        if count >= LEAST_SQUARES and widths[font] < NARROW * squares[font]
    )


def _is_mostly_suspect(suspected: frozenset[str | None], texts: dict[str | None, str]) -> bool:
    noise = " ".join(texts[font] for font in suspected)
    return bool(suspected) and len(noise) >= NOISY_SHARE * sum(map(len, texts.values()))


def _is_blank(layer: str, parsed: ParsedPage | None) -> bool:
    """Whether the fonts of a page claim that its letters are blanks."""
    return not layer.strip() and parsed is not None and any(map(_is_seen, parsed.text_items))


def _is_seen(item: TextItem) -> bool:
    return not item.text.isspace() and item.text != ""


def _is_scan(layer: str, objects: PageObjects) -> bool:
    """Whether a page shows text that its text layer does not contain."""
    full = "".join(layer.split())
    if len(full) >= TEXT_CHARS:
        return False
    if full:
        return objects.largest > SCAN_COVERAGE
    return objects.largest > READ_SHARE or objects.paths >= OUTLINED_TEXT_PATHS
