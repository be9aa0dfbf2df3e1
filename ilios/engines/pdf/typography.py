"""Blanks, dashes and quotation marks as the text layer has them.

The parser makes dashes hyphens and quotation marks straight, and loses narrow blanks: after a sign,
and between phrases in condensed type.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise

from msgspec.structs import replace

from ilios.engines.layout.items import Item

MIN_GAP = 0.03
MAX_GAP = 0.3
"""Gaps between two phrases, in their size, in which a blank of the text layer stands."""

MIN_PART = 2
MAX_WORD = 60
"""Characters of a word that is parted, and of each part."""

MAX_SHAPES = 8
"""Words of the layer that differ in their dashes and quotation marks alone."""

_STRAIGHT = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201a": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u201e": '"',
        "\u2010": "-",
        "\u2011": "-",
        "\u2012": "-",
        "\u2013": "-",
        "\u2014": "-",
        "\u2015": "-",
    }
)
_SHAPED = re.compile(r"\S*[\u2010-\u2015\u2018-\u201a\u201c-\u201e\u2026]\S*")


def restored(items: Sequence[Item], layer: str) -> list[Item]:
    """Return the items of a page with the blanks and signs of its text layer."""
    spelling = _Spelling(layer)
    texts = [spelling.restored(item.text) for item in items]
    for at, (one, other) in enumerate(pairwise(items)):
        if _is_close(one, other) and spelling.are_apart(one.text, other.text):
            texts[at] += " "
    return [
        item if item.text == text else replace(item, text=text)
        for item, text in zip(items, texts, strict=True)
    ]


def _is_close(one: Item, other: Item) -> bool:
    """Whether an item follows another in its line, at so little space that it may touch it."""
    size = min(one.size, other.size)
    return (
        MIN_GAP * size < other.left - one.right < MAX_GAP * size
        and one.top < (other.top + other.bottom) / 2 < one.bottom
    )


class _Spelling:
    """The words of a text layer, in which the parser's are looked up."""

    def __init__(self, layer: str) -> None:
        self._words = layer.split()
        self._known = frozenset(self._words)
        self._shapes = self._straightened(layer)
        self._several = {word for word, shapes in self._shapes.items() if len(shapes) > 1}

    def _straightened(self, layer: str) -> dict[str, list[str]]:
        """Return the words that the parser makes straight, each with those that it may stand for.

        First comes that which is straight in the layer, too, and then the usual ones.
        """
        shapes: dict[str, list[str]] = {}
        for word, _ in Counter(_SHAPED.findall(layer)).most_common():
            with_dots = word.translate(_STRAIGHT)
            for straight in {with_dots, with_dots.replace("\u2026", "...")} - {word}:
                first = [straight] if straight in self._known else []
                shapes.setdefault(straight, first).append(word)
        return shapes

    def restored(self, text: str) -> str:
        """Return a text with its signs as they are, and its words as they are parted."""
        words = text.split(" ")
        if self._known.issuperset(words) and self._several.isdisjoint(words):
            return text
        words = list(self._joined(words))
        for at, word in enumerate(words):
            if word in self._shapes:
                before, after = words[at - 1] if at else "", "".join(words[at + 1 : at + 2])
                words[at] = self._shaped(before, word, after)
            elif word not in self._known:
                words[at] = self._parted(word)
        return " ".join(words)

    def _shaped(self, before: str, word: str, after: str) -> str:
        """Return a word with its signs; of several, those that it has beside its neighbours."""
        shapes = self._shapes[word]
        if len(shapes) == 1:
            return shapes[0]
        after = self._first_shape(after)
        return max(
            shapes[:MAX_SHAPES],
            key=lambda shape: ((before, shape) in self._pairs) + ((shape, after) in self._pairs),
        )

    def _first_shape(self, word: str) -> str:
        return self._shapes.get(word, [word])[0]

    def _joined(self, words: Sequence[str]) -> Iterator[str]:
        """Yield words, of which two that the layer has only as one are one.

        A number after letters stays apart: it is that of a note.
        """
        last = ""
        for word in words:
            if (
                last + word in self._known
                and not (last in self._known and word in self._known)
                and (last, word) not in self._pairs
                and not (last[-1:].isalpha() and word[:1].isdigit())
            ):
                last += word
                continue
            if last:
                yield last
            last = word
        yield last

    def _parted(self, word: str) -> str:
        """Return a word in two where the layer has two that make it."""
        for at in range(MIN_PART, min(len(word), MAX_WORD) - MIN_PART + 1):
            first = self._first_shape(word[:at])
            if first not in self._known:
                continue
            second = self._first_shape(word[at:])
            if (first, second) in self._pairs and (
                not first[-1].isalnum() or self._are_usual(first, second)
            ):
                return f"{first} {second}"
        return word

    def _are_usual(self, first: str, second: str) -> bool:
        """Whether two words occur elsewhere, too, and are not the pieces of one."""
        return self._counts[first] > 1 and self._counts[second] > 1

    def are_apart(self, text: str, after: str) -> bool:
        """Whether the last word of a text and the first of that after it are neighbours."""
        first, second = text.rsplit(" ", 1)[-1], after.split(" ", 1)[0]
        first, second = self._first_shape(first), self._first_shape(second)
        return first + second not in self._known and (first, second) in self._pairs

    @cached_property
    def _pairs(self) -> frozenset[tuple[str, str]]:
        return frozenset(pairwise(self._words))

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(self._words)
