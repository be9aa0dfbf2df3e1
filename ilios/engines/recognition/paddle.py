"""Recognition with the PP-OCR models inside of faster-paddle.

The models ``tiny`` and ``small`` are part of the package; the third one would be downloaded, and is
not used here.
"""

import io
import os
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate, pairwise
from statistics import median
from typing import Any, Literal

import faster_paddle
import msgspec
from PIL import Image
from PIL.Image import Transpose

from ilios.engines.recognition import direction, scripts
from ilios.engines.recognition.recogniser import (
    OBLONG,
    TURNS,
    UNSURE_BELOW,
    Heartbeat,
    Line,
    Recognised,
    covered,
    mean_confidence,
    mostly_tall,
    moved,
    upright,
)

UPSIDE_DOWN_BELOW = 0.8
"""Mean confidence of a page below which it is read upside down as well: those that are read with
0.40 to 0.67, upright ones with more than 0.9."""

UNSURE_SHARE = 0.1
"""Share of a page's characters in unsure lines above which the larger model reads these."""

SURE_ABOVE, UNREAD_SHARE = 0.95, 0.2
"""A page with less confidence in its other lines has lines in an unknown script only if these have
such a share of its characters: illegible lines of handwriting look alike."""

COARSE_HEIGHT = 12
"""Median height of lines in pixels below which the larger model is better, which is that of small
print at less than about 80 dpi."""

LONGEST_SIDE, DETECTED_PIXELS = 1600, 2_000_000
"""Longer side and pixels of the copy in which lines are searched: the runtime needs 140 bytes for
each pixel, and keeps them."""

SMALLEST_SIDE = 736
"""Shorter side to which an image is made larger for the smaller model."""

UNLIMITED_SIDE = 32_000
"""Longer side of an image that is searched as it is."""

STRIP_PIXELS, SEAM = 700_000, 24
"""Largest area of the strips a page is cut into for the larger model, which needs twice the memory
and time for a pixel, and the pixels of its neighbours that are seen with each."""

STRIP_LINES, MOST_LINES = 80, 200
"""Lines of a strip, each of which may take the larger model a tenth of a second, and of a page for
which it is used at all: more are hardly legible to either."""

MAX_CHECKED, MARGIN = 40, 8
"""Unsure lines of a clear page that the larger model reads, each by itself with so many pixels
around it; it takes 30 ms, as small strips do."""

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
    read alike; which of the two ways round it is shows in the confidence. One model is in memory at
    a time: to load the other takes a tenth of a second.
    """

    name = "faster-paddle"

    def __init__(self) -> None:
        for variable in OVERRIDES:
            os.environ.pop(variable, None)
        self._loaded: tuple[Size, int, int] = ("tiny", LONGEST_SIDE, SMALLEST_SIDE)
        self._engine = _load(*self._loaded)

    def recognise(
        self, image: Image.Image, heartbeat: Heartbeat, *, enlarged: float = 1.0
    ) -> Recognised:
        """Read an image; see :class:`ilios.engines.recognition.recogniser.Recogniser`."""
        page = self.glance(image, heartbeat)
        turns = page.quarter_turns
        coarse = _is_coarse(page.lines, enlarged)
        unread: list[Line] = []
        if 0 < len(page.lines) <= MOST_LINES and (coarse or _is_unsure(page.lines)):
            turned = image.transpose(TURNS[turns]) if turns else image
            found, unread = self._read_again(turned, page.lines, heartbeat, everything=coarse)
            page = Recognised(tuple(found), page.width, page.height)
        elif any(map(_is_checked, page.lines)):
            turned = image.transpose(TURNS[turns]) if turns else image
            found, unread = self._check(turned, page.lines, heartbeat)
            page = Recognised(tuple(found), page.width, page.height)
        return Recognised(page.lines, page.width, page.height, turns, tuple(unread))

    def glance(self, image: Image.Image, heartbeat: Heartbeat) -> Recognised:
        """Read an image with the smaller model alone."""
        lines, flipped = self._read_either_way_up(image, heartbeat)
        turns = int(mostly_tall(lines))
        page = upright(lines, image.size, turns)
        return msgspec.structs.replace(page, quarter_turns=(turns + 2 * flipped) % 4)

    def _read_either_way_up(
        self, image: Image.Image, heartbeat: Heartbeat
    ) -> tuple[tuple[Line, ...], bool]:
        """Return the lines of an image, and whether it had to be turned upside down for them."""
        flipped = direction.looks_upside_down(image)
        lines = self._read("tiny", image.transpose(Transpose.ROTATE_180) if flipped else image)
        heartbeat()
        if lines and mean_confidence(lines) < UPSIDE_DOWN_BELOW:
            other = image if flipped else image.transpose(Transpose.ROTATE_180)
            reverse = self._read("tiny", other)
            heartbeat()
            if mean_confidence(reverse) > mean_confidence(lines):
                return reverse, not flipped
        return lines, flipped

    def _read_again(
        self,
        image: Image.Image,
        lines: tuple[Line, ...],
        heartbeat: Heartbeat,
        *,
        everything: bool,
    ) -> tuple[list[Line], list[Line]]:
        """Return the lines of an upright page as the larger model reads them, and the unread ones.

        Strips without unsure lines are only read again if ``everything`` is.
        """
        clear = mean_confidence(lines) >= UNSURE_BELOW
        everything = everything or not clear
        found: list[Line] = []
        unread: list[Line] = []
        lost: list[Line] = []
        for top, bottom in _strips(lines, image.size):
            seen = [line for line in lines if top <= line.center_y < bottom]
            if not seen or not (everything or any(map(_line_is_unsure, seen))):
                found += seen
                continue
            # Where a line is cut, its neighbourhood is seen with both strips.
            above = top - SEAM if _is_cut(lines, top) else top
            below = min(bottom + SEAM, image.height) if _is_cut(lines, bottom) else bottom
            crop = image.crop((0, above, image.width, below))
            placed = (moved(line, 0, above) for line in self._read("small", crop))
            read = [line for line in placed if top <= line.center_y < bottom]
            heartbeat()
            unsure = [line for line in seen if _line_is_unsure(line)]
            missed = scripts.unread_lines(unsure, read, clear=clear)
            better = read if mean_confidence(read) >= mean_confidence(seen) else seen
            found += [line for line in better if not covered(line, missed)]
            unread += missed
            if better is read:
                # An unsure line of a page that is not clear is likely no text.
                rest = [line for line in seen if clear or not _line_is_unsure(line)]
                lost += [
                    line
                    for line in rest
                    if line not in missed and not any(covered(one, [line]) for one in read)
                ]
        # Beside lines in an unknown script, one that only the smaller model sees is another.
        if unread:
            unread += [msgspec.structs.replace(line, confidence=0.0) for line in lost]
        else:
            found += lost
        if mean_confidence(found) < SURE_ABOVE and _share(unread, lines) < UNREAD_SHARE:
            return [*found, *(line for line in lines if covered(line, unread))], []
        return found, unread

    def _check(
        self, image: Image.Image, lines: tuple[Line, ...], heartbeat: Heartbeat
    ) -> tuple[list[Line], list[Line]]:
        """Return the lines of a clear page, and those of them in an unknown script.

        Only the lines that are unsure are read by the larger model, each by itself.
        """
        found: list[Line] = []
        unread: list[Line] = []
        checked = sorted(filter(_is_checked, lines), key=lambda line: line.confidence)
        for line in checked[:MAX_CHECKED]:
            left, top = max(0, int(line.left) - MARGIN), max(0, int(line.top) - MARGIN)
            box = (left, top, int(line.right) + MARGIN, int(line.bottom) + MARGIN)
            read = [moved(one, left, top) for one in self._read("small", image.crop(box))]
            heartbeat()
            missed = scripts.unread_lines([line], read, clear=True)
            unread += missed
            if not missed:
                better = len(read) == 1 and read[0].confidence >= line.confidence
                found += read if better else [line]
        rest = [line for line in lines if line not in checked[:MAX_CHECKED]]
        return [*rest, *found], unread

    def _read(self, size: Size, image: Image.Image) -> tuple[Line, ...]:
        wanted = (size, *_search_sides(size, image.size))
        if wanted != self._loaded:
            self._engine = None  # before the other is loaded
            self._engine, self._loaded = _load(*wanted), wanted
        buffer = io.BytesIO()
        image.save(buffer, "BMP")
        found = self._engine.ocr(buffer.getvalue())
        return tuple(
            Line(left, top, right, bottom, text, bound["confidence"])
            for _, bound in sorted(found["bounds"].items())
            if (text := bound["text"].strip())
            for left, top in (bound["topLeftCoord"],)
            for right, bottom in (bound["bottomRightCoord"],)
        )


def _load(size: Size, longest: int, shortest: int) -> Any:
    return faster_paddle.OcrEngine(
        model_size=size, threads=1, rec_batch=1, det_max_side=longest, det_min_side=shortest
    )


def _search_sides(model: Size, size: tuple[int, int]) -> tuple[int, int]:
    """Return the longest and the shortest side to which an image is scaled for the search of lines.

    The shortest is 0 where nothing is made larger.
    """
    longest, shortest = max(size), max(min(size), 1)
    if longest > max(OBLONG * shortest, LONGEST_SIDE) and longest * shortest <= DETECTED_PIXELS:
        return UNLIMITED_SIDE, 0
    widest = int((DETECTED_PIXELS * longest / shortest) ** 0.5) // 32 * 32
    smallest = min(SMALLEST_SIDE, widest * shortest // longest) if model == "tiny" else 0
    return min(LONGEST_SIDE, max(widest, 32)), smallest


def _is_coarse(lines: Sequence[Line], enlarged: float) -> bool:
    heights = [min(line.height, line.width) for line in lines]
    return bool(heights) and median(heights) < COARSE_HEIGHT * enlarged


def _is_unsure(lines: Sequence[Line]) -> bool:
    characters = sum(len(line.text) for line in lines)
    unsure = sum(len(line.text) for line in lines if _line_is_unsure(line))
    return mean_confidence(lines) < UNSURE_BELOW or unsure > UNSURE_SHARE * characters


def _share(unread: Sequence[Line], lines: Sequence[Line]) -> float:
    missed = sum(len(line.text) for line in lines if covered(line, unread))
    return missed / max(sum(len(line.text) for line in lines), 1)


def _is_checked(line: Line) -> bool:
    return _line_is_unsure(line) and scripts.letters_and_digits(line.text) >= scripts.MIN_CHARACTERS


def _line_is_unsure(line: Line) -> bool:
    return line.confidence < UNSURE_BELOW


def _strips(lines: Sequence[Line], size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the strips of a page, cut where the fewest lines are cut."""
    width, height = size
    tallest = max(STRIP_PIXELS // width, 4 * SEAM)
    changes = [0] * (height + 1)
    for line in lines:
        changes[min(max(int(line.top) - 2, 0), height)] += 1
        changes[min(max(int(line.bottom) + 2, 0), height)] -= 1
    crossing = list(accumulate(changes))
    centers = sorted(line.center_y for line in lines)
    cuts = [0]
    while (most := _most_rows(cuts[-1], centers, tallest)) < height - cuts[-1]:
        places = range(cuts[-1] + most // 2, cuts[-1] + most)
        least = min(crossing[place] for place in places)
        last = max(place for place in places if crossing[place] == least)
        first = last
        while first > places.start and crossing[first - 1] == least:
            first -= 1
        cuts.append((first + last) // 2)
    return list(pairwise([*cuts, height]))


def _most_rows(top: int, centers: Sequence[float], tallest: int) -> int:
    """Return how high a strip may be that begins at a row, by its area and the number of lines."""
    following = bisect(centers, top) + STRIP_LINES
    if following >= len(centers):
        return tallest
    return min(tallest, max(int(centers[following]) - top, 4 * SEAM))


def _is_cut(lines: Sequence[Line], place: int) -> bool:
    return any(line.top < place < line.bottom for line in lines)
