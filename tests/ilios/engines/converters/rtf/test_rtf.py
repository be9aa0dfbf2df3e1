"""RTF in Markdown: styles, encodings, lists, tables, notes, changes."""

from pathlib import Path
from typing import Literal

import pytest

from actors.content_types import RTF
from actors.engines import Unconvertible
from ilios.engines.pages import WHOLE, Reading
from tests.ilios.engines.converters.markup import markdown_of, pages_of
from tests.ilios.engines.converters.web.test_html import picture

HEAD = (
    r"{\rtf1\ansi\ansicpg1252\uc1{\fonttbl{\f0 Arial;}{\f1\fcharset204 Cyr;}{\f2\fcharset128 J;}}"
    r"{\stylesheet{\s0 Normal;}{\s1\outlinelevel0 Any;}{\s2 heading 2;}}{\info{\title no}}"
)


def rtf(body: str, reading: Reading = WHOLE, *, path: Path) -> str:
    return markdown_of(path / "a", RTF, f"{HEAD}{body}}}".encode("latin-1"), reading)


@pytest.mark.parametrize(
    ("body", "markdown"),
    [
        (r"a \b b\b0  \i c\i0  {\strike d} x{\super 2} H{\sub 2}O",
         "a **b** *c* ~~d~~ x<sup>2</sup> H<sub>2</sub>O"),
        (r"\pard\s1\b T\par\pard\plain\s2 U\par\pard\outlinelevel2 V\par\pard\plain x",
         "# T\n\n## U\n\n### V\n\nx"),
        (r"\'e9 \u8364? \u-10179?\u-8704? {\uc2\u12354 ab}c {\uc0\u228}d", "é € 😀 あc äd"),
        (r"{\f1\'cf\'f0\'e8} {\f2\'93\'fa\'96\'7b}", "При 日本"),
        (r"a\line b\tab c\~d\_e\emdash\{\}\\",
         "a  \nb c\N{NO-BREAK SPACE}d\N{NON-BREAKING HYPHEN}e—{}\\\\"),
        (r"{\v hidden}shown{\*\unknown gone}{\*\bkmkstart x}{\bin4 }{{{ok", "shownok"),
        (r'{\field{\*\fldinst{HYPERLINK "http://e.org/x"}}{\fldrslt{\ul link}}} z',
         "[link](http://e.org/x) z"),
        (r'{\field{\*\fldinst HYPERLINK "javascript:x"}{\fldrslt link}}', "link"),
        (r"{\field{\*\fldinst PAGE}{\fldrslt 3}}", "3"),
        (r"{\upr{old}{\*\ud new}} x", "new x"),
        (r"a{\footnote\pard {\super\chftn} The \b note\b0 .}b\par c",
         "a[^1]b\n\nc\n\n[^1]: The **note**."),
        ("1. a\\par * b\\par\n#\nc", "1\\. a\n\n\\* b\n\n#c"),
    ],
)  # fmt: skip
def test_controls_become_what_they_mean(body: str, markdown: str, tmp_path: Path) -> None:
    assert rtf(body, path=tmp_path) == markdown


def item(label: str, level: int, text: str) -> str:
    return rf"{{\listtext\pard {label}\tab}}\pard\ls1\ilvl{level} {text}\par "


def test_lists_have_their_labels_and_levels(tmp_path: Path) -> None:
    body = item("3.", 0, "a") + item(r"\'b7", 1, "b") + item("4.", 0, "c") + item("a)", 1, "d")
    body += r"\pard p\par {\pntext 5.\tab}\pard e\par"
    assert rtf(body, path=tmp_path) == "3. a\n   - b\n4. c\n   - a) d\n\np\n\n5. e"


def test_numbers_of_headings_stay(tmp_path: Path) -> None:
    body = r"{\listtext 1.2\tab}\pard\s2\ls1 Scope\par"
    assert rtf(body, path=tmp_path) == "## 1.2 Scope"


def test_cells_are_in_their_columns(tmp_path: Path) -> None:
    body = (
        r"\trowd\cellx1000\cellx2000\cellx3000\pard\intbl A\cell B\cell C\cell\row"
        r"\trowd\clvmgf\cellx1000\cellx3010\pard\intbl v\cell wide\cell\row"
        r"\trowd\clvmrg\cellx1000\cellx2000\cellx3000\pard\intbl\cell p\par q\cell z\cell\row"
        r"\trowd\clmgf\cellx1000\clmrg\cellx2000\cellx3000\pard\intbl m\cell\cell n\cell\row"
        r"\trowd\trleft1000\cellx2000\cellx3000\pard\intbl in\cell d\cell\row\pard x"
    )
    once = rtf(body, Reading(merged_cells="once"), path=tmp_path)
    assert once.splitlines() == [
        "| A | B | C |",
        "| --- | --- | --- |",
        "| v | wide |  |",
        "|  | p<br>q | z |",
        "| m |  | n |",
        "|  | in | d |",
        "",
        "x",
    ]


def test_a_table_in_a_cell_stays_readable(tmp_path: Path) -> None:
    body = (
        r"\pard\intbl\itap1 a\cell\pard\intbl\itap2 b\nestcell c\nestcell"
        r"{\*\nesttableprops\trowd\cellx500\cellx900\nestrow}\pard\intbl\itap1 d\cell"
        r"\trowd\cellx1000\cellx2000\row\pard x"
    )
    assert rtf(body, path=tmp_path) == "| a | b, c<br>d |\n| --- | --- |\n\nx"


@pytest.mark.parametrize(
    ("choice", "markdown"),
    [(None, "a new c"), ("final", "a new c"), ("original", "a old c"), ("all", "a new~~old~~ c")],
)
def test_tracked_changes_are_as_asked(
    choice: Literal["final", "original", "all"] | None, markdown: str, tmp_path: Path
) -> None:
    body = r"a {\revised new}{\deleted old} c"
    assert rtf(body, Reading(tracked_changes=choice), path=tmp_path) == markdown


def test_comments_are_notes_if_they_are_asked_for(tmp_path: Path) -> None:
    body = r"a{\*\atnid AB}{\*\atnauthor Ann}\chatn{\*\annotation\pard {\*\atndate 1}Why?} b"
    assert rtf(body, path=tmp_path) == "a b"
    asked = rtf(body, Reading(comments=True), path=tmp_path)
    assert asked == "a[^c1] b\n\n[^c1]: **Ann**: Why?"


def test_headers_stand_apart_and_pictures_are_stored(tmp_path: Path) -> None:
    body = (
        rf"{{\header Head\par}}{{\footer Foot}}a {{\*\shppict{{\pict{{\*\picprop{{\sp{{\sn "
        rf"wzDescription}}{{\sv Alt}}}}}}\pngblip {picture().hex()}}}}}{{\nonshppict{{\pict 00}}}}"
        r"{\pict\wmetafile8 0102}"
    )
    (page,) = pages_of(tmp_path / "a", RTF, f"{HEAD}{body}}}")
    assert (page.result.header, page.result.footer) == ("Head", "Foot")
    assert page.result.markdown == "a ![Alt](img-0.png)"
    assert page.image_bytes == {"img-0.png": picture()}
    assert [warning.code for warning in page.result.warnings] == ["content_left_out"]


def test_what_does_not_begin_like_rtf_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(Unconvertible) as caught:
        markdown_of(tmp_path / "a", RTF, "text")
    assert caught.value.code == "corrupt"
