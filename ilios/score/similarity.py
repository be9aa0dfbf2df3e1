"""Distances between texts, by the bit-parallel algorithms of Myers and Hyyrö.

A column of the matrix of differences is one integer, so that pages of text take milliseconds.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence


def similarity(one: str, other: str) -> float:
    """Return 1 minus the Levenshtein distance divided by the length of the longer text."""
    longest = max(len(one), len(other))
    return 1 - _distance(one, other) / longest if longest else 1.0


def ratio(one: str, other: str) -> float:
    """Return the share of both texts that is in their longest common subsequence."""
    total = len(one) + len(other)
    return 2 * _common_length(one, other) / total if total else 1.0


def f1(one: Sequence[str], other: Sequence[str]) -> float:
    """Return the harmonic mean of precision and recall of two bags of words."""
    total = len(one) + len(other)
    return 2 * sum((Counter(one) & Counter(other)).values()) / total if total else 1.0


def find(needle: str, text: str, differences: int = 0) -> int | None:
    """Return where a text ends that differs from ``needle`` in at most so many characters."""
    if not needle:
        return None
    if not differences:
        start = text.find(needle)
        return None if start < 0 else start + len(needle)
    masks = _masks(needle)
    full, last = (1 << len(needle)) - 1, 1 << (len(needle) - 1)
    plus, minus, errors = full, 0, len(needle)
    best, place = (errors, 0) if errors <= differences else (differences + 1, None)
    for end, character in enumerate(text, 1):
        plus, minus, change = _step(masks.get(character, 0), plus, minus, full, last, border=0)
        errors += change
        if errors < best:
            best, place = errors, end
    return place


def _distance(one: str, other: str) -> int:
    short, long = sorted((one, other), key=len)
    if not short:
        return len(long)
    masks = _masks(short)
    full, last = (1 << len(short)) - 1, 1 << (len(short) - 1)
    plus, minus, errors = full, 0, len(short)
    for character in long:
        plus, minus, change = _step(masks.get(character, 0), plus, minus, full, last, border=1)
        errors += change
    return errors


def _step(
    equal: int, plus: int, minus: int, full: int, last: int, *, border: int
) -> tuple[int, int, int]:
    """Return the next column, and the change of its last cell.

    With a ``border`` of 1 the first row grows, with 0 a match may begin anywhere.
    """
    vertical = equal | minus
    horizontal = (((equal & plus) + plus) ^ plus) | equal
    up = (minus | ~(horizontal | plus)) & full
    down = plus & horizontal
    change = 1 if up & last else -1 if down & last else 0
    up = (up << 1) | border
    down <<= 1
    return (down | ~(vertical | up)) & full, up & vertical & full, change


def _common_length(one: str, other: str) -> int:
    masks = _masks(one)
    full = (1 << len(one)) - 1
    row = full
    for character in other:
        matched = row & masks.get(character, 0)
        row = ((row + matched) | (row - matched)) & full
    return len(one) - row.bit_count()


def _masks(text: str) -> dict[str, int]:
    places: dict[str, list[int]] = defaultdict(list)
    for place, character in enumerate(text):
        places[character].append(place)
    masks = {}
    for character, listed in places.items():
        bits = bytearray(len(text) // 8 + 1)
        for place in listed:
            bits[place >> 3] |= 1 << (place & 7)
        masks[character] = int.from_bytes(bits, "little")
    return masks
