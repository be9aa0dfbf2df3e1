"""Metadata of clients: what is taken, and what is refused with a sentence that says why."""

from typing import Any

import msgspec
import pytest

from schemas.labels import (
    MAX_METADATA_BYTES,
    MAX_METADATA_DEPTH,
    MAX_METADATA_MEMBERS,
    Labels,
    check_metadata,
    parse_metadata,
)


def nested(depth: int) -> dict[str, Any]:
    found: Any = 1
    for _ in range(depth):
        found = {"a": found}
    return dict(found)


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"b": 1, "a": [None, True, 0.5, 10**30, "ü\u2028"]},
        {"a": "b" * (MAX_METADATA_BYTES - len('{"a":""}'))},
        {str(number): number for number in range(MAX_METADATA_MEMBERS)},
        nested(MAX_METADATA_DEPTH),
    ],
)
def test_metadata_is_returned_as_it_was_given(found: dict[str, Any]) -> None:
    text = msgspec.json.encode(found).decode()
    parsed = parse_metadata(text)
    assert list(parsed.items()) == list(found.items())  # in the order of its client
    assert msgspec.json.encode(parsed).decode() == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "17",
        "[]",
        "{",
        "null",
        '{"a":1e999}',
        '{"a":"\\ud800"}',
        msgspec.json.encode({"a": "b" * (MAX_METADATA_BYTES - len('{"a":""}') + 1)}).decode(),
        msgspec.json.encode(
            {str(number): number for number in range(MAX_METADATA_MEMBERS + 1)}
        ).decode(),
        msgspec.json.encode(nested(MAX_METADATA_DEPTH + 1)).decode(),
        "{" + '"a":[' * 100_000,
    ],
)
def test_other_metadata_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="metadata must be a JSON object of at most 4096 bytes"):
        parse_metadata(text)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), "\ud800"])
def test_values_that_json_does_not_have_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="metadata"):
        check_metadata({"a": [value]})


@pytest.mark.parametrize("text", ["a", "Größe 7, ok", "🧾", "a" * 255])
def test_a_reference_is_any_line_of_text(text: str) -> None:
    assert msgspec.convert({"reference": text}, Labels).reference == text


@pytest.mark.parametrize("text", ["", "a" * 256, "a\n", "a\x00", "\x85", "a\u2028b", "a\tb"])
def test_a_reference_has_no_control_characters(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"reference": text}, Labels)
