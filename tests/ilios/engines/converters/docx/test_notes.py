"""Footnotes, endnotes and comments: references and what they refer to."""

from pathlib import Path

from ilios.engines.pages import Reading
from tests.word_documents import converted, docx, markdown_of, notes, p, run, table, tr

RELATED = {
    "n1": ("footnotes", "footnotes.xml"),
    "n2": ("endnotes", "endnotes.xml"),
    "n3": ("comments", "comments.xml"),
}


def foot(number: int) -> str:
    return f'<w:r><w:footnoteReference w:id="{number}"/></w:r>'


def end(number: int) -> str:
    return f'<w:r><w:endnoteReference w:id="{number}"/></w:r>'


def test_notes_are_linked_in_the_order_of_their_references(tmp_path: Path) -> None:
    mark = '<w:r><w:rPr><w:vertAlign w:val="superscript"/></w:rPr><w:footnoteRef/></w:r>'
    text = markdown_of(
        tmp_path,
        p("Swans", foot(5), " and ducks", foot(2), " swim", end(1), "."),
        p("Again", foot(5), "."),
        parts={
            **notes(
                "footnotes", {"2": p(mark, " Small ones."), "5": p(mark, " White.") + p("Big.")}
            ),
            **notes("endnotes", {"1": p("Well.")}),
        },
        related=RELATED,
    )
    assert text.split("\n") == [
        "Swans[^1] and ducks[^2] swim[^e1].",
        "",
        "Again[^1].",
        "",
        "[^1]: White.",
        "",
        "    Big.",
        "",
        "[^2]: Small ones.",
        "",
        "[^e1]: Well.",
    ]


def test_a_mark_of_its_own_is_given_by_the_reference(tmp_path: Path) -> None:
    own = '<w:r><w:footnoteReference w:id="1" w:customMarkFollows="1"/><w:t>*</w:t></w:r>'
    parts = notes("footnotes", {"1": p("Why.")})
    assert markdown_of(tmp_path, p("a", own), parts=parts, related=RELATED) == "a[^1]\n\n[^1]: Why."


def test_a_note_in_a_table_is_referred_to(tmp_path: Path) -> None:
    text = markdown_of(
        tmp_path,
        table(tr(p("a", foot(1)).join(("<w:tc>", "</w:tc>")), "b")),
        parts=notes("footnotes", {"1": p("Cells.")}),
        related=RELATED,
    )
    assert text == "| a[^1] | b |\n| --- | --- |\n\n[^1]: Cells."


def test_a_note_that_refers_to_itself_or_is_missing_ends(tmp_path: Path) -> None:
    text = markdown_of(
        tmp_path,
        p("a", foot(1), foot(9)),
        parts=notes("footnotes", {"1": p("Round", foot(1))}),
        related=RELATED,
    )
    assert text == "a[^1]\n\n[^1]: Round"


def test_comments_are_given_on_request_with_their_authors(tmp_path: Path) -> None:
    reference = '<w:commentRangeEnd w:id="4"/><w:r><w:commentReference w:id="4"/></w:r>'
    made = docx(
        p("The ", '<w:commentRangeStart w:id="4"/>', run("price"), reference, " is high."),
        parts=notes("comments", {"4": p("Really?")}),
        related=RELATED,
    )
    assert converted(tmp_path, made).result.markdown == "The price is high."
    assert (
        converted(tmp_path, made, Reading(comments=True)).result.markdown
        == "The price[^c1] is high.\n\n[^c1]: **Ann Reed**: Really?"
    )


def test_broken_notes_cost_only_themselves(tmp_path: Path) -> None:
    page = converted(
        tmp_path,
        docx(p("Text", foot(1)), parts={"word/footnotes.xml": "<w:foot"}, related=RELATED),
    ).result
    assert page.markdown == "Text"
    assert [one.code for one in page.warnings] == ["part_unreadable"]
