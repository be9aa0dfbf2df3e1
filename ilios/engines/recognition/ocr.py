"""OCR of one document: its images are turned upright, read, and laid out as Markdown."""

import hashlib
from functools import cache

import msgspec
from msgspec import Struct
from PIL import Image

from ilios.engines.layout.document import LaidOutPage
from ilios.engines.pages import model_name
from ilios.engines.recognition import layout, scripts, skew, tesseract, tiles, vietnamese
from ilios.engines.recognition.recogniser import (
    SMALLEST_SIDE,
    TURNS,
    UNSURE_BELOW,
    Heartbeat,
    Line,
    Recognised,
    Recogniser,
    turn_lines,
)
from schemas.results import PageConfidence
from schemas.warnings import PageWarning, page_warning

LOW_CONFIDENCE = 0.8
"""Mean confidence of a page below which its owner is warned."""


class ImageText(Struct, frozen=True):
    """The text of an image: laid out as Markdown, and line by line."""

    laid_out: LaidOutPage
    recognised: Recognised
    warnings: tuple[PageWarning, ...] = ()

    @property
    def markdown(self) -> str:
        """The text as Markdown."""
        return self.laid_out.markdown

    def page(self, index: int) -> LaidOutPage:
        """Return the text as a page of a document: its tables are named by it."""
        tables = tuple(
            msgspec.structs.replace(table, id=f"table-{index}-{number}")
            for number, table in enumerate(self.laid_out.tables)
        )
        return msgspec.structs.replace(self.laid_out, index=index, tables=tables)

    @property
    def confidence(self) -> PageConfidence | None:
        """The confidence in the text, None where there is none; 0 for a line without a reading."""
        found = self.recognised
        blank = sum(not line.text for line in found.unread)
        lines = len(found.lines) + blank
        if not lines:
            return None
        return PageConfidence(
            average=round(found.mean_confidence * len(found.lines) / lines, 4),
            minimum=0.0 if blank else round(found.lowest_confidence, 4),
        )


class NoRecogniser(ImportError):
    """None of the recognisers is installed."""


@cache
def load_recogniser() -> Recogniser:
    """Load the models of the recogniser that is installed, at most once.

    :raises NoRecogniser: there is none.
    """
    # ruff: noqa: PLC0415  only one of the two is installed
    try:
        from ilios.engines.recognition import paddle

        return paddle.PaddleRecogniser()
    except ImportError as error:
        missing = error
    try:
        from ilios.engines.recognition import rapid

        return rapid.RapidRecogniser()
    except ImportError as error:
        raise NoRecogniser(
            f"text of images cannot be recognised ({missing}; {error}): install faster-paddle, or "
            "rapidocr with onnxruntime where it has no wheel"
        ) from error


def load() -> None:
    """Load the models and use them once, so that the first image does not wait for them."""
    load_recogniser().recognise(Image.new("RGB", (256, 64), "white"), lambda: None)


class ImageReader:
    """Reads the images of one document; identical ones are read once.

    A file of a few kilobytes may have thousands of identical pages.

    :param languages: tags of the languages of the document, if they are given.
    """

    def __init__(self, languages: tuple[str, ...] = ()) -> None:
        self._languages = languages
        self._cache: dict[bytes, ImageText] = {}
        self._used_tesseract = False

    @property
    def model(self) -> str:
        """The names and versions of what has read, for the ``model`` of a conversion."""
        name = model_name(load_recogniser().name)
        return f"{name}+{tesseract.version()}" if self._used_tesseract else name

    def read(
        self,
        image: Image.Image,
        heartbeat: Heartbeat,
        *,
        enlarged: float = 1.0,
        finer: tiles.Finer | None = None,
    ) -> ImageText:
        """Return the text on an image, which may be turned.

        :param heartbeat: called between the steps.
        :param enlarged: by how much the image was scaled up from its source.
        :param finer: a larger copy, for letters that are not legible on this one.
        """
        if min(image.size) < SMALLEST_SIDE:
            return _image_text(Recognised((), *image.size), [])
        image = image.convert("RGB")
        key = repr((image.size, enlarged, finer and finer.scale)).encode()
        digest = hashlib.sha256(key + image.tobytes()).digest()
        if digest not in self._cache:
            finer = finer or tiles.itself(image)
            tiled = tiles.read(load_recogniser(), image, finer, heartbeat) if finer else None
            if finer and tiled:
                large, found, missing = tiled
                text = self._complete(large, found, heartbeat, 1 / finer.scale)
                text = _with_warning(text, "small_text_unread") if missing else text
            else:
                text = self._read(image, heartbeat, enlarged=enlarged)
            self._cache[digest] = text
        return self._cache[digest]

    def _read(self, image: Image.Image, heartbeat: Heartbeat, *, enlarged: float) -> ImageText:
        image = skew.straighten(image)
        heartbeat()
        found = load_recogniser().recognise(image, heartbeat, enlarged=enlarged)
        return self._complete(image, found, heartbeat)

    def _complete(
        self, image: Image.Image, found: Recognised, heartbeat: Heartbeat, scale: float = 1.0
    ) -> ImageText:
        """Return the text of an image, with what the recogniser itself cannot read.

        :param scale: the size of the result, as a share of that of the image.
        """
        lines, unread = list(found.lines), list(found.unread)
        if is_vietnamese := vietnamese.is_vietnamese(lines):
            unread, lines = [*lines, *unread], []
        if not unread:
            return _image_text(found.scaled(scale), [])
        # Beside unread lines, an unsure one is a line in the same script more often than not.
        unread += [line for line in lines if line.confidence < UNSURE_BELOW]
        lines = [line for line in lines if line.confidence >= UNSURE_BELOW]
        if found.quarter_turns:
            image = image.transpose(TURNS[found.quarter_turns])
        tags = self._languages or (("vi",) if is_vietnamese else ())
        names = scripts.tesseract_languages(tags, tesseract.installed_languages())
        if not lines and names and _is_upside_down(image, unread, names, heartbeat):
            image = image.transpose(TURNS[2])
            unread = list(turn_lines(tuple(unread), found.width, found.height, 2))
            turns = (found.quarter_turns + 2) % 4
            found = msgspec.structs.replace(found, quarter_turns=turns)
        read, missed = scripts.read_lines(image, unread, names, heartbeat)
        self._used_tesseract = self._used_tesseract or bool(read)
        # What the models have read of an unread line is better than nothing.
        lines += [*read, *(line for line in missed if line.text)]
        missed = [line for line in missed if is_vietnamese or not line.confidence]
        result = msgspec.structs.replace(found, lines=tuple(lines), unread=tuple(missed))
        likely = ["Vietnamese"] if is_vietnamese else scripts.scripts_of_tags(tags)
        return _image_text(result.scaled(scale), likely, misread=scripts.is_misread(read))


def _is_upside_down(
    image: Image.Image, unread: list[Line], names: list[str], heartbeat: Heartbeat
) -> bool:
    """Whether Tesseract reads the first lines better upside down: all others are unread as well."""
    probed = tuple(unread[: scripts.PROBED_LINES])
    turned = turn_lines(probed, *image.size, 2)
    ways = ((image, probed), (image.transpose(TURNS[2]), turned))
    upright, reverse = (
        sum(line.confidence for line in scripts.read_lines(page, lines, names, heartbeat)[0])
        for page, lines in ways
    )
    return reverse > upright


def _with_warning(text: ImageText, code: str) -> ImageText:
    return msgspec.structs.replace(text, warnings=(*text.warnings, page_warning(code)))


def _image_text(found: Recognised, likely: list[str], *, misread: bool = False) -> ImageText:
    unsure = found.mean_confidence < LOW_CONFIDENCE
    warnings = (page_warning("page_low_confidence"),) if unsure else ()
    if found.unread:
        detail = scripts.unread_scripts(found.unread, likely)
        warnings = (page_warning("script_not_recognised", detail), *warnings)
    elif misread:
        detail = "letters of a language whose data are not installed"
        warnings = (page_warning("script_not_recognised", detail), *warnings)
    return ImageText(layout.lay_out_lines(found.lines), found, warnings)
