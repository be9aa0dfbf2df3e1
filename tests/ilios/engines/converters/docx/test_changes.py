"""Tracked changes: the document after them, before them, and with all of them."""

from pathlib import Path

import pytest

from ilios.engines.pages import Reading
from schemas.options import TrackedChanges
from tests.word_documents import converted, docx, level, numbering, p, run, table, tr

BY = 'w:id="1" w:author="Ann"'


def ins(*runs: str) -> str:
    return f"<w:ins {BY}>{''.join(runs)}</w:ins>"


def gone(text: str, name: str = "del") -> str:
    deleted = run(text).replace("w:t>", "w:delText>").replace("<w:t ", "<w:delText ")
    return f"<w:{name} {BY}>{deleted}</w:{name}>"


def shown(tmp_path: Path, changes: TrackedChanges | None, *body: str) -> str:
    numbers = numbering({1: level(0)})
    made = docx(*body, numbers=numbers)
    return converted(tmp_path, made, Reading(tracked_changes=changes)).result.markdown


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (None, "We meet on Friday at noon."),
        ("final", "We meet on Friday at noon."),
        ("original", "We meet on Monday."),
        ("all", "We meet on <del>Monday</del><ins>Friday at noon</ins>."),
    ],
)
def test_insertions_and_deletions(
    tmp_path: Path, changes: TrackedChanges | None, text: str
) -> None:
    body = p("We meet on ", gone("Monday"), ins(run("Friday"), run(" at noon")), ".")
    assert shown(tmp_path, changes, body) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [("final", "First\n\nsecond"), ("original", "second\n\nFirst")],
)
def test_moved_text_is_in_one_place(tmp_path: Path, changes: TrackedChanges, text: str) -> None:
    moved_to = f"<w:moveTo {BY}>{run('First')}</w:moveTo>"
    away = p(gone("First", "moveFrom"), more=f"<w:rPr><w:moveFrom {BY}/></w:rPr>")
    new = p(moved_to, more=f"<w:rPr><w:moveTo {BY}/></w:rPr>")
    assert shown(tmp_path, changes, new, p("second"), away) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [("final", "1. One two\n2. three"), ("original", "1. One\n2. two\n3. three")],
)
def test_a_deleted_paragraph_mark_joins_two_items(
    tmp_path: Path, changes: TrackedChanges, text: str
) -> None:
    cut = p("One ", number=(1, 0), more=f"<w:rPr><w:del {BY}/></w:rPr>")
    body = (cut, p("two", number=(1, 0)), p("three", number=(1, 0)))
    assert shown(tmp_path, changes, *body) == text


def test_an_inserted_paragraph_mark_divides_only_the_final_text(tmp_path: Path) -> None:
    body = (p("One", more=f"<w:rPr><w:ins {BY}/></w:rPr>"), p(" two"))
    assert shown(tmp_path, "final", *body) == "One\n\ntwo"
    assert shown(tmp_path, "original", *body) == "One two"


@pytest.mark.parametrize(("changes", "rows"), [("final", ["a", "new"]), ("original", ["a", "old"])])
def test_inserted_and_deleted_rows(
    tmp_path: Path, changes: TrackedChanges, rows: list[str]
) -> None:
    body = table(
        tr("a", "1"), tr("old", "2", more=f"<w:del {BY}/>"), tr("new", "3", more=f"<w:ins {BY}/>")
    )
    lines = shown(tmp_path, changes, body).split("\n")
    assert [line.split("|")[1].strip() for line in lines if "---" not in line] == rows


def test_properties_are_those_before_their_change(tmp_path: Path) -> None:
    before = '<w:pPr><w:pStyle w:val="heading2"/></w:pPr>'
    body = p("Sky", style="heading1", more=f"<w:pPrChange {BY}>{before}</w:pPrChange>")
    assert shown(tmp_path, "final", body) == "# Sky"
    assert shown(tmp_path, "original", body) == "## Sky"
    changed = f"<w:b/><w:rPrChange {BY}><w:rPr><w:i/></w:rPr></w:rPrChange>"
    assert shown(tmp_path, "final", p(run("x", changed))) == "**x**"
    assert shown(tmp_path, "original", p(run("x", changed))) == "*x*"


def test_a_deleted_last_mark_loses_nothing(tmp_path: Path) -> None:
    body = p("Here", more=f"<w:rPr><w:del {BY}/></w:rPr>")
    assert shown(tmp_path, "final", body, table(tr("a", "b"))).startswith("Here\n\n| a | b |")
