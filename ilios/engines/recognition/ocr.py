"""OCR of one document: its images are turned upright, read, and laid out as Markdown."""

import hashlib
from functools import cache

from msgspec import Struct
from PIL import Image

from ilios.engines.converters import markdown
from ilios.engines.pages import model_name
from ilios.engines.recognition import layout
from ilios.engines.recognition.recogniser import (
    SMALLEST_SIDE,
    Heartbeat,
    Recognised,
    Recogniser,
)
from schemas.results import PageConfidence
from schemas.warnings import PageWarning, page_warning

LOW_CONFIDENCE = 0.8
"""Mean confidence of a page below which its owner is warned."""


class ImageText(Struct, frozen=True):
    """The text of an image: as Markdown, and line by line."""

    markdown: str
    recognised: Recognised
    warnings: tuple[PageWarning, ...] = ()

    @property
    def confidence(self) -> PageConfidence | None:
        """The confidence in the text, None where there is none."""
        if not self.recognised.lines:
            return None
        return PageConfidence(
            average=round(self.recognised.mean_confidence, 4),
            minimum=round(self.recognised.lowest_confidence, 4),
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
    """

    def __init__(self) -> None:
        self._cache: dict[bytes, ImageText] = {}

    @property
    def model(self) -> str:
        """The name and version of what reads, for the ``model`` of a conversion."""
        return model_name(load_recogniser().name)

    def read(self, image: Image.Image, heartbeat: Heartbeat, *, coarse: bool = False) -> ImageText:
        """Return the text on an image, which may be turned.

        :param heartbeat: called between the steps.
        :param coarse: the image has few pixels for its text (less than about 100 dpi).
        """
        if min(image.size) < SMALLEST_SIDE:
            return ImageText("", Recognised((), *image.size))
        image = image.convert("RGB")
        key = repr((image.size, coarse)).encode()
        digest = hashlib.sha256(key + image.tobytes()).digest()
        if digest not in self._cache:
            self._cache[digest] = _read(image, heartbeat, coarse=coarse)
        return self._cache[digest]


def _read(image: Image.Image, heartbeat: Heartbeat, *, coarse: bool) -> ImageText:
    recognised = load_recogniser().recognise(image, heartbeat, coarse=coarse)
    unsure = recognised.mean_confidence < LOW_CONFIDENCE
    return ImageText(
        markdown.clean(layout.to_markdown(recognised.lines)),
        recognised,
        (page_warning("page_low_confidence"),) if unsure else (),
    )
