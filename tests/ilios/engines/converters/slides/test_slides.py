"""Whole presentations: their packages, notes, comments and pictures, and what is damaged."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from actors.engines import Unconvertible
from ilios.engines.converters.slides import convert, pictures, text
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import Portion, Reading
from tests.ilios.engines.converters.slides.conftest import Converted
from tests.presentations import (
    MAIN,
    OOXML,
    RELATED,
    Relation,
    Slide,
    body,
    box,
    paragraph,
    parts_of,
    picture,
    presentation,
    relations,
    shape,
    title,
)
from tests.zips import zip_of

PLAIN = [Slide([title(f"Slide {n}"), body(paragraph(f"Point {n}"))]) for n in (1, 2, 3)]


def png(side: int = 40) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(out, "PNG")
    return out.getvalue()


def test_slides_are_in_the_order_of_the_show(converted: Converted) -> None:
    parts = parts_of(PLAIN)
    show = str(parts["ppt/presentation.xml"])
    first, last = ('<p:sldId id="256" r:id="rId2"/>', '<p:sldId id="258" r:id="rId4"/>')
    turned = show.replace(first, "@").replace(last, first).replace("@", last)
    pages = converted(data=zip_of(parts | {"ppt/presentation.xml": turned}))
    assert [page.result.markdown[:9] for page in pages] == ["# Slide 3", "# Slide 2", "# Slide 1"]
    assert [page.result.index for page in pages] == [0, 1, 2]


def test_a_hidden_slide_is_marked_below_its_title(converted: Converted) -> None:
    (page,) = converted(Slide([title("Spare"), box("Words")], hidden=True))
    assert page.result.markdown == "# Spare\n\n*(hidden slide)*\n\nWords"


def test_notes_follow_as_a_quotation(converted: Converted) -> None:
    (page,) = converted(Slide([title("Talk")], notes=["Breathe.", "Smile * often."]))
    expected = "# Talk\n\n> **Notes**\n>\n> Breathe.\n>\n> Smile \\* often."
    assert page.result.markdown == expected


OLD_COMMENTS = (
    f'<p:cmLst xmlns:p="{MAIN}"><p:cm authorId="7" dt="2024-01-01T00:00:00"><p:pos x="1" y="1"/>'
    "<p:text>Which year?</p:text></p:cm></p:cmLst>"
)
NEW_SPACE = "http://schemas.microsoft.com/office/powerpoint/2018/8/main"
NEW_COMMENTS = (
    f'<n:cmLst xmlns:n="{NEW_SPACE}" xmlns:a="{OOXML}/drawingml/2006/main">'
    '<n:cm id="{A}" authorId="7"><n:replyLst><n:reply id="{B}" authorId="8"><n:txBody>'
    f"{paragraph('2024')}</n:txBody></n:reply></n:replyLst><n:txBody>{paragraph('Which year?')}"
    "</n:txBody></n:cm></n:cmLst>"
)


@pytest.mark.parametrize(
    ("part", "kind", "expected"),
    [
        (OLD_COMMENTS, "commentAuthors", "> **Comment by Ada:** Which year?"),
        (
            NEW_COMMENTS,
            "http://schemas.microsoft.com/office/2018/10/relationships/authors",
            "> **Comment by Ada:** Which year?\n\n> **Reply by Bo:** 2024",
        ),
    ],
)
def test_comments_are_there_when_they_are_wanted(
    converted: Converted, part: str, kind: str, expected: str
) -> None:
    slide = Slide(
        [title("Plan")],
        [Relation("m", "comments", "../comments/c1.xml")],
        {"ppt/comments/c1.xml": part},
    )
    authors = '<l xmlns="urn:x"><a id="7" name="Ada"/><a id="8" name="Bo"/></l>'
    related = str(parts_of([slide])["ppt/_rels/presentation.xml.rels"])
    listed = relations([Relation("a", kind, "authors.xml")]).partition("<Relationship ")[2]
    more = {
        "ppt/authors.xml": authors,
        "ppt/_rels/presentation.xml.rels": related.replace(
            "</Relationships>", f"<Relationship {listed}"
        ),
    }
    data = presentation(slide, more=more)
    assert converted(data=data)[0].result.markdown == "# Plan"
    (page,) = converted(data=data, reading=Reading(comments=True))
    assert page.result.markdown == f"# Plan\n\n{expected}"


def with_picture(data: bytes, alt: str = "", inside: str = "") -> Slide:
    shown = picture("i1", alt, (100, 100, 200, 150), inside)
    related = [Relation("i1", "image", "../media/image1.png")]
    return Slide([title("View"), shown], related, {"ppt/media/image1.png": data})


def test_a_picture_is_stored_with_its_place_and_description(converted: Converted) -> None:
    (page,) = converted(with_picture(png(), "A [red] square"))
    assert page.result.markdown == "# View\n\n![A (red) square](img-0.png)"
    assert page.image_bytes == {"img-0.png": png()}
    (image,) = page.result.images
    assert image.box is not None
    assert (image.box.top_left_x, image.box.bottom_right_y) == (100, 250)
    assert page.result.dimensions is not None
    assert (page.result.dimensions.width, page.result.dimensions.height) == (720, 540)


def test_what_cannot_be_stored_is_described_and_named(
    converted: Converted, monkeypatch: pytest.MonkeyPatch
) -> None:
    (page,) = converted(with_picture(b"\1\0\0\0 a metafile", "A drawing"))
    assert page.result.markdown == "# View\n\n![A drawing]()"
    assert [one.code for one in page.result.warnings] == ["part_unreadable"]
    monkeypatch.setattr(pictures, "MAX_BYTES", 10)
    (page,) = converted(with_picture(png()))
    assert page.result.markdown == "# View"
    assert [one.code for one in page.result.warnings] == ["images_left_out"]


def test_a_linked_picture_is_not_fetched_and_a_video_is_named(converted: Converted) -> None:
    related = [Relation("i1", "image", "http://127.0.0.1:9/a.png", external=True)]
    (page,) = converted(Slide([picture("i1", "Linked")], related))
    assert page.result.markdown == "![Linked]()"
    (page,) = converted(with_picture(png(), inside='<a:videoFile r:link="v"/>'))
    assert [one.code for one in page.result.warnings] == ["content_left_out"]
    assert "the video Picture" in page.result.warnings[0].message


def moved(parts: dict[str, str | bytes]) -> dict[str, str | bytes]:
    """Return the parts with the document under another name, and targets from the root."""
    parts["_rels/.rels"] = relations([Relation("r", "officeDocument", "/shows/Main.xml")])
    parts["shows/Main.xml"] = parts.pop("ppt/presentation.xml")
    related = str(parts.pop("ppt/_rels/presentation.xml.rels"))
    parts["shows/_rels/Main.xml.rels"] = related.replace('Target="', 'Target="/ppt/')
    return parts


def strict(parts: dict[str, str | bytes]) -> dict[str, str | bytes]:
    spaces = {
        MAIN: "http://purl.oclc.org/ooxml/presentationml/main",
        f"{OOXML}/drawingml/2006/main": "http://purl.oclc.org/ooxml/drawingml/main",
        RELATED: "http://purl.oclc.org/ooxml/officeDocument/relationships",
    }
    for name, part in parts.items():
        text = str(part)
        for usual, other in spaces.items():
            text = text.replace(usual, other)
        parts[name] = text
    return parts


def without_list(parts: dict[str, str | bytes]) -> dict[str, str | bytes]:
    return parts | {"ppt/presentation.xml": "<broken"}


def without_templates(parts: dict[str, str | bytes]) -> dict[str, str | bytes]:
    return {name: part for name, part in parts.items() if "slideLayout1" not in name}


def of_macros(parts: dict[str, str | bytes]) -> dict[str, str | bytes]:
    kinds = str(parts["[Content_Types].xml"])
    wanted = "application/vnd.ms-powerpoint.slideshow.macroEnabled.main+xml"
    main = "application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml"
    return parts | {"[Content_Types].xml": kinds.replace(main, wanted), "ppt/vba.bin": b"\0"}


@pytest.mark.parametrize("change", [moved, strict, without_list, without_templates, of_macros])
def test_any_legal_package_has_its_slides(
    converted: Converted,
    change: Callable[[dict[str, str | bytes]], dict[str, str | bytes]],
) -> None:
    pages = converted(data=zip_of(change(parts_of(PLAIN))))
    assert [page.result.markdown for page in pages] == [
        f"# Slide {n}\n\n- Point {n}" for n in (1, 2, 3)
    ]
    assert not any(page.result.warnings for page in pages)


@pytest.mark.parametrize("damage", ["<broken", b"\xff\xfe\0", None])
def test_a_damaged_slide_costs_itself(converted: Converted, damage: str | bytes | None) -> None:
    parts = parts_of(PLAIN)
    if damage is None:
        del parts["ppt/slides/slide2.xml"]
    else:
        parts["ppt/slides/slide2.xml"] = damage
    first, second, third = converted(data=zip_of(parts))
    assert (first.result.markdown[:9], third.result.markdown[:9]) == ("# Slide 1", "# Slide 3")
    assert second.result.markdown == ""
    assert [one.code for one in second.result.warnings] == ["page_unreadable"]


def test_words_that_are_lost_are_counted_and_named(
    converted: Converted, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide = Slide([title("Plan"), box("seven plain words"), shape(holder='type="ftr"')])
    assert converted(slide)[0].result.conservation == 1
    monkeypatch.setattr(text, "paragraphs", lambda *_: "seven words")
    (page,) = converted(slide)
    assert page.result.conservation == 0.75
    assert [one.code for one in page.result.warnings] == ["page_incomplete"]
    assert "plain" in page.result.warnings[0].message


@pytest.mark.parametrize("width", ["1", "-9144000", "99999999999", "", "wide"])
def test_a_slide_of_an_impossible_size_has_the_usual_one(converted: Converted, width: str) -> None:
    show = str(parts_of(PLAIN)["ppt/presentation.xml"]).replace("9144000", width, 1)
    (page, *_) = converted(data=presentation(*PLAIN, more={"ppt/presentation.xml": show}))
    assert page.result.dimensions is not None
    assert (page.result.dimensions.width, page.result.dimensions.height) == (720, 540)


def test_a_presentation_without_slides_is_refused(converted: Converted) -> None:
    with pytest.raises(Unconvertible) as refused:
        converted(data=presentation())
    assert refused.value.code == "corrupt"


def test_selected_slides_and_portions_are_converted(tmp_path: Path) -> None:
    path = tmp_path / "show.pptx"
    path.write_bytes(presentation(*PLAIN))
    counts: list[tuple[int, int]] = []
    made = convert.convert(
        path,
        EngineLimits(),
        lambda done, total: counts.append((done, total)),
        Reading(portion=Portion(first=1, most=1)),
    )
    assert [page.result.index for page in made.pages] == [1]
    assert made.total == 3
    assert counts[0] == (0, 1)
    assert counts[-1] == (1, 1)
    assert convert.count_pages(path) == 3
    with pytest.raises(Unconvertible) as refused:
        convert.convert(path, EngineLimits(max_pages=2), lambda _done, _total: None)
    assert refused.value.code == "too_many_pages"
