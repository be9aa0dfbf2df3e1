"""The likely way up of a page, from where the ink of its lines is.

Above the small letters of a line of Latin, Greek or Cyrillic text there is more ink (capitals, b,
d, h, l) than below them (g, p, q). It costs a hundredth of a reading, and it is a hint only.
"""

from itertools import pairwise

from PIL import Image, ImageOps

SIDE = 1600
"""Pixels of the longer side of the copy that is measured; smaller ones lose the ascenders."""

COLUMNS = 12
"""Lines side by side need not stand at the same height."""

CORE_SHARE = 0.5
"""Share of the ink of a line's darkest row that the rows of its small letters have."""

INK_SHARE = 0.06
"""Share of that ink below which a row is between two lines."""

TALLEST_LINE, SHORTEST_LINE = 60, 6
"""Pixels; taller is a picture, shorter shows nothing."""

LEAST_LINES = 8
"""Pieces of lines below which nothing is concluded."""

LEAST_ASYMMETRY = 0.2
"""Share by which the ink on one side exceeds that on the other."""


def looks_upside_down(image: Image.Image) -> bool:
    """Whether the lines of an image are most likely upside down, or run downwards."""
    below, above, lines = _ink_beside_cores(image, tall=_has_tall_lines(image))
    return (
        lines >= LEAST_LINES and below > above and below - above > LEAST_ASYMMETRY * (below + above)
    )


def _has_tall_lines(image: Image.Image) -> bool:
    """Whether there is more contrast between the columns of an image than between its rows."""
    small = _inverted(image, SIDE // 2)
    rows = small.resize((1, small.height), Image.Resampling.BOX).tobytes()
    columns = small.resize((small.width, 1), Image.Resampling.BOX).tobytes()
    return _roughness(columns) > _roughness(rows)


def _inverted(image: Image.Image, side: int) -> Image.Image:
    small = image.convert("L")
    small.thumbnail((side, side), Image.Resampling.BOX)
    return ImageOps.autocontrast(ImageOps.invert(small), cutoff=1)


def _roughness(values: bytes) -> float:
    steps = sum((one - other) ** 2 for one, other in pairwise(values))
    return steps / max(len(values), 1)


def _ink_beside_cores(image: Image.Image, *, tall: bool) -> tuple[float, float, int]:
    """Return the ink below and above the small letters of all lines, and the number of lines."""
    small = _inverted(image, SIDE)
    if tall:
        small = small.transpose(Image.Transpose.ROTATE_90)
    profile = small.resize((COLUMNS, small.height), Image.Resampling.BOX)
    below = above = 0.0
    count = 0
    for column in range(COLUMNS):
        values = profile.crop((column, 0, column + 1, profile.height)).tobytes()
        for line in _lines(values):
            darkest = max(line)
            core = [at for at, ink in enumerate(line) if ink >= CORE_SHARE * darkest]
            upper, lower = sum(line[: core[0]]), sum(line[core[-1] + 1 :])
            if upper + lower:
                above += upper / darkest
                below += lower / darkest
                count += 1
    return below, above, count


def _lines(values: bytes) -> list[bytes]:
    """Return the runs of rows with ink that are as high as a line."""
    floor = sorted(values)[len(values) // 10]
    least = floor + max(INK_SHARE * (max(values, default=0) - floor), 1)
    found, start = [], None
    for at, ink in enumerate([*values, 0]):
        if ink > least and start is None:
            start = at
        elif ink <= least and start is not None:
            if SHORTEST_LINE <= at - start <= TALLEST_LINE:
                found.append(values[start:at])
            start = None
    return found
