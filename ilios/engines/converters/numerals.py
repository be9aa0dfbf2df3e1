"""Numbers of lists, headings and notes as letters and as Roman numerals, in lower case."""

ALPHABET = "abcdefghijklmnopqrstuvwxyz"

_ROMAN = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"),
    (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip


def roman(number: int) -> str:
    """Return a number in Roman numerals, which are long for many thousands; empty for 0."""
    text = ""
    for value, digits in _ROMAN:
        count, number = divmod(number, value)
        text += digits * count
    return text


def letters(number: int) -> str:
    """Return a to z, then aa, ab and so on, as HTML and OpenDocument count; empty for 0."""
    text = ""
    while number > 0:
        number, place = divmod(number - 1, len(ALPHABET))
        text = ALPHABET[place] + text
    return text


def repeated_letters(number: int, alphabet: str = ALPHABET) -> str:
    """Return a to z, then aa, bb and so on, as Word and PowerPoint count; empty for 0."""
    if number <= 0:
        return ""
    rounds, place = divmod(number - 1, len(alphabet))
    return alphabet[place] * (rounds + 1)
