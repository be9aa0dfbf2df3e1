"""Heads of tables: lines above the rows, of which each text stands over one column or several."""

from collections.abc import Sequence
from itertools import pairwise

from .lines import Line, linked_text
from .strokes import Rule

HEAD_ROWS = 3
HEAD_WORDS = 8
GAP = 0.9
"""Gap between a head and what it stands over, in the size of its font."""

REACH = 0.45
"""Share of the distance between two heads to which the columns below belong to a head."""

CENTRED = 0.7
"""Distance of the middles, in the size of the font, of a text centred over columns."""

RULE_ABOVE = 0.3
"""Height, in the size of the font, by which the rule below a text may cut its box."""

MAX_RULES = 500
"""Rules of a page; more are those of a drawing."""

MAX_COLUMNS = 20
Span = tuple[float, float]


def is_head(pieces: Sequence[Line], columns: Sequence[Span], *, lone: bool) -> bool:
    """Whether texts on a line stand over columns; ``lone`` allows a single text."""
    if len(pieces) < 2 and not lone:
        return False
    return all(
        piece.left >= columns[0][0] - piece.size
        and piece.right <= columns[-1][1] + 2 * piece.size
        and len(piece.text.split()) <= HEAD_WORDS
        for piece in pieces
    )


def head_row(
    pieces: Sequence[Line], columns: Sequence[Span], rules: Sequence[Rule] = ()
) -> list[str]:
    """Return the texts of a head by column; one that stands over several is repeated in each."""
    texts = [""] * len(columns)
    reach = min((_middle(other) - _middle(one) for one, other in pairwise(pieces)), default=0.0) * (
        REACH if len(pieces) < len(columns) else 0.0
    )
    if len(pieces) > MAX_COLUMNS or len(rules) > MAX_RULES:
        rules = ()
    for piece in pieces:
        text = linked_text(piece.items)
        if under := _columns_of_rule(piece, columns, rules):
            for at in under:
                texts[at] = f"{texts[at]} {text}".strip()
            continue
        if len(pieces) == 1 and (wide := _range_below(piece, columns)):
            return [text if at in wide else "" for at in range(len(columns))]
        placed = False
        for at, (left, right) in enumerate(columns):
            over = min(piece.right, right) - max(piece.left, left)
            near = abs((left + right) / 2 - _middle(piece)) <= reach
            if near or over > (right - left) / 2 or over > (piece.right - piece.left) / 2:
                texts[at] = f"{texts[at]} {text}".strip()
                placed = True
        if not placed:
            nearest = min(
                range(len(columns)), key=lambda at: abs(sum(columns[at]) / 2 - _middle(piece))
            )
            texts[nearest] = f"{texts[nearest]} {text}".strip()
    return texts


def _columns_of_rule(piece: Line, columns: Sequence[Span], rules: Sequence[Rule]) -> list[int]:
    """Return the columns below the rule under a text, if it is wider than the text."""
    for rule in rules:
        if (
            -RULE_ABOVE < (rule.at - piece.bottom) / piece.size < GAP
            and rule.start <= piece.left
            and piece.right <= rule.end
        ):
            under = [
                at for at, span in enumerate(columns) if rule.start <= sum(span) / 2 <= rule.end
            ]
            return under if 1 < len(under) < len(columns) else []
    return []


def _range_below(piece: Line, columns: Sequence[Span]) -> range | None:
    """Return the widest range of columns, without the first, over whose middle a text stands."""
    middle = _middle(piece)
    if len(columns) > MAX_COLUMNS or any(
        abs(sum(column) / 2 - middle) < CENTRED * piece.size for column in columns
    ):
        return None
    for count in range(len(columns) - 1, 1, -1):
        for first in range(1, len(columns) - count + 1):
            left, right = columns[first][0], columns[first + count - 1][1]
            inside = left < piece.left and piece.right < right
            if inside and abs((left + right) / 2 - middle) < CENTRED * piece.size:
                return range(first, first + count)
    return None


def _middle(line: Line) -> float:
    return (line.left + line.right) / 2
