"""Scripts that the models of the recogniser cannot read: noticed, and read by Tesseract.

A small model takes such letters for similar ones of its own and is unsure of them; a larger one
leaves them out. So a line is unread where few characters stand for many.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher

from PIL import Image

from ilios.engines.recognition import tesseract
from ilios.engines.recognition.recogniser import Heartbeat, Line, mean_confidence

READ_SHARE = 0.8
"""A line is unread if the larger model has fewer of its characters, weighted by confidence."""

ALIKE = 0.75
"""Similarity of what both models read, and confidence of the larger one, of a known script."""

ORNAMENT_BELOW = 0.3
"""Confidence of the smaller model in what is no text; it has 0.5 in letters that it does not know.
"""

CLEAR_CHARACTERS, CLEAR_CONFIDENCE = 6, 0.5
"""Characters and confidence, by the smaller model, of an unread line of an otherwise clear page."""

MIN_CHARACTERS = 4
"""Shorter lines are symbols and parts of drawings as often as text."""

SURE, FAMILIAR, ACCEPTED = 0.9, 0.75, 0.6
"""Confidence of Tesseract with which no language of another script is tried, or none at all if some
lines before are in the same one, and with which a line is read."""

FIRST_LINES = 3
"""Lines in a script that are read in all its languages; the best of these is that of the page."""

ACCEPTED_THAI = 0.85
"""Any picture looks like Thai: other scripts are read as such with up to 0.84."""

LINE_HEIGHT, MAX_LINE_WIDTH = 48, 6000
"""Pixels of a line for Tesseract; smaller ones are scaled up."""

PROBED_LINES = 3
"""Lines of a page that are tried upside down as well if nothing on it could be read."""

MAX_LINES = 400
"""Unread lines of a page that are read by Tesseract; each takes 30 ms, twice if it is unsure."""

MARGIN = 0.25
"""Margin around a line for Tesseract, as a share of its height."""

LANGUAGES = {
    "Cyrillic": "ru:rus uk:ukr be:bel bg:bul sr:srp mk:mkd kk:kaz ky:kir tg:tgk mn:mon",
    "Greek": "el:ell grc:grc",
    "Arabic": "ar:ara fa:fas ur:urd ps:pus ug:uig sd:snd",
    "Hebrew": "he:heb yi:yid",
    "Devanagari": "hi:hin mr:mar ne:nep sa:san",
    "Thai": "th:tha",
    "Hangul": "ko:kor",
    "Vietnamese": "vi:vie",
    "Bengali": "bn:ben as:asm",
    "Tamil": "ta:tam",
    "Telugu": "te:tel",
    "Georgian": "ka:kat",
    "Armenian": "hy:hye",
    "Ethiopic": "am:amh ti:tir",
    "Khmer": "km:khm",
    "Lao": "lo:lao",
    "Myanmar": "my:mya",
}
"""Tags of BCP 47 and Tesseract's names of languages by script, as Unicode names its letters."""

_SCRIPT_OF = {
    pair.split(":")[1]: script for script, pairs in LANGUAGES.items() for pair in pairs.split()
}
_NAME_OF = {
    pair.split(":")[0]: pair.split(":")[1] for pairs in LANGUAGES.values() for pair in pairs.split()
}
_MISREAD = re.compile(
    r"[^\W\d_][\d!|\[\](){}<>]+[^\W\d_]"  # a digit inside
    r"|(?<!\S)[\[\]|!{}][^\W\d_]+(?!\S)"  # a bracket before
    r"|[а-яёђѓєіїјљњћќўџ][А-ЯЁ][а-яё]"  # noqa: RUF001  a capital inside
)
MIN_MISREAD, MISREAD_SHARE = 2, 0.05
"""Misread words of the lines of Tesseract, and their share, with which the page has a warning."""
ReadLine = Callable[[Image.Image, str], tuple[str, float]]


def unread_lines(seen: Sequence[Line], read: Sequence[Line], *, clear: bool = False) -> list[Line]:
    """Return the lines in an unknown script, with the part of their text that was read.

    :param seen: the lines as the smaller model reads them: a character for each letter, whatever
        it is.
    :param read: the same lines as the larger model reads them.
    :param clear: the page is clear: what is illegible on it is a drawing or a signature as a rule.
    """
    unread = []
    for line in seen:
        expected = letters_and_digits(line.text)
        if expected < MIN_CHARACTERS or line.confidence < ORNAMENT_BELOW:
            continue
        parts = [other for other in read if _is_part(other, line)]
        understood = sum(letters_and_digits(part.text) * part.confidence for part in parts)
        text = " ".join(part.text for part in sorted(parts, key=lambda part: part.left))
        missed = understood < READ_SHARE * expected and not _agree(parts, text, line.text)
        if clear and missed:
            signs = len("".join(text.split()))
            missed = 2 * signs < expected and expected >= CLEAR_CHARACTERS
            missed = missed and line.confidence >= CLEAR_CONFIDENCE
        if missed or script_of(text) == "Greek":
            unread.append(Line(line.left, line.top, line.right, line.bottom, text, 0.0))
    return unread


def script_of(text: str) -> str | None:
    """Return the script of most letters of a text, if it is one that the models cannot read."""
    letters = [one for one in text if one.isalpha() or (one.isdecimal() and not one.isascii())]
    if len(letters) < MIN_CHARACTERS:
        return None
    names = [unicodedata.name(letter, "").title() for letter in letters]
    for script in LANGUAGES:
        if 2 * sum(name.startswith(script) for name in names) > len(letters):
            return script
    return None


def unread_scripts(unread: Sequence[Line], likely: Sequence[str]) -> str:
    """Return the scripts of unread lines for a reader, with what is not known of them.

    The models write some Greek letters, and leave out those of other scripts.

    :param likely: the scripts of the languages of the document, if they are known.
    """
    names = {script for line in unread if (script := script_of(line.text))}
    if any(not _has_letter_of(names, line.text) for line in unread):
        names |= set(likely)
        if not likely:
            other = "neither Latin, Chinese nor Japanese, such as Cyrillic or Arabic"
            return f"{_listed(names)}, and perhaps one that is {other}" if names else other
    return _listed(names)


def _listed(names: Iterable[str]) -> str:
    return " and ".join(sorted(names))


def _has_letter_of(names: Iterable[str], text: str) -> bool:
    letters = [unicodedata.name(letter, "").title() for letter in text]
    return any(letter.startswith(name) for name in names for letter in letters)


def tesseract_languages(tags: Sequence[str], installed: Iterable[str]) -> list[str]:
    """Return Tesseract's names of installed languages to try, the most likely first.

    :param tags: the languages of the document; without any, all are tried.
    """
    installed = set(installed)
    wanted = [_NAME_OF.get(tag.split("-")[0], "") for tag in tags] or list(_SCRIPT_OF)
    return [name for name in wanted if name in installed]


def scripts_of_tags(tags: Iterable[str]) -> list[str]:
    """Return the scripts, of those the models cannot read, of some languages."""
    names = (_NAME_OF.get(tag.split("-")[0]) for tag in tags)
    return list(dict.fromkeys(_SCRIPT_OF[name] for name in names if name))


def read_lines(
    image: Image.Image,
    lines: Sequence[Line],
    languages: Sequence[str],
    heartbeat: Heartbeat,
    read_line: ReadLine = tesseract.read_line,
) -> tuple[list[Line], list[Line]]:
    """Return the lines that can be read in one of these languages, and the others."""
    tried = _Languages(languages, read_line)
    read: list[Line] = []
    unread = list(lines[MAX_LINES:])
    for line in lines[:MAX_LINES]:
        text, confidence = tried.read(_crop(image, line), heartbeat)
        if confidence < ACCEPTED:
            unread.append(line)
        else:
            read.append(Line(line.left, line.top, line.right, line.bottom, text, confidence))
    return read, unread


class _Languages:
    """The languages of a page, the ones its lines are in before the others."""

    def __init__(self, names: Sequence[str], read_line: ReadLine) -> None:
        self._read_line = read_line
        self._names = list(names)
        self._sums = dict.fromkeys(names, 0.0)
        self._lines: Counter[str] = Counter()

    def read(self, crop: Image.Image, heartbeat: Heartbeat) -> tuple[str, float]:
        """Return the text of a line, and the confidence in it."""
        best, best_text, best_confidence = "", "", 0.0
        for name in self._names:
            if self._is_enough(best, best_confidence, name):
                continue
            text, confidence = self._read_line(crop, name)
            heartbeat()
            if not _fits(text, name, confidence):
                continue
            self._sums[name] += confidence
            if confidence > best_confidence:
                best, best_text, best_confidence = name, text, confidence
        if best_confidence >= ACCEPTED:
            self._lines[_SCRIPT_OF[best]] += 1
            self._names.sort(key=lambda name: -self._sums[name])
            if _SCRIPT_OF[best] == "Greek":
                best_text = best_text.replace("\N{MICRO SIGN}", "\N{GREEK SMALL LETTER MU}")
        return best_text, best_confidence

    def _is_enough(self, best: str, confidence: float, name: str) -> bool:
        """Whether a line that is read in one language need not be read in another."""
        if not best:
            return False
        familiar = self._lines[_SCRIPT_OF[best]] >= FIRST_LINES
        if not familiar and _SCRIPT_OF[best] == _SCRIPT_OF[name]:
            return False
        return confidence >= (FAMILIAR if familiar else SURE)


def is_misread(lines: Iterable[Line]) -> bool:
    """Whether there are signs inside of words, as where a language lacks letters of the text."""
    text = " ".join(line.text for line in lines)
    misread = len(_MISREAD.findall(text))
    return misread >= MIN_MISREAD and misread > MISREAD_SHARE * len(text.split())


def _fits(text: str, language: str, confidence: float) -> bool:
    """Whether a text has letters of the language: any picture looks like some word."""
    script = _SCRIPT_OF.get(language)
    if script == "Thai" and confidence < ACCEPTED_THAI:
        return False
    return script == "Vietnamese" or script_of(text) == script


def _crop(image: Image.Image, line: Line) -> Image.Image:
    margin = MARGIN * min(line.height, line.width)
    crop = image.crop(
        (
            max(0, int(line.left - margin)),
            max(0, int(line.top - margin)),
            min(image.width, int(line.right + margin) + 1),
            min(image.height, int(line.bottom + margin) + 1),
        )
    )
    scale = LINE_HEIGHT / max(line.height, 1)
    if scale <= 1:
        return crop
    size = (min(round(crop.width * scale), MAX_LINE_WIDTH), round(crop.height * scale))
    return crop.resize(size, Image.Resampling.BICUBIC)


def _is_part(part: Line, line: Line) -> bool:
    """Whether the middle of a box is inside of another."""
    middle = (part.left + part.right) / 2
    return line.left <= middle <= line.right and line.top <= part.center_y <= line.bottom


def _agree(parts: Sequence[Line], text: str, other: str) -> bool:
    """Whether both models read the same, the larger one with some confidence."""
    alike = SequenceMatcher(None, text, other, autojunk=False).ratio() > ALIKE
    return alike and mean_confidence(parts) > ALIKE


def letters_and_digits(text: str) -> int:
    """Return the number of letters and digits: a leader has any number of dots."""
    return sum(character.isalnum() for character in text)
