import io
import struct
import zipfile

import pytest

from actors.content_types import DOC, DOCX, ODS, PPT, PPTX, XLS, XLSX
from actors.sniffing import SNIFF_LENGTH, Ends, describe, sniff
from actors.text_sniffing import Claim
from tests.spreadsheets import ods


def zipped(*names: str, content: bytes = b"x" * 50, last: bytes = b"") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, content)
        archive.comment = last
    return file.getvalue()


def ole(stream: str) -> bytes:
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + f"{stream}\0".encode("utf-16-le")


def ends(data: bytes) -> tuple[bytes, bytes]:
    return data[:SNIFF_LENGTH], data[-SNIFF_LENGTH:]


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"%PDF-1.7\n", "application/pdf"),
        (b"junk \xff" * 100 + b"%PDF-1.4", "application/pdf"),
        (b"x" * 1023 + b"\xff%PDF-1.4", None),
        (b"%PDF without a version", "text/plain"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\x10\0\0\0WAVEfmt ", None),
        (b"II*\0\x08\0\0\0", "image/tiff"),
        (b"MM\0*\0\0\0\x08", "image/tiff"),
        (b"BM" + bytes(12) + struct.pack("<I", 40) + bytes(36), "image/bmp"),
        (b"BMW is a maker of cars and motorcycles", "text/plain"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "image/avif"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "image/heic"),
        (b"\0\0\0\x10ftypmif1\0\0\0\0heic", None),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", None),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
        (zipped("[Content_Types].xml", "_rels/.rels", "word/document.xml"), DOCX),
        (zipped("word/document.xml", "[Content_Types].xml", last=b"a comment"), DOCX),
        (zipped("ppt/presentation.xml", "[Content_Types].xml"), PPTX),
        (zipped("mimetype", "META-INF/container.xml", "p.opf"), "application/epub+zip"),
        (zipped("xl/workbook.xml", "[Content_Types].xml"), XLSX),
        (ods(""), ODS),
        (ods("").replace(b"opendocument.spreadsheet", b"opendocument.graphicsxxxx"), None),
        (zipped("notes.txt"), None),
        (zipped("backup.docx", content=zipped("word/document.xml")), None),
        (zipped("paper.pdf", content=b"%PDF-1.7"), None),
        (ole("WordDocument"), DOC),
        (ole("PowerPoint Document"), PPT),
        (ole("Workbook"), XLS),
        (ole("Book"), XLS),
        (ole("Bookkeeping"), None),
        (ole("EncryptedPackage") + ole("WordDocument"), None),
        (b"", None),
        (b"# Title\n\ntext", "text/plain"),
    ],
)
def test_the_content_decides_the_type_of_a_document(data: bytes, content_type: str | None) -> None:
    assert sniff(*ends(data)) == content_type


def test_an_archive_is_recognised_by_its_first_and_last_entries() -> None:
    slides = [f"ppt/slides/slide{n:05}.xml" for n in range(3000)]
    assert sniff(*ends(zipped("ppt/presentation.xml", *slides))) == PPTX
    assert sniff(*ends(zipped(*slides, "ppt/presentation.xml"))) == PPTX


@pytest.mark.parametrize("cut", [10, 100, 1000])
def test_a_truncated_document_is_sniffed_without_an_error(cut: int) -> None:
    data = zipped("[Content_Types].xml", "word/document.xml", "word/styles.xml")
    assert sniff(*ends(data[:-cut])) in (DOCX, None)
    for length in range(0, len(data), 7):
        sniff(*ends(data[:length]))
        describe(*ends(data[:length]))
        sniff(data[:20], data[-length:])


@pytest.mark.parametrize(
    ("data", "phrase"),
    [
        (b"", "an empty file"),
        (zipped("xl/workbook.bin", "[Content_Types].xml"), "an Excel workbook (.xlsb)"),
        (
            zipped("notes.txt"),
            "a ZIP archive, which is unpacked only where it is submitted to /v1/batch/submit",
        ),
        (zipped("mimetype", "content.xml"), "an OpenDocument file"),
        (ole("WordDocument"), "an old Word document (.doc), which can be saved as DOCX"),
        (
            ole("PowerPoint Document"),
            "an old PowerPoint presentation (.ppt), which can be saved as PPTX",
        ),
        (ole("Workbook"), "an old Excel workbook (.xls), which can be saved as XLSX"),
        (ole("EncryptedPackage"), "a password-protected Office file"),
        (ole("Contents"), "an old Office file"),
        (b"plain", "text, but its name or its declared type is that of something else"),
        (bytes(range(256)), "a file of an unknown type"),
    ],
)
def test_types_that_cannot_be_converted_are_named(data: bytes, phrase: str) -> None:
    assert describe(*ends(data)) == phrase


@pytest.mark.parametrize("chunk", [1000, 48 * 1024, 1_000_000])
def test_a_type_is_found_in_the_ends_of_what_passes_by(chunk: int) -> None:
    large = zipped("word/media/image1.png", "word/document.xml", content=b"x" * 400_000)
    for data, content_type in [(large, DOCX), (b"%PDF-1.7\n", "application/pdf"), (b"", None)]:
        seen = Ends()
        for at in range(0, len(data), chunk):
            seen.add(data[at : at + chunk])
        assert seen.sniff() == content_type


@pytest.mark.parametrize(
    ("claim", "content_type"),
    [
        (Claim.of("letter.DOC"), DOC),
        (Claim.of("old.pot"), PPT),
        (Claim.of("", XLS), XLS),
        (Claim.of("letter.docx"), None),
        (Claim.of(""), None),
    ],
)
def test_an_old_office_file_whose_directory_is_out_of_reach_is_what_it_claims_to_be(
    claim: Claim, content_type: str | None
) -> None:
    middle = ole("").ljust(3 * SNIFF_LENGTH, b"x")
    assert sniff(*ends(middle), claim) == content_type
