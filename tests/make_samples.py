"""Writes the sample documents that ship with the package: ``python -m tests.make_samples``.

They are committed, so nobody has to run this; change a sample here. The same
sources give the same bytes, for nothing below looks at the clock.
"""

from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from PIL import Image, ImageDraw, ImageFont

from tests import presentations as show

HERE = Path(__file__).parent.parent / "ilios" / "samples"
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
CONTENT_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"

TABLE = (("Stage", "What it says"), ("fetcher", "fetched"), ("ocr", "converted"))


def make_pdf() -> bytes:
    """One page in the standard fonts: a heading, a paragraph, a table, a list."""
    content = [
        text("F2", 24, 72, 760, "Hello from ilios"),
        text(
            "F1", 11, 72, 724, "Ilios turns documents into Markdown. A document comes in by HTTP or"
        ),
        text(
            "F1", 11, 72, 709, "by the bus, and everything that happens to it is said on one log."
        ),
        text("F2", 15, 72, 672, "Who says what"),
    ]
    for row, (stage, declared) in enumerate(TABLE):
        font = "F1" if row else "F2"
        content.append(text(font, 11, 78, 642 - 20 * row, stage))
        content.append(text(font, 11, 198, 642 - 20 * row, declared))
    content += [f"72 {y} m 352 {y} l S" for y in range(596, 657, 20)]
    content += [f"{x} 596 m {x} 656 l S" for x in (72, 192, 352)]
    content += [
        text("F2", 15, 72, 556, "What it promises"),
        text("F1", 11, 78, 532, "\\225"),  # a bullet, in the encoding declared below
        text("F1", 11, 92, 532, "An accepted document is never lost."),
        text("F1", 11, 78, 515, "\\225"),
        text("F1", 11, 92, 515, "What is finished stays finished."),
    ]
    stream = "\n".join(content)
    fonts = "<< /Type /Font /Subtype /Type1 /BaseFont /{} /Encoding /WinAnsiEncoding >>"
    return pdf_file(
        "<< /Type /Catalog /Pages 2 0 R /Lang (en) >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        " /Resources << /Font << /F1 5 0 R /F2 6 0 R >> >> >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        fonts.format("Helvetica"),
        fonts.format("Helvetica-Bold"),
        "<< /Title (Hello from ilios) /Author (the ilios authors) >>",
    )


def text(font: str, size: int, x: int, y: int, words: str) -> str:
    return f"BT /{font} {size} Tf {x} {y} Td ({words}) Tj ET"


def pdf_file(*objects: str) -> bytes:
    """Put numbered objects into a file; the first is the catalog, the last the information."""
    file = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(file))
        file += f"{number} 0 obj\n{body}\nendobj\n".encode("ascii")
    start = len(file)
    file += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode("ascii")
    file += b"".join(f"{offset:010} 00000 n \n".encode("ascii") for offset in offsets)
    file += (
        f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>\n"
        f"startxref\n{start}\n%%EOF\n"
    ).encode("ascii")
    return bytes(file)


def make_docx() -> bytes:
    """A letter with a heading, running text with bold words, a numbered list and a table."""
    rows = "".join(
        "<w:tr>" + "".join(f"<w:tc>{paragraph(run(cell))}</w:tc>" for cell in row) + "</w:tr>"
        for row in TABLE
    )
    body = "".join(
        (
            paragraph(run("A letter about ilios"), style="Heading1"),
            paragraph(run("Dear reader,")),
            paragraph(
                run("this letter went in as a Word document and comes out as Markdown. What is "),
                run("important", bold=True),
                run(" is still important there."),
            ),
            paragraph(run("Three things to try:"), style="Heading2"),
            paragraph(run("send the PDF beside this letter,"), numbered=True),
            paragraph(run("send the slides,"), numbered=True),
            paragraph(run("send the scan, and see it being read."), numbered=True),
            f"<w:tbl>{rows}</w:tbl>",
            paragraph(run("Yours, the ilios authors")),
        )
    )
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{level}"><w:name w:val="heading {level}"/>'
        f'<w:pPr><w:outlineLvl w:val="{level - 1}"/></w:pPr><w:rPr><w:b/></w:rPr></w:style>'
        for level in (1, 2)
    )
    numbering = (
        '<w:abstractNum w:abstractNumId="0"><w:lvl w:ilvl="0"><w:start w:val="1"/>'
        '<w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl></w:abstractNum>'
        '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
    )
    part = "application/vnd.openxmlformats-officedocument.wordprocessingml.{}+xml"
    overrides = "".join(
        f'<Override PartName="/word/{name}.xml" ContentType="{part.format(kind)}"/>'
        for name, kind in (
            ("document", "document.main"),
            ("styles", "styles"),
            ("numbering", "numbering"),
        )
    )
    relation = '<Relationship Id="rId{}" Type="{}/{}" Target="{}"/>'
    return archive(
        {
            "[Content_Types].xml": xml(
                f'<Types xmlns="{CONTENT_TYPES}"><Default Extension="rels" ContentType='
                '"application/vnd.openxmlformats-package.relationships+xml"/>'
                f'<Default Extension="xml" ContentType="application/xml"/>{overrides}</Types>'
            ),
            "_rels/.rels": xml(
                f'<Relationships xmlns="{RELATIONS}">'
                + relation.format(1, OFFICE, "officeDocument", "word/document.xml")
                + "</Relationships>"
            ),
            "word/document.xml": xml(
                f'<w:document xmlns:w="{WORD}"><w:body>{body}<w:sectPr/></w:body></w:document>'
            ),
            "word/_rels/document.xml.rels": xml(
                f'<Relationships xmlns="{RELATIONS}">'
                + relation.format(1, OFFICE, "styles", "styles.xml")
                + relation.format(2, OFFICE, "numbering", "numbering.xml")
                + "</Relationships>"
            ),
            "word/styles.xml": xml(f'<w:styles xmlns:w="{WORD}">{styles}</w:styles>'),
            "word/numbering.xml": xml(f'<w:numbering xmlns:w="{WORD}">{numbering}</w:numbering>'),
        }
    )


def run(words: str, *, bold: bool = False) -> str:
    properties = "<w:rPr><w:b/></w:rPr>" if bold else ""
    return f'<w:r>{properties}<w:t xml:space="preserve">{words}</w:t></w:r>'


def paragraph(*runs: str, style: str = "", numbered: bool = False) -> str:
    properties = f'<w:pStyle w:val="{style}"/>' if style else ""
    if numbered:
        properties += '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>'
    return f"<w:p><w:pPr>{properties}</w:pPr>{''.join(runs)}</w:p>"


def xml(body: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n{body}'.encode()


def make_pptx() -> bytes:
    """Two slides: a title, and points with a table and a note for the speaker."""
    subtitle = show.shape(
        show.paragraph("Documents to Markdown", "<a:buNone/>"), place=(72, 270, 576, 72)
    )
    points = (
        "Every step is an event",
        "Events are never changed",
        "SQLite is what the log has said so far",
    )
    rows = [list(map(show.cell, row)) for row in TABLE]
    return show.presentation(
        show.Slide([show.title("ilios in two slides"), subtitle]),
        show.Slide(
            [
                show.title("One log, many actors"),
                show.shape(
                    *map(show.paragraph, points), holder='idx="1"', place=(36, 126, 648, 180)
                ),
                show.table(*rows, place=(72, 324, 432, 108)),
            ],
            notes=["Say why the bytes are not on the log."],
        ),
    )


def archive(parts: dict[str, bytes]) -> bytes:
    file = BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as writer:
        for name, data in parts.items():
            entry = ZipInfo(name)  # 1980-01-01
            entry.compress_type = ZIP_DEFLATED
            writer.writestr(entry, data)
    return file.getvalue()


def make_scan() -> bytes:
    """A page that is only a picture: what is on it has to be read, not parsed."""
    page = Image.new("L", (800, 600), 250)
    draw = ImageDraw.Draw(page)
    draw.text((60, 50), "A scanned page", fill=20, font=ImageFont.load_default(44))
    lines = (
        "This picture holds no text, only dots.",
        "Ilios looks at it and reads the words.",
        "",
        "Invoice 2026-117",
        "Three pages of Markdown",
        "Total: 42.00 EUR",
    )
    for number, line in enumerate(lines):
        draw.text((60, 150 + 60 * number), line, fill=30, font=ImageFont.load_default(30))
    file = BytesIO()
    page.quantize(16).save(file, "PNG", optimize=True)
    return file.getvalue()


def main() -> None:
    """Write them all."""
    made = {
        "hello.pdf": make_pdf(),
        "letter.docx": make_docx(),
        "slides.pptx": make_pptx(),
        "scan.png": make_scan(),
    }
    for name, data in made.items():
        (HERE / name).write_bytes(data)
        print(f"{name}: {len(data)} bytes")


if __name__ == "__main__":
    main()
