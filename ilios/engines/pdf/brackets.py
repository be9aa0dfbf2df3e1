"""Brackets of text from right to left, which some fonts name by their shapes."""

import re

_OPENS = re.compile(r"(?<!\S)[(\[](?=\S)|(?<=\S)[)\]](?!\S)")
_MIRRORED = re.compile(r"(?<!\S)[)\]](?=\w)|(?<=\w)[(\[](?!\S)")
_LOOSE = re.compile(r"(?<!\S)\) ([^()]{1,200}) \((?!\S)")
_MIRROR = str.maketrans("()[]", ")(][")


def with_brackets(text: str) -> str:
    """Return a text from right to left, the brackets of which open before a word, not after it.

    Those of a text are exchanged together, where none of them opens or closes as it should. The
    parser puts blanks around those within it.
    """
    if not _OPENS.search(text):
        text = _LOOSE.sub(r")\1(", text)
    if _MIRRORED.search(text) and not _OPENS.search(text):
        return text.translate(_MIRROR)
    return text
