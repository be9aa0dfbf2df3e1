"""Tokens of RTF: groups, control words, bytes in hexadecimal, text."""

import re
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

_TOKEN = re.compile(
    r"\\(?P<control>[A-Za-z]{1,32})(?P<number>-?\d{1,10})? ?"
    r"|\\'(?P<hex>[0-9A-Fa-f]{2})"
    r"|\\(?P<symbol>[^A-Za-z])"
    r"|(?P<brace>[{}])"
    r"|(?P<text>[^\\{}\r\n]+)"
    r"|[\r\n]+|\\",
    re.DOTALL,
)

Kind = Literal["open", "close", "control", "text"]


class Token(Struct, frozen=True):
    """A token; ``text`` is the name of a control or characters that each stand for a byte."""

    kind: Kind
    text: str = ""
    number: int | None = None


OPEN, CLOSE = Token("open"), Token("close")


def tokens(data: bytes) -> Iterator[Token]:
    """Yield the tokens of a file. Binary data, such as that of pictures, is skipped."""
    source = data.decode("latin-1")
    at = 0
    while found := _TOKEN.match(source, at):
        at = found.end()
        match found.lastgroup:
            case "control" | "number":
                number = found["number"]
                token = Token("control", found["control"], int(number) if number else None)
                if token.text == "bin" and (token.number or 0) > 0:
                    at += token.number or 0
                    continue
                yield token
            case "hex":
                yield Token("text", chr(int(found["hex"], 16)), 1)
            case "symbol":
                yield Token("control", found["symbol"])
            case "brace":
                yield OPEN if found["brace"] == "{" else CLOSE
            case "text":
                yield Token("text", found["text"])
