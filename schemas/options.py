"""Options of a conversion: one struct, carried whole from every door to the engine.

A new option is one member here. Its default means "not asked for" and is neither encoded nor
hashed, so that requests and stored work of former versions keep their fingerprints and keys.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import force_setattr

from .languages import canonical_tags

EngineName = Literal["local", "mistral"]
RecognitionMode = Literal["auto", "force", "never"]
TrackedChanges = Literal["final", "original", "all"]
MergedCells = Literal["auto", "once", "repeat"]
Model = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}\Z")]

MAX_PAGE = 1_000_000
MAX_PAGES_LENGTH = 8000
"""Characters of ``pages`` as text: as many as the longest list of numbers takes."""
MAX_PAGE_NUMBERS = 1000
"""Numbers of ``pages`` as a list."""
MAX_OPTIONS_BYTES = 64 * 1024
"""Bytes of options as JSON, including those that this version does not support."""

PASSWORD = "password"  # noqa: S105  # its name
"""No option of any version, since options stay on the log. Its value is not passed on."""

_NAMED_DEFAULTS = {"recognition": "auto", "tracked_changes": "final", "merged_cells": "auto"}
_ONLY_LOCAL = ("language", "recognition", "tracked_changes", "comments", "merged_cells")

PageNumber = Annotated[int, Meta(ge=1, le=MAX_PAGE)]

INVALID_PAGES = (
    'pages must be page numbers and ranges from 1, separated by commas, such as "1-3,7,10-"'
)

_RANGE = re.compile(r"(?P<first>[1-9][0-9]{0,6})(?P<to>-(?P<last>[1-9][0-9]{0,6})?)?")


class PageRange(Struct, frozen=True):
    """Pages ``first`` to ``last``, both included and counted from 1; None is the document's end."""

    first: int
    last: int | None


class ConversionOptions(
    Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """Options of the conversion of a document; None leaves a choice to the service.

    ``pages`` is text such as ``1-3,7,10-`` or a list of page numbers from 1. It is brought into one
    canonical form (sorted, merged), so that equal selections compare, hash and encode the same.
    So are ``language``, a text of tags then, and the options whose default has a name: that
    becomes None.
    """

    engine: Annotated[
        EngineName | None,
        Meta(description="The engine of the conversion; left out, the service chooses."),
    ] = None
    model: Annotated[
        Model | None,
        Meta(
            description="The model of the engine `mistral`, and implies it; "
            "`local` implies the engine of that name.",
            extra={"expected": "the name of a Mistral model, such as mistral-ocr-latest"},
            extra_json_schema={"examples": ["mistral-ocr-latest"]},
        ),
    ] = None
    pages: Annotated[
        str | tuple[PageNumber, ...] | None,
        Meta(
            description="Which pages are converted, counted from 1, such as `1-3,7,10-`; left out, "
            "all of them. In JSON it may also be a list of numbers.",
            extra={
                "expected": "page numbers and ranges from 1, separated by commas, such as "
                '"1-3,7,10-"'
            },
            extra_json_schema={"examples": ["1-3,7,10-"]},
        ),
    ] = None
    language: Annotated[
        str | tuple[str, ...] | None,
        Meta(
            description="The languages of images and scans as tags of BCP 47, such as `ru,en`, the "
            "main one first; left out, they are found out. In JSON it may also be a list. For the "
            "engine `local` only.",
            extra={"expected": 'tags of languages, separated by commas, such as "ru,en"'},
            extra_json_schema={"examples": ["ru,en"]},
        ),
    ] = None
    recognition: Annotated[
        RecognitionMode | None,
        Meta(
            description="`auto` (default) recognises the text of images, and of pages of a PDF "
            "that have none of their own or none of worth; `force` that of all pages; `never` that "
            "of none. For the engine `local` only."
        ),
    ] = None

    partial: Annotated[
        bool,
        Meta(
            description="Whether a document whose time budget ends is completed with the pages "
            "that are done, and not failed. Only the engine `local` has a time budget.",
            extra={"expected": "true or false"},
        ),
    ] = False

    tracked_changes: Annotated[
        TrackedChanges | None,
        Meta(
            description="Which text of a document with tracked changes is converted: `final` "
            "(default), as if all were accepted; `original`, as if all were rejected; `all`, with "
            "insertions and deletions marked. For the engine `local` only."
        ),
    ] = None
    comments: Annotated[
        bool,
        Meta(
            description="Whether comments on Office documents are converted as well. "
            "For the engine `local` only.",
            extra={"expected": "true or false"},
        ),
    ] = False
    merged_cells: Annotated[
        MergedCells | None,
        Meta(
            description="Where the text of a merged cell of a table stands: `once`, in its first "
            "cell; `repeat`, in each cell it covers; `auto` (default), in each if it is short. "
            "Of Office documents, for the engine `local` only."
        ),
    ] = None

    def __post_init__(self) -> None:
        """Bring options with several spellings of one value into their canonical forms.

        :raises ValueError: one of them has no such form; the message is for the client.
        """
        if self.pages is not None:
            force_setattr(self, "pages", _text(_ranges(self.pages)))
        if self.language is not None:
            force_setattr(self, "language", canonical_tags(self.language))
        for name, default in _NAMED_DEFAULTS.items():
            if getattr(self, name) == default:
                force_setattr(self, name, None)

    @property
    def languages(self) -> tuple[str, ...]:
        """The language tags in order of preference."""
        return tuple(self.language.split(",")) if isinstance(self.language, str) else ()

    @property
    def only_local(self) -> tuple[str, ...]:
        """Names of the options given that only the engine ``local`` has."""
        return tuple(name for member, name in _NAMES_ONLY_LOCAL if getattr(self, member))

    @property
    def page_ranges(self) -> tuple[PageRange, ...]:
        """The selected pages in ascending order without overlap; empty means all pages."""
        return () if self.pages is None else tuple(_ranges(self.pages))

    @property
    def unsupported(self) -> tuple[str, ...]:
        """Names of options that this version does not support and must not ignore."""
        return ()


class UnsupportedOptions(ConversionOptions, frozen=True, kw_only=True):
    """Options some of which this version does not support: passed on unchanged, not acted upon.

    Made by ``options_from_json`` only; an equally named member on the wire is just one more option.
    """

    unknown_members: dict[str, Raw]

    @property
    def unsupported(self) -> tuple[str, ...]:
        """Names of the options that this version does not support."""
        return tuple(sorted(self.unknown_members))


NO_OPTIONS = ConversionOptions()

_FIELDS = msgspec.structs.fields(ConversionOptions)
_SUPPORTED = frozenset(one.encode_name for one in _FIELDS)
_NAMES_ONLY_LOCAL = tuple((one.name, one.encode_name) for one in _FIELDS if one.name in _ONLY_LOCAL)
_options_decoder = msgspec.json.Decoder(ConversionOptions)
_members_decoder = msgspec.json.Decoder(dict[str, Raw])


def options_to_json(options: ConversionOptions) -> bytes:
    """Return options as a JSON object without defaults, unknown members as they came."""
    if not isinstance(options, UnsupportedOptions):
        return msgspec.json.encode(options)
    values: dict[str, Any] = msgspec.structs.asdict(options)
    asked = {
        one.encode_name: values[one.name] for one in _FIELDS if values[one.name] != one.default
    }
    return msgspec.json.encode(asked | options.unknown_members)


def options_from_json(text: bytes | str) -> ConversionOptions:
    """Read options of any version; those this one does not support are in ``unsupported``.

    :raises msgspec.ValidationError: a supported option has an invalid value.
    """
    members = _members_decoder.decode(text)
    if len(text) > MAX_OPTIONS_BYTES:
        raise msgspec.ValidationError(f"options must be at most {MAX_OPTIONS_BYTES} bytes of JSON")
    supported = {name: value for name, value in members.items() if name in _SUPPORTED}
    options = _options_decoder.decode(msgspec.json.encode(supported))
    # A copy, because the original would hold all of the message in memory.
    unknown = {
        name: Raw(b"null") if name == PASSWORD else value.copy()
        for name, value in members.items()
        if name not in _SUPPORTED
    }
    if not unknown:
        return options
    return UnsupportedOptions(**msgspec.structs.asdict(options), unknown_members=unknown)


def fill_options(
    options: ConversionOptions, engine: EngineName | None, model: Model | None
) -> ConversionOptions:
    """Return options in which ``engine`` and ``model`` stand where they name none."""
    return msgspec.structs.replace(
        options, engine=options.engine or engine, model=options.model or model
    )


def select_pages(ranges: Iterable[PageRange], count: int) -> list[int]:
    """Return the numbers, from 1 and in ascending order, of those of ``count`` pages selected.

    Without ranges these are all. A range that begins within the document may end beyond it. The
    list is empty when no selected page exists.
    """
    wanted = list(ranges) or [PageRange(1, None)]
    numbers: list[int] = []
    for one in wanted:
        last = count if one.last is None else min(one.last, count)
        numbers.extend(range(one.first, last + 1))
    return numbers


def _ranges(pages: str | Iterable[int]) -> list[PageRange]:
    parsed = _parse_text(pages) if isinstance(pages, str) else _parse_numbers(pages)
    merged: list[PageRange] = []
    for one in sorted(parsed, key=lambda one: one.first):
        before = merged[-1] if merged else None
        if before is None or (before.last is not None and one.first > before.last + 1):
            merged.append(one)
        elif before.last is not None:
            last = None if one.last is None else max(before.last, one.last)
            merged[-1] = PageRange(before.first, last)
    return merged


def _parse_text(text: str) -> list[PageRange]:
    if len(text) > MAX_PAGES_LENGTH:
        raise ValueError(f"pages must be at most {MAX_PAGES_LENGTH} characters")
    found = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip(" "))
        if match is None:
            raise ValueError(INVALID_PAGES)
        first = int(match["first"])
        last = int(match["last"]) if match["last"] else None if match["to"] else first
        if first > MAX_PAGE or (last is not None and (last < first or last > MAX_PAGE)):
            raise ValueError(INVALID_PAGES)
        found.append(PageRange(first, last))
    return found


def _parse_numbers(numbers: Iterable[int]) -> list[PageRange]:
    listed = list(numbers)
    if not listed or len(listed) > MAX_PAGE_NUMBERS or min(listed) < 1 or max(listed) > MAX_PAGE:
        raise ValueError(
            f"pages must be a list of 1 to {MAX_PAGE_NUMBERS} page numbers from 1 to {MAX_PAGE}"
        )
    return [PageRange(number, number) for number in listed]


def _text(ranges: Iterable[PageRange]) -> str:
    parts = []
    for one in ranges:
        if one.last is None:
            parts.append(f"{one.first}-")
        else:
            parts.append(f"{one.first}" if one.first == one.last else f"{one.first}-{one.last}")
    return ",".join(parts)
