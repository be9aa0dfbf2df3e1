"""Office files with hostile XML: entities of all sorts, and depths.

Each takes the dice, and the URL and the file that no document may reach.
"""

import random

from tests import documents
from tests.hostile_offices import (
    BODY,
    EXTERNAL,
    RELATED,
    TYPES,
    docx_body,
    docx_with,
    parts_of,
    pptx_with,
)


def entities(dice: random.Random, url: str, file: str) -> bytes:
    """A billion laughs, and their shorter and longer sisters."""
    laugh = "".join(
        f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' if n else '<!ENTITY l0 "ha">' for n in range(12)
    )
    slow = f'<!ENTITY l11 "{"a" * 100_000}">'
    declared, used = dice.choice(
        [(laugh, "&l11;"), (slow, "&l11;" * 5_000), ('<!ENTITY l11 "&l11;">', "&l11;")]
    )
    return into_xml(dice, f"<!DOCTYPE w:document [{declared}]>", used)


def outside_entities(dice: random.Random, url: str, file: str) -> bytes:
    """External entities: in a file, or at an address."""
    local = f"file://{file}"
    declared = dice.choice(
        [
            f'<!ENTITY x SYSTEM "{local}">',
            f'<!ENTITY x SYSTEM "{url}">',
            f'<!ENTITY x PUBLIC "a" "{url}">',
            f'<!ENTITY % p SYSTEM "{url}"> %p; <!ENTITY x "y">',
            f'<!ENTITY % f SYSTEM "{local}"><!ENTITY % p SYSTEM "{url}"> %f; %p;',
        ]
    )
    subset = f"<!DOCTYPE w:document [{declared}]>"
    subset = dice.choice([subset, f'<!DOCTYPE w:document SYSTEM "{url}">', subset])
    return into_xml(dice, subset, "&x;")


def into_xml(dice: random.Random, declared: str, used: str) -> bytes:
    """Put a document type and what it declares into one of the parts that are read."""
    namespace = documents.OFFICE_RELATIONSHIPS
    math = f'<m:oMath xmlns:m="{namespace}"><m:r><m:t>{used}</m:t></m:r></m:oMath>'
    text = f'<?xml version="1.0"?>{declared}'
    places = [
        docx_with({BODY: text + docx_body(f"<w:p><w:r><w:t>{used}</w:t></w:r></w:p>")}),
        docx_with({BODY: text + docx_body(f"<w:p>{math}<w:r><w:t>{used}</w:t></w:r></w:p>")}),
        docx_with({TYPES: f"{text}<Types>{used}</Types>"}),
        docx_with({RELATED: f"{text}{EXTERNAL}{used}</Relationships>"}),
        docx_with({"word/styles.xml": f"{text}<styles>{used}</styles>"}),
        pptx_with({"ppt/presentation.xml": f"{text}<p>{used}</p>"}),
        pptx_with({"ppt/slides/slide1.xml": f"{text}<p>{used}</p>"}),
        pptx_with({"ppt/_rels/presentation.xml.rels": f"{text}{EXTERNAL}{used}</Relationships>"}),
        pptx_with({"docProps/core.xml": f"{text}<a>{used}</a>"}),
    ]
    return dice.choice(places)


def deep_xml(dice: random.Random, url: str, file: str) -> bytes:
    depth = dice.choice([500, 3_000, 100_000])
    opened, closed = dice.choice(
        [
            ("<w:p><w:r>", "</w:r></w:p>"),
            ("<w:tbl><w:tr><w:tc>", "</w:tc></w:tr></w:tbl>"),
            ("<w:sdt><w:sdtContent>", "</w:sdtContent></w:sdt>"),
            ("<w:ins>", "</w:ins>"),
            ("<w:r><w:pict><w:txbxContent>", "</w:txbxContent></w:pict></w:r>"),
        ]
    )
    inner = documents.paragraph("Some words.")
    return docx_with({BODY: docx_body(opened * depth + inner + closed * depth)})


def deep_slide(dice: random.Random, url: str, file: str) -> bytes:
    depth = dice.choice([500, 3_000, 100_000])
    parts = parts_of(documents.pptx({"A title": ["some words"]}))
    slide = parts["ppt/slides/slide1.xml"]
    assert isinstance(slide, bytes)
    group = b"<p:grpSp><p:nvGrpSpPr/><p:grpSpPr/>"
    nested = group * depth + b"</p:grpSp>" * depth + b"</p:spTree>"
    return documents.zip_of(
        parts | {"ppt/slides/slide1.xml": slide.replace(b"</p:spTree>", nested)}
    )


def deep_equation(dice: random.Random, url: str, file: str) -> bytes:
    depth, count = dice.choice([(100_000, 1), (500, 50), (1, 100_000)])
    inner = "<m:e>" * depth + "<m:r><m:t>x</m:t></m:r>" + "</m:e>" * depth
    space = "http://schemas.openxmlformats.org/officeDocument/2006/math"
    equation = f'<m:oMath xmlns:m="{space}">{inner}</m:oMath>'
    return docx_with({BODY: docx_body(f"<w:p>{equation * count}</w:p>")})


KINDS = {
    "office: a billion laughs": entities,
    "office: entities from outside": outside_entities,
    "office: deep XML": deep_xml,
    "office: deep slide": deep_slide,
    "office: deep equations": deep_equation,
}
"""Name and maker of each kind."""
