import msgspec
import pytest

from ilios.visible import visible, visible_json

HOSTILE = {
    "\x1b[31m": r"\x1b[31m",
    "\x9b2J": r"\x9b2J",
    "\x07\x08\x7f": r"\x07\x08\x7f",
    "a\u202ebc": r"a\u202ebc",
    "\u2066x\u2069": r"\u2066x\u2069",
    "one\ntwo\r": r"one\ntwo\r",
    "\u2028": r"\u2028",
    "\udcff": r"\udcff",
    "\U000e0001": r"\U000e0001",
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.items(), ids=range(len(HOSTILE)))
def test_control_sequences_are_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_printable_text_is_unchanged() -> None:
    text = "Grüße aus 東京, 12 €"
    assert visible(text) == visible_json(text) == text


def test_line_breaks_remain_where_they_are_allowed() -> None:
    assert visible("one\n\ttwo\u00a0three\r\x1b", lines=True) == "one\n\ttwo\u00a0three\\r\\x1b"


@pytest.mark.parametrize("text", [text for text in HOSTILE if text != "\udcff"])
def test_escaped_json_has_the_same_value(text: str) -> None:
    shown = visible_json(msgspec.json.encode({"text": text}).decode())
    assert shown.isprintable()
    assert msgspec.json.decode(shown) == {"text": text}
