"""Fields: results, links with their switches, form fields."""

from pathlib import Path

import pytest

from ilios.engines.converters.docx.fields import hyperlink
from tests.word_documents import converted, docx, field, markdown_of, p, run, style

BOX = '<w:r><w:fldChar w:fldCharType="begin"><w:ffData><w:checkBox>{}</w:checkBox></w:ffData>'
BOX += "</w:fldChar></w:r><w:r><w:instrText> FORMCHECKBOX </w:instrText></w:r>"
BOX += '<w:r><w:fldChar w:fldCharType="end"/></w:r>'


def simple(instruction: str, text: str) -> str:
    return f'<w:fldSimple w:instr="{instruction}">{run(text)}</w:fldSimple>'


def test_numbers_of_captions_and_references_stay(tmp_path: Path) -> None:
    text = markdown_of(
        tmp_path,
        p("As Figure ", simple("REF a \\h", "3"), " shows, on page ", field("PAGEREF a", run("9"))),
        p("Figure ", field(" SEQ Figure \\* ARABIC ", run("3")), ": A heron", style="Caption"),
        p("Dear ", simple("MERGEFIELD Name", "«Name»"), ","),
    )
    assert text.split("\n\n") == [
        "As Figure 3 shows, on page 9",
        "Figure 3: A heron",
        "Dear «Name»,",
    ]


def test_a_field_in_the_instruction_of_another_is_not_text(tmp_path: Path) -> None:
    inner = field("MERGEFIELD Sum", run("40"))
    begin = '<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>IF </w:instrText></w:r>'
    rest = '<w:r><w:instrText> &gt; 3 "many" "few"</w:instrText></w:r>'
    rest += '<w:r><w:fldChar w:fldCharType="separate"/></w:r>' + run("many")
    rest += '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    assert markdown_of(tmp_path, p("So ", begin, inner, rest, ".")) == "So many."


def test_a_field_that_never_ends_hides_no_later_paragraph(tmp_path: Path) -> None:
    begin = '<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>REF</w:instrText></w:r>'
    assert markdown_of(tmp_path, p("One", begin), p("Two")) == "One\n\nTwo"


@pytest.mark.parametrize(
    ("instruction", "target"),
    [
        (' HYPERLINK "https://a.example/b" ', "https://a.example/b"),
        (' HYPERLINK "https://a.example/b" \\l "part 2" ', "https://a.example/b#part 2"),
        (' HYPERLINK \\l "_Toc1" \\h', "#_Toc1"),
        (' HYPERLINK https://a.example \\o "A tip" \\t "_blank"', "https://a.example"),
        (' HYPERLINK \\o "A tip" "https://a.example"', "https://a.example"),
        (" REF a", ""),
        (" hyperlink \\n mailto:a@b.example", "mailto:a@b.example"),
    ],
)
def test_the_target_of_a_hyperlink_is_found_among_its_switches(
    instruction: str, target: str
) -> None:
    assert hyperlink(instruction) == target


def test_links_of_all_kinds_are_links(tmp_path: Path) -> None:
    outside = {"rId1": ("hyperlink", "https://a.example/x")}
    made = docx(
        p('<w:hyperlink r:id="rId1">', run("one"), "</w:hyperlink>"),
        p('<w:hyperlink r:id="rId1" w:anchor="s">', run("two"), "</w:hyperlink>"),
        p(field('HYPERLINK "https://b.example" \\l "t"', run("three", "<w:b/>") + run(" four"))),
        p(simple("HYPERLINK &quot;javascript:alert(1)&quot;", "five")),
        related=outside,
    )
    page = converted(tmp_path, made).result
    assert page.markdown.split("\n\n") == [
        "[one](https://a.example/x)",
        "[two](https://a.example/x#s)",
        "[**three** four](https://b.example#t)",
        "five",
    ]
    assert page.hyperlinks == (
        "https://a.example/x",
        "https://a.example/x#s",
        "https://b.example#t",
    )
    assert [warning.code for warning in page.warnings] == ["links_left_out"]


def test_a_table_of_contents_is_a_list_of_links_to_the_headings(tmp_path: Path) -> None:
    begin = '<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>TOC \\o</w:instrText>'
    begin += '</w:r><w:r><w:fldChar w:fldCharType="separate"/></w:r>'
    mark = '<w:bookmarkStart w:id="{0}" w:name="_Toc{0}"/>'

    def entry(number: int, text: str) -> str:
        return f'<w:hyperlink w:anchor="_Toc{number}">{run(text)}</w:hyperlink>'

    text = markdown_of(
        tmp_path,
        p(begin, entry(1, "Ducks & geese\t2"), style="toc1"),
        p(entry(2, "Food\t3"), style="toc2"),
        p('<w:r><w:fldChar w:fldCharType="end"/></w:r>'),
        p(mark.format(1), "Ducks & geese", style="heading1"),
        p(mark.format(2), "Food", style="heading2"),
    )
    assert text.split("\n") == [
        "- [Ducks & geese 2](#ducks--geese)",
        "  - [Food 3](#food)",
        "",
        "# Ducks & geese",
        "",
        "## Food",
    ]


def test_a_link_to_a_bookmark_in_the_text_finds_it(tmp_path: Path) -> None:
    text = markdown_of(
        tmp_path,
        p('<w:hyperlink w:anchor="Terms">', run("see"), "</w:hyperlink>"),
        p('<w:hyperlink w:anchor="Nowhere">', run("lost"), "</w:hyperlink>"),
        p('<w:bookmarkStart w:id="1" w:name="Terms"/><w:bookmarkEnd w:id="1"/>', "All terms"),
    )
    assert text == '[see](#Terms)\n\nlost\n\n<a id="Terms"></a>All terms'


def test_form_fields_show_what_is_chosen(tmp_path: Path) -> None:
    entries = '<w:listEntry w:val="red"/><w:listEntry w:val="blue"/>'
    choice = '<w:r><w:fldChar w:fldCharType="begin"><w:ffData><w:ddList><w:result w:val="1"/>'
    choice += f"{entries}</w:ddList></w:ffData></w:fldChar></w:r>"
    choice += '<w:r><w:fldChar w:fldCharType="separate"/></w:r><w:r><w:t>x</w:t></w:r>'
    choice += '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    text = markdown_of(
        tmp_path,
        p(BOX.format('<w:default w:val="0"/><w:checked/>'), " paid"),
        p(BOX.format('<w:default w:val="0"/>'), " sent"),
        p("Colour: ", choice),
        p("Name: ", field("FORMTEXT", run("Ada"))),
    )
    assert text.split("\n\n") == ["[x] paid", "[ ] sent", "Colour: blue", "Name: Ada"]


def test_symbol_fields_and_buttons_show_something(tmp_path: Path) -> None:
    def bare(instruction: str) -> str:
        return field(instruction, "").replace(
            '<w:r><w:fldChar w:fldCharType="separate"/></w:r>', ""
        )

    text = markdown_of(
        tmp_path,
        p(bare(' SYMBOL 252 \\f "Wingdings" '), " done"),
        p(bare(" MACROBUTTON NoMacro [Click here]")),
        p(bare(' XE "entry"'), "indexed"),
        p(bare(" EQ \\f(3,4) "), " of it"),
        p(bare(' EQ \\* jc2 \\* "Font:X" \\* hps10 \\o\\ad(\\s\\up 9(ほし),星)')),
    )
    assert text.split("\n\n") == ["✓ done", "[Click here]", "indexed", "3/4 of it", "星(ほし)"]


def test_hidden_results_stay_hidden(tmp_path: Path) -> None:
    hidden = style("Secret", "<w:rPr><w:vanish/></w:rPr>", "character")
    text = markdown_of(
        tmp_path,
        p("a", run("b", '<w:rStyle w:val="Secret"/>'), run("c", "<w:vanish/>"), "d"),
        styles=hidden,
    )
    assert text == "ad"
