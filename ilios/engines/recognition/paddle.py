"""Recognition with the PP-OCR models inside of faster-paddle.

The models ``tiny`` and ``small`` are part of the package; the third one would be downloaded, and is
not used here.
"""

import io
import os
from functools import cached_property
from typing import Any, Literal

import faster_paddle
from PIL import Image

from ilios.engines.recognition.recogniser import (
    Heartbeat,
    Line,
    Recognised,
    mostly_tall,
    upright,
)

UPSIDE_DOWN_BELOW = 0.8
"""Mean confidence of a page below which it is read upside down as well: those that are read with
0.40 to 0.67, upright ones with more than 0.9."""

UNSURE_BELOW = 0.88
"""Mean confidence below which the larger model reads the page again: poor print, handwriting."""

OVERRIDES = (
    "OCR_THREADS",
    "OCR_DET_THREADS",
    "REC_POOL",
    "REC_BUDGET",
    "RAYON_NUM_THREADS",
    "OCR_REC_MIN_WIDTH",
    "OCR_DET_MIN_SIDE",
    "OCR_MEMPAT",
    "OCR_PREPACK",
    "OCR_DET_SPIN",
    "OCR_REC_SPIN",
    "OCR_APPROX_GELU",
)
"""Environment variables by which the library changes its results and its number of threads."""

Size = Literal["tiny", "small"]


class PaddleRecogniser:
    """Reads with the smaller model first, with the larger one where that is unsure.

    The models turn tall boxes themselves, so that a page and the same page turned by a quarter are
    read alike; which of the two ways round it is shows in the confidence.
    """

    name = "faster-paddle"

    def __init__(self) -> None:
        for variable in OVERRIDES:
            os.environ.pop(variable, None)
        self._tiny = _load("tiny")

    @cached_property
    def _small(self) -> Any:
        return _load("small")

    def recognise(
        self, image: Image.Image, heartbeat: Heartbeat, *, coarse: bool = False
    ) -> Recognised:
        """Read an image; see :class:`ilios.engines.recognition.recogniser.Recogniser`."""
        found = _read(self._tiny, image)
        heartbeat()
        flipped = False
        if found.lines and found.mean_confidence < UPSIDE_DOWN_BELOW:
            reverse = _read(self._tiny, image.transpose(Image.Transpose.ROTATE_180))
            heartbeat()
            flipped = reverse.mean_confidence > found.mean_confidence
            found = reverse if flipped else found
        if coarse or (found.lines and found.mean_confidence < UNSURE_BELOW):
            turned = image.transpose(Image.Transpose.ROTATE_180) if flipped else image
            better = _read(self._small, turned)
            heartbeat()
            if better.lines and better.mean_confidence >= found.mean_confidence:
                found = better
        turns = int(mostly_tall(found.lines))
        result = upright(found.lines, image.size, turns)
        return Recognised(result.lines, result.width, result.height, (turns + 2 * flipped) % 4)


def _load(size: Size) -> Any:
    return faster_paddle.OcrEngine(
        model_size=size, threads=1, rec_batch=1, det_max_side=1600, det_min_side=736
    )


def _read(engine: Any, image: Image.Image) -> Recognised:
    buffer = io.BytesIO()
    image.save(buffer, "BMP")
    found = engine.ocr(buffer.getvalue())
    lines = tuple(
        Line(left, top, right, bottom, text, bound["confidence"])
        for _, bound in sorted(found["bounds"].items())
        if (text := bound["text"].strip())
        for left, top in (bound["topLeftCoord"],)
        for right, bottom in (bound["bottomRightCoord"],)
    )
    return Recognised(lines, *image.size)
