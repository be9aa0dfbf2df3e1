"""Conservation: the words of a page that reach what was made of it."""

import re
import unicodedata
from collections import Counter

from msgspec import Struct

SOUND_SHARE = 0.98
"""A page on which fewer of the words are found falls back."""

MAX_SOUGHT = 2_000
"""With more different words missing, they are not sought among the letters of what was made."""

MAX_LISTED = 8
"""Missing words that are named."""

_MARKUP = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)|<[^<>\n]{1,80}>")
_WORD = re.compile(r"[^\W_]+")
_WITHOUT_BLANKS = re.compile("[\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Chinese and Japanese, where a line of the source is no word."""
_HYPHEN = re.compile(r"([^\W\d_])[-\u2010\u00ad\ufffe\x02]\s+(?=[^\W\d_])")
_JOINED = re.compile(r"(?<=\w)[-\u2010\u2011\u00ad'\u2019.,:/](?=\w)")


class Conservation(Struct, frozen=True):
    """The share of the words found, from 0 to 1, and some of the missing ones.

    ``exact`` is the share of those that stand there as words, with the same blanks around them, in
    scripts that have blanks.
    """

    share: float
    missing: tuple[str, ...] = ()
    total: int = 0
    exact: float = 1.0

    @property
    def sound(self) -> bool:
        """Whether nothing of weight is missing."""
        return self.share >= SOUND_SHARE


def words(text: str) -> Counter[str]:
    """Return the words of a text: ligatures taken apart, hyphenated ones joined, in one case."""
    plain = unicodedata.normalize("NFKC", _HYPHEN.sub(r"\1", text)).casefold()
    return Counter(_WORD.findall(_JOINED.sub("", plain)))


def conserved(source: str, made: str) -> Conservation:
    """Return how much of the words of ``source`` is in ``made``, which is Markdown.

    Words that are written differently, such as with other blanks, are found by their letters.
    """
    wanted = words(source)
    total = sum(wanted.values())
    if not total:
        return Conservation(1.0)
    lost = wanted - words(made)
    if lost:
        lost -= words(_MARKUP.sub(r" \1 ", made)) - words(made)
    blanks = sum(count for word, count in lost.items() if not _WITHOUT_BLANKS.search(word))
    exact = 1 - blanks / total
    if 0 < len(lost) <= MAX_SOUGHT:
        lost = _without_found(lost, source, made)
    listed = tuple(word for word, _ in lost.most_common(MAX_LISTED))
    return Conservation(1 - sum(lost.values()) / total, listed, total, exact)


def _without_found(lost: Counter[str], source: str, made: str) -> Counter[str]:
    """Leave out words that occur in the letters of ``made`` as often as in those of ``source``."""
    letters, source_letters = _letters(_MARKUP.sub(r"\1", made)), _letters(source)
    return Counter(
        {
            word: short
            for word, count in lost.items()
            if (short := min(count, source_letters.count(word) - letters.count(word))) > 0
        }
    )


def _letters(text: str) -> str:
    plain = unicodedata.normalize("NFKC", _HYPHEN.sub(r"\1", text)).casefold()
    return "".join(_WORD.findall(plain))
