"""Pictures, text boxes, charts, diagrams and embedded files."""

from pathlib import Path

from PIL import Image

from tests import documents
from tests.documents import DRAWING
from tests.word_documents import NAMESPACES, converted, docx, markdown_of, p, run, table, tc, tr

PNG = documents.image_file(Image.new("RGB", (40, 30), "red"), "PNG")
JPEG = documents.image_file(Image.new("RGB", (40, 30), "blue"), "JPEG")
PICTURES = {"rId1": ("image", "media/a.png"), "rId2": ("image", "media/b.jpeg")}
PARTS: dict[str, str | bytes] = {"word/media/a.png": PNG, "word/media/b.jpeg": JPEG}


def picture(relation: str, described: str = "") -> str:
    return (
        f'<w:r><w:drawing><wp:inline><wp:docPr id="1" name="P" descr="{described}"/><a:graphic>'
        f'<a:graphicData uri="{DRAWING}/picture"><pic:pic><pic:nvPicPr><pic:cNvPr id="0" name="x"/>'
        f'</pic:nvPicPr><pic:blipFill><a:blip r:embed="{relation}"/></pic:blipFill></pic:pic>'
        "</a:graphicData></a:graphic></wp:inline></w:drawing></w:r>"
    )


def graphic(inner: str) -> str:
    return (
        '<w:r><w:drawing><wp:anchor><wp:docPr id="1" name="G"/><a:graphic><a:graphicData uri="x">'
        f"{inner}</a:graphicData></a:graphic></wp:anchor></w:drawing></w:r>"
    )


def box(*body: str) -> str:
    return f"<wps:wsp><wps:txbx><w:txbxContent>{''.join(body)}</w:txbxContent></wps:txbx></wps:wsp>"


def old_box(*body: str) -> str:
    inner = f"<v:textbox><w:txbxContent>{''.join(body)}</w:txbxContent></v:textbox>"
    return f"<w:r><w:pict><v:shape>{inner}</v:shape></w:pict></w:r>"


def test_pictures_are_images_of_the_page_once_each(tmp_path: Path) -> None:
    made = docx(
        p("Look: ", picture("rId1", "A [red] field")),
        p(picture("rId2")),
        p(picture("rId1", "A [red] field")),
        parts=PARTS,
        related=PICTURES,
    )
    page = converted(tmp_path, made)
    assert page.result.markdown.split("\n\n") == [
        "Look: ![A (red) field](img-0.png)",
        "![img-1.jpeg](img-1.jpeg)",
        "![A (red) field](img-0.png)",
    ]
    assert page.image_bytes == {"img-0.png": PNG, "img-1.jpeg": JPEG}
    first, second = page.result.images
    assert (first.annotation, second.annotation) == ("A [red] field", None)


def test_pictures_from_elsewhere_and_of_other_kinds_are_described(tmp_path: Path) -> None:
    related = {"rId1": ("image", "https://a.example/x.png"), "rId2": ("image", "media/c.emf")}
    made = docx(
        p(picture("rId1", "far")),
        p(picture("rId2", "drawn")),
        parts={"word/media/c.emf": b"\1\0\0\0"},
        related=related,
    )
    page = converted(tmp_path, made)
    assert page.result.markdown == "![far]()\n\n![drawn]()"
    assert not page.image_bytes
    assert [one.code for one in page.result.warnings] == ["content_left_out"]


def test_more_pictures_than_are_stored_are_described_and_counted(tmp_path: Path) -> None:
    count = 102
    related = {f"rId{n}": ("image", f"media/{n}.png") for n in range(count)}
    parts: dict[str, str | bytes] = {f"word/media/{n}.png": PNG for n in range(count)}
    made = docx(
        *(p(picture(f"rId{n}", f"no {n}")) for n in range(count)), parts=parts, related=related
    )
    page = converted(tmp_path, made)
    assert len(page.image_bytes) == 100
    assert page.result.markdown.endswith("![no 100]()\n\n![no 101]()")
    assert page.result.warnings[0].message.endswith("left out: 2.")


def test_a_missing_picture_costs_itself(tmp_path: Path) -> None:
    page = converted(tmp_path, docx(p("Text", picture("rId1", "gone")), related=PICTURES)).result
    assert page.markdown == "Text![gone]()"
    assert [one.code for one in page.warnings] == ["part_unreadable"]


def test_text_boxes_follow_their_paragraph_once(tmp_path: Path) -> None:
    both, fallback = (
        one.removeprefix("<w:r>").removesuffix("</w:r>")
        for one in (graphic(box(p("In the box"), p("second line"))), old_box(p("In the box")))
    )
    alternative = (
        f'<w:r><mc:AlternateContent><mc:Choice Requires="wps">{both}</mc:Choice>'
        f"<mc:Fallback>{fallback}</mc:Fallback></mc:AlternateContent></w:r>"
    )
    text = markdown_of(tmp_path, p("Before", alternative, " after"), p("Next"))
    assert text == "Before after\n\nIn the box\n\nsecond line\n\nNext"


def test_boxes_of_all_kinds_are_read(tmp_path: Path) -> None:
    group = graphic(f"<wpg>{box(p('one'))}{box(p('two'), table(tr('a', 'b')))}</wpg>")
    art = '<w:r><w:pict><v:shape><v:textpath string="DRAFT"/></v:shape></w:pict></w:r>'
    text = markdown_of(
        tmp_path,
        p(group, old_box(p(old_box(p("inner"))))),
        p(art),
        table(tr(tc(p("cell", old_box(p("boxed")))), "x")),
    )
    assert text.split("\n\n") == [
        "one",
        "two",
        "| a | b |\n| --- | --- |",
        "inner",
        "DRAFT",
        "| cell<br>boxed | x |\n| --- | --- |",
    ]


def test_a_chart_is_a_table_of_its_data(tmp_path: Path) -> None:
    series = (
        '<c:ser><c:tx><c:strRef><c:strCache><c:pt idx="0"><c:v>Eggs</c:v></c:pt></c:strCache>'
        '</c:strRef></c:tx><c:cat><c:strRef><c:strCache><c:ptCount val="2"/><c:pt idx="0"><c:v>May'
        '</c:v></c:pt><c:pt idx="1"><c:v>June</c:v></c:pt></c:strCache></c:strRef></c:cat><c:val>'
        '<c:numRef><c:numCache><c:ptCount val="2"/><c:pt idx="0"><c:v>4</c:v></c:pt><c:pt idx="1">'
        "<c:v>9</c:v></c:pt></c:numCache></c:numRef></c:val></c:ser>"
    )
    chart = f"<c:chartSpace {NAMESPACES}><c:chart><c:plotArea><c:barChart>{series}</c:barChart>"
    chart += "</c:plotArea></c:chart></c:chartSpace>"
    broken = graphic('<c:chart r:id="rId2"/>')
    page = converted(
        tmp_path,
        docx(
            p("Chart:", graphic('<c:chart r:id="rId1"/>')),
            p("Broken:", broken),
            parts={"word/charts/chart1.xml": chart, "word/charts/chart2.xml": "<c:chart"},
            related={
                "rId1": ("chart", "charts/chart1.xml"),
                "rId2": ("chart", "charts/chart2.xml"),
            },
        ),
    ).result
    assert "| May | 4 |" in page.markdown
    assert "| June | 9 |" in page.markdown
    assert page.markdown.endswith("Broken:")
    assert [one.code for one in page.warnings] == ["part_unreadable"]


def test_a_diagram_is_a_list_of_its_texts(tmp_path: Path) -> None:
    def point(name: str, text: str, kind: str = "node") -> str:
        shown = f"<dgm:t><a:p><a:r><a:t>{text}</a:t></a:r></a:p></dgm:t>"
        return f'<dgm:pt modelId="{name}" type="{kind}">{shown}</dgm:pt>'

    def link(whole: str, part: str, order: int) -> str:
        return f'<dgm:cxn srcId="{whole}" destId="{part}" srcOrd="{order}"/>'

    data = (
        f"<dgm:dataModel {NAMESPACES}><dgm:ptLst>{point('0', '', 'doc')}{point('3', 'Wash')}"
        f"{point('1', 'Plan')}{point('2', 'Draw')}{point('9', 'unseen', 'pres')}</dgm:ptLst>"
        f"<dgm:cxnLst>{link('0', '3', 1)}{link('0', '1', 0)}{link('1', '2', 0)}{link('2', '1', 0)}"
        "</dgm:cxnLst></dgm:dataModel>"
    )
    text = markdown_of(
        tmp_path,
        p(graphic('<dgm:relIds r:dm="rId1"/>')),
        parts={"word/diagrams/data1.xml": data},
        related={"rId1": ("diagramData", "diagrams/data1.xml")},
    )
    assert text == "- Plan\n  - Draw\n- Wash"


def test_embedded_and_inserted_files_are_named(tmp_path: Path) -> None:
    ole = '<o:OLEObject ProgID="Excel.Sheet.12" r:id="rId1"/>'
    sheet = f'<w:r><w:object><v:imagedata r:id="p"/>{ole}</w:object>'
    page = converted(
        tmp_path,
        docx(
            p("See ", f"{sheet}</w:r>", "."),
            '<w:altChunk r:id="rId2"/>',
            parts={"word/embeddings/book.xlsx": b"PK", "word/p.emf": b"", "word/part.docx": b"PK"},
            related={
                "rId1": ("package", "embeddings/book.xlsx"),
                "rId2": ("aFChunk", "part.docx"),
                "p": ("image", "p.emf"),
            },
        ),
    ).result
    assert page.markdown == "See ."
    (warning,) = page.warnings
    assert warning.code == "attachments_not_converted"
    assert "book.xlsx (Excel.Sheet.12)" in warning.message
    assert "part.docx" in warning.message


def test_inserted_pages_and_texts_are_among_the_paragraphs(tmp_path: Path) -> None:
    html = '<h2>Rules</h2><p>No <b>dogs</b><script>x()</script></p><img src="http://a.example/x">'
    archive = (
        'MIME-Version: 1.0\nContent-Type: multipart/related; boundary="b"\n\n--b\n'
        'Content-Type: text/html; charset="utf-8"\nContent-Transfer-Encoding: quoted-printable\n'
        "\n<p>Caf=C3=A9</p>\n--b--"
    )
    types = documents.content_types("word/document.xml").replace(
        "<Override",
        '<Default Extension="html" ContentType="text/html"/><Default Extension="mht" '
        'ContentType="message/rfc822"/><Default Extension="txt" ContentType="text/plain"/>'
        "<Override",
    )
    chunks = {f"c{n}": ("aFChunk", name) for n, name in enumerate(("a.html", "b.mht", "c.txt"))}
    parts: dict[str, str | bytes] = {"word/a.html": html, "word/b.mht": archive, "word/c.txt": "So"}
    page = converted(
        tmp_path,
        docx(
            p("First"),
            *(f'<w:altChunk r:id="{one}"/>' for one in chunks),
            p("Last"),
            parts=parts | {"[Content_Types].xml": types},
            related=chunks,
        ),
    ).result
    assert page.markdown.split("\n\n") == [
        "First",
        "## Rules",
        "No **dogs**",
        "Café",
        "So",
        "Last",
    ]
    assert page.warnings == ()


def test_a_hidden_drawing_is_not_shown(tmp_path: Path) -> None:
    hidden = picture("rId1", "x").replace("<w:r>", "<w:r><w:rPr><w:vanish/></w:rPr>")
    assert markdown_of(tmp_path, p("a", hidden, run("b")), parts=PARTS, related=PICTURES) == "ab"
