"""Words of a page that reach its Markdown, header or footer."""

from collections import Counter

from msgspec import Struct

from ilios.score.markdown_text import plain, words

LOSS = 0.98
"""A page that keeps a smaller share of its words needs a warning."""
GREAT_LOSS = 0.80
"""No page may keep a smaller share, unless its text layer is not trusted."""
MAX_LISTED = 12


class PageConservation(Struct, frozen=True):
    """What became of the words of a page.

    ``kept`` and ``added`` are shares of the words of the page: those in the result, and words of
    the result beyond those of the page, such as repeated ones. ``missing`` lists some of the lost.
    """

    index: int
    total: int
    kept: float
    added: float
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_silent_loss(self) -> bool:
        """Whether words are missing without a warning."""
        return self.kept < LOSS and not self.warnings

    @property
    def is_great_loss(self) -> bool:
        """Whether most of the page is missing although its text layer is trusted."""
        return self.kept < GREAT_LOSS and "text_layer_untrusted" not in self.warnings


def conservation(
    index: int, layer: str, produced: str, warnings: tuple[str, ...] = ()
) -> PageConservation:
    """Compare the words of a page with what was produced from it: Markdown, header and footer."""
    wanted, found = words(layer), words(plain(produced))
    missing = _without(wanted, found)
    extra = _without(found, wanted)
    lost, surplus = _not_joined(missing, extra), _not_joined(extra, missing)
    total = len(wanted)
    return PageConservation(
        index,
        total,
        1 - len(lost) / total if total else 1.0,
        len(surplus) / total if total else 0.0,
        tuple(lost[:MAX_LISTED]),
        warnings,
    )


def _without(these: list[str], others: list[str]) -> list[str]:
    """Return the words that the others do not have, or not as often."""
    left = Counter(others)
    rest = []
    for word in these:
        if left[word] > 0:
            left[word] -= 1
        else:
            rest.append(word)
    return rest


def _not_joined(these: list[str], others: list[str]) -> list[str]:
    """Return the words that are not in the others when spaces and hyphens are disregarded."""
    joined = "".join(others)
    letters = Counter(joined)
    rest = []
    for word in these:
        if len(word) > 1 and word in joined:
            continue
        # Such as a raised sign, which one text writes apart from its word and the other does not.
        if len(word) == 1 and letters[word] > 0:
            letters[word] -= 1
            continue
        rest.append(word)
    return rest
