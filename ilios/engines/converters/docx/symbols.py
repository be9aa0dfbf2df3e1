"""Characters of symbol fonts, whose codes mean other signs than in Unicode."""

# ruff: noqa: RUF001  the signs are meant, not the letters that look like them

PRIVATE = 0xF000
"""Programs add this to the code of a character of a symbol font."""

_SYMBOL = (
    " !∀#∃%&∋()∗+,−./0123456789:;<=>?"
    "≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_"
    "‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼"
)
_SYMBOL_UPPER = "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…|—↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊⟨®©™∑⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪"
_SYMBOL_END = "⟩∫⌠⎮⌡⎞⎟⎠⎤⎥⎦⎫⎬⎭"
_WINGDINGS = (
    " ✏✂✁👓🔔📖🕯☎✆✉✉📪📫📬📭📁📂📄📄📄🗄⌛⌨🖰🖲💻🖴💾💾✇✍"
    "✍✌👌👍👎☜☞☝☟✋☺😐☹💣☠⚑⚑✈☼💧❄✝✞✝✠✡☪☯ॐ☸♈♉♊♋♌♍♎♏♐♑♒♓&&●❍■□❐❑❒⬧⧫◆❖⬥⌧⍓⌘❀✿❝❞"
)
_WINGDINGS_UPPER = "⓪①②③④⑤⑥⑦⑧⑨⑩⓿❶❷❸❹❺❻❼❽❾❿"
_WINGDINGS_SHAPES = "·• ⚪○○◉◎○▪◻▲✦★✶✴✹✵⌖⌖⟡⌑�✪✰🕐🕑🕒🕓🕔🕕🕖🕗🕘🕙🕚🕛"
_WINGDINGS_END = "⌫⌦◀➢▲▼←→↑↓←→↑↓↖↗↙↘←➔↑↓↖↗↙↘⇦⇨⇧⇩⬄⇳⬀⬁⬃⬂▭▫✗✓☒☑"

_FONTS: dict[str, dict[int, str]] = {
    "symbol": {
        **dict(enumerate(_SYMBOL, 0x20)),
        **dict(enumerate(_SYMBOL_UPPER, 0xA0)),
        **dict(enumerate(_SYMBOL_END, 0xF1)),
    },
    "wingdings": {
        **dict(enumerate(_WINGDINGS, 0x20)),
        **dict(enumerate(_WINGDINGS_UPPER, 0x80)),
        **dict(enumerate(_WINGDINGS_SHAPES, 0x9E)),
        **dict(enumerate(_WINGDINGS_END, 0xD5)),
    },
    "wingdings 2": {
        0x4F: "✗", 0x50: "✓", 0x51: "☒", 0x52: "☑", 0x53: "☒", 0x54: "☒", 0x55: "⊗", 0x56: "⊗",
        0x96: "●", 0x97: "●", 0x98: "●", 0xA1: "▪", 0xA2: "■", 0xA3: "□", 0xA4: "□", 0xAF: "◆",
    },
    "wingdings 3": {
        0x66: "←", 0x67: "→", 0x68: "↑", 0x69: "↓", 0x70: "▲", 0x71: "▼", 0x74: "◀", 0x75: "▶",
        0x76: "◀", 0x77: "▶", 0x7B: "◀", 0x7D: "▶", 0xC6: "→",
    },
    "webdings": {
        0x33: "◀", 0x34: "▶", 0x35: "▲", 0x36: "▼", 0x3C: "■", 0x59: "♥", 0x61: "✓", 0x63: "□",
        0x67: "■", 0x6E: "●", 0x72: "✗", 0x69: "ℹ",
    },
}  # fmt: skip


def is_symbol_font(font: str) -> bool:
    """Whether the characters of a font are other signs than their codes suggest."""
    return font.strip().lower() in _FONTS


def symbol(font: str, code: int) -> str | None:
    """Return the sign of a code in a symbol font; None where it is not listed."""
    if PRIVATE <= code <= PRIVATE + 0xFF:
        code -= PRIVATE
    elif not 0x20 <= code <= 0xFF:
        return chr(code) if 0x20 <= code < 0xD800 else None
    table = _FONTS.get(font.strip().lower())
    if table is None:
        return chr(code) if 0x20 <= code < 0x7F or code >= 0xA0 else None
    return table.get(code)


def symbols(font: str, text: str) -> str:
    """Return text in a symbol font as the signs that it shows; others stay as they are."""
    return "".join(symbol(font, ord(character)) or character for character in text)
