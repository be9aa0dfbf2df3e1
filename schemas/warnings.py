"""Warnings of a conversion, each declared here with its stable code.

A warning is about what a reader sees in the document and not, or not surely, in the Markdown.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

MAX_WARNING_PAGES = 1000
"""Page numbers listed in one warning of a document; further pages are not listed."""
MAX_LISTED_PAGES = 5000
"""Page numbers listed in all warnings of a document."""
MAX_WARNINGS = 100
"""Warnings of one document."""
MAX_MESSAGES = 4
"""Different sentences of one code among the warnings of a document."""

WarningCode = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}\Z")]
"""Open on the wire: a later version may have further codes."""
WarningMessage = Annotated[str, Meta(max_length=500)]
PageNumbers = Annotated[
    tuple[Annotated[int, Meta(ge=1, le=1_000_000)], ...], Meta(max_length=MAX_WARNING_PAGES)
]

MESSAGES = {
    "text_layer_untrusted": (
        "The text layer of the page does not say what the page shows; its text is what "
        "recognition read, or confirmed."
    ),
    "text_layer_suspect": (
        "The text layer of the page may not say what the page shows; it is given as it is, because "
        "recognition is not wanted."
    ),
    "script_not_recognised": (
        "The page shows text in a script that cannot be read here: {detail}."
    ),
    "page_low_confidence": "The recognition of the page is unsure; its text may have errors.",
    "small_text_unread": (
        "The page is larger than is read at its full size; small text on it may be missing."
    ),
    "page_fell_back": (
        "The layout of the page could not be kept without losing text; its plain text is given."
    ),
    "page_incomplete": "Words of the page are missing in the Markdown: {detail}.",
    "hidden_text_left_out": (
        "The page contains text that it does not show, such as that of a layer that is switched "
        "off, below an area, or in the colour of the paper; so many characters are left out: "
        "{detail}."
    ),
    "page_unreadable": "The page is damaged and could not be read.",
    "form_values_unreadable": "Values of form fields on the page could not be read.",
    "form_fields_left_out": (
        "The page has more form fields, or larger ones, than are read in full; values may be "
        "missing among so many: {detail}."
    ),
    "structure_left_out": (
        "The structure tree of the tagged page is too large or damaged and was not used; the page "
        "is laid out by what it shows."
    ),
    "annotations_left_out": "Annotations of the page that were not read: {detail}.",
    "links_left_out": "Links of the page that are left out, while their text is given: {detail}.",
    "attachments_not_converted": (
        "Files are attached to the document, or to a place on the page, and are not converted: "
        "{detail}."
    ),
    "part_unreadable": "A part of the document could not be read and is left out: {detail}.",
    "content_left_out": "The document has more than is converted; left out: {detail}.",
    "xfa_placeholder": (
        "The document is an XFA form, whose content only some viewers show; what is converted is "
        "the placeholder for other viewers."
    ),
    "partial_result": (
        "The time budget of the document ended before these pages were converted: {detail}."
    ),
    "images_left_out": (
        "The page has more images, or larger ones, than are stored; left out: {detail}."
    ),
    "frames_not_read": "The frames of the animation after number {detail} were not read.",
    "encoding_guessed": (
        "The text does not show in which encoding it is; it was read as {detail}, and letters "
        "beyond ASCII may be wrong."
    ),
    "image_text_unread": "The page has images with text that was not read.",
    "formulas_without_result": (
        "The results of formulas are not in the file, and the formulas are given in their place; "
        "save it in a spreadsheet program to have them: {detail}."
    ),
}
"""The sentence for the owner by code; ``{detail}`` is filled in."""


class PageWarning(Struct, frozen=True):
    """A warning about one page."""

    code: WarningCode
    message: WarningMessage


class ConversionWarning(Struct, frozen=True, omit_defaults=True):
    """A warning about a document, with the numbers, from 1, of the pages it is about.

    Without pages it is about the document as a whole.
    """

    code: WarningCode
    message: WarningMessage
    pages: PageNumbers = ()


def page_warning(code: str, detail: str = "") -> PageWarning:
    """Return the warning of this code.

    :raises KeyError: there is no such code.
    """
    return PageWarning(code, MESSAGES[code].format(detail=detail)[:500])


def join_warnings(
    pages: Iterable[tuple[int, Iterable[PageWarning]]],
) -> tuple[ConversionWarning, ...]:
    """Join equal warnings of pages, given with their index from 0, in order of appearance.

    The result is bounded, because an event is: after ``MAX_MESSAGES`` sentences of a code, further
    ones are replaced by a general one.
    """
    numbers: dict[PageWarning, list[int]] = {}
    sentences: Counter[str] = Counter()
    room = MAX_LISTED_PAGES
    for index, warnings in pages:
        for warning in warnings:
            joined = warning
            if warning not in numbers and sentences[warning.code] >= MAX_MESSAGES:
                joined = _general(warning.code)
            if joined not in numbers and len(numbers) >= MAX_WARNINGS:
                continue
            sentences[warning.code] += joined not in numbers
            listed = numbers.setdefault(joined, [])
            if room and len(listed) < MAX_WARNING_PAGES and index + 1 not in listed[-1:]:
                listed.append(index + 1)
                room -= 1
    return tuple(
        ConversionWarning(warning.code, warning.message, tuple(listed))
        for warning, listed in numbers.items()
    )


def _general(code: str) -> PageWarning:
    """Return the warning that stands for further sentences of this code."""
    message = MESSAGES.get(code, "There are further warnings of this kind: {detail}.")
    return PageWarning(code, message.format(detail="see the warnings of each page"))
