"""Small documents for the tests, made on the spot: real files of every kind, and broken ones."""

import io
import zlib
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from PIL import Image, ImageDraw, ImageFont

from tests import presentations, zips

PDF = "application/pdf"
PNG = "image/png"
TIFF = "image/tiff"
GIF = "image/gif"
OFFICE = "application/vnd.openxmlformats-officedocument"
DOCX = f"{OFFICE}.wordprocessingml.document"
PPTX = f"{OFFICE}.presentationml.presentation"

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
RELATIONSHIPS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE_RELATIONSHIPS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
DRAWING = "http://schemas.openxmlformats.org/drawingml/2006"

zip_of = zips.zip_of


def pdf(*pages: str, extra_trailer: str = "") -> bytes:
    """Return a PDF with a text layer; the lines of a text become lines on the page."""
    streams = []
    for text in pages:
        shown = [line.translate({40: "\\(", 41: "\\)", 92: "\\\\"}) for line in text.splitlines()]
        drawn = " ".join(f"({line}) Tj T*" for line in shown)
        streams.append(f"BT /F1 12 Tf 14 TL 72 720 Td {drawn} ET".encode("latin-1"))
    return pdf_of_streams(streams, extra_trailer=extra_trailer)


def pdf_of_streams(
    streams: Sequence[bytes], *, packed: bool = False, extra_trailer: str = ""
) -> bytes:
    """Return a PDF whose pages show these content streams."""
    filtered = b"/Filter /FlateDecode " if packed else b""
    numbers = [4 + 2 * place for place in range(len(streams))]
    kids = " ".join(f"{number} 0 R" for number in numbers)
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(streams)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, stream in zip(numbers, streams, strict=True):
        bodies.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {number + 1} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        head = b"<< " + filtered + f"/Length {len(stream)} >>".encode()
        bodies.append(head + b"\nstream\n" + stream + b"\nendstream")
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(bodies, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = len(out)
    out += f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    out += f"trailer\n<< /Size {len(bodies) + 1} /Root 1 0 R {extra_trailer} >>\n".encode()
    out += f"startxref\n{table}\n%%EOF\n".encode()
    return bytes(out)


def pdf_with_broken_page() -> bytes:
    """Return a PDF of two pages, of which the second is not a page object."""
    return pdf("A page that can be read.", "lost").replace(b"4 0 R 6 0 R", b"4 0 R 3 0 R")


def encrypted_pdf() -> bytes:
    """Return a PDF that the empty password does not open."""
    zeros = "00" * 32
    return pdf(
        "secret",
        extra_trailer=f"/ID [<{zeros}> <{zeros}>] "
        f"/Encrypt << /Filter /Standard /V 1 /R 2 /O <{zeros}> /U <{zeros}> /P -4 >>",
    )


def bomb_pdf(unpacked_bytes: int) -> bytes:
    """Return a small PDF whose one page unpacks to so many bytes of drawing orders."""
    packer = zlib.compressobj(1)
    order = b"0 0 m 1 1 l S\n" * 75_000
    packed = b"".join(packer.compress(order) for _ in range(unpacked_bytes // len(order)))
    return pdf_of_streams([packed + packer.flush()], packed=True)


def text_image(*lines: str, height: int = 48) -> Image.Image:
    """Return black text on a white picture that is just large enough."""
    font = ImageFont.load_default(height)
    image = Image.new("RGB", (max(map(len, lines)) * height * 2 // 3 + 80, len(lines) * 90 + 80))
    image.paste("white", (0, 0, *image.size))
    for place, line in enumerate(lines):
        ImageDraw.Draw(image).text((40, 40 + place * 90), line, "black", font)
    return image


def image_file(image: Image.Image, kind: str, more: Sequence[Image.Image] = ()) -> bytes:
    """Return the picture as a file of this kind, with more pictures as further frames."""
    out = io.BytesIO()
    if more:
        image.save(out, kind, save_all=True, append_images=list(more))
    else:
        image.save(out, kind)
    return out.getvalue()


def image_file_with(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the picture as a file of this kind, written with these options."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def paragraph(text: str, style: str = "") -> str:
    """Return a paragraph for the body of a DOCX."""
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{properties}<w:r><w:t>{escape(text)}</w:t></w:r></w:p>"


def table(*rows: Sequence[str]) -> str:
    """Return a table for the body of a DOCX."""
    lines = (
        "<w:tr>" + "".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) + "</w:tr>"
        for row in rows
    )
    return f"<w:tbl>{''.join(lines)}</w:tbl>"


def image_in_docx(alt_text: str) -> str:
    """Return a paragraph that shows ``word/media/image1.png``."""
    return (
        f'<w:p><w:r><w:drawing><wp:inline xmlns:wp="{DRAWING}/wordprocessingDrawing">'
        f'<wp:docPr id="1" name="Picture 1" descr="{escape(alt_text)}"/>'
        f'<a:graphic xmlns:a="{DRAWING}/main"><a:graphicData uri="{DRAWING}/picture">'
        f'<pic:pic xmlns:pic="{DRAWING}/picture"><pic:blipFill>'
        f'<a:blip xmlns:r="{OFFICE_RELATIONSHIPS}" r:embed="rId9"/></pic:blipFill></pic:pic>'
        "</a:graphicData></a:graphic></wp:inline></w:drawing></w:r></w:p>"
    )


def docx(*body: str, image: bytes = b"") -> bytes:
    """Return a DOCX of these paragraphs and tables."""
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{level}">'
        f'<w:name w:val="heading {level}"/></w:style>'
        for level in (1, 2)
    )
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": content_types("word/document.xml"),
        "_rels/.rels": _relationships({"rId1": ("officeDocument", "word/document.xml")}),
        "word/_rels/document.xml.rels": _relationships(
            {"rId1": ("styles", "styles.xml"), "rId9": ("image", "media/image1.png")}
        ),
        "word/styles.xml": f'<w:styles xmlns:w="{WORD}">{styles}</w:styles>',
        "word/document.xml": f'<w:document xmlns:w="{WORD}"><w:body>{"".join(body)}</w:body>'
        "</w:document>",
        "word/media/image1.png": image or image_file(Image.new("RGB", (8, 8)), "PNG"),
    }
    return zip_of(parts)


def content_types(main_part: str, kind: str = f"{DOCX}.main+xml") -> str:
    """Return the content types of an Office file whose main part is of this kind."""
    return (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        '<Default Extension="png" ContentType="image/png"/>'
        f'<Override PartName="/{main_part}" ContentType="{kind}"/></Types>'
    )


def _relationships(targets: Mapping[str, tuple[str, str]]) -> str:
    each = "".join(
        f'<Relationship Id="{name}" Type="{OFFICE_RELATIONSHIPS}/{kind}" Target="{target}"/>'
        for name, (kind, target) in targets.items()
    )
    return f'<Relationships xmlns="{RELATIONSHIPS}">{each}</Relationships>'


def pptx(slides: Mapping[str, Sequence[str]], cells: Sequence[Sequence[str]] = ()) -> bytes:
    """Return a PPTX: for every title its bullets; the cells as a table on the last slide."""
    made: list[presentations.Slide] = []
    for place, (title, bullets) in enumerate(slides.items(), 1):
        shapes = [
            presentations.title(title),
            presentations.body(*map(presentations.paragraph, bullets)),
        ]
        if cells and place == len(slides):
            rows = [list(map(presentations.cell, row)) for row in cells]
            shapes.append(presentations.table(*rows))
        made.append(presentations.Slide(shapes, notes=[f"Say more about {title}."]))
    return presentations.presentation(*made)
