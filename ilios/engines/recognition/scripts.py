"""Scripts that the models of the recogniser cannot read: noticed, and read by Tesseract.

A small model takes such letters for similar ones of its own and is unsure of them; a larger one
leaves them out. So a line is unread where few characters stand for many.
"""

import unicodedata
from collections.abc import Callable, Iterable, Sequence

from PIL import Image

from ilios.engines.recognition import tesseract
from ilios.engines.recognition.recogniser import Heartbeat, Line

READ_SHARE = 0.8
"""A line is unread if the larger model has fewer of its characters, weighted by confidence."""

MIN_CHARACTERS = 4
"""Shorter lines are symbols and parts of drawings as often as text."""

SURE, ACCEPTED = 0.9, 0.6
"""Confidence of Tesseract with which no other language is tried, and with which a line is read."""

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

_VIETNAMESE = frozenset("\N{COMBINING BREVE}\N{COMBINING CIRCUMFLEX ACCENT}\N{COMBINING HORN}")
MIN_VIETNAMESE = 3
"""So many letters with one of these signs on a page with the letter đ make it Vietnamese: the
models lose the signs of its tones, and letters that have two signs."""

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
ReadLine = Callable[[Image.Image, str], tuple[str, float]]


def unread_lines(seen: Sequence[Line], read: Sequence[Line]) -> list[Line]:
    """Return the lines in an unknown script, with the part of their text that was read.

    :param seen: the lines as the smaller model reads them: a character for each letter, whatever
        it is.
    :param read: the same lines as the larger model reads them.
    """
    unread = []
    for line in seen:
        expected = _characters(line.text)
        if expected < MIN_CHARACTERS:
            continue
        parts = [other for other in read if _is_part(other, line)]
        understood = sum(_characters(part.text) * part.confidence for part in parts)
        text = " ".join(part.text for part in sorted(parts, key=lambda part: part.left))
        if understood < READ_SHARE * expected or script_of(text) == "Greek":
            unread.append(Line(line.left, line.top, line.right, line.bottom, text, 0.0))
    return unread


def script_of(text: str) -> str | None:
    """Return the script of most letters of a text, if it is one that the models cannot read."""
    letters = [letter for letter in text if letter.isalpha()]
    if len(letters) < MIN_CHARACTERS:
        return None
    names = [unicodedata.name(letter, "").title() for letter in letters]
    for script in LANGUAGES:
        if 2 * sum(name.startswith(script) for name in names) > len(letters):
            return script
    return None


def is_vietnamese(lines: Iterable[Line]) -> bool:
    """Whether the letters of a page are those of Vietnamese."""
    text = unicodedata.normalize("NFD", "".join(line.text for line in lines))
    return ("đ" in text or "Đ" in text) and (
        sum(sign in _VIETNAMESE for sign in text) >= MIN_VIETNAMESE
    )


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
    """Return the lines that can be read in one of these languages, and the others.

    The language of the line before is tried first: most pages have one.
    """
    order = list(languages)
    read: list[Line] = []
    unread = list(lines[MAX_LINES:])
    for line in lines[:MAX_LINES]:
        crop = _crop(image, line)
        best, best_text, best_confidence = "", "", 0.0
        for language in order:
            text, confidence = read_line(crop, language)
            heartbeat()
            if confidence > best_confidence and _fits(text, language, confidence):
                best, best_text, best_confidence = language, text, confidence
            if best_confidence >= SURE:
                break
        if best_confidence < ACCEPTED:
            unread.append(line)
            continue
        order.remove(best)
        order.insert(0, best)
        box = (line.left, line.top, line.right, line.bottom)
        if _SCRIPT_OF[best] == "Greek":
            best_text = best_text.replace("\N{MICRO SIGN}", "\N{GREEK SMALL LETTER MU}")
        read.append(Line(*box, best_text, best_confidence))
    return read, unread


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


def _characters(text: str) -> int:
    return sum(not character.isspace() for character in text)
