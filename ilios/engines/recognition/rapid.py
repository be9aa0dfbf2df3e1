"""Recognition with the PP-OCR models inside of rapidocr, on onnxruntime."""

from typing import Any

import cv2
import numpy as np
from PIL import Image
from rapidocr import RapidOCR

from ilios.engines.recognition.recogniser import (
    LARGEST_SIDE,
    OBLONG,
    TALL,
    Heartbeat,
    Line,
    Recognised,
    mostly_tall,
    upright,
)

UNLIMITED_SIDE = 32_000
LARGEST_BAND = 2_000_000
"""Longer side and pixels of an image that is searched as it is."""

SEARCHED_SIDE, LEAST_SIDE = 736, 32
"""Shorter side to which an image is made larger for the search of lines, and that of a band."""

MIN_FLIP_CONFIDENCE = 0.9
"""Confidence above which the recogniser turns a line by 180 degrees."""


class _VotingOcr(RapidOCR):
    """Rotates all lines of a page the same way, by majority.

    The classifier is unsure about long lines: by itself it turns single lines of an upright page
    upside down, which makes their text nonsense.
    """

    flipped = False
    """Whether the lines of the last page were upside down."""

    heartbeat: Heartbeat | None = None
    """Called between the steps of a page."""

    def load_detector(self) -> Any:
        """Return what searches for lines."""
        return self._load_det_model()

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
            if crop.shape[1] > TALL * crop.shape[0]
        ]
        self.flipped = 2 * sum(votes) > len(votes)
        return [cv2.rotate(crop, cv2.ROTATE_180) for crop in img] if self.flipped else img, result


class RapidRecogniser:
    """Reads with its one model; boxes and a classifier show how the page is turned."""

    name = "rapidocr"

    def __init__(self) -> None:
        # One thread, because there is a child per core.
        cv2.setNumThreads(1)
        self._ocr = _VotingOcr(
            params={
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                "Global.log_level": "critical",
                "Global.max_side_len": LARGEST_SIDE,
            }
        )

    def recognise(
        self, image: Image.Image, heartbeat: Heartbeat, *, enlarged: float = 1.0
    ) -> Recognised:
        """Read an image; see :class:`ilios.engines.recognition.recogniser.Recogniser`."""
        del enlarged  # it has one model only
        return self.glance(image, heartbeat)

    def glance(self, image: Image.Image, heartbeat: Heartbeat) -> Recognised:
        """Read an image; there is no way with less effort."""
        oblong = max(image.size) > OBLONG * min(image.size)
        is_band = oblong and image.width * image.height <= LARGEST_BAND
        self._ocr.max_side_len = UNLIMITED_SIDE if is_band else LARGEST_SIDE
        self._ocr.load_detector().limit_side_len = LEAST_SIDE if oblong else SEARCHED_SIDE
        self._ocr.flipped = False
        self._ocr.heartbeat = heartbeat
        # The models were trained on BGR.
        found: Any = self._ocr(np.asarray(image)[:, :, ::-1])
        lines = tuple(
            Line(
                float(box[:, 0].min()),
                float(box[:, 1].min()),
                float(box[:, 0].max()),
                float(box[:, 1].max()),
                text,
                float(score),
            )
            for box, text, score in zip(
                found.boxes if found.txts else (),
                found.txts or (),
                found.scores or (),
                strict=True,
            )
        )
        return upright(lines, image.size, _quarter_turns(lines, flipped=self._ocr.flipped))


def _quarter_turns(lines: tuple[Line, ...], *, flipped: bool) -> int:
    """Return by how many counter-clockwise quarter turns the page has to be rotated."""
    if mostly_tall(lines):
        return 3 if flipped else 1
    return 2 if flipped else 0
