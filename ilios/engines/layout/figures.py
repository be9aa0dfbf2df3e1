"""Figures between the paragraphs of a page: they never part one, nor change the order of text."""

from collections.abc import Sequence
from statistics import median

from .items import Figure
from .parts import Part

MAX_FIGURES = 100
"""Further figures of a page stand at its end."""

GAP = 0.6
"""White between two paragraphs, in the size of the text."""

WIDE_GAP = 1.5
"""White between two paragraphs, by that between most rows."""


def place(figures: Sequence[Figure], groups: list[list[Part]]) -> list[list[Part]]:
    """Return the parts in groups, in reading order, with the figures among them."""
    placed = [list(group) for group in groups]
    last: list[Part] = []
    for at, figure in enumerate(figures):
        number = _group(figure, groups) if at < MAX_FIGURES else None
        if number is None:
            last.append(_part(figure, at, figure.top))
        else:
            placed[number].append(_part(figure, at, _gap_below(figure, groups[number])))
    return [*placed, sorted(last, key=lambda part: part.top)] if last else placed


def _part(figure: Figure, at: int, y: float) -> Part:
    return Part(figure.left, y, figure.right, y, 0.0, None, figure=at)


def _group(figure: Figure, groups: list[list[Part]]) -> int | None:
    """Return the group of what stands nearest above the figure, else below it."""
    best: tuple[bool, float, int] | None = None
    for number, group in enumerate(groups):
        for part in group:
            if part.left >= figure.right or part.right <= figure.left:
                continue
            below = part.top + part.bottom > figure.top + figure.bottom
            away = part.top - figure.bottom if below else figure.top - part.bottom
            if best is None or (below, away) < best[:2]:
                best = below, away, number
    return best[2] if best else None


def _gap_below(figure: Figure, group: Sequence[Part]) -> float:
    """Return the y of the white between paragraphs that is the next below a figure's middle."""
    parts = sorted(group, key=lambda part: part.top)
    gaps: list[tuple[float, float]] = []  # y and height
    bottom = parts[0].bottom
    for part in parts[1:]:
        if part.top > bottom:
            gaps.append(((part.top + bottom) / 2, part.top - bottom))
        bottom = max(bottom, part.bottom)
    middle = (figure.top + figure.bottom) / 2
    if middle < parts[0].top:
        return min(middle, parts[0].top)
    heights = [height for _, height in gaps]
    least = max(
        GAP * median(part.size for part in parts),
        WIDE_GAP * median(heights) if len(heights) > 1 else 0.0,
    )
    for y, height in gaps:
        if height >= least and (y >= middle or y + height / 2 >= middle):
            return y
    return bottom + 1.0
