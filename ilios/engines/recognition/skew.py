"""The angle by which the lines of a scan are inclined."""

from itertools import pairwise

from PIL import Image, ImageOps

SIDE = 500
"""Pixels of the longer side of the copy that is measured."""

STEPS, STEP = 10, 0.5
"""Angles tried in each direction, and degrees between them."""

LEAST_ANGLE = 1.0
"""Degrees; less does not change the order of lines."""

LEAST_GAIN = 1.3
"""Gain of contrast between the rows of an image that is turned, or it stays as it is."""


def straighten(image: Image.Image) -> Image.Image:
    """Return an image whose lines are level or upright, the same one if they are already."""
    angle = skew(image)
    if abs(angle) < LEAST_ANGLE:
        return image
    return turn(image, angle)


def turn(image: Image.Image, angle: float) -> Image.Image:
    """Return an image that is turned counter-clockwise by some degrees, on white."""
    return image.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor="white")


def skew(image: Image.Image) -> float:
    """Return the degrees by which to turn an image counter-clockwise, 0 if that is not clear."""
    small = ImageOps.invert(image.convert("L"))
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    small = ImageOps.autocontrast(small, cutoff=1)
    angles = [step * STEP for step in range(-STEPS, STEPS + 1)]
    best_angle, best_gain = 0.0, LEAST_GAIN
    level = _contrasts(small)
    for angle in angles:
        turned = _contrasts(small.rotate(angle, Image.Resampling.BILINEAR))
        gain = max(found / max(before, 1.0) for found, before in zip(turned, level, strict=True))
        if max(turned) >= max(level) and gain > best_gain:
            best_angle, best_gain = angle, gain
    return best_angle


def _contrasts(image: Image.Image) -> tuple[float, float]:
    """Return the sums of squared differences between neighbouring rows, and between columns."""
    rows = image.resize((1, image.height), Image.Resampling.BOX).tobytes()
    columns = image.resize((image.width, 1), Image.Resampling.BOX).tobytes()
    return _roughness(rows), _roughness(columns)


def _roughness(values: bytes) -> float:
    return float(sum((one - other) ** 2 for one, other in pairwise(values)))
