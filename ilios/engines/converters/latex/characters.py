"""Characters that LaTeX writes with commands."""

import unicodedata

ACCENTS = {
    "'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303", "=": "\u0304",
    ".": "\u0307", "c": "\u0327", "v": "\u030c", "u": "\u0306", "H": "\u030b", "k": "\u0328",
    "r": "\u030a", "d": "\u0323", "b": "\u0331",
}  # fmt: skip

SYMBOLS = {
    "ss": "ß", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "o": "ø", "O": "Ø", "aa": "å",
    "AA": "Å", "l": "ł", "L": "Ł", "i": "\u0131", "j": "\u0237", "dh": "ð", "th": "þ",
    "ldots": "…", "dots": "…", "textellipsis": "…", "textbackslash": "\\", "textasciitilde": "~",
    "textasciicircum": "^", "textbar": "|", "textasciigrave": "`",
    "textless": "<", "textgreater": ">",
    "textunderscore": "_", "textdegree": "°", "degree": "°", "copyright": "©",
    "textcopyright": "©", "textregistered": "®", "texttrademark": "™", "pounds": "£",
    "textsterling": "£", "euro": "€", "texteuro": "€", "S": "§", "P": "¶", "dag": "†",
    "ddag": "‡", "textbullet": "•", "textendash": "\u2013", "textemdash": "\u2014",
    "textquoteleft": "\u2018", "textquoteright": "\u2019", "textquotedblleft": "\u201c",
    "textquotedblright": "\u201d", "LaTeX": "LaTeX", "TeX": "TeX", "BibTeX": "BibTeX",
    "quad": " ", "qquad": " ", "space": " ", "enspace": " ", "thinspace": " ", "newline": "\n",
    "linebreak": "\n", "textvisiblespace": "\u2423", "slash": "/", "textmu": "µ",
    "textperiodcentered": "·", "guillemotleft": "«", "guillemotright": "»", "glqq": "„",
    "grqq": "“", "textquotesingle": "'", "checkmark": "✓", "textrightarrow": "→",
}  # fmt: skip

CONTROL_SYMBOLS = {
    "&": "&", "%": "%", "$": "$", "#": "#", "_": "_", "{": "{", "}": "}", ",": " ", ";": " ",
    ":": " ", " ": " ", "\n": " ", "!": "", "/": "", "-": "\u00ad", "@": "", "\\": "\n", "*": "",
}  # fmt: skip

LIGATURES = (("---", "\u2014"), ("--", "\u2013"), ("``", "\u201c"), ("''", "\u201d"),
             ("~", "\u00a0"), ("`", "\u2018"), ("'", "\u2019"))  # fmt: skip


def accented(accent: str, letter: str) -> str:
    """Return a letter with an accent."""
    base = {"\\i": "i", "\\j": "j", "\u0131": "i"}.get(letter.strip("{} "), letter.strip("{} "))
    if not base:
        return ""
    return unicodedata.normalize("NFC", base[0] + ACCENTS[accent] + base[1:])


def ligatures(text: str) -> str:
    """Return text with the characters that LaTeX makes of several."""
    for written, shown in LIGATURES:
        text = text.replace(written, shown)
    return text
