"""Trust in a text layer, by its characters alone: whether they may be what a reader sees.

A font may name wrong characters for its glyphs, so that copying gives noise of ordinary letters.
In a language vowels and consonants take turns, and signs stand at the ends of words; in noise they
do not. Suspicion is cheap and may be wrong; recognition of the page decides.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

UNREADABLE_SHARE = 0.2
"""Share of characters without meaning above which a text layer is worthless."""

SAMPLE_CHARS = 600
"""Characters of one font that are looked at on a page."""

FEW_WORDS = 5
"""Words of characters without meaning from which on a font is suspected."""

FEW_PAIRS = 40
"""With fewer pairs of letters nothing can be inferred."""

CHANGE_SHARE = 0.55
"""Share of pairs of a vowel and a consonant below which letters are suspected: measured are .59 to
.84 in two dozen languages, and .20 to .55 once their letters are exchanged."""

USUAL_SHARE = 0.46
"""Share of the letters that are most frequent in European languages, below which Latin letters are
suspected: measured are .52 to .74 in two dozen languages."""

FOREIGN_SHARE = 0.5
"""Share of accented letters above which Latin text is another script, decoded wrongly."""

SIGN_SHARE = 0.4
INNER_SHARE = 0.12
"""Share of pairs inside of words of a letter with a sign or digit, or of a capital after a small
letter, above which text is suspected."""

MIXED_SHARE = 0.18
SIGNED_SHARE = 0.08
"""The same, of all signs and letters, in a text of few pairs of letters, or also many signs."""

SUSPECT_PART = 0.1
"""Share of a page's characters whose font is suspected that makes the page suspect."""

_VOWEL = (
    "aeiouy\u00e6\u00f8\u0131\u0153"
    "\u0430\u0435\u0438\u043e\u0443\u044b\u044d\u044e\u044f\u0454\u0456"
    "\u03b1\u03b5\u03b7\u03b9\u03bf\u03c5\u03c9"
)
"""Vowels of the Latin, Cyrillic and Greek script without their accents."""
_CHANGE = re.compile(f"[{_VOWEL}](?=[^{_VOWEL} ])|[^{_VOWEL} ](?=[{_VOWEL}])")
_USUAL = re.compile("[aeinorst]")
_LATIN = re.compile("[!-\u024f]")
_FOREIGN = re.compile("[\u00df-\u00ff]")
_MARK = re.compile(r"[^\w ]|[\d_]")
_TOKEN = re.compile(r"\S+")
_ADDRESS = re.compile(
    r"^(?:https?://|www\.|mailto:|doi:)|^[\w.+-]+@[\w.-]+\.\w+$|^[\w.-]+\.[a-z]{2,4}/"
)
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_ALPHABETIC = re.compile("[a-z\u00df-\u024f\u0370-\u0481\u1e00-\u1fff]+$")
_MEANINGLESS = re.compile("[\x00\x01\x03-\x08\x0b\x0e-\x1f\x7f-\x9f\ufffd\ue000-\uf8ff]")
_NO_WORD = re.compile("[\x00\x01\x03-\x08\x0b\x0e-\x1f\x7f-\x9f\ufffd]{3,}")
_HYPHENS = str.maketrans("", "", "\x02\ufffe\xad")
_INNER = re.compile(
    r"[a-z][A-Z]|[^\W\d_][\d!-&*+<-@\[\\\]^`{|}~][^\W\d_]|[^\W\d_]\d|[A-Za-z][!;:?][A-Za-z]"
)
_SIGN = re.compile(r"[!-,/:-@\[-^`{}~]")


def is_unreadable(text: str) -> bool:
    """Whether a good part of the characters has no meaning."""
    full = "".join(text.translate(_HYPHENS).split())
    return len(_MEANINGLESS.findall(full)) > UNREADABLE_SHARE * len(full)


def suspect_fonts(texts: Mapping[str | None, str]) -> frozenset[str | None]:
    """Return the fonts of a page, by name, the text of which may be noise; none of little text."""
    found = frozenset(
        font for font, text in texts.items() if is_noise(text) or _is_without_meaning(text)
    )
    suspected = sum(len(texts[font]) for font in found)
    return found if suspected > SUSPECT_PART * sum(map(len, texts.values())) else frozenset()


def _is_without_meaning(text: str) -> bool:
    """Whether whole words of a font have no meaning; bullets and icons stand alone."""
    return len(_NO_WORD.findall(text)) >= FEW_WORDS and is_unreadable(text)


def is_noise(text: str) -> bool:
    """Whether a text looks like no language; its middle is looked at."""
    start = max(0, (len(text) - SAMPLE_CHARS) // 2)
    text = text[start : start + SAMPLE_CHARS]
    tokens = [token for token in _TOKEN.findall(text) if not _ADDRESS.search(token)]
    plain = " ".join(tokens)
    words = _LETTERS.findall(plain)
    pairs = sum(map(len, words)) - len(words)
    full = len(plain) - len(tokens) + 1
    signs = len(_SIGN.findall(plain))
    if full >= FEW_PAIRS and signs > SIGN_SHARE * full:
        return True
    if pairs < FEW_PAIRS:
        # Noise of signs, digits and letters has few pairs of letters.
        inner = len(_INNER.findall(plain))
        least = SIGNED_SHARE if signs > SIGN_SHARE / 2 * full else MIXED_SHARE
        return full >= 2 * FEW_PAIRS and inner > least * full
    if len(_INNER.findall(plain)) > INNER_SHARE * (pairs + len(words)):
        return True
    return _lacks_change(words)


def _lacks_change(words: Sequence[str]) -> bool:
    """Whether vowels and consonants take turns less than in a language, or letters are unusual."""
    # Of capitals alone short ones are abbreviations.
    lower = [word.lower() for word in words if len(word) > 5 or not word.isupper()]
    chosen = [word for word in lower if _ALPHABETIC.match(word)]
    text = " ".join(chosen)
    letters, foreign = sum(map(len, chosen)), len(_FOREIGN.findall(text))
    plain = text if text.isascii() else _MARK.sub("", unicodedata.normalize("NFD", text))
    pairs = len(plain) - plain.count(" ") - len(chosen)
    latin, usual = len(_LATIN.findall(plain)), len(_USUAL.findall(plain))
    changes = len(_CHANGE.findall(plain))
    if pairs < FEW_PAIRS:
        return False
    if latin > FEW_PAIRS and usual < USUAL_SHARE * latin:
        return True
    return changes < CHANGE_SHARE * pairs or foreign > FOREIGN_SHARE * letters
