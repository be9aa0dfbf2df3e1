"""Presentations for the tests, written part by part: slides of shapes, with what they refer to."""

import re
from collections.abc import Mapping, Sequence
from itertools import count
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

from tests.zips import zip_of

OOXML = "http://schemas.openxmlformats.org"
MAIN = f"{OOXML}/presentationml/2006/main"
DRAWING = f"{OOXML}/drawingml/2006/main"
RELATED = f"{OOXML}/officeDocument/2006/relationships"
PACKAGE = f"{OOXML}/package/2006"
CONTENT = "application/vnd.openxmlformats-officedocument"
CHART = f"{OOXML}/drawingml/2006/chart"
DIAGRAM = f"{OOXML}/drawingml/2006/diagram"
SPACES = f'xmlns:p="{MAIN}" xmlns:a="{DRAWING}" xmlns:r="{RELATED}"'

NOTES_MASTER = "ppt/notesMasters/notesMaster1.xml"
NOTES_LIST = '<p:notesMasterIdLst><p:notesMasterId r:id="rIdN"/></p:notesMasterIdLst>'

EMU = 12_700
Place = tuple[float, float, float, float]
"""Left, top, width and height in points."""

Parts = dict[str, str | bytes]


class Relation(NamedTuple):
    """What a part refers to: the last step or all of a type, and a target."""

    id: str
    type: str
    target: str
    external: bool = False


class Slide(NamedTuple):
    """The shapes of a slide, what they refer to, and further parts of the package."""

    shapes: Sequence[str]
    relations: Sequence[Relation] = ()
    parts: Mapping[str, str | bytes] = {}
    notes: Sequence[str] = ()
    hidden: bool = False


def shape(
    *paragraphs: str,
    place: Place | None = None,
    holder: str = "",
    name: str = "Shape",
    styles: str = "",
) -> str:
    """Return a shape with a text; ``holder`` are the attributes of its ``p:ph``."""
    stands_for = f"<p:ph {holder}/>" if holder else ""
    return (
        f"<p:sp><p:nvSpPr>{_named(name)}<p:cNvSpPr/><p:nvPr>{stands_for}</p:nvPr></p:nvSpPr>"
        f"<p:spPr>{_frame('a', place)}</p:spPr>"
        f"<p:txBody><a:bodyPr/><a:lstStyle>{styles}</a:lstStyle>{''.join(paragraphs) or '<a:p/>'}"
        "</p:txBody></p:sp>"
    )


def title(text: str) -> str:
    return shape(paragraph(text), holder='type="title"', name="Title")


def body(*paragraphs: str) -> str:
    return shape(*paragraphs, holder='idx="1"', name="Content")


def box(text: str, place: Place | None = None) -> str:
    return shape(paragraph(text), place=place, name=f"Box {text[:20]}")


def paragraph(text: str, properties: str = "", attributes: str = "") -> str:
    """Return a paragraph of one run; ``properties`` are the children of its ``a:pPr``."""
    return runs(run(text), properties=properties, attributes=attributes)


def runs(*pieces: str, properties: str = "", attributes: str = "") -> str:
    return f"<a:p><a:pPr {attributes}>{properties}</a:pPr>{''.join(pieces)}</a:p>"


def run(text: str, attributes: str = "", properties: str = "") -> str:
    return f"<a:r><a:rPr {attributes}>{properties}</a:rPr><a:t>{escape(text)}</a:t></a:r>"


def group(*members: str, place: Place = (0, 0, 100, 100), inner: Place | None = None) -> str:
    """Return a group; ``inner`` is its place in the coordinates of its members."""
    across = _frame("a", place, inner or place)
    named = f"<p:nvGrpSpPr>{_named('Group')}<p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr>"
    return f"<p:grpSp>{named}<p:grpSpPr>{across}</p:grpSpPr>{''.join(members)}</p:grpSp>"


def frame(data: str, uri: str, place: Place | None = None, name: str = "Frame") -> str:
    named = f"<p:nvGraphicFramePr>{_named(name)}<p:cNvGraphicFramePr/><p:nvPr/>"
    graphic = f'<a:graphic><a:graphicData uri="{uri}">{data}</a:graphicData></a:graphic>'
    framed = _frame("p", place or (0, 0, 100, 100))
    return f"<p:graphicFrame>{named}</p:nvGraphicFramePr>{framed}{graphic}</p:graphicFrame>"


def cell(text: str, attributes: str = "") -> str:
    words = f"<a:txBody><a:bodyPr/><a:lstStyle/>{paragraph(text)}</a:txBody>"
    return f"<a:tc {attributes}>{words}<a:tcPr/></a:tc>"


def table(*rows: Sequence[str], place: Place | None = None) -> str:
    """Return a table of rows of cells, as ``cell`` makes them."""
    columns = f'<a:gridCol w="{EMU}"/>' * max(map(len, rows))
    lines = "".join(f'<a:tr h="{EMU}">{"".join(row)}</a:tr>' for row in rows)
    grid = f"<a:tbl><a:tblPr/><a:tblGrid>{columns}</a:tblGrid>{lines}</a:tbl>"
    return frame(grid, f"{OOXML}/drawingml/2006/table", place, "Table")


def chart(relation: str, place: Place | None = None) -> str:
    data = f'<c:chart xmlns:c="{CHART}" r:id="{relation}"/>'
    return frame(data, CHART, place, "Chart")


def smart_art(relation: str, place: Place | None = None) -> str:
    data = f'<dgm:relIds xmlns:dgm="{DIAGRAM}" r:dm="{relation}"/>'
    return frame(data, DIAGRAM, place, "Diagram")


def picture(relation: str, alt: str = "", place: Place = (0, 0, 90, 60), inside: str = "") -> str:
    """Return a picture; ``inside`` are further children of its ``p:nvPr``."""
    shown = f'<p:blipFill><a:blip r:embed="{relation}"/></p:blipFill>'
    return (
        f"<p:pic><p:nvPicPr>{_named('Picture', alt)}<p:cNvPicPr/><p:nvPr>{inside}</p:nvPr>"
        f"</p:nvPicPr>{shown}<p:spPr>{_frame('a', place)}</p:spPr></p:pic>"
    )


def _named(name: str, alt: str = "") -> str:
    return f'<p:cNvPr id="0" name={quoteattr(name)} descr={quoteattr(alt)}/>'


def _frame(space: str, place: Place | None, inner: Place | None = None) -> str:
    if place is None:
        return ""

    def sized(offset: str, extent: str, lengths: Place) -> str:
        x, y, cx, cy = (round(length * EMU) for length in lengths)
        return f'<a:{offset} x="{x}" y="{y}"/><a:{extent} cx="{cx}" cy="{cy}"/>'

    children = sized("chOff", "chExt", inner) if inner else ""
    return f"<{space}:xfrm>{sized('off', 'ext', place)}{children}</{space}:xfrm>"


def relations(each: Sequence[Relation]) -> str:
    """Return the part with the relationships of another."""
    lines = "".join(
        f'<Relationship Id="{one.id}" Target={quoteattr(one.target)} '
        f'Type="{one.type if "/" in one.type else f"{RELATED}/{one.type}"}"'
        f"{' TargetMode=' + quoteattr('External') if one.external else ''}/>"
        for one in each
    )
    return f'<Relationships xmlns="{PACKAGE}/relationships">{lines}</Relationships>'


def presentation(*slides: Slide, more: Mapping[str, str | bytes] | None = None) -> bytes:
    """Return a PPTX of these slides; ``more`` replaces or adds parts."""
    return zip_of({**parts_of(slides), **(more or {})})


def parts_of(slides: Sequence[Slide]) -> Parts:
    """Return the parts of a presentation by their names."""
    numbers = range(1, len(slides) + 1)
    listed = "".join(f'<p:sldId id="{255 + n}" r:id="rId{n + 1}"/>' for n in numbers)
    noted = NOTES_LIST if any(slide.notes for slide in slides) else ""
    shown = [Relation(f"rId{n + 1}", "slide", f"slides/slide{n}.xml") for n in numbers]
    parts: Parts = {
        "[Content_Types].xml": _content_types(slides),
        "_rels/.rels": relations([Relation("rId1", "officeDocument", "ppt/presentation.xml")]),
        "ppt/presentation.xml": f"<p:presentation {SPACES}><p:sldMasterIdLst><p:sldMasterId "
        f'id="2147483648" r:id="rId1"/></p:sldMasterIdLst>{noted}<p:sldIdLst>{listed}</p:sldIdLst>'
        '<p:sldSz cx="9144000" cy="6858000"/><p:notesSz cx="6858000" cy="9144000"/>'
        "</p:presentation>",
        "ppt/_rels/presentation.xml.rels": relations(
            [
                Relation("rId1", "slideMaster", "slideMasters/slideMaster1.xml"),
                *shown,
                *([Relation("rIdN", "notesMaster", NOTES_MASTER[4:])] if noted else []),
            ]
        ),
        **_template(),
    }
    for number, slide in zip(numbers, slides, strict=True):
        parts |= _slide_parts(number, slide)
    return parts | (_notes_master() if noted else {})


def _slide_parts(number: int, slide: Slide) -> Parts:
    hidden = ' show="0"' if slide.hidden else ""
    own = [Relation("rIdL", "slideLayout", "../slideLayouts/slideLayout1.xml"), *slide.relations]
    parts: Parts = {f"ppt/slides/slide{number}.xml": _of_shapes("sld", slide.shapes, hidden)}
    if slide.notes:
        notes = shape(*map(paragraph, slide.notes), holder='type="body" idx="1"', name="Notes")
        image = shape(holder='type="sldImg"', name="Slide")
        folder, back = "ppt/notesSlides", Relation("rId1", "slide", f"../slides/slide{number}.xml")
        parts[f"{folder}/notesSlide{number}.xml"] = _of_shapes("notes", [image, notes])
        master = Relation("rId2", "notesMaster", "../notesMasters/notesMaster1.xml")
        parts[f"{folder}/_rels/notesSlide{number}.xml.rels"] = relations([back, master])
        own.append(Relation("rIdN", "notesSlide", f"../notesSlides/notesSlide{number}.xml"))
    parts[f"ppt/slides/_rels/slide{number}.xml.rels"] = relations(own)
    return parts | dict(slide.parts)


def _of_shapes(kind: str, shapes: Sequence[str], attributes: str = "", more: str = "") -> str:
    named = '<p:nvGrpSpPr><p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr>'
    ids = count(2)
    numbered = re.sub('<p:cNvPr id="0"', lambda _: f'<p:cNvPr id="{next(ids)}"', "".join(shapes))
    tree = f"<p:spTree>{named}<p:grpSpPr/>{numbered}</p:spTree>"
    return f"<p:{kind} {SPACES}{attributes}><p:cSld>{tree}</p:cSld>{more}</p:{kind}>"


def _template() -> Parts:
    """Return a master with bullets in its bodies, a layout and a theme."""
    holders = [
        shape(holder='type="title"', place=(36, 22, 648, 90), name="Title"),
        shape(holder='type="body" idx="1"', place=(36, 126, 648, 356), name="Content"),
    ]
    bullets = "".join(
        f'<a:lvl{n}pPr marL="{n * 20 * EMU}" indent="-{20 * EMU}"><a:buChar char="&#8226;"/>'
        f"</a:lvl{n}pPr>"
        for n in range(1, 10)
    )
    plain = "<a:lvl1pPr><a:buNone/></a:lvl1pPr>"
    styles = (
        f'{_colours()}<p:sldLayoutIdLst><p:sldLayoutId id="2147483649" r:id="rId1"/>'
        f"</p:sldLayoutIdLst><p:txStyles><p:titleStyle>{plain}</p:titleStyle>"
        f"<p:bodyStyle>{bullets}</p:bodyStyle><p:otherStyle/></p:txStyles>"
    )
    content = [holders[0], shape(holder='idx="1"', name="Content")]
    return {
        "ppt/slideMasters/slideMaster1.xml": _of_shapes("sldMaster", holders, more=styles),
        "ppt/slideMasters/_rels/slideMaster1.xml.rels": relations(
            [
                Relation("rId1", "slideLayout", "../slideLayouts/slideLayout1.xml"),
                Relation("rId2", "theme", "../theme/theme1.xml"),
            ]
        ),
        "ppt/slideLayouts/slideLayout1.xml": _of_shapes("sldLayout", content),
        "ppt/slideLayouts/_rels/slideLayout1.xml.rels": relations(
            [Relation("rId1", "slideMaster", "../slideMasters/slideMaster1.xml")]
        ),
        "ppt/theme/theme1.xml": _theme(),
    }


def _colours() -> str:
    names = {"bg1": "lt1", "tx1": "dk1", "bg2": "lt2", "tx2": "dk2"}
    names |= {f"accent{n}": f"accent{n}" for n in range(1, 7)}
    names |= {"hlink": "hlink", "folHlink": "folHlink"}
    return f"<p:clrMap {' '.join(f'{name}={quoteattr(value)}' for name, value in names.items())}/>"


def _notes_master() -> Parts:
    folder = "ppt/notesMasters"
    return {
        NOTES_MASTER: _of_shapes("notesMaster", [], more=_colours()),
        f"{folder}/_rels/notesMaster1.xml.rels": relations(
            [Relation("rId1", "theme", "../theme/theme2.xml")]
        ),
        "ppt/theme/theme2.xml": _theme(),
    }


def _theme() -> str:
    names = ("dk1", "lt1", "dk2", "lt2", *(f"accent{n}" for n in range(1, 7)), "hlink", "folHlink")
    shades = ("000000", "FFFFFF", "1F2A44", "EEEEEE", *["3366AA"] * 6, "0000EE", "551A8B")
    colours = "".join(
        f'<a:{name}><a:srgbClr val="{shade}"/></a:{name}>'
        for name, shade in zip(names, shades, strict=True)
    )
    face = '<a:latin typeface="Arial"/><a:ea typeface=""/><a:cs typeface=""/>'
    fill = '<a:solidFill><a:schemeClr val="phClr"/></a:solidFill>' * 3
    lines = '<a:ln><a:solidFill><a:schemeClr val="phClr"/></a:solidFill></a:ln>' * 3
    effects = "<a:effectStyle><a:effectLst/></a:effectStyle>" * 3
    return (
        f'<a:theme xmlns:a="{DRAWING}" name="Plain"><a:themeElements>'
        f'<a:clrScheme name="Plain">{colours}</a:clrScheme><a:fontScheme name="Plain">'
        f"<a:majorFont>{face}</a:majorFont><a:minorFont>{face}</a:minorFont></a:fontScheme>"
        f'<a:fmtScheme name="Plain"><a:fillStyleLst>{fill}</a:fillStyleLst>'
        f"<a:lnStyleLst>{lines}</a:lnStyleLst><a:effectStyleLst>{effects}</a:effectStyleLst>"
        f"<a:bgFillStyleLst>{fill}</a:bgFillStyleLst></a:fmtScheme></a:themeElements></a:theme>"
    )


def _content_types(slides: Sequence[Slide]) -> str:
    kinds = {
        "presentation": f"{CONTENT}.presentationml.presentation.main+xml",
        "slideMasters/slideMaster1": f"{CONTENT}.presentationml.slideMaster+xml",
        "slideLayouts/slideLayout1": f"{CONTENT}.presentationml.slideLayout+xml",
        "theme/theme1": f"{CONTENT}.theme+xml",
    }
    for number, slide in enumerate(slides, 1):
        kinds[f"slides/slide{number}"] = f"{CONTENT}.presentationml.slide+xml"
        if slide.notes:
            kinds[f"notesSlides/notesSlide{number}"] = f"{CONTENT}.presentationml.notesSlide+xml"
            kinds["notesMasters/notesMaster1"] = f"{CONTENT}.presentationml.notesMaster+xml"
            kinds["theme/theme2"] = f"{CONTENT}.theme+xml"
    listed = "".join(
        f'<Override PartName="/ppt/{name}.xml" ContentType="{kind}"/>'
        for name, kind in kinds.items()
    )
    usual = "".join(
        f'<Default Extension="{ending}" ContentType="{kind}"/>'
        for ending, kind in (
            ("rels", "application/vnd.openxmlformats-package.relationships+xml"),
            ("xml", "application/xml"),
            ("png", "image/png"),
        )
    )
    return f'<Types xmlns="{PACKAGE}/content-types">{usual}{listed}</Types>'
