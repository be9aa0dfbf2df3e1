"""What stands on a page beside its content: form values, typed text, comments, links."""

import pytest

from tests import documents
from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.pdf_pages import HELVETICA, Builder, annotation, line, lines, link, widget


def form(builder: Builder, *fields: str, content: str, form_type: str = "") -> bytes:
    numbers = [builder.add(field) for field in fields]
    listed = " ".join(f"{number} 0 R" for number in numbers)
    builder.catalog = f"/AcroForm << /Fields [{listed}] /NeedAppearances true {form_type} >>"
    builder.page(content, annotations=numbers)
    return builder.build()


def test_values_without_appearance_stand_beside_their_labels(convert_pdf: ConvertPdf) -> None:
    data = form(
        Builder(),
        widget("Tx", "200 712 400 732", "/T (name) /V (Magdalena Vossberg)"),
        widget("Tx", "200 682 400 702", "/T (port) /V <FEFF004D00FC006E006400650065>"),
        widget("Ch", "200 652 400 672", "/T (boat) /V (Sloop) /Opt [(Sloop) (Yawl)] /Ff 131072"),
        widget("Tx", "200 622 400 642", "/T (empty)"),
        content=line("Applicant:", 72, 718)
        + line("Home port:", 72, 688)
        + line("Boat:", 72, 658)
        + line("Remarks:", 72, 628),
    )
    (page,) = convert_pdf(data)
    text = " ".join(page.markdown.replace("|", " ").split())
    assert "Applicant: Magdalena Vossberg" in text
    assert "Home port: M\u00fcndee" in text
    assert "Boat: Sloop" in text
    assert "Yawl" not in text
    assert not page.warnings


def test_a_value_that_the_page_shows_is_not_doubled(convert_pdf: ConvertPdf) -> None:
    data = form(
        Builder(),
        widget("Tx", "200 712 400 732", "/T (name) /V (Magdalena Vossberg)"),
        content=line("Applicant:", 72, 718) + line("Magdalena Vossberg", 202, 718),
    )
    (page,) = convert_pdf(data)
    assert page.markdown.count("Magdalena Vossberg") == 1


def test_boxes_show_whether_they_are_checked(convert_pdf: ConvertPdf) -> None:
    states = "/AP << /N << /Yes {0} 0 R /Off {0} 0 R >> >>"
    builder = Builder()
    look = states.format(builder.stream(b"", "/Type /XObject /Subtype /Form /BBox [0 0 12 12]"))
    data = form(
        builder,
        widget("Btn", "72 716 84 728", f"/T (insured) /V /Yes /AS /Yes {look}"),
        widget("Btn", "72 686 84 698", f"/T (moored) /V /Off /AS /Off {look}"),
        content=line("The boat is insured", 92, 718) + line("The boat is moored", 92, 688),
    )
    (page,) = convert_pdf(data)
    insured, moored = (one for one in page.markdown.split("\n") if one.strip())
    assert "The boat is insured" in insured
    assert any(sign in insured for sign in ("\u2611", "[x]"))
    assert "The boat is moored" in moored
    assert any(sign in moored for sign in ("\u2610", "[ ]"))


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("Tx", "/V 42", "42"),
        ("Tx", "/V -3.50", "-3.5"),
        ("Tx", "/V 0.00012", "0.00012"),
        ("Tx", "/V /Sloop", "Sloop"),
        ("Ch", "/V /Yawl /Opt [(Sloop) (Yawl)]", "Yawl"),
        ("Ch", "/V 42 /Opt [(40) (42)] /Ff 131072", "42"),
        ("Ch", "/V [(s) (b)] /Opt [[(s) (Sloop)] [(y) (Yawl)] [(b) (Brig)]] /Ff 2097152", "Brig"),
    ],
)
def test_values_that_are_no_strings_are_given(
    convert_pdf: ConvertPdf, kind: str, value: str, shown: str
) -> None:
    field = widget(kind, "200 712 400 732", f"/T (one) {value}")
    (page,) = convert_pdf(form(Builder(), field, content=line("Boat:", 72, 718)))
    assert page.markdown.replace("|", " ").split()[-1] == shown
    assert not page.warnings


@pytest.mark.parametrize(
    "value", ["/V [(Sloop) (Brig)]", "/V 123456789", "/V [/Sloop /Brig] /Opt [(Sloop) (Brig)]"]
)
def test_values_that_cannot_be_read_in_full_are_warned_of(
    convert_pdf: ConvertPdf, value: str
) -> None:
    kind = "Ch" if "Opt" in value else "Tx"
    field = widget(kind, "200 712 400 732", f"/T (one) {value} /Ff 2097152")
    (page,) = convert_pdf(form(Builder(), field, content=line("Boat:", 72, 718)))
    assert [warning.code for warning in page.warnings] == ["form_values_unreadable"]


def test_a_list_of_which_nothing_is_chosen_is_empty(convert_pdf: ConvertPdf) -> None:
    field = widget("Ch", "200 712 400 732", "/T (one) /V [] /Opt [(Sloop)] /Ff 2097152")
    (page,) = convert_pdf(form(Builder(), field, content=line("Boat:", 72, 718)))
    assert page.markdown == "Boat:"
    assert not page.warnings


def test_a_value_without_meaning_is_warned_of(convert_pdf: ConvertPdf) -> None:
    data = form(
        Builder(),
        widget("Tx", "200 712 400 732", "/T (name) /V <FEFFE001E002E003>"),
        content=line("Applicant:", 72, 718),
    )
    (page,) = convert_pdf(data)
    assert [warning.code for warning in page.warnings] == ["form_values_unreadable"]


XFA_REQUEST = lines("Please wait while the form is loaded.", "Get a newer viewer otherwise.")


def xfa_form(builder: Builder, more: str, *, listed: bool = False) -> None:
    xml = builder.stream(b"<xdp:xdp xmlns:xdp='http://ns.adobe.com/xdp/'></xdp:xdp>")
    parts = f"[(template) {xml} 0 R]" if listed else f"{xml} 0 R"
    builder.catalog = f"{more} /AcroForm << /Fields [] /XFA {parts} >>"


@pytest.mark.parametrize("more", ["/NeedsRendering true", ""])
@pytest.mark.parametrize("listed", [True, False])
def test_the_placeholder_of_an_xfa_form_is_named(
    convert_pdf: ConvertPdf, *, more: str, listed: bool
) -> None:
    builder = Builder()
    xfa_form(builder, more, listed=listed)
    builder.page(XFA_REQUEST)
    (page,) = convert_pdf(builder.build())
    assert [warning.code for warning in page.warnings] == ["xfa_placeholder"]


def test_an_xfa_form_with_fields_or_much_text_is_no_placeholder(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    xfa_form(builder, "")
    builder.page(lines(*["All of this form is written on its page for everybody."] * 40))
    (page,) = convert_pdf(builder.build())
    assert not page.warnings
    builder = Builder()
    xfa_form(builder, "")
    field = builder.add(widget("Tx", "200 712 400 732", "/T (one) /V (Sloop)"))
    builder.page(line("Boat:", 72, 718), annotations=[field])
    (page,) = convert_pdf(builder.build())
    assert not page.warnings


def test_typed_text_and_stamps_stand_at_their_places(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    notes = [
        builder.add(annotation(kind, rect, more))
        for kind, rect, more in (
            ("FreeText", "72 600 300 620", "/F 4 /Contents (SETTLED 9 May) /DA (/Helv 14 Tf)"),
            ("FreeText", "72 740 300 760", "/F 4 /Contents (Copy for the office)"),
            ("FreeText", "72 500 300 520", "/F 2 /Contents (Nobody sees this)"),
            ("Stamp", "350 500 450 540", "/F 4 /Name /NotApproved"),
        )
    ]
    builder.page(line("Account 2046 of the rope works", 72, 700), annotations=notes)
    (page,) = convert_pdf(builder.build())
    text = " ".join(page.markdown.split())
    assert text.index("Copy for the office") < text.index("Account 2046") < text.index("SETTLED")
    assert "Not Approved" in text
    assert "Nobody sees this" not in text


def test_typed_lines_stand_where_their_appearance_draws_them(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    font = builder.add(HELVETICA)
    look = builder.stream(
        (line("7 Mill Lane", 4, 15, 11) + line("Upper Weir", 4, 2, 11)).encode(),
        "/Type /XObject /Subtype /Form /BBox [0 0 200 30] "
        f"/Resources << /Font << /F1 {font} 0 R >> >>",
    )
    more = f"/F 4 /DA (/Helv 11 Tf) /Contents (7 Mill Lane\\rUpper Weir) /AP << /N {look} 0 R >>"
    typed = builder.add(annotation("FreeText", "150 688 350 718", more))
    builder.page(line("Address:", 72, 700, 11), annotations=[typed])
    (page,) = convert_pdf(builder.build())
    assert " ".join(page.markdown.replace("|", " ").split()) == "Address: 7 Mill Lane Upper Weir"


def test_large_typed_text_is_no_heading(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    more = "/F 4 /DA (/Helv 24 Tf) /Contents (Paid on 9 July)"
    typed = builder.add(annotation("FreeText", "72 600 300 640", more))
    builder.page(lines(*["The bridle is mended and the girth is new."] * 3), annotations=[typed])
    (page,) = convert_pdf(builder.build())
    assert page.markdown.endswith("\n\nPaid on 9 July")
    assert not page.headings


def test_a_page_of_typed_text_alone_is_not_empty(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    typed = builder.add(annotation("FreeText", "72 600 300 620", "/F 4 /Contents (Received today)"))
    builder.page("40 40 300 500 re S", annotations=[typed])
    (page,) = convert_pdf(builder.build())
    assert page.markdown == "Received today"


def test_comments_are_quoted_with_their_authors(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    comments = [
        builder.add(annotation("Text", "300 700 320 720", "/T (Anna) /Contents (Which year?)")),
        builder.add(annotation("Highlight", "72 696 200 712", "/Contents (Check this sum)")),
        builder.add(annotation("Text", "300 700 320 720", "/F 2 /Contents (Hidden remark)")),
    ]
    builder.page(lines("The fee of the season is ninety."), annotations=comments)
    (page,) = convert_pdf(builder.build())
    assert "> **Anna:** Which year?" in page.markdown
    assert "> Check this sum" in page.markdown
    assert "Hidden remark" not in page.markdown


@pytest.mark.parametrize("kind", ["FreeText", "Text"])
def test_long_texts_are_given_up_to_the_bound_of_a_page_which_is_warned_of(
    convert_pdf: ConvertPdf, kind: str
) -> None:
    rope = " ".join(f"rope{number}" for number in range(4_000))
    builder = Builder()
    notes = [
        builder.add(annotation(kind, f"72 {top} 500 {top + 90}", f"/F 4 /Contents ({text})"))
        for top, text in ((600, rope), (500, "x " * 100_000), (400, "The last one"))
    ]
    builder.page(line("The rules of the rope works", 72, 720), annotations=notes)
    (page,) = convert_pdf(builder.build())
    assert all(f"rope{number}" in page.markdown for number in range(4_000))
    lost = len(rope) + 200_000 + len("The last one") - 200_000
    (warning,) = page.warnings
    assert warning.code == "annotations_left_out"
    assert f"{lost} characters" in warning.message


def test_more_lines_than_a_rectangle_has_room_for_are_joined(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    text = "\\r".join(f"rope{number}" for number in range(20_000))
    note = builder.add(annotation("FreeText", "72 600 300 620", f"/F 4 /Contents ({text})"))
    builder.page(line("The rules of the rope works", 72, 720), annotations=[note])
    (page,) = convert_pdf(builder.build())
    found = [one for one in page.markdown.split() if one[4:].isdecimal()]
    assert found == [f"rope{number}" for number in range(20_000)]


WIDTH = 6.0
"""Of a bar of 12 points at half the size: all are equal, so that places can be computed."""


@pytest.mark.parametrize(
    ("text", "linked", "expected"),
    [
        ("read ferry.example/rules. Or not", "ferry.example/rules", "[{0}]({1}). Or not"),
        ("ask anna or bert", "anna", "ask [{0}]({1}) or bert"),
        ("see the list (below) for more", "below", "the list ([{0}]({1})) for"),
    ],
)
def test_only_the_words_of_a_link_are_linked(
    convert_pdf: ConvertPdf, text: str, linked: str, expected: str
) -> None:
    builder = Builder()
    letters = "".join(dict.fromkeys(text))
    font = builder.bars(letters)
    codes = "".join(f"{letters.index(letter) + 1:02X}" for letter in text)
    left = 72 + WIDTH * text.index(linked)
    address = builder.add(
        link(f"{left} 697 {left + WIDTH * len(linked)} 709", "https://ferry.example/rules")
    )
    inner = builder.add(annotation("Link", "72 600 100 612", "/Dest [3 0 R /Fit]"))
    content = f"BT /F1 6 Tf 1 0 0 1 72 700 Tm <{codes}> Tj ET"
    builder.page(content, annotations=[address, inner], font=font)
    (page,) = convert_pdf(builder.build())
    assert expected.format(linked, "https://ferry.example/rules") in page.markdown
    assert page.hyperlinks == ("https://ferry.example/rules",)


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("https://rope.example/Knot_(bight)", "https://rope.example/Knot_(bight)"),
        ("https://rope.example/a)b(c", "https://rope.example/a%29b%28c"),
        ("https://rope.example/two words", "https://rope.example/two%20words"),
        ("https://rope.example/<tag>", "https://rope.example/%3Ctag%3E"),
    ],
)
def test_any_address_of_a_link_is_its_target_in_markdown(
    convert_pdf: ConvertPdf, address: str, target: str
) -> None:
    builder = Builder()
    placed = builder.add(link("72 695 300 712", address))
    builder.page(line("Splicing guide", 72, 700), annotations=[placed])
    (page,) = convert_pdf(builder.build())
    assert page.markdown == f"[Splicing guide]({target})"


def test_more_fields_than_the_parser_can_read_are_read_simply_and_warned_of(
    convert_pdf: ConvertPdf,
) -> None:
    builder = Builder()
    crowd = 603
    numbers = [
        builder.add(
            widget("Tx", f"72 {at % 700 + 20} 200 {at % 700 + 32}", f"/T (a{at}) /V (value{at})")
        )
        for at in range(crowd)
    ]
    numbers.append(builder.add(widget("Tx", "200 712 400 732", "/T (name) /V (Magdalena)")))
    listed = " ".join(f"{number} 0 R" for number in numbers)
    builder.catalog = f"/AcroForm << /Fields [{listed}] >>"
    builder.page("", annotations=numbers[:-1])
    builder.page(line("Applicant:", 72, 718), annotations=numbers[-1:])
    first, second = convert_pdf(builder.build())
    assert "value7" in first.markdown
    codes = {warning.code: warning.message for warning in first.warnings}
    assert str(crowd) in codes["form_fields_left_out"]
    assert "Applicant: Magdalena" in " ".join(second.markdown.replace("|", " ").split())
    assert not second.warnings


def test_fields_without_a_form_are_read(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    fields = [
        builder.add(widget("Tx", "200 712 400 732", "/T (name) /V (Magdalena Vossberg)")),
        builder.add(widget("Tx", "200 682 400 702", "/T (code) /V (not for you) /Ff 8192")),
        builder.add(widget("Btn", "72 646 84 658", "/T (insured) /V /Yes /AS /Yes")),
    ]
    content = line("Applicant:", 72, 718) + line("Insured", 92, 648)
    builder.page(content, annotations=fields)
    (page,) = convert_pdf(builder.build())
    text = " ".join(page.markdown.replace("|", " ").split())
    assert "Applicant: Magdalena Vossberg" in text
    assert "\u2611 Insured" in text or "[x] Insured" in text
    assert "not for you" not in text


@pytest.mark.parametrize("turned", [0, 180])
def test_values_on_a_scan_stand_beside_their_labels(convert_pdf: ConvertPdf, turned: int) -> None:
    builder = Builder()
    labels = ("Applicant of the licence", "Home port of the boat", "Insured with the club")
    rows = [documents.text_image(label, height=60).convert("L") for label in labels]
    drawn, places = [], ""
    for at, row in enumerate(rows):
        drawn.append(builder.image(row.tobytes(), *row.size))
        places += f"q {row.width / 3} 0 0 20 72 {700 - 100 * at} cm /I{at} Do Q\n"
    look = builder.stream(
        line("Magdalena Vossberg", 2, 6, 14).encode(),
        "/Type /XObject /Subtype /Form /BBox [0 0 200 24] "
        f"/Resources << /Font << /F1 {builder.font} 0 R >> >>",
    )
    fields = [
        widget("Tx", "350 698 550 722", f"/T (a) /V (Magdalena Vossberg) /AP << /N {look} 0 R >>"),
        widget("Tx", "350 598 550 622", "/T (b) /V (Nordheim)"),
    ]
    numbers = [builder.add(field) for field in fields]
    builder.catalog = f"/AcroForm << /Fields [{numbers[0]} 0 R {numbers[1]} 0 R] >>"
    builder.page(places, annotations=numbers, images=drawn, more=f"/Rotate {turned}")
    (page,) = convert_pdf(builder.build(), "force")
    text = page.markdown
    assert text.count("Magdalena") == text.count("Nordheim") == 1, text
    found = [text.index(one) for one in ("Applicant", "Magda", "Home", "Nord", "Insured")]
    assert found == sorted(found), text
