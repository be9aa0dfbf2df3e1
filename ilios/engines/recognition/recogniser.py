"""Recognition of text on images: the interface of a recogniser and its result."""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct
from PIL import Image
from PIL.Image import Transpose

from ilios.engines.layout.items import Item, PageItems

LARGEST_SIDE = 2000
"""Pixels of the longer side; more make recognition slower and no better."""

OBLONG = 2.5
"""An image so many times longer than wide is the band of one, and is read at its full size."""

SMALLEST_SIDE = 5
"""Pixels; a smaller image has no letters, and scaled up it may become a huge strip."""

TALL = 1.5
"""A box so much taller than wide is a line of turned or vertical text."""

UNSURE_BELOW = 0.92
"""Mean confidence of a page, or of a line, below which the larger model reads it again: poor print,
handwriting, unknown scripts. Clean print has 0.97."""

TURNS = {1: Transpose.ROTATE_90, 2: Transpose.ROTATE_180, 3: Transpose.ROTATE_270}
"""Transpositions by the number of counter-clockwise quarter turns."""

Heartbeat = Callable[[], None]


class Line(Struct, frozen=True):
    """A piece of text, its box in pixels (y grows downwards) and its confidence, 0 to 1."""

    left: float
    top: float
    right: float
    bottom: float
    text: str
    confidence: float = 1.0

    @property
    def width(self) -> float:
        """Width of the box."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Height of the box."""
        return self.bottom - self.top

    @property
    def center_y(self) -> float:
        """Vertical centre of the box."""
        return (self.top + self.bottom) / 2

    def scaled(self, factor: float) -> "Line":
        """Return the line on an image that is larger by this factor."""
        left, top, right, bottom = (
            factor * edge for edge in (self.left, self.top, self.right, self.bottom)
        )
        return Line(left, top, right, bottom, self.text, self.confidence)

    @property
    def is_tall(self) -> bool:
        """Whether its text is turned by a quarter, or vertical."""
        return len(self.text) > 2 and self.height > TALL * self.width


class Recognised(Struct, frozen=True):
    """The lines of an image of this size in pixels, both after it was turned and straightened.

    ``quarter_turns`` counter-clockwise turn the image upright. ``unread`` are lines in a script
    that the recogniser does not know, with what it could read of them; ``lines`` has the others.
    """

    lines: tuple[Line, ...]
    width: int
    height: int
    quarter_turns: int = 0
    unread: tuple[Line, ...] = ()

    @property
    def mean_confidence(self) -> float:
        """Mean confidence of the characters, 1 where there are none."""
        return mean_confidence(self.lines)

    @property
    def lowest_confidence(self) -> float:
        """The confidence of the least sure line, 1 where there are none."""
        return min((line.confidence for line in self.lines), default=1.0)

    def scaled(self, factor: float) -> "Recognised":
        """Return the lines of an image that is larger by this factor."""
        if factor == 1:
            return self
        return Recognised(
            tuple(line.scaled(factor) for line in self.lines),
            max(round(self.width * factor), 1),
            max(round(self.height * factor), 1),
            self.quarter_turns,
            tuple(line.scaled(factor) for line in self.unread),
        )

    def to_items(self, index: int, points_per_pixel: float) -> PageItems:
        """Return the lines as the input of the layout."""
        scale = points_per_pixel
        return PageItems(
            index=index,
            width=self.width * scale,
            height=self.height * scale,
            items=tuple(
                Item(
                    left=line.left * scale,
                    top=line.top * scale,
                    right=line.right * scale,
                    bottom=line.bottom * scale,
                    text=line.text,
                    size=(line.width if line.is_tall else line.height) * scale,
                    vertical=line.is_tall,
                )
                for line in self.lines
            ),
        )


class Recogniser(Protocol):
    """Finds and reads the text of an RGB image, however the page is turned.

    ``heartbeat`` is called between the steps, of which one takes a second at most on a common
    machine. One of up to 2 megapixels that is ``OBLONG`` is not made smaller before.
    ``enlarged`` is by how much the image was scaled up from its source: text of few
    pixels is read with more effort, whatever it was made into.
    """

    @property
    def name(self) -> str:
        """The name of the installed distribution."""
        ...

    def recognise(
        self, image: Image.Image, heartbeat: Heartbeat, *, enlarged: float = 1.0
    ) -> Recognised: ...

    def glance(self, image: Image.Image, heartbeat: Heartbeat) -> Recognised:
        """Read an image with the least effort, for its large letters and the way it is turned."""
        ...


def mean_confidence(lines: Sequence[Line]) -> float:
    """Return the mean confidence of the characters, 1 where there are none."""
    characters = sum(len(line.text) for line in lines)
    if not characters:
        return 1.0
    return sum(line.confidence * len(line.text) for line in lines) / characters


def turn_lines(
    lines: tuple[Line, ...], width: int, height: int, quarter_turns: int
) -> tuple[Line, ...]:
    """Return lines with the boxes they have after the page is turned counter-clockwise."""
    for _ in range(quarter_turns % 4):
        lines = tuple(
            Line(
                line.top,
                width - line.right,
                line.bottom,
                width - line.left,
                line.text,
                line.confidence,
            )
            for line in lines
        )
        width, height = height, width
    return lines


def upright(lines: tuple[Line, ...], size: tuple[int, int], quarter_turns: int) -> Recognised:
    """Return the result for an image of this size that has to be turned."""
    width, height = size
    turned = turn_lines(lines, width, height, quarter_turns)
    if quarter_turns % 2:
        width, height = height, width
    return Recognised(turned, width, height, quarter_turns % 4)


def mostly_tall(lines: tuple[Line, ...]) -> bool:
    """Whether most lines of more than two characters are tall."""
    counted = [line.is_tall for line in lines if len(line.text) > 2]
    return 2 * sum(counted) > len(counted)


def moved(line: Line, right: float, down: float) -> Line:
    """Return a line at another place."""
    box = (line.left + right, line.top + down, line.right + right, line.bottom + down)
    return Line(*box, line.text, line.confidence)


def covered(line: Line, boxes: Sequence[Line]) -> bool:
    """Whether the middle of a line is inside of one of the boxes."""
    middle = (line.left + line.right) / 2
    return any(
        box.left <= middle <= box.right and box.top <= line.center_y <= box.bottom for box in boxes
    )
