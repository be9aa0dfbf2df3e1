"""Vietnamese, whose letters with two signs, or a tone below or above, the models cannot write.

The larger model leaves such letters out, and the smaller one takes similar ones. What remains still
has the shape of the language: each word is one short syllable, and many have a sign.
"""

import re
import unicodedata
from collections.abc import Iterable

from ilios.engines.recognition.recogniser import Line

_SYLLABLE = re.compile(
    r"(?:ngh?|[cgknpt]h|tr|gi|qu|[bcdghklmnprstvx])?[aeiouy]{0,3}(?:ng|nh|ch|[cmnpt])?"
)
"""A syllable without its signs, and perhaps without its vowel."""
_WORD = re.compile(r"[^\W\d_]+")
_SIGNS = frozenset("\N{COMBINING BREVE}\N{COMBINING CIRCUMFLEX ACCENT}\N{COMBINING HORN}")

MIN_SIGNS = 3
"""Letters with a sign of Vietnamese beside the letter đ, and words with any sign without it."""

LINE_WORDS, SYLLABLE_SHARE = 3, 0.75
"""Words of a line, and share of them that are syllables: 0.85 in Vietnamese, at most 0.6 in
other languages of Latin letters."""

MIN_WORDS, PAGE_SHARE, SIGN_SHARE = 6, 0.25, 0.15
"""Words in such lines, their share of the page, and the share of them that have a sign."""


def is_vietnamese(lines: Iterable[Line]) -> bool:
    """Whether some of the text of a page is Vietnamese, as the models write it."""
    texts = [line.text for line in lines]
    return _has_letters("".join(texts)) or _has_syllables(texts)


def _has_letters(text: str) -> bool:
    signs = sum(sign in _SIGNS for sign in unicodedata.normalize("NFD", text))
    return ("đ" in text or "Đ" in text) and signs >= MIN_SIGNS


def _has_syllables(texts: Iterable[str]) -> bool:
    total = syllabic = signed = 0
    for text in texts:
        words = [word.lower() for word in _WORD.findall(text)]
        plain = [_without_signs(word) for word in words]
        total += len(words)
        syllables = sum(bool(_SYLLABLE.fullmatch(word)) for word in plain)
        if len(words) >= LINE_WORDS and syllables >= SYLLABLE_SHARE * len(words):
            syllabic += len(words)
            signed += sum(one != other for one, other in zip(words, plain, strict=True))
    return syllabic >= max(MIN_WORDS, PAGE_SHARE * total) and signed >= max(
        MIN_SIGNS, SIGN_SHARE * syllabic
    )


def _without_signs(word: str) -> str:
    letters = unicodedata.normalize("NFD", word.replace("đ", "d").replace("ð", "d"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
