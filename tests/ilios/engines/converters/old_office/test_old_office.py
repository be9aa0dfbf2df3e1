"""DOC, XLS and PPT: refused with what to do, or converted by LibreOffice inside the sandbox."""

import socket
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.content_types import DOC, PPT, XLS
from actors.engines import Conversion, Unconvertible
from ilios.engines.converters.old_office import libreoffice, storage
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.self_test import FOLDER
from ilios.engines.sandbox import landlock
from tests import documents, spreadsheets
from tests.compound_files import compound
from tests.conversions import convert, messages
from tests.ilios.engines.conftest import PlaceDocument
from tests.libreoffice import PROGRAM, needs_a_sandbox, needs_libreoffice, saved
from tests.mails import attach, mail
from tests.waiting import wait_until

WORD = compound({"WordDocument": bytes(4096)})


async def converted(
    place: PlaceDocument, data: bytes, content_type: str, limits: EngineLimits | None = None
) -> Conversion:
    async with LocalEngine(limits or EngineLimits(processes=1, libreoffice=str(PROGRAM))) as engine:
        return await engine.convert(place(data, content_type))


def old_word(*, flags: int = 0, version: int = 0xC1) -> bytes:
    start = struct.pack("<HHHHHH", 0xA5EC, version, 0, 0, 0, flags)
    return compound({"WordDocument": start.ljust(4096, b"\0")})


@pytest.mark.parametrize(
    ("data", "content_type", "read", "encrypted"),
    [
        (old_word(), DOC, "MS Word 97", False),
        (old_word(version=104), DOC, "MS Word 95", False),
        (old_word(flags=0x0100), DOC, "MS Word 97", True),
        # A workbook with a letter in it.
        (compound({"Workbook": bytes(9), "a": {"WordDocument": b""}}), XLS, "MS Excel 97", False),
        (compound({"Book": b""}), XLS, "MS Excel 95", False),
        (
            compound({"Workbook": struct.pack("<HHHHHH", 0x809, 2, 0, 0x2F, 0, 0)}),
            XLS,
            "MS Excel 97",
            True,
        ),
        (compound({"PowerPoint Document": b"x"}), PPT, "MS PowerPoint 97", False),
        (
            compound(
                {"PowerPoint Document": b"x", "Current User": bytes(12) + b"\xdf\xc4\xd1\xf3"}
            ),
            PPT,
            "MS PowerPoint 97",
            True,
        ),
    ],
)
def test_an_old_file_is_what_its_own_streams_say(
    data: bytes, content_type: str, read: str, *, encrypted: bool
) -> None:
    found = storage.inspect(data)
    assert (found.content_type, found.filters.read, found.encrypted) == (
        content_type,
        read,
        encrypted,
    )


@pytest.mark.parametrize("data", [b"", WORD[:600], compound({"Contents": b"x"})])
def test_a_damaged_old_file_is_refused(data: bytes) -> None:
    with pytest.raises(Unconvertible, match="damaged") as caught:
        storage.inspect(data)
    assert caught.value.code == "corrupt"


async def test_without_libreoffice_the_refusal_has_what_to_do(
    place_document: PlaceDocument,
) -> None:
    limits = EngineLimits(processes=1, libreoffice="off")
    with pytest.raises(Unconvertible, match=r"\.doc.* DOCX.*ILIOS_LIBREOFFICE") as caught:
        await converted(place_document, WORD, DOC, limits)
    assert caught.value.code == "unsupported_type"


@pytest.mark.parametrize("mode", ["off", "auto"])
async def test_without_the_whole_sandbox_old_office_files_are_refused(
    place_document: PlaceDocument, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str
) -> None:
    (tmp_path / libreoffice.LIBRARIES[0]).touch()
    if mode == "auto":
        monkeypatch.setattr(landlock, "version", lambda: 0)
    limits = EngineLimits(
        processes=1, libreoffice=str(tmp_path), sandbox="off" if mode == "off" else "auto"
    )
    with pytest.raises(Unconvertible, match="sandbox") as caught:
        await converted(place_document, WORD, DOC, limits)
    assert caught.value.code == "unsupported_type"


def test_a_directory_without_libreoffice_is_a_warning(tmp_path: Path) -> None:
    (warned,) = libreoffice.warnings(str(tmp_path))
    assert f"ILIOS_LIBREOFFICE: {tmp_path}" in warned
    assert libreoffice.warnings("auto") == libreoffice.warnings("off") == []
    assert libreoffice.find("off") is None


def test_an_old_file_in_a_mail_is_a_warning_with_its_name() -> None:
    letter = mail()
    attach(letter, WORD, "old.doc")
    (warned,) = messages(convert(letter.as_bytes()))
    assert "old.doc (an old Word document (.doc), which can be saved as DOCX)" in warned


@needs_libreoffice
@needs_a_sandbox
async def test_documents_sheets_and_slides_are_converted(
    place_document: PlaceDocument, tmp_path: Path
) -> None:
    letter = (FOLDER / "letter.docx").read_bytes()
    sheet = spreadsheets.xlsx(
        {"A": spreadsheets.Worksheet(spreadsheets.text_row(1, "Name", "Sum"))}
    )
    deck = (FOLDER / "slides.pptx").read_bytes()
    made = [
        (DOC, saved(tmp_path, letter, "MS Word 2007 XML", "MS Word 97")),
        (XLS, saved(tmp_path, sheet, "Calc MS Excel 2007 XML", "MS Excel 97")),
        (PPT, saved(tmp_path, deck, "Impress MS PowerPoint 2007 XML", "MS PowerPoint 97")),
    ]
    results = [await converted(place_document, data, kind) for kind, data in made]
    found = ["\n\n".join(result.pages) for result in results]
    assert "# A letter about ilios" in found[0]
    assert "| ocr | converted |" in found[0]
    assert "| Name | Sum |" in found[1]
    assert "- Every step is an event" in found[2]
    assert all(result.model.startswith("libreoffice+") for result in results)


@needs_libreoffice
@needs_a_sandbox
async def test_links_of_an_old_document_reach_nothing(
    place_document: PlaceDocument, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("of another tenant")
    with socket.create_server(("127.0.0.1", 0)) as canary:
        port = canary.getsockname()[1]
        linked = [f"http://127.0.0.1:{port}/picture.png", secret.as_uri()]
        flat = _linked_text(linked)
        data = saved(tmp_path, flat, "OpenDocument Text Flat XML", "MS Word 97")
        canary.settimeout(0)
        _drain(canary)
        result = await converted(place_document, data, DOC)
        with pytest.raises(BlockingIOError):
            canary.accept()
    assert "Before the links" in result.pages[0]
    assert "of another tenant" not in result.pages[0]


@needs_libreoffice
@needs_a_sandbox
async def test_a_document_is_given_up_with_its_process_when_its_time_is_over(
    place_document: PlaceDocument, tmp_path: Path
) -> None:
    data = saved(
        tmp_path, documents.docx(documents.paragraph("x")), "MS Word 2007 XML", "MS Word 97"
    )
    limits = EngineLimits(processes=1, wall_seconds=0.05, libreoffice=str(PROGRAM))
    async with LocalEngine(limits) as engine:
        with pytest.raises(Unconvertible) as caught:
            await engine.convert(place_document(data, DOC))
        assert caught.value.code == "timeout"
        await wait_until(lambda: not engine.child_pids)


def _drain(listener: socket.socket) -> None:
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return


def _linked_text(links: Sequence[str]) -> bytes:
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for name in ("office", "text")
    )
    images = "".join(
        f'<text:p><draw:frame svg:width="2cm" svg:height="2cm" text:anchor-type="as-char">'
        f'<draw:image xlink:href="{link}"/></draw:frame></text:p>'
        f'<text:section text:name="s{number}"><text:section-source xlink:href="{link}"/>'
        "<text:p>old</text:p></text:section>"
        for number, link in enumerate(links)
    )
    return (
        f'<office:document {spaces} xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0" '
        'xmlns:svg="urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0" '
        'xmlns:xlink="http://www.w3.org/1999/xlink" office:version="1.2" '
        'office:mimetype="application/vnd.oasis.opendocument.text"><office:body><office:text>'
        f"<text:p>Before the links</text:p>{images}</office:text></office:body></office:document>"
    ).encode()
