"""Recognition of large images in bands: whole, they would have to be made smaller than is legible.

A receipt or a poster has more pixels than are read at once. Its bands go over the full width, so
that lines are cut in no place but between two bands, where both see them.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from msgspec import Struct
from PIL import Image, ImageChops

from ilios.engines.recognition import skew
from ilios.engines.recognition.recogniser import (
    TURNS,
    Heartbeat,
    Line,
    Recognised,
    Recogniser,
    covered,
    moved,
    turn_lines,
    upright,
)

BAND_PIXELS = 1_500_000
"""Pixels of a band, which are all searched for lines, and which take a second of a common machine.
"""

SEAM, BLANK_SEAM = 32, 6
"""Rows of its neighbours that are seen with a band, so that one of the two sees all of a line of
twice as many pixels, and the same where there is no line."""

EDGE, INK_COLUMNS = 48, 32
"""Difference in brightness between neighbouring pixels where a letter begins, and the columns in
which these are counted: on a wide page a short line is next to nothing."""

MAX_BANDS, LEAST_BANDS, DOCUMENT_BANDS = 16, 4, 300
"""Bands that are read of one page at most, of any page, and of all pages of a document."""

LEAST_SCALE = 1.5
"""A finer copy has to be larger by this: less shows no letters that were not legible before."""

WINDOW = 8
"""Pixels of the smaller copy on each side of the windows in which details are compared."""

LEAST_VARIANCE, LOST_SHARE = 1800, 0.42
"""A window full of text has this variance of brightness. The smaller copy lacks this share of it
where letters are less than 8 pixels high, a third where they are 10, and a tenth where 20."""

RUN, LEAST_RUNS = 4, 2
"""So many windows in a row are part of a line, of which a page has more than one."""

DENSE_PIXELS, DENSE_RUNS = 1_200_000, 1000
"""Size of an image, and number of these, of which a page of small print has more than is read at
once in good time."""

BLANK_RANGE = 24
"""Shades between the darkest and the lightest pixel of a band without text."""

PROBE_SIDE = 1200
"""Side of the part that shows how the lines run."""

OVERVIEW_SIDE, SURE = 1000, 0.9
"""Longer side of the copy in which lettering is read that is cut by the bands, and the confidence
in it: small print looks like a line in such a copy."""

MAX_CHARACTERS = 150_000
"""Characters read of one page, more than a broadsheet has; a thousand take a fifth of a second."""

LEGIBLE_HEIGHT = 12.5
"""Height of the boxes of lines in pixels up to which letters are misread."""

SMALL_SHARE = 0.1
"""Share of the characters in smaller lines with which a page has small print."""


Windows = set[tuple[int, int]]
"""Parts of an image, by column and row."""


class Finer(Struct, frozen=True):
    """A larger copy, in shades of grey, of an image that is too small for all of its letters.

    It has ``scale`` times the width. ``reduced`` is how much smaller it still is than the source.
    """

    scale: float
    load: Callable[[], Image.Image]
    reduced: float = 1.0


def most_pixels(pages: int) -> int:
    """Return the pixels of the finer copy of a page, in a document of so many pages."""
    bands = min(max(DOCUMENT_BANDS // max(pages, 1), LEAST_BANDS), MAX_BANDS)
    return bands * BAND_PIXELS


def itself(image: Image.Image) -> Finer | None:
    """Return the finer copy of an image that has none: a dense page is read in bands as well."""
    if image.width * image.height < DENSE_PIXELS:
        return None
    return Finer(1.0, lambda: image.convert("L"))


def lost_details(image: Image.Image, scale: float) -> list[tuple[int, int]]:
    """Return where a copy made smaller by ``scale`` lacks details of lines of text.

    These are windows by column and row, whose sides are ``WINDOW`` times the scale, rounded.
    """
    factor = max(2, round(scale))
    squares = [value * value // 255 for value in range(256)]
    small = image.reduce(factor)
    means = small.reduce(WINDOW)
    before = image.point(squares).reduce(factor * WINDOW).tobytes()
    after = small.point(squares).reduce(WINDOW).tobytes()
    poor: Windows = set()
    rich: Windows = set()
    values = zip(means.tobytes(), before, after, strict=False)
    for place, (mean, whole, rest) in enumerate(values):
        variance = 255 * whole - mean * mean
        if variance > LEAST_VARIANCE:
            lost = 255 * (whole - rest) > LOST_SHARE * variance
            (poor if lost else rich).add((place % means.width, place // means.width))
    runs = [one for one in sorted(poor) if _is_line(one, poor, rich)]
    return runs if len(runs) >= LEAST_RUNS else []


def _is_line(window: tuple[int, int], poor: Windows, rich: Windows) -> bool:
    """Whether a line of small text begins in a window, and not the edge of some larger letters."""
    column, row = window
    across = [(column + step, row) for step in range(RUN)]
    down = [(column, row + step) for step in range(RUN)]
    return (
        poor.issuperset(across)
        and sum((x, y + side) in rich for x, y in across for side in (-1, 1)) < RUN // 2
    ) or (
        poor.issuperset(down)
        and sum((x + side, y) in rich for x, y in down for side in (-1, 1)) < RUN // 2
    )


def read(
    recogniser: Recogniser,
    image: Image.Image,
    finer: Finer,
    heartbeat: Heartbeat,
) -> tuple[Image.Image, Recognised, bool] | None:
    """Return the finer copy with its lines, and whether some may be missing.

    None where the letters of the image itself are large enough.

    :param image: the smaller copy.
    """
    fine = finer.load()
    heartbeat()
    windows = lost_details(fine, finer.scale)
    if not windows or (finer.scale == 1.0 and len(windows) < DENSE_RUNS):
        return None
    probe = _probe(fine, windows, WINDOW * max(2, round(finer.scale)))
    angle = skew.skew(probe)
    if abs(angle) >= skew.LEAST_ANGLE:
        fine = skew.turn(fine, angle)
        probe, image = skew.turn(probe, angle), skew.turn(image, angle)
    turns = recogniser.glance(probe.convert("RGB"), heartbeat).quarter_turns
    heartbeat()
    page = fine.transpose(TURNS[turns]) if turns else fine
    found, unread, ended = _read_bands(recogniser, page, heartbeat)
    overview = image.copy()
    overview.thumbnail((OVERVIEW_SIDE, OVERVIEW_SIDE))
    seen = _turned(recogniser.glance(overview, heartbeat), turns)
    heartbeat()
    zoom = page.width / max(seen.width, 1)
    large = [
        line.scaled(zoom)
        for line in seen.lines
        if line.height > max(LEGIBLE_HEIGHT, 2 * SEAM / zoom) and line.confidence >= SURE
    ]
    found = _with_lettering(found, large)
    missing = ended or (finer.reduced > 1.0 and _has_small_print(found))
    return fine, Recognised(tuple(found), *page.size, turns, tuple(unread)), missing


def _turned(read: Recognised, turns: int) -> Recognised:
    """Return lines as they are after so many turns, whatever their own are."""
    return upright(read.lines, (read.width, read.height), (turns - read.quarter_turns) % 4)


def _probe(fine: Image.Image, windows: Sequence[tuple[int, int]], step: int) -> Image.Image:
    """Return the part of an image with the most of these windows."""
    side = max(PROBE_SIDE // step, 1)
    counts: dict[tuple[int, int], int] = {}
    for column, row in windows:
        place = (column // side, row // side)
        counts[place] = counts.get(place, 0) + 1
    column, row = max(counts, key=lambda place: counts[place])
    left = max(min(column * side * step, fine.width - PROBE_SIDE), 0)
    top = max(min(row * side * step, fine.height - PROBE_SIDE), 0)
    right, bottom = min(left + PROBE_SIDE, fine.width), min(top + PROBE_SIDE, fine.height)
    return fine.crop((left, top, right, bottom))


def _read_bands(
    recogniser: Recogniser, page: Image.Image, heartbeat: Heartbeat
) -> tuple[list[Line], list[Line], bool]:
    """Return the lines of an upright page, those in an unknown script, and whether it has more."""
    found: list[Line] = []
    cut: list[Line] = []
    unread: list[Line] = []
    ended = False
    for top, bottom, above, below in bands(page):
        band = page.crop((0, above, page.width, below))
        if _is_blank(band):
            continue
        if ended := sum(len(line.text) for line in (*found, *unread)) >= MAX_CHARACTERS:
            break
        read = recogniser.recognise(band.convert("RGB"), heartbeat)
        heartbeat()
        before = [line for line in (*found, *unread) if line.bottom >= above]
        # What touches an edge of the band may be part of a line that the next band sees whole.
        edges = (above or -SEAM, below if below < page.height else below + SEAM)
        missed = [line for line in _on_page(read, read.unread, above) if not _touches(line, edges)]
        unread += _further([one for one in missed if top <= one.center_y < bottom], before)
        before = [line for line in (*found, *unread) if line.bottom >= above]
        lines = _on_page(read, read.lines, above)
        own = [
            line for line in lines if top <= line.center_y < bottom and not _touches(line, edges)
        ]
        found += _further(own, before)
        cut += [line for line in lines if line not in own]
    return [*found, *_further(cut, [*found, *unread])], unread, ended


def bands(page: Image.Image) -> list[tuple[int, int, int, int]]:
    """Return the bands of a page, cut between lines if possible.

    Each has its first row and the one after its last, and the same with what is seen beside it.
    """
    width, height = page.size
    tallest = max(BAND_PIXELS // width, 4 * SEAM)
    ink = _ink_of_rows(page)
    cuts = [0]
    while height - cuts[-1] > tallest:
        places = range(cuts[-1] + tallest // 2, cuts[-1] + tallest)
        least = min(ink[place] for place in places)
        blank = [place for place in places if ink[place] == least]
        cuts.append(blank[len(blank) // 2])
    seams = [min(SEAM if ink[cut] else BLANK_SEAM, cut) for cut in cuts]
    return [
        (top, bottom, top - before, min(bottom + after, height))
        for (top, before), (bottom, after) in pairwise(
            [*zip(cuts, seams, strict=True), (height, 0)]
        )
    ]


def _ink_of_rows(page: Image.Image) -> list[int]:
    """Return how much of a letter is in each row, at the place where most is."""
    steps = ImageChops.difference(page, ImageChops.offset(page, 2, 0))
    steps = steps.point([255 * (step > EDGE) for step in range(256)])
    counts = steps.resize((INK_COLUMNS, page.height), Image.Resampling.BOX).tobytes()
    return [max(counts[at : at + INK_COLUMNS]) for at in range(0, len(counts), INK_COLUMNS)]


def _is_blank(band: Image.Image) -> bool:
    shades = [shade for shade, count in enumerate(band.reduce(2).histogram()) if count]
    return shades[-1] - shades[0] < BLANK_RANGE


def _on_page(read: Recognised, lines: tuple[Line, ...], above: int) -> list[Line]:
    """Return lines of a band, whichever way they run, at their places on the page."""
    turned = turn_lines(lines, read.width, read.height, (-read.quarter_turns) % 4)
    return [moved(line, 0, above) for line in turned]


def _touches(line: Line, edges: tuple[int, int]) -> bool:
    return line.top <= edges[0] + 2 or line.bottom >= edges[1] - 2


def _further(lines: Sequence[Line], others: Sequence[Line]) -> list[Line]:
    """Return those of some lines that stand at the place of no other, nor of one another."""
    found: list[Line] = []
    for line in lines:
        near = [
            other
            for other in (*others, *found)
            if other.top <= line.bottom and line.top <= other.bottom
        ]
        if not covered(line, near) and not any(covered(other, [line]) for other in near):
            found.append(line)
    return found


def _with_lettering(lines: Sequence[Line], large: Sequence[Line]) -> list[Line]:
    """Return lines, with large ones in place of the pieces the bands have of them."""
    result = list(lines)
    for line in large:
        pieces = [piece for piece in result if covered(piece, [line])]
        known = sum(len(piece.text) * piece.confidence for piece in pieces)
        if len(line.text) * line.confidence > known:
            result = [piece for piece in result if piece not in pieces]
            result.append(line)
    return result


def _has_small_print(lines: Sequence[Line]) -> bool:
    """Whether letters of a page are too small to be read well; also where there are none at all."""
    characters = sum(len(line.text) for line in lines)
    small = sum(len(line.text) for line in lines if min(line.height, line.width) < LEGIBLE_HEIGHT)
    return small >= SMALL_SHARE * characters
