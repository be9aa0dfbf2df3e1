"""The local engine: documents of every type, and its refusals."""

from pathlib import Path

import pytest
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from actors.engines import EngineCrashed, SourceFile, Unconvertible
from ilios.engines.converters import images
from ilios.engines.converters.frames import ORIENTATION, prepare_frame
from ilios.engines.layout.document import LaidOutPage
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import MIB, EngineLimits
from ilios.engines.recognition import ocr
from ilios.engines.recognition.recogniser import Recognised
from tests import documents
from tests.ilios.engines.conftest import PlaceDocument

ONE = EngineLimits(processes=1)


async def refusal(document: SourceFile, limits: EngineLimits = ONE) -> Unconvertible:
    async with LocalEngine(limits) as engine:
        with pytest.raises(Unconvertible) as caught:
            await engine.convert(document)
    return caught.value


async def test_a_pdf_becomes_its_pages_in_order(place_document: PlaceDocument) -> None:
    texts = [f"This is page number {number}, with words of its own." for number in range(1, 31)]
    async with LocalEngine(ONE) as engine:
        conversion = await engine.convert(place_document(documents.pdf(*texts), documents.PDF))
    assert len(conversion.pages) == 30
    for text, page in zip(texts, conversion.pages, strict=True):
        assert text in page
    assert conversion.engine == "local"
    assert conversion.model.startswith("liteparse-")
    assert (conversion.input_tokens, conversion.output_tokens) == (0, 0)


async def test_a_blank_page_stays_a_page(place_document: PlaceDocument) -> None:
    async with LocalEngine(ONE) as engine:
        made = documents.pdf("The first page has text.", "", "The third does too.")
        conversion = await engine.convert(place_document(made, documents.PDF))
    assert conversion.pages[1] == ""
    assert "third" in conversion.pages[2]


async def test_progress_reaches_the_number_of_pages(place_document: PlaceDocument) -> None:
    progress: list[tuple[int, int]] = []
    async with LocalEngine(ONE) as engine:
        document = place_document(documents.pdf("One page.", "Two pages."), documents.PDF)
        await engine.convert(document, lambda done, total: progress.append((done, total)))
    assert progress[0] == (0, 2)
    assert progress[-1] == (2, 2)


@pytest.mark.slow
async def test_scans_and_images_are_read_and_turned_upright(place_document: PlaceDocument) -> None:
    upright = documents.text_image("Seven green boats", "sail over the lake")
    sideways, upside_down = upright.rotate(90, expand=True), upright.rotate(180)
    async with LocalEngine(ONE) as engine:
        scan = await engine.convert(
            place_document(documents.image_file(upright, "PDF"), documents.PDF)
        )
        png = await engine.convert(
            place_document(documents.image_file(upside_down, "PNG"), documents.PNG)
        )
        tiff = await engine.convert(
            place_document(documents.image_file(upright, "TIFF", [sideways]), documents.TIFF)
        )
        gif = await engine.convert(
            place_document(documents.image_file(upright, "GIF", [upside_down]), documents.GIF)
        )
    for page in (*scan.pages, *png.pages, *tiff.pages, *gif.pages):
        assert page.split() == ["Seven", "green", "boats", "sail", "over", "the", "lake"]
    assert [len(done.pages) for done in (scan, png, tiff, gif)] == [1, 1, 2, 2]
    assert scan.model.startswith("faster-paddle-")


def test_a_photograph_is_rotated_by_its_exif_orientation(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), "white")
    image.paste("black", (0, 0, 20, 20))
    exif = image.getexif()
    exif[ORIENTATION] = 6  # the top is on the right
    image.save(tmp_path / "photograph", "JPEG", exif=exif)
    with Image.open(tmp_path / "photograph") as taken:
        upright = prepare_frame(taken)
    assert upright.size == (20, 40)
    assert upright.convert("L").getpixel((10, 5)) == 0
    assert upright.convert("L").getpixel((10, 35)) == 255


def test_transparent_pixels_are_read_as_white() -> None:
    clear = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    assert prepare_frame(clear).getpixel((5, 5)) == (255, 255, 255)


def test_frames_of_an_image_are_counted_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted(_: object) -> int:
        raise AssertionError("counting takes the square of the time")

    page = Image.new("L", (8, 8))
    (tmp_path / "many").write_bytes(documents.image_file(page, "TIFF", [page] * 5))
    monkeypatch.setattr(TiffImageFile, "n_frames", property(counted))
    with pytest.raises(Unconvertible) as caught:
        images.convert(tmp_path / "many", EngineLimits(max_pages=3), lambda *_: None)
    assert caught.value.code == "too_many_pages"


def test_identical_pages_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, int]] = []

    def note(_: object, image: Image.Image, *__: object, **___: object) -> ocr.ImageText:
        read.append(image.size)
        page = LaidOutPage(index=0, markdown=f"Text {len(read)}")
        return ocr.ImageText(page, Recognised((), *image.size))

    monkeypatch.setattr(ocr.ImageReader, "_read", note)
    white, other, strip = (Image.new("L", size, "white") for size in ((9, 9), (9, 8), (900, 2)))
    pages = documents.image_file(white, "TIFF", [white, other, strip, white])
    (tmp_path / "same").write_bytes(pages)
    written = images.convert(tmp_path / "same", EngineLimits(), lambda *_: None)
    texts = [page.result.markdown for page in written.pages]
    assert texts == [
        "Text 1",
        "Text 1",
        "Text 2",
        "",
        "Text 1",
    ]
    assert len(read) == 2


async def test_a_docx_has_headings_and_tables_and_no_base64(
    place_document: PlaceDocument,
) -> None:
    made = documents.docx(
        documents.paragraph("Heading", style="Heading1"),
        documents.paragraph("Some text & more."),
        documents.table(["Name", "Price"], ["Apple", "3 | 4"]),
        documents.image_in_docx("A red apple"),
    )
    async with LocalEngine(ONE) as engine:
        (page,) = (await engine.convert(place_document(made, documents.DOCX))).pages
    assert page.splitlines() == [
        "# Heading",
        "",
        "Some text & more.",
        "",
        "| Name | Price |",
        "| --- | --- |",
        r"| Apple | 3 \| 4 |",
        "",
        "![A red apple]()",
    ]


async def test_a_pptx_becomes_a_page_for_every_slide(place_document: PlaceDocument) -> None:
    made = documents.pptx(
        {"First": ["one", "two"], "Second": ["three"]}, [["Name", "Price"], ["Pear", "2"]]
    )
    async with LocalEngine(ONE) as engine:
        first, second = (await engine.convert(place_document(made, documents.PPTX))).pages
    assert first.startswith("# First\n\n- one\n- two")
    assert "> Say more about First." in first
    assert second.startswith("# Second")
    assert "| Name | Price |\n| --- | --- |\n| Pear | 2 |" in second


async def test_an_unknown_type_is_refused_without_starting_a_child(
    place_document: PlaceDocument,
) -> None:
    async with LocalEngine(ONE) as engine:
        with pytest.raises(Unconvertible, match="supported are PDF") as caught:
            await engine.convert(place_document(b"a,b", "application/x-tar"))
        assert not engine.child_pids
    assert caught.value.code == "unsupported_type"


async def test_other_bytes_than_submitted_are_refused(place_document: PlaceDocument) -> None:
    document = place_document(documents.pdf("Good text."), documents.PDF)
    document.path.write_bytes(documents.pdf("Evil text."))
    assert (await refusal(document)).code == "integrity"


UNREADABLE = (
    (b"", documents.PDF, "corrupt"),
    (b"%PDF-1.7\nnothing of use", documents.PDF, "corrupt"),
    (documents.encrypted_pdf(), documents.PDF, "password_protected"),
    (b"\x89PNG\r\n\x1a\nnothing of use", documents.PNG, "corrupt"),
    (b"PK\x03\x04nothing of use", documents.DOCX, "corrupt"),
    (documents.zip_of({"word/other.xml": "<a/>"}), documents.DOCX, "corrupt"),
    (documents.zip_of({"word/document.xml": "<broken"}), documents.DOCX, "corrupt"),
    (documents.zip_of({"ppt/presentation.xml": "<broken"}), documents.PPTX, "corrupt"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), documents.DOCX, "password_protected"),
    (
        documents.zip_of({"[Content_Types].xml": "", "word/document.xml": " " * 65 * MIB}),
        documents.DOCX,
        "too_large",
    ),
)


async def test_an_unreadable_document_is_refused_with_a_code_and_a_sentence(
    place_document: PlaceDocument,
) -> None:
    async with LocalEngine(ONE) as engine:
        for data, content_type, code in UNREADABLE:
            with pytest.raises(Unconvertible) as caught:
                await engine.convert(place_document(data, content_type))
            assert caught.value.code == code
            assert caught.value.reason.endswith(".")
            libraries = ("pdfium", "lxml", "zipfile")
            assert not any(name in caught.value.reason.lower() for name in libraries)


async def test_a_document_over_a_limit_is_refused(place_document: PlaceDocument) -> None:
    three = place_document(documents.pdf("One page.", "Two pages.", "Three."), documents.PDF)
    pages = await refusal(three, EngineLimits(processes=1, max_pages=2))
    output = await refusal(three, EngineLimits(processes=1, max_output_bytes=5))
    wide = place_document(
        documents.image_file(documents.text_image("A wide one"), "PNG"), documents.PNG
    )
    pixels = await refusal(wide, EngineLimits(processes=1, max_pixels=1000))
    assert [error.code for error in (pages, output, pixels)] == [
        "too_many_pages",
        "too_large",
        "too_large",
    ]


async def test_a_missing_file_is_not_the_documents_fault(tmp_path: Path) -> None:
    async with LocalEngine(ONE) as engine:
        with pytest.raises(EngineCrashed) as caught:
            await engine.convert(SourceFile(tmp_path / "gone", documents.PDF))
    assert not caught.value.document_blamed
