"""Pictures of lines of text, in the font that comes with Pillow or in one of the machine."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

LEADING = 1.7
MARGIN = 30
FONT_DIRECTORIES = ("/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts")
FONT_NAMES = ("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "NotoSans-Regular.ttf", "Arial.ttf")


@cache
def wide_font() -> Path | None:
    """Return a font of this machine with Cyrillic and Greek letters; None if it has none."""
    for directory in FONT_DIRECTORIES:
        for name in FONT_NAMES:
            if found := next(Path(directory).rglob(name), None):
                return found
    return None


def lines(texts: Sequence[str], size: int, *, font_file: Path | None = None) -> Image.Image:
    """Return black lines on white, just large enough."""
    font = ImageFont.truetype(str(font_file), size) if font_file else ImageFont.load_default(size)
    width = max(int(font.getlength(text)) for text in texts) + 2 * MARGIN
    image = Image.new("L", (width, int(LEADING * size * len(texts)) + 2 * MARGIN), 255)
    pen = ImageDraw.Draw(image)
    for place, text in enumerate(texts):
        pen.text((MARGIN, MARGIN + LEADING * size * place), text, 0, font)
    return image
