"""What stands on a page beside its content: form values, annotations, and their appearances."""

from collections.abc import Sequence

import pypdfium2
from liteparse.types import ParsedPage
from msgspec import Struct
from msgspec.structs import replace

from ilios.engines.layout.items import Figure, Item
from ilios.engines.pdf.annotations import (
    Annotations,
    Drawn,
    hidden_annotations,
    read_annotations,
)
from ilios.engines.pdf.appearances import AppearanceReader
from ilios.engines.pdf.attachments import page_files
from ilios.engines.pdf.forms import MAX_FIELDS, at_place, form_values, height, is_filled, is_shown
from ilios.engines.pdf.geometry import Rect, View
from ilios.engines.pdf.values import with_values
from schemas.warnings import PageWarning, page_warning

_PLAIN_SUBTYPES = frozenset({"link", "popup"})


class Beside(Struct, frozen=True):
    """What stands beside the content of a page.

    ``values`` are those of form fields, and text typed onto the page. ``drawn`` has the lines of
    each further appearance, such as a stamp across the content. ``fields`` is the number of fields.
    """

    values: tuple[Item, ...] = ()
    comments: tuple[Figure, ...] = ()
    drawn: tuple[tuple[Item, ...], ...] = ()
    fields: int = 0
    warnings: tuple[PageWarning, ...] = ()


def read_beside(
    page: pypdfium2.PdfPage,
    parsed: ParsedPage | None,
    items: Sequence[Item],
    view: View,
    appearances: tuple[AppearanceReader, int] | None,
) -> Beside:
    """Return what stands beside the content of a page, which has ``items``.

    :param appearances: their reader and the page's index; None if they are read by recognition.
    """
    fields = ((parsed.form_fields if parsed else None) or [])[:MAX_FIELDS]
    hidden = hidden_annotations(page, (field.annotation_index for field in fields))
    fields, unreadable = with_values(page, fields)
    values = form_values([one for one in fields if one.annotation_index not in hidden], items, view)
    unreadable = unreadable or values.unreadable
    warnings = [page_warning("form_values_unreadable")] if unreadable else []
    annotations = Annotations()
    if parsed is None or any(
        one.subtype not in _PLAIN_SUBTYPES for one in parsed.annotations or ()
    ):
        read = {field.annotation_index: is_filled(field) for field in fields}
        filled = {number for number, full in read.items() if full}
        annotations = read_annotations(page, view, read, filled)
        warnings += page_files(page)
    if annotations.left_out:
        warnings.append(page_warning("annotations_left_out", str(annotations.left_out)))
    if annotations.cut:
        detail = f"{annotations.cut} characters of their text"
        warnings.append(page_warning("annotations_left_out", detail))
    typed = list(annotations.typed)
    drawn: list[tuple[Item, ...]] = []
    if not appearances:
        typed += [item for one in annotations.drawn.values() for item in one.typed]
    elif annotations.drawn:
        reader, index = appearances
        lines = reader.read(index, {at: one.rect for at, one in annotations.drawn.items()})
        if lines is None:
            warnings.append(page_warning("annotations_left_out", str(len(annotations.drawn))))
        by_height = sorted(items, key=height)
        for number, one in annotations.drawn.items():
            flowing, apart = _appearance(one, (lines or {}).get(number, []), by_height, view)
            typed += flowing
            drawn += [tuple(apart)] if apart else []
    return Beside(
        values=(*values.items, *typed),
        comments=annotations.comments,
        drawn=tuple(drawn),
        fields=len(fields),
        warnings=tuple(warnings),
    )


def _appearance(
    annotation: Drawn, found: Sequence[Item], by_height: Sequence[Item], view: View
) -> tuple[Sequence[Item], Sequence[Item]]:
    """Return the lines of an annotation that belong to the text around it, and those that do not.

    :param found: the lines of its appearance.
    :param by_height: the items of the page, from top to bottom.
    """
    if annotation.typed and _letters(annotation.text) == _letters(
        "".join(one.text for one in found)
    ):
        return [_placed(line, view) for line in found], ()
    placed = [_placed(line, view) for line in found if not _is_in(line.text, annotation.text)]
    new = [line for line in placed if not is_shown(line.text, _rect(line), by_height)]
    if not found:
        return annotation.typed or annotation.name, ()
    if annotation.in_flow and not any(at_place(_rect(line), by_height) for line in new):
        return [*annotation.typed, *new], ()
    return annotation.typed, new


def _is_in(text: str, whole: str) -> bool:
    """Whether a text is part of another one, but for blanks, signs and case."""
    return _letters(text) in _letters(whole)


def _letters(text: str) -> str:
    return "".join(one for one in text.casefold() if one.isalnum())


def _rect(item: Item) -> Rect:
    return Rect(item.left, item.top, item.right, item.bottom)


def _placed(item: Item, view: View) -> Item:
    """Return an item of the page as it is shown on the page as it is read."""
    box = view.place(_rect(item))
    if view.quarters % 2:
        middle = (box.top + box.bottom) / 2
        box = Rect(box.left, middle - item.size / 2, box.right, middle + item.size / 2)
    return replace(item, left=box.left, top=box.top, right=box.right, bottom=box.bottom)
