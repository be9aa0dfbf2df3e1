"""OpenDocument files for tests, written as XML."""

import io
import zipfile
from collections.abc import Mapping
from xml.sax.saxutils import escape

_OASIS = "urn:oasis:names:tc:opendocument:xmlns:"
NAMESPACES = " ".join(
    f'xmlns:{prefix}="{uri}"'
    for prefix, uri in {
        "office": f"{_OASIS}office:1.0",
        "text": f"{_OASIS}text:1.0",
        "table": f"{_OASIS}table:1.0",
        "draw": f"{_OASIS}drawing:1.0",
        "presentation": f"{_OASIS}presentation:1.0",
        "style": f"{_OASIS}style:1.0",
        "fo": f"{_OASIS}xsl-fo-compatible:1.0",
        "svg": f"{_OASIS}svg-compatible:1.0",
        "manifest": f"{_OASIS}manifest:1.0",
        "xlink": "http://www.w3.org/1999/xlink",
        "dc": "http://purl.org/dc/elements/1.1/",
        "math": "http://www.w3.org/1998/Math/MathML",
    }.items()
)
ODT = "application/vnd.oasis.opendocument.text"
ODP = "application/vnd.oasis.opendocument.presentation"
MANIFEST = "META-INF/manifest.xml"

NUMBERED = (
    '<text:list-style style:name="N">'
    + "".join(
        f'<text:list-level-style-number text:level="{level}" style:num-format="1"'
        ' style:num-suffix="."/>'
        for level in range(1, 6)
    )
    + "</text:list-style>"
)
BULLETS = (
    '<text:list-style style:name="B">'
    + "".join(
        f'<text:list-level-style-bullet text:level="{level}" text:bullet-char="•"/>'
        for level in range(1, 6)
    )
    + "</text:list-style>"
)
OUTLINE = (
    '<text:outline-style style:name="Outline">'
    + "".join(
        f'<text:outline-level-style text:level="{level}" style:num-format="1"'
        f' text:display-levels="{level}"/>'
        for level in range(1, 4)
    )
    + "</text:outline-style>"
)


def root(name: str, content: str) -> str:
    return f'<office:{name} {NAMESPACES} office:version="1.3">{content}</office:{name}>'


def paragraph(text: str, style: str = "") -> str:
    return f'<text:p text:style-name="{style}">{escape(text)}</text:p>'


def heading(text: str, level: int = 1) -> str:
    return f'<text:h text:outline-level="{level}">{escape(text)}</text:h>'


def items(*contents: str, style: str = "N", more: str = "") -> str:
    """Return a list of the contents of its items."""
    inner = "".join(f"<text:list-item>{content}</text:list-item>" for content in contents)
    return f'<text:list text:style-name="{style}" {more}>{inner}</text:list>'


def package(kind: str, parts: Mapping[str, str | bytes]) -> bytes:
    """Return the archive; the type is its first entry, and not compressed."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", kind, zipfile.ZIP_STORED)
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def odt(
    *body: str,
    automatic: str = "",
    styles: str = "",
    masters: str = "",
    parts: Mapping[str, str | bytes] | None = None,
) -> bytes:
    """Return an ODT whose text has these elements."""
    content = (
        f"<office:automatic-styles>{NUMBERED}{BULLETS}{automatic}</office:automatic-styles>"
        f"<office:body><office:text>{''.join(body)}</office:text></office:body>"
    )
    common = (
        f"<office:styles>{styles}</office:styles>"
        f"<office:master-styles>{masters}</office:master-styles>"
    )
    return package(
        ODT,
        {
            "content.xml": root("document-content", content),
            "styles.xml": root("document-styles", common),
            MANIFEST: manifest(),
            **(parts or {}),
        },
    )


def manifest(inside: str = "") -> str:
    entry = f'<manifest:file-entry manifest:full-path="content.xml">{inside}</manifest:file-entry>'
    return f"<manifest:manifest {NAMESPACES}>{entry}</manifest:manifest>"


def frame(text: str, kind: str = "", style: str = "") -> str:
    """Return a text box of a slide; ``kind`` is the class of its placeholder."""
    placeholder = f'presentation:class="{kind}"' if kind else ""
    return (
        f'<draw:frame draw:style-name="{style}" {placeholder}>'
        f"<draw:text-box>{text}</draw:text-box></draw:frame>"
    )


def slide(*shapes: str, notes: str = "", style: str = "") -> str:
    noted = (
        f"<presentation:notes>{frame(paragraph(notes), 'notes')}</presentation:notes>"
        if notes
        else ""
    )
    return f'<draw:page draw:style-name="{style}">{"".join(shapes)}{noted}</draw:page>'


def odp(*slides: str, automatic: str = "", parts: Mapping[str, str | bytes] | None = None) -> bytes:
    """Return an ODP of these slides."""
    content = (
        f"<office:automatic-styles>{NUMBERED}{BULLETS}{automatic}</office:automatic-styles>"
        f"<office:body><office:presentation>{''.join(slides)}</office:presentation></office:body>"
    )
    return package(
        ODP,
        {
            "content.xml": root("document-content", content),
            MANIFEST: manifest(),
            **(parts or {}),
        },
    )
