"""Texts of values: their encodings, delimiters and quotes."""

from pathlib import Path

import pytest

from actors.engines import Unconvertible
from ilios.engines.converters.sheets import cells, delimited
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import ConvertedPage


def ignore(done: int, total: int) -> None:
    """Take no notice of progress."""


def page_of(data: bytes, path: Path, limits: EngineLimits | None = None) -> ConvertedPage:
    file = path / "values.csv"
    file.write_bytes(data)
    (page,) = delimited.convert(file, limits or EngineLimits(), ignore).pages
    return page


def rows_of(text: str, path: Path) -> list[str]:
    lines = page_of(text.encode(), path).result.markdown.splitlines()
    return [line for line in lines if not line.startswith("| ---")]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b\n1,2\n", ["| a | b |", "| 1 | 2 |"]),
        ("a;b\n1,5;2,5\n", ["| a | b |", "| 1,5 | 2,5 |"]),
        ("a\tb, c\n1\t2, 3\n", ["| a | b, c |", "| 1 | 2, 3 |"]),
        ("1,5;2,5\n3,5;4,5\n", ["| 1,5 | 2,5 |", "| 3,5 | 4,5 |"]),
        ("a;x,b,c\n1;x,2,3\n", ["| a;x | b | c |", "| 1;x | 2 | 3 |"]),
        ("a|b\n1|2\n", ["| a | b |", "| 1 | 2 |"]),
        ("sep=;\r\na;b,c\r\n", ["| a | b,c |"]),
        (
            'name,text\nx,"one, ""two""\nthree"\n',
            ["| name | text |", '| x | one, "two"<br>three |'],
        ),
        ('size;name\n5";disk\n"8;tape\n', ["| size | name |", '| 5" | disk |', '| "8 | tape |']),
        ("one\ntwo\n", ["| one |", "| two |"]),
        ("a,b\n1,2,3\n4\n", ["| a | b |  |", "| 1 | 2 | 3 |", "| 4 |  |  |"]),
        ("a,b\r1,2\r", ["| a | b |", "| 1 | 2 |"]),
        ("Sales 2024\n\na,b\n1,2\n", ["Sales 2024", "", "| a | b |", "| 1 | 2 |"]),
        ("a,b\n1,2\n\n,\n3,4\n", ["| a | b |", "| 1 | 2 |", "| 3 | 4 |"]),
        (
            "a,b\n1,2\n\nc,d,e\n3,4,5\n",
            ["| a | b |", "| 1 | 2 |", "", "| c | d | e |", "| 3 | 4 | 5 |"],
        ),
        (
            "Preis;Menge\n1.234,56;3\n2,5;4\n",
            ["| Preis | Menge |", "| 1.234,56 | 3 |", "| 2,5 | 4 |"],
        ),
        ("", []),
    ],
)
def test_values_are_divided_as_they_were_written(
    text: str, rows: list[str], tmp_path: Path
) -> None:
    assert rows_of(text, tmp_path) == rows


@pytest.mark.parametrize(
    ("encoding", "guessed"),
    [
        ("utf-8", False),
        ("utf-8-sig", False),
        ("utf-16", False),
        ("utf-16-le", False),
        ("utf-16-be", False),
        ("utf-32", False),
        ("cp1252", True),
    ],
)
def test_encodings_are_found_and_a_guess_has_a_warning(
    tmp_path: Path, *, encoding: str, guessed: bool
) -> None:
    page = page_of("Straße,Größe\nÄrger,5 €\n".encode(encoding), tmp_path)
    assert page.result.markdown.splitlines()[::2] == ["| Straße | Größe |", "| Ärger | 5 € |"]
    assert [one.code for one in page.result.warnings] == ["encoding_guessed"] * guessed


def test_cyrillic_of_old_programs_is_guessed(tmp_path: Path) -> None:
    page = page_of("Город;Цена\nМосква;5\n".encode("cp1251"), tmp_path)  # noqa: RUF001
    lines = page.result.markdown.splitlines()
    assert lines[::2] == ["| Город | Цена |", "| Москва | 5 |"]
    assert "cp1251" in page.result.warnings[0].message


def test_what_is_beyond_the_bounds_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"some,words\n" * 100
    page = page_of(data, tmp_path, EngineLimits(max_output_bytes=1000))
    shown = page.result.markdown.count("some")
    assert 20 < shown < 40
    assert f"{100 - shown} rows from {shown + 1} on" in page.result.warnings[0].message
    monkeypatch.setattr(cells.Room.__init__, "__defaults__", (20,))
    page = page_of(data, tmp_path)
    assert page.result.markdown.count("some") == 10
    assert "90 rows" in page.result.warnings[0].message


def test_a_quote_that_never_ends_divides_no_less(tmp_path: Path) -> None:
    data = b'a,b\n"open,1\n' + b"c,d\n" * 300_000
    text = page_of(data, tmp_path).result.markdown
    assert text.startswith('| a | b |\n| --- | --- |\n| "open | 1 |\n| c | d |')


def test_binary_content_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unconvertible, match="binary"):
        page_of(b"a,b\n\0\0\0\0\1\2,1\n", tmp_path)
