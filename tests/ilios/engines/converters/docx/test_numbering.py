"""Numbers of lists and headings as Word shows them."""

from pathlib import Path

import pytest

from ilios.engines.converters.docx.number_formats import format_number
from tests.word_documents import level, markdown_of, numbering, p, style

THREE = "".join([level(0), level(1, "lowerLetter", "%2)"), level(2, "lowerRoman", "(%3)")])
LEGAL = "".join([level(0, text="%1"), level(1, text="%1.%2"), level(2, text="%1.%2.%3")])
BULLET = level(0, "bullet", "•")


def test_a_list_goes_on_after_a_paragraph_and_after_another_list(tmp_path: Path) -> None:
    text = markdown_of(
        tmp_path,
        p("Wash", number=(1, 0)),
        p("Rinse", number=(1, 0)),
        p("Now wait."),
        p("Dry", number=(1, 0)),
        p("by air", number=(2, 0)),
        p("Fold", number=(1, 0)),
        numbers=numbering({1: THREE, 2: BULLET}),
    )
    assert text.split("\n") == [
        "1. Wash",
        "2. Rinse",
        "",
        "Now wait.",
        "",
        "3. Dry",
        "- by air",
        "4. Fold",
    ]


def test_a_use_of_a_list_with_a_start_of_its_own_begins_anew(tmp_path: Path) -> None:
    change = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="5"/></w:lvlOverride>'
    text = markdown_of(
        tmp_path,
        p("a", number=(1, 0)),
        p("b", number=(2, 0)),
        p("c", number=(3, 0)),
        p("d", number=(3, 0)),
        p("e", number=(1, 0)),
        numbers=numbering({1: THREE}, {1: (1, ""), 2: (1, ""), 3: (1, change)}),
    )
    assert text.split("\n") == ["1. a", "2. b", "<!-- -->", "5. c", "6. d", "7. e"]


def test_typed_numbers_are_not_counted_with_the_list_before_them(tmp_path: Path) -> None:
    text = markdown_of(
        tmp_path,
        p("a", number=(1, 0)),
        p("1986. The year"),
        p("4. typed"),
        p("5. typed"),
        p("b", number=(1, 0)),
        numbers=numbering({1: THREE}),
    )
    assert text.split("\n\n") == [
        "1. a",
        "1986\\. The year",
        "4. typed",
        "5. typed",
        "<!-- -->",
        "2. b",
    ]


def test_deeper_levels_begin_again_and_are_nested(tmp_path: Path) -> None:
    text = markdown_of(
        tmp_path,
        *(p(str(n), number=(1, n)) for n in (0, 1, 2, 2, 1, 0, 1)),
        numbers=numbering({1: THREE}),
    )
    assert text.split("\n") == [
        "1. 0",
        "   - a) 1",
        "     - (i) 2",
        "     - (ii) 2",
        "   - b) 1",
        "2. 0",
        "   - a) 1",
    ]


@pytest.mark.parametrize(("restart", "third"), [(None, "1"), ("0", "3"), ("1", "1"), ("2", "1")])
def test_a_level_begins_again_after_the_level_it_names(
    tmp_path: Path, restart: str | None, third: str
) -> None:
    more = "" if restart is None else f'<w:lvlRestart w:val="{restart}"/>'
    levels = level(0) + level(1, text="%2.", more=more)
    text = markdown_of(
        tmp_path,
        *(p("x", number=(1, n)) for n in (0, 1, 1, 0, 1)),
        numbers=numbering({1: levels}),
    )
    assert text.split("\n")[-1] == f"   {third}. x"


def test_headings_have_their_numbers_as_text(tmp_path: Path) -> None:
    def numbered(n: int) -> str:
        inner = f'<w:pPr><w:numPr><w:ilvl w:val="{n}"/><w:numId w:val="1"/></w:numPr></w:pPr>'
        return style(f"Part {n}", f'<w:basedOn w:val="heading{n + 1}"/>{inner}')

    text = markdown_of(
        tmp_path,
        *(p(f"Title {n}", style=f"Part{n}") for n in (0, 1, 1, 0, 1, 2)),
        styles="".join(map(numbered, range(3))),
        numbers=numbering({1: LEGAL}),
    )
    assert [line for line in text.split("\n") if line] == [
        "# 1 Title 0",
        "## 1.1 Title 1",
        "## 1.2 Title 1",
        "# 2 Title 0",
        "## 2.1 Title 1",
        "### 2.1.1 Title 2",
    ]


def test_a_style_finds_its_level_by_the_list_that_names_it(tmp_path: Path) -> None:
    levels = level(0) + level(1, text="%1.%2", more='<w:pStyle w:val="Clause"/>')
    inner = '<w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr>'
    text = markdown_of(
        tmp_path,
        p("Terms", number=(1, 0)),
        p("Payment", style="Clause"),
        p("Not one", style="Clause", number=(0, 0)),
        styles=style("Clause", inner),
        numbers=numbering({1: levels}),
    )
    assert text == "1. Terms\n   - 1.1 Payment\n\nNot one"


def test_legal_numbers_and_words_in_labels(tmp_path: Path) -> None:
    levels = level(0, "upperRoman", "Article %1") + level(1, text="%1.%2", more="<w:isLgl/>")
    text = markdown_of(
        tmp_path,
        p("Scope", number=(1, 0)),
        p("All of it", number=(1, 1)),
        numbers=numbering({1: levels}),
    )
    assert text == "Article I Scope\n\n- 1.1 All of it"


def test_a_definition_may_be_that_of_a_style(tmp_path: Path) -> None:
    numbers = numbering(
        {1: '<w:numStyleLink w:val="Steps"/>', 2: level(0, text="Step-%1")},
        {1: (1, ""), 2: (2, "")},
    )
    steps = style("Steps", '<w:pPr><w:numPr><w:numId w:val="2"/></w:numPr></w:pPr>', "numbering")
    text = markdown_of(tmp_path, p("Lift", number=(1, 0)), styles=steps, numbers=numbers)
    assert text == "- Step-1 Lift"


def test_empty_numbered_cells_have_their_numbers(tmp_path: Path) -> None:
    cells = "".join(
        f"<w:tr><w:tc>{p(number=(1, 0))}</w:tc><w:tc>{p(name)}</w:tc></w:tr>"
        for name in ("Oak", "Elm")
    )
    text = markdown_of(tmp_path, f"<w:tbl>{cells}</w:tbl>", numbers=numbering({1: THREE}))
    assert text.split("\n")[0] == "| 1. | Oak |"
    assert text.split("\n")[2] == "| 2. | Elm |"


def test_lists_of_other_definitions_are_nested_by_their_indents(tmp_path: Path) -> None:
    deeper = '<w:ind w:left="1440"/>'
    text = markdown_of(
        tmp_path,
        p("Fruit", number=(1, 0)),
        p("apple", number=(2, 0), more=deeper),
        p("Bread", number=(1, 0)),
        numbers=numbering({1: THREE, 2: BULLET}),
    )
    assert text == "1. Fruit\n   - apple\n2. Bread"


def test_an_item_is_no_heading(tmp_path: Path) -> None:
    text = markdown_of(tmp_path, p("# 5 bolts", number=(1, 0)), numbers=numbering({1: BULLET}))
    assert text == "- \\# 5 bolts"


def test_bullets_that_are_boxes_are_boxes(tmp_path: Path) -> None:
    lists = numbering({1: level(0, "bullet", "\u2610"), 2: level(0, "bullet", "\u2611")})
    text = markdown_of(tmp_path, p("Oars", number=(1, 0)), p("Rope", number=(2, 0)), numbers=lists)
    assert text == "- [ ] Oars\n- [x] Rope"


@pytest.mark.parametrize(
    ("kind", "number", "text"),
    [
        ("decimalZero", 7, "07"),
        ("upperRoman", 1994, "MCMXCIV"),
        ("lowerLetter", 28, "bb"),
        ("ordinal", 11, "11th"),
        ("ordinal", 22, "22nd"),
        ("ordinalText", 21, "Twenty-first"),
        ("cardinalText", 345, "Three hundred forty-five"),
        ("chineseCounting", 12, "十二"),
        ("chineseCountingThousand", 205, "二百零五"),
        ("ideographTraditional", 2, "乙"),
        ("decimalEnclosedCircle", 3, "③"),
        ("thaiNumbers", 10, "๑๐"),
        ("hebrew1", 15, "\u05d8\u05d5"),
        ("none", 4, ""),
        ("unheardOf", 4, "4"),
        ("lowerLetter", 2**31, str(2**31)),
    ],
)
def test_numbers_have_formats(kind: str, number: int, text: str) -> None:
    assert format_number(number, kind) == text


def test_a_custom_format_has_its_zeros() -> None:
    assert format_number(8, "custom", "001, 002, 003, ...") == "008"
