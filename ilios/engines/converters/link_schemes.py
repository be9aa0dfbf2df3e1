"""Schemes of addresses that execute or embed, in whatever way they are written."""

import re

SCHEMES = ("javascript", "vbscript", "data")

_CONTROL = (
    r"&(?:Tab|NewLine);|&#0*(?:[12]?[0-9]|3[0-2])(?:;|(?![0-9]))"
    r"|&#[xX]0*(?:1?[0-9a-fA-F]|20)(?:;|(?![0-9a-fA-F]))"
)
_BLANKS = rf"(?:[\s>]|{_CONTROL})*+"
"""What browsers leave out of an address; and the mark of a quote at the start of its next line."""


def _sign(character: str) -> str:
    """Return the pattern of a character as it is, or as a reference to it."""
    either = {character.lower(), character.upper()}
    numbers = "|".join(str(ord(one)) for one in either)
    hexadecimal = "|".join(f"{ord(one):x}" for one in either)
    return (
        rf"(?:{character}|&#0*(?:{numbers})(?:;|(?![0-9]))"
        rf"|&#x0*(?:{hexadecimal})(?:;|(?![0-9a-f])))"
    )


def _scheme(name: str) -> str:
    return _BLANKS.join(map(_sign, name))


_NAMES = "|".join(map(_scheme, SCHEMES))
PATTERN = rf"(?:{_NAMES}){_BLANKS}(?:\\?{_sign(':')}|&colon;)"
"""A scheme and its colon. Letters may be references; a colon may be escaped, too."""

SCHEME = re.compile(PATTERN, re.IGNORECASE)
BEGINNING = re.compile(_BLANKS + PATTERN, re.IGNORECASE)
"""The beginning of an address of such a scheme."""

ATTRIBUTE = re.compile(
    r"(?<![\w:.-])((?:xlink:)?href|src|action|formaction|data|poster|background)"
    rf"([\s>]*+=[\s>]*+)(?=[\"']?{_BLANKS}{PATTERN})(?:\"[^\"]*\"?|'[^']*'?|[^\s>]+)",
    re.IGNORECASE,
)
"""An attribute of HTML with an address of such a scheme."""
