"""Expectations of a document, each held and broken."""

import pytest

from ilios.score.expectations import BadExpectation, Outcome, ReadPage, parse

MARKDOWN = """# Dues of the *harbour*

The **fee** is 12 EUR, see [the rules](https://pier.example/rules) or <mailto:anna@pier.example>.

| Berth | Boat | Fee |
| --- | --- | --- |
| A1 | Plover | 12 |
| A2 |  | 9 |

- [x] outer item
  - inner item
2. numbered item

```
def dues():
    return 12
```
"""
PAGES = (
    ReadPage(0, MARKDOWN, header="Harbour Almanac", footer="7", method="text_layer"),
    ReadPage(1, "Second page.", warnings=("page_fell_back",), method="plain_text"),
)
READ = Outcome(PAGES)
REFUSED = Outcome(refusal="This is a HEIC image; save it as JPEG.")


@pytest.mark.parametrize(
    ("held", "broken"),
    [
        ("contains: The fee is 12 EUR, see the rules", "contains: The fee is 13 EUR"),
        ("contains~2: The foe is 13 EUR", "contains~1: The foe is 13 EUR"),
        ("contains: Harbour Almanac", "content: Harbour Almanac"),
        ("once: Second page", "once: 12"),
        ("not-content: Harbour Almanac", "not-content: Second page"),
        ("absent: Third page", "absent: Almanac"),
        ("before: fee | rules | Second", "before: rules | fee"),
        ("page 2 contains: Second page", "page 1 contains: Second page"),
        ("paragraph: is 12 EUR, see", "paragraph: anna@pier.example. Berth"),
        ("row: A1 | Plover | 12", "row: A1 | Plover"),
        ("row: A2 |  | 9", "row: A2 | 9"),
        ("row: * | Plover | 12", "row: * | Petrel | 12"),
        ("row~1: A1 | Plovar | 12", "row: A1 | Plovar | 12"),
        ("rows: 3", "rows: 4"),
        ("tables: 1", "tables: 2"),
        ("cell: 12 | left=Plover | top_heading=Fee", "cell: 12 | top_heading=Boat"),
        ("cell: 12 | down=9 | left_heading=A1", "cell: 12 | up=9"),
        ("heading: Dues of the harbour", "heading: Dues"),
        ("not-heading: Berth", "not-heading: harbour"),
        ("item: outer item", "item: The fee"),
        ("item: numbered item", "item: A1"),
        ("nested: inner item", "nested: outer item"),
        ("link: the rules | https://pier.example/rules", "link: rules | https://pier.example"),
        ("link: anna@pier.example | mailto:anna@pier.example", "link: the fee | mailto:x"),
        ("code:     return 12", "code: return 12"),
        ("raw: **fee**", "raw: **EUR**"),
        ("page 1 header: Harbour Almanac", "page 2 header: Harbour Almanac"),
        ("footer: 7", "footer: 8"),
        ("warning: page_fell_back", "warning: page_unreadable"),
        ("page 1 no-warnings:", "no-warnings:"),
        ("page 1 method: text_layer", "method: text_layer"),
        ("pages: 2", "pages: 1"),
        ("contains: Third || warning: page_fell_back", "contains: Third || contains: Fourth"),
    ],
)
def test_each_kind_of_expectation_holds_and_breaks(held: str, broken: str) -> None:
    (holding,), (breaking,) = parse(held, "a"), parse(broken, "b")
    assert holding.holds(READ)
    assert not breaking.holds(READ)
    assert str(holding) == held
    assert not holding.holds(REFUSED), "a refused document is as expected"


def test_a_header_that_also_stands_in_the_markdown_is_not_moved() -> None:
    (header,) = parse("header: Harbour Almanac", "a")
    assert not header.holds(Outcome((ReadPage(0, "Harbour Almanac\n", header="Harbour Almanac"),)))


def test_a_refusal_is_expected_by_its_text() -> None:
    named, other = parse("refused: HEIC\nrefused: AVIF", "a")
    assert named.holds(REFUSED)
    assert not other.holds(REFUSED)
    assert not named.holds(READ)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("includes: x", "expected one of contains, "),
        ("contains x", "expected one of contains, "),
        ("contains:", "nothing is expected after contains:"),
        ("rows: many", "rows: takes a number"),
        ("raw: x || nonsense", "expected one of contains, "),
    ],
)
def test_a_line_that_is_no_expectation_is_refused_with_its_place(line: str, problem: str) -> None:
    with pytest.raises(BadExpectation, match=r"a\.expect, line 3") as caught:
        parse(f"# a comment\n\n{line}\n", "a.expect")
    assert problem in str(caught.value)
