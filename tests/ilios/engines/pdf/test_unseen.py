"""Text that a page contains and does not show is left out, and no other."""

import pytest

from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.pdf_pages import Builder, line, lines
from tests.quality.pictures import lines as drawn_lines

SEEN = "The boats lie in the harbour until the ice has gone"
SECRET = "The keys of the house are below the third stone"
CODE = "hidden_text_left_out"


def page_of(convert_pdf: ConvertPdf, content: str) -> tuple[str, list[str]]:
    """Return the Markdown of a page with a seen line and this content, and its warnings."""
    builder = Builder()
    builder.page(line(SEEN, 72, 700) + content)
    (page,) = convert_pdf(builder.build())
    return page.markdown, [warning.code for warning in page.warnings]


@pytest.mark.parametrize(
    "content",
    [
        f"q 1 g {line(SECRET, 72, 600)} Q",
        f"q .97 .97 1 rg {line(SECRET, 72, 600)} Q",
        f"{line(SECRET, 72, 600)} q 0 g 60 590 400 30 re f Q",
        f"q .5 g 60 590 400 30 re f 1 g 60 590 400 30 re f {line(SECRET, 72, 600)} Q",
        f"q 3 Tr {line(SECRET, 72, 600)} Q",
    ],
    ids=["white", "nearly white", "below an area", "white on white", "invisible"],
)
def test_text_that_is_not_seen_is_left_out_with_a_warning(
    convert_pdf: ConvertPdf, content: str
) -> None:
    assert page_of(convert_pdf, content) == (SEEN, [CODE])


@pytest.mark.parametrize(
    "content",
    [
        f"q 0 0 .4 rg 60 590 400 30 re f 1 g {line(SECRET, 72, 600)} Q",
        f"q 1 1 0 rg {line(SECRET, 72, 600)} Q",
        f"q .95 g 0 0 612 650 re f 0 g {line(SECRET, 72, 600)} Q",
        f"{line(SECRET, 72, 600)} q 0 G 60 590 400 30 re S Q",
        f"{line(SECRET, 72, 600)} q 0 g 60 400 400 30 re f Q",
    ],
    ids=["white on dark", "yellow", "black on pale", "framed", "beside an area"],
)
def test_text_that_is_seen_stays(convert_pdf: ConvertPdf, content: str) -> None:
    text, warnings = page_of(convert_pdf, content)
    assert SEEN in text
    assert SECRET in text
    assert not warnings


def test_few_characters_that_are_not_seen_are_no_warning(convert_pdf: ConvertPdf) -> None:
    assert page_of(convert_pdf, f"q 1 g {line('Rest', 72, 600)} Q") == (SEEN, [])


def test_half_of_a_phrase_may_be_covered(convert_pdf: ConvertPdf) -> None:
    text, _ = page_of(
        convert_pdf,
        line("Sold to", 72, 600) + line("Miss Nobody", 118, 600) + "q 0 g 116 590 90 20 re f Q",
    )
    assert "Sold to" in text
    assert "Nobody" not in text


def layered(off: str, *texts: str) -> bytes:
    """Return a page whose texts are at one place, each in a layer; those in ``off`` are off."""
    builder = Builder()
    groups = [builder.add(f"<< /Type /OCG /Name (L{at}) >>") for at in range(len(texts))]
    names = " ".join(f"/P{at} {group} 0 R" for at, group in enumerate(groups))
    content = "".join(
        f"/OC /P{at} BDC {line(text, 72, 600)} EMC\n" for at, text in enumerate(texts)
    )
    form = builder.stream(
        content.encode(),
        "/Type /XObject /Subtype /Form /BBox [0 0 612 792] /Resources << "
        f"/Font << /F1 {builder.font} 0 R >> /Properties << {names} >> >>",
    )
    hidden = " ".join(f"{groups[int(at)]} 0 R" for at in off)
    listed = " ".join(f"{group} 0 R" for group in groups)
    builder.catalog = f"/OCProperties << /OCGs [{listed}] /D << /OFF [{hidden}] >> >>"
    builder.page(line(SEEN, 72, 700) + "/I0 Do", images=[form])
    return builder.build()


GERMAN = "Die Boote liegen im Hafen bis das Eis getaut ist"


@pytest.mark.parametrize(
    ("off", "expected"),
    [("0", [SEEN, GERMAN]), ("1", [SEEN, SECRET]), ("01", [SEEN])],
)
def test_the_layers_that_are_off_are_left_out_of_texts_at_one_place(
    convert_pdf: ConvertPdf, off: str, expected: list[str]
) -> None:
    (page,) = convert_pdf(layered(off, SECRET, GERMAN))
    assert page.markdown.split("\n\n") == expected
    assert [warning.code for warning in page.warnings] == [CODE]


def layered_forms(off: str, *texts: str) -> bytes:
    """Return a page with a form for each text, that is a layer by its own dictionary."""
    builder = Builder()
    groups = [builder.add(f"<< /Type /OCG /Name (L{at}) >>") for at in range(len(texts))]
    forms = [
        builder.stream(
            line(text, 72, 600).encode(),
            f"/Type /XObject /Subtype /Form /BBox [0 0 612 792] /OC {group} 0 R "
            f"/Resources << /Font << /F1 {builder.font} 0 R >> >>",
        )
        for text, group in zip(texts, groups, strict=True)
    ]
    hidden = " ".join(f"{groups[int(at)]} 0 R" for at in off)
    listed = " ".join(f"{group} 0 R" for group in groups)
    builder.catalog = f"/OCProperties << /OCGs [{listed}] /D << /OFF [{hidden}] >> >>"
    drawn = " ".join(f"/I{at} Do" for at in range(len(forms)))
    builder.page(line(SEEN, 72, 700) + drawn, images=forms)
    return builder.build()


@pytest.mark.parametrize(
    ("off", "texts", "expected"),
    [
        ("0", (SECRET,), [SEEN]),
        ("", (SECRET,), [SEEN, SECRET]),
        ("0", (SECRET, GERMAN), [SEEN, GERMAN]),
        ("1", (SECRET, GERMAN), [SEEN, SECRET]),
    ],
)
def test_a_form_that_is_a_layer_is_left_out_where_it_is_off(
    convert_pdf: ConvertPdf, off: str, texts: tuple[str, ...], expected: list[str]
) -> None:
    (page,) = convert_pdf(layered_forms(off, *texts))
    assert page.markdown.split("\n\n") == expected
    assert [warning.code for warning in page.warnings] == ([CODE] if off else [])


def test_layers_that_are_on_are_there(convert_pdf: ConvertPdf) -> None:
    (page,) = convert_pdf(layered("", SECRET))
    assert SECRET in page.markdown
    assert not page.warnings


def test_the_recognised_layer_of_a_scan_is_seen_in_its_picture(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    picture = drawn_lines(["The choir sings on Sunday", "and on the third of May"], 40)
    width, height = picture.size
    image = builder.image(picture.convert("L").tobytes(), width, height)
    layer = lines("The choir sings on Sunday", "and on the third of May", top=700)
    builder.page(
        f"q 400 0 0 {400 * height / width} 72 600 cm /I0 Do Q q 3 Tr {layer} Q", images=[image]
    )
    (page,) = convert_pdf(builder.build())
    assert "The choir sings on Sunday" in " ".join(page.markdown.split())
    assert CODE not in [warning.code for warning in page.warnings]
