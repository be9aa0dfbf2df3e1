"""Recognition with the PP-OCR models inside of rapidocr, on onnxruntime."""

from typing import Any

import cv2
import numpy as np
from msgspec import structs
from PIL import Image
from rapidocr import RapidOCR

from ilios.engines.recognition.recogniser import (
    LARGEST_SIDE,
    OBLONG,
    TALL,
    TURNS,
    UNSURE_BELOW,
    Heartbeat,
    Line,
    Recognised,
    mean_confidence,
    mostly_tall,
    turn_lines,
    upright,
)
from ilios.engines.recognition.scripts import CLEAR_CHARACTERS, letters_and_digits, script_of

NOTHING = "\N{REPLACEMENT CHARACTER}"
"""Stands for the text of a line of which nothing could be read."""

UNLIMITED_SIDE = 32_000
LARGEST_BAND = 2_000_000
"""Longer side and pixels of an image that is searched as it is."""

SEARCHED_SIDE, LEAST_SIDE = 736, 32
"""Shorter side to which an image is made larger for the search of lines, and that of a band."""

LEAST_CONFIDENCE, ILLEGIBLE_BELOW = 0.5, 0.7
"""Confidence below which a line is no text, and below which one of a clear page is not read."""

UPSIDE_DOWN_BELOW = 0.8
"""Mean confidence of a page below which it is read the other way round as well."""

LEAST_LENGTH, MOST_LENGTH = 4, 60
"""Length of a line of text, in its heights; shorter ones are symbols, longer ones are rules."""

DENSITY = 0.5
"""Signs of a line for each of its heights: Latin has 1.6 to 2.3, Chinese 0.7, and what is left of
another script up to 0.5."""

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

    def recognize_txt(self, img: list[Any]) -> Any:
        """Return the text of the crops; one that has none is not left out."""
        result = super().recognize_txt(img)
        result.txts = tuple(text if text.strip() else NOTHING for text in result.txts or ())
        return result

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
                "Global.text_score": 0.0,
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
        found = self._read(image, heartbeat)
        if not found.lines or found.mean_confidence >= UPSIDE_DOWN_BELOW:
            return found
        # The classifier is no help with long lines.
        reverse = self._read(image.transpose(TURNS[2]), heartbeat)
        if reverse.mean_confidence <= found.mean_confidence:
            return found
        return structs.replace(reverse, quarter_turns=(reverse.quarter_turns + 2) % 4)

    def _read(self, image: Image.Image, heartbeat: Heartbeat) -> Recognised:
        oblong = max(image.size) > OBLONG * min(image.size)
        is_band = oblong and image.width * image.height <= LARGEST_BAND
        self._ocr.max_side_len = UNLIMITED_SIDE if is_band else LARGEST_SIDE
        self._ocr.load_detector().limit_side_len = LEAST_SIDE if oblong else SEARCHED_SIDE
        self._ocr.flipped = False
        self._ocr.heartbeat = heartbeat
        # The models were trained on BGR.
        found: Any = self._ocr(np.asarray(image)[:, :, ::-1])
        heartbeat()
        boxes = [
            Line(
                float(box[:, 0].min()),
                float(box[:, 1].min()),
                float(box[:, 0].max()),
                float(box[:, 1].max()),
                text.replace(NOTHING, "").strip(),
                float(score),
            )
            for box, text, score in zip(
                found.boxes if found.txts else (),
                found.txts or (),
                found.scores or (),
                strict=True,
            )
        ]
        text = [line for line in boxes if line.text and line.confidence >= LEAST_CONFIDENCE]
        clear = mean_confidence(text) >= UNSURE_BELOW
        missed = [line for line in boxes if _is_unread(line) or (clear and _is_illegible(line))]
        lines = [line for line in text if line not in missed]
        unread = [structs.replace(line, confidence=0.0) for line in missed]
        turns = _quarter_turns((*lines, *unread), flipped=self._ocr.flipped)
        page = upright(tuple(lines), image.size, turns)
        return structs.replace(page, unread=turn_lines(tuple(unread), *image.size, turns))


def _is_unread(line: Line) -> bool:
    """Whether a line is in an unknown script: the model leaves out the letters it does not know."""
    if script_of(line.text) == "Greek":
        return True
    longer, shorter = max(line.width, line.height), max(min(line.width, line.height), 1.0)
    signs = len("".join(line.text.split()))
    return LEAST_LENGTH < longer / shorter < MOST_LENGTH and signs * shorter < DENSITY * longer


def _is_illegible(line: Line) -> bool:
    """Whether a line of a clear page is in another script most likely."""
    return (
        LEAST_CONFIDENCE <= line.confidence < ILLEGIBLE_BELOW
        and letters_and_digits(line.text) >= CLEAR_CHARACTERS
    )


def _quarter_turns(lines: tuple[Line, ...], *, flipped: bool) -> int:
    """Return by how many counter-clockwise quarter turns the page has to be rotated."""
    if mostly_tall(lines):
        return 3 if flipped else 1
    return 2 if flipped else 0
