"""Recognition of what a page shows: the page, a band of it, or its pictures."""

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median

import pypdfium2
from msgspec import Struct
from msgspec.structs import replace
from PIL import Image

from ilios.engines.layout.items import Item
from ilios.engines.pdf.geometry import Rect, Sheet
from ilios.engines.pdf.objects import PageObjects, Picture, pixels
from ilios.engines.recognition import tiles
from ilios.engines.recognition.ocr import ImageReader, ImageText
from ilios.engines.recognition.recogniser import Recognised

POINTS = 72.0
PAGE_DPI = 130
USUAL_SIDE = 1500
LONGEST_SIDE = 2000
"""Pixels of the longer side of a page: as at 130 dpi, more for a small page of many pixels."""

MAX_RENDER_PIXELS = 4_000_000
LETTER_PIXELS = 20
LARGEST_SCALE = 6.0
"""Pixels of the height of letters that were found to be small, and per point at most."""

SCAN_SHARE = 0.5
"""Share of a page that a scan covers; nothing beside it is finer."""

MIN_CONFIDENCE = 0.85
"""Mean confidence of a recognition that may contradict a text layer, or read a picture."""

MIN_LETTERS = 30
"""With fewer letters nothing can be compared."""

AGREEMENT = 0.75
"""Share of triples of letters, of those recognised, that a text layer must have."""

READ_SHARE = 0.06
"""Share of the page that a picture must cover to be read on a page with text."""

MIN_PICTURE_PIXELS = 60
SHADES = 32
BACKGROUND_SHARE = 0.35
"""Share of the pixels of a picture with text that are within so many shades of one another."""

MAX_PICTURES = 6
FIRST_PICTURES = 24
"""Pictures read beside a text layer: of one page, and of a document on its first pages. Each
further page allows one more, so that nothing depends on the ranges the document is divided into."""


class PageReader:
    """Recognises pages of one document; the models are loaded when they are first needed.

    :param languages: those of the document, as BCP 47 tags, if they are given.
    :param pages: how many pages of it are converted.
    :param spent: how many pictures were read on pages before.
    """

    def __init__(
        self,
        heartbeat: Callable[[], None],
        languages: Sequence[str] = (),
        pages: int = 1,
        spent: int = 0,
    ) -> None:
        self._heartbeat = heartbeat
        self._languages = tuple(languages)
        self._reader: ImageReader | None = None
        self._spent = spent
        self._allowed = FIRST_PICTURES
        self.pictures = 0
        """How many pictures were read beside a text layer."""
        self._finest = tiles.most_pixels(pages)

    @property
    def model(self) -> str | None:
        """The name of the recogniser, None when it was not needed."""
        return self._reader.model if self._reader else None

    def allow_pictures(self, position: int) -> None:
        """Let as many pictures be read as the page at a position may have with those before it."""
        self._allowed = FIRST_PICTURES + position

    def read_page(self, page: pypdfium2.PdfPage, objects: PageObjects) -> ImageText:
        """Return the text that a page shows."""
        scale = _page_scale(page, objects)
        image = self._render(page, scale)
        return self._recognise(image, _enlarged(objects, scale), self._finer(page, objects, scale))

    def read_band(
        self, page: pypdfium2.PdfPage, objects: PageObjects, sheet: Sheet, band: Rect
    ) -> ImageText:
        """Return the text in a part of a page."""
        scale = _page_scale(page, objects)
        image = self._render(page, scale, _margins(sheet, band))
        return self._recognise(image, _enlarged(objects, scale))

    def read_pictures(
        self, page: pypdfium2.PdfPage, objects: PageObjects, items: Sequence[Item], sheet: Sheet
    ) -> tuple[list[tuple[Rect, list[Item]]], bool]:
        """Return the text of each picture that has some, and whether some were not read.

        Text over a picture that is in ``items`` is left out.
        """
        found: list[tuple[Rect, list[Item]]] = []
        seen = list(items)
        wanted = [one for one in objects.pictures if one.rect.area > READ_SHARE * objects.area]
        for picture in wanted[:MAX_PICTURES]:
            if self._spent + self.pictures >= self._allowed:
                return found, True
            if min(pixels(picture)) < MIN_PICTURE_PIXELS:
                continue
            image = self._render(page, _picture_scale(picture), _margins(sheet, picture.rect))
            if not _has_background(image):
                continue
            self.pictures += 1
            read = self._recognise(image)
            text = _items_at(read.recognised, picture.rect, seen)
            if text:
                found.append((picture.rect, text))
                seen += text
        return found, len(wanted) > MAX_PICTURES

    def read_instead(
        self, page: pypdfium2.PdfPage, sheet: Sheet, noise: Sequence[Item], others: Sequence[Item]
    ) -> list[Item] | None:
        """Return what is seen where ``noise`` stands; None if that is what is seen, or unsure."""
        around = Rect(
            min(item.left for item in noise) - 2,
            min(item.top for item in noise) - 2,
            max(item.right for item in noise) + 2,
            max(item.bottom for item in noise) + 2,
        ).common(Rect(0.0, 0.0, *sheet.size))
        if around.area <= 0:
            return None
        small = median(item.size for item in noise)
        scale = max(PAGE_DPI / POINTS, min(LETTER_PIXELS / max(small, 1.0), LARGEST_SCALE))
        read = self._recognise(self._render(page, scale, _margins(sheet, around)))
        layer = " ".join(item.text for item in (*noise, *others))
        if not compare(read, layer).contradicts:
            return None
        return [_as_high_as(item, noise) for item in _items_at(read.recognised, around, others)]

    def _render(
        self,
        page: pypdfium2.PdfPage,
        scale: float,
        crop: tuple[float, float, float, float] = (0, 0, 0, 0),
    ) -> Image.Image:
        width, height = page.get_size()
        area = (width - crop[0] - crop[2]) * (height - crop[1] - crop[3])
        scale = min(scale, (MAX_RENDER_PIXELS / max(area, 1.0)) ** 0.5)
        bitmap = page.render(scale=scale, crop=crop)
        self._heartbeat()
        try:
            # The image may share the memory of the bitmap.
            image: Image.Image = bitmap.to_pil().convert("RGB").copy()
            return image
        finally:
            bitmap.close()

    def _finer(
        self, page: pypdfium2.PdfPage, objects: PageObjects, scale: float
    ) -> tiles.Finer | None:
        """Return a larger copy of a page that is made smaller than its pictures and print are."""
        width, height = page.get_size()
        wanted = _natural_scale(objects)
        finest = min(wanted, (self._finest / max(width * height, 1.0)) ** 0.5)
        if scale * max(width, height) < LONGEST_SIDE - 1 or finest < tiles.LEAST_SCALE * scale:
            return None

        def load() -> Image.Image:
            bitmap = page.render(scale=finest, grayscale=True)
            try:
                image: Image.Image = bitmap.to_pil().convert("L").copy()
                return image
            finally:
                bitmap.close()

        return tiles.Finer(finest / scale, load, wanted / finest)

    def _recognise(
        self, image: Image.Image, enlarged: float = 1.0, finer: tiles.Finer | None = None
    ) -> ImageText:
        if self._reader is None:
            self._reader = ImageReader(self._languages)
        return self._reader.read(image, self._heartbeat, enlarged=enlarged, finer=finer)


def _page_scale(page: pypdfium2.PdfPage, objects: PageObjects) -> float:
    """Return the pixels per point at which a page is recognised."""
    longest: float = max(*page.get_size(), 1.0)
    own = _density(objects.pictures) * longest
    pixels = max(PAGE_DPI / POINTS * longest, min(USUAL_SIDE, own))
    return min(pixels, LONGEST_SIDE) / longest


def _natural_scale(objects: PageObjects) -> float:
    """Return the pixels per point at which a page has all details of its scan or its print."""
    own = _density(objects.pictures)
    return own if objects.largest > SCAN_SHARE else max(own, PAGE_DPI / POINTS)


def _enlarged(objects: PageObjects, scale: float) -> float:
    """Return how many pixels one of the largest picture has become."""
    density = _density(objects.pictures)
    return max(scale / density, 1.0) if density else 1.0


def _margins(sheet: Sheet, rect: Rect) -> tuple[float, float, float, float]:
    """Return what is cut off on the left, below, on the right and above, a pixel being left."""
    width, height = sheet.size
    left = min(max(rect.left, 0.0), width - 1)
    top = min(max(rect.top, 0.0), height - 1)
    return (
        left,
        min(max(height - rect.bottom, 0.0), height - top - 1),
        min(max(width - rect.right, 0.0), width - left - 1),
        top,
    )


def _density(pictures: Sequence[Picture]) -> float:
    """Return the pixels per point of the largest image; 0 without one."""
    largest = max(pictures, key=lambda one: one.rect.area, default=None)
    if largest is None:
        return 0.0
    return max(pixels(largest)) / max(largest.rect.width, largest.rect.height, 1.0)


def _has_background(image: Image.Image) -> bool:
    """Whether a good part of the image has one brightness, as behind text and not on a photo."""
    shades = image.convert("L").histogram()
    most = max(sum(shades[start : start + SHADES]) for start in range(0, 256, SHADES // 2))
    return most > BACKGROUND_SHARE * image.width * image.height


def _picture_scale(picture: Picture) -> float:
    longest = max(picture.rect.width, picture.rect.height, 1.0)
    own = max(pixels(picture)) / longest
    return min(max(PAGE_DPI / POINTS, min(own, USUAL_SIDE / longest)), LONGEST_SIDE / longest)


def _as_high_as(item: Item, noise: Sequence[Item]) -> Item:
    """Return a recognised line with the height and size of the text that it replaces."""
    line = [one for one in noise if item.top < (one.top + one.bottom) / 2 < item.bottom]
    if not line:
        return item
    return replace(
        item,
        top=min(one.top for one in line),
        bottom=max(one.bottom for one in line),
        size=median(one.size for one in line),
    )


def _items_at(read: Recognised, rect: Rect, over: Sequence[Item]) -> list[Item]:
    """Return recognised lines at their places in ``rect``, but for those of text in ``over``."""
    if read.mean_confidence < MIN_CONFIDENCE:
        return []
    side = rect.height if read.quarter_turns % 2 else rect.width
    found: list[Item] = []
    for item in read.to_items(0, side / max(read.width, 1)).items:
        moved = Rect(
            item.left + rect.left,
            item.top + rect.top,
            item.right + rect.left,
            item.bottom + rect.top,
        )
        if not any(_covers(other, moved) for other in over):
            found.append(
                replace(
                    item,
                    left=moved.left,
                    top=moved.top,
                    right=moved.right,
                    bottom=moved.bottom,
                )
            )
    return found


def _covers(item: Item, rect: Rect) -> bool:
    common = rect.common(Rect(item.left, item.top, item.right, item.bottom))
    return common.area > 0.3 * rect.area


class Comparison(Struct, frozen=True):
    """How much of recognised text a text layer has; ``decisive`` if enough was surely read."""

    agreement: float
    decisive: bool

    @property
    def contradicts(self) -> bool:
        """Whether the text layer is not what is seen."""
        return self.decisive and self.agreement < AGREEMENT


def compare(read: ImageText, layer: str) -> Comparison:
    """Compare what was recognised with the text layer of the same place, or of a larger one."""
    seen = _triples("".join(line.text for line in read.recognised.lines))
    total = sum(seen.values())
    if total < MIN_LETTERS:
        return Comparison(1.0, decisive=False)
    missing = sum((seen - _triples(layer)).values())
    return Comparison(
        1 - missing / total, decisive=read.recognised.mean_confidence >= MIN_CONFIDENCE
    )


def _triples(text: str) -> Counter[str]:
    letters = "".join(one for one in text.casefold() if one.isalnum())
    return Counter(map("".join, zip(letters, letters[1:], letters[2:], strict=False)))
