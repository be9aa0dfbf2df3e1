"""OCR: Markdown from an image."""

import hashlib
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import cv2
import numpy as np
from PIL import Image
from rapidocr import RapidOCR

from ilios.engines.converters import markdown
from ilios.engines.recognition import layout
from ilios.engines.recognition.layout import Line

VERTICAL_RATIO = 1.5
"""A box so much taller than wide is a line of rotated text."""

LARGEST_SIDE = 2000
"""Pixels; the recogniser reduces larger images."""

SMALLEST_SIDE = 5
"""Pixels; a smaller image has no letters, and scaled up it may become a huge strip."""

MIN_FLIP_CONFIDENCE = 0.9
"""Confidence above which the recogniser turns a line by 180 degrees."""


class _VotingOcr(RapidOCR):
    """Rotates all lines of a page the same way, by majority.

    The classifier is unsure about long lines: by itself it turns single lines of an upright page
    upside down, which makes their text nonsense.
    """

    flipped = False
    """Whether the lines of the last page were upside down."""

    heartbeat: Callable[[], None] | None = None
    """Called between the steps of a page."""

    def cls_and_rotate(self, img: list[Any]) -> Any:
        """Return the crops upright, and the result of the classifier."""
        if self.heartbeat:
            self.heartbeat()  # the lines are found
        _, result = super().cls_and_rotate(img)
        if self.heartbeat:
            self.heartbeat()  # and turned
        votes = [
            "180" in label and score > MIN_FLIP_CONFIDENCE
            for crop, (label, score) in zip(img, result.cls_res or (), strict=True)
            if crop.shape[1] > VERTICAL_RATIO * crop.shape[0]
        ]
        self.flipped = 2 * sum(votes) > len(votes)
        return [cv2.rotate(crop, cv2.ROTATE_180) for crop in img] if self.flipped else img, result


@cache
def _load_ocr() -> _VotingOcr:
    """Load the models (1.5 CPU seconds); one thread, because there is a child per core."""
    cv2.setNumThreads(1)
    return _VotingOcr(
        params={
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Global.log_level": "critical",
            "Global.max_side_len": LARGEST_SIDE,
        }
    )


def load() -> None:
    """Load the models, so that the first image does not wait for them."""
    _load_ocr()(np.full((64, 256, 3), 255, np.uint8))


class ImageReader:
    """Reads the images of one document; identical ones are read once.

    A file of a few kilobytes may have thousands of identical pages.
    """

    def __init__(self) -> None:
        self._cache: dict[bytes, str] = {}

    def read(self, image: Image.Image, heartbeat: Callable[[], None] | None = None) -> str:
        """Return the text on the image as Markdown, "" when there is none.

        :param heartbeat: called between the steps.
        """
        if min(image.size) < SMALLEST_SIDE:
            return ""
        image = image.convert("RGB")
        digest = hashlib.sha256(repr(image.size).encode() + image.tobytes()).digest()
        if digest not in self._cache:
            self._cache[digest] = _read(image, heartbeat)
        return self._cache[digest]


def _read(image: Image.Image, heartbeat: Callable[[], None] | None) -> str:
    recogniser = _load_ocr()
    recogniser.flipped = False
    recogniser.heartbeat = heartbeat
    # The models were trained on BGR.
    found: Any = recogniser(np.asarray(image)[:, :, ::-1])
    if not found.txts:
        return ""
    lines = [
        Line(
            float(box[:, 0].min()),
            float(box[:, 1].min()),
            float(box[:, 0].max()),
            float(box[:, 1].max()),
            text,
        )
        for box, text in zip(found.boxes, found.txts, strict=True)
    ]
    turned = _quarter_turns(lines, flipped=recogniser.flipped)
    return markdown.clean(layout.to_markdown(_upright(lines, image.size, turned)))


def _quarter_turns(lines: list[Line], *, flipped: bool) -> int:
    """Return by how many counter-clockwise quarter turns the page has to be rotated."""
    tall = Counter(
        line.height > VERTICAL_RATIO * line.width for line in lines if len(line.text) > 2
    )
    if tall[True] > tall[False]:
        return 3 if flipped else 1
    return 2 if flipped else 0


def _upright(lines: list[Line], size: tuple[int, int], quarter_turns: int) -> list[Line]:
    """Return the lines with the positions they have on the rotated page."""
    width, height = size
    for _ in range(quarter_turns):
        lines = [
            Line(line.top, width - line.right, line.bottom, width - line.left, line.text)
            for line in lines
        ]
        width, height = height, width
    return lines
