"""Jupyter notebooks to Markdown: cells in order, code with its language, outputs below it."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeGuard

import msgspec

from actors.engines import Unconvertible
from ilios.engines.converters import blocks, markdown
from ilios.engines.converters.list_levels import followed
from ilios.engines.converters.unsafe_links import links_left_out, without_unsafe_links
from ilios.engines.converters.web import parsing, walk
from ilios.engines.converters.web.html import picture_page, read_bounded
from ilios.engines.converters.web.pictures import Pictures, data_of_url
from ilios.engines.local.limits import MIB, EngineLimits
from ilios.engines.pages import WHOLE, Pages, Reading, selected_indices

MAX_BYTES = 128 * MIB
MODEL = "notebook"

_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_ANSI = re.compile(r"\x1b\[[0-9;?]{0,30}[A-Za-z]|\x1b[()][A-Z0-9]|\x1b\][^\x07]{0,200}\x07")
_OVERWRITTEN = re.compile(r"^[^\n]*\r(?!$)", re.MULTILINE)
_LANGUAGE = re.compile(r"[A-Za-z0-9+#_.-]{1,30}")
_ATTACHED = re.compile(r"!\[([^\[\]]{0,500})\]\(attachment:([^()\s]{1,300})\)")
_EMBEDDED = re.compile(r"!\[([^\[\]]{0,500})\]\((data:image/[^()\s]+)\)")


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert a notebook; see :class:`ilios.engines.converters.registry.Converter`."""
    del limits
    selected_indices(reading.ranges, 1)
    progress(0, 1)
    notebook = _parse(read_bounded(path, "notebook", MAX_BYTES))
    writer = _Writer(_language_of(notebook), reading, lambda: progress(0, 1))
    parts: list[str] = []
    for cell in _cells(notebook):
        progress(0, 1)
        for part in filter(None, writer.cell(cell)):
            parts.append(followed(parts[-1:], part, typed=False))
    progress(1, 1)
    # Of the whole: a cell without the end of its code changes what is code in the next one.
    text, unsafe = without_unsafe_links(markdown.clean_characters("\n\n".join(parts)))
    warnings = (*writer.pictures.warnings(), *links_left_out(unsafe))
    return Pages([picture_page(0, text, writer.pictures, warnings)], MODEL)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unconvertible("corrupt", "The notebook is damaged: it is no whole JSON.") from error
    if not _is_object(found):
        raise Unconvertible("corrupt", "The notebook is damaged: it has no cells.")
    return found


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if _is_object(one)] if isinstance(value, list) else []


def _member(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if _is_object(value) else None
    return value


def _text(value: Any) -> str:
    """Return a text that may be a list of lines."""
    if isinstance(value, list):
        return "".join(line for line in value if isinstance(line, str))
    return value if isinstance(value, str) else ""


def _cells(notebook: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from _objects(notebook.get("cells"))
    for sheet in _objects(notebook.get("worksheets")):  # before version 4
        yield from _objects(sheet.get("cells"))


def _language_of(notebook: dict[str, Any]) -> str:
    for names in (("language_info", "name"), ("kernelspec", "language")):
        found = _LANGUAGE.fullmatch(_text(_member(notebook, "metadata", *names)))
        if found:
            return re.sub(r"^ipython\d*$", "python", found[0])
    return ""


class _Writer:
    """Writes cells; ``pictures`` are those of their outputs and attachments."""

    def __init__(self, language: str, reading: Reading, heartbeat: Callable[[], None]) -> None:
        self.pictures = Pictures()
        self._language = language
        self._reading = reading
        self._heartbeat = heartbeat

    def cell(self, cell: dict[str, Any]) -> Iterator[str]:
        """Yield a cell and its outputs as Markdown."""
        source = _text(cell.get("source"))
        match cell.get("cell_type"):
            case "code":
                source = _text(cell.get("input")) or source
                language = _LANGUAGE.fullmatch(_text(cell.get("language"))) or self._language
                name = language if isinstance(language, str) else language[0]
                if source.strip():
                    yield markdown.fenced(source.strip("\n"), name)
                for output in _objects(cell.get("outputs")):
                    yield from self._output(output)
            case "heading":
                level = cell.get("level")
                marks = "#" * (level if isinstance(level, int) and 1 <= level <= 6 else 1)
                yield f"{marks} {source}"
            case "markdown":
                yield self._with_attachments(source, cell.get("attachments"))
            case _:
                if source.strip():
                    yield markdown.fenced(source.strip("\n"))

    def _with_attachments(self, text: str, attachments: Any) -> str:
        """Return the text of a cell with its pictures in place of their names."""

        def attached(found: re.Match[str]) -> str:
            bundle = _member(attachments, found[2])
            return self._picture(bundle if _is_object(bundle) else {}, found[1])

        def embedded(found: re.Match[str]) -> str:
            return self.pictures.add(data_of_url(found[2]), found[1])

        text = markdown.clean_characters(text).strip("\n")
        return _EMBEDDED.sub(embedded, _ATTACHED.sub(attached, text))

    def _output(self, output: dict[str, Any]) -> Iterator[str]:
        match output.get("output_type"):
            case "stream":
                yield _console(_text(output.get("text")))
            case "error" | "pyerr":
                lines = "\n".join(map(_text, output.get("traceback") or []))
                described = f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}"
                yield _console(lines or described)
            case _:
                data = output.get("data")
                yield self._shown(data if _is_object(data) else _of_version_3(output))

    def _shown(self, data: dict[str, Any]) -> str:
        """Return the richest form of an output that can be written."""
        plain = _text(data.get("text/plain"))
        if picture := self._picture(data, "" if plain.startswith("<") else plain):
            return picture
        if text := _text(data.get("text/markdown")):
            return markdown.clean_characters(text).strip("\n")
        page = _text(data.get("text/html"))
        if "<table" in page.lower() or not plain:
            text = self._html(page)
        if not text and (text := _text(data.get("text/latex")).strip()):
            text = text if text.startswith("$") else markdown.fenced(text, "latex")
        return text or _console(plain) or _json(data.get("application/json"))

    def _html(self, text: str) -> str:
        page = parsing.parse_html(text.encode(errors="replace"))
        found = walk.blocks_of(
            page.root, _Fragment(self.pictures), self._reading.merged_cells, self._heartbeat
        )
        return blocks.write(found)

    def _picture(self, data: dict[str, Any], alt: str) -> str:
        for kind in _PICTURES:
            if text := _text(data.get(kind)):
                try:
                    return self.pictures.add(base64.b64decode("".join(text.split())), alt)
                except (binascii.Error, ValueError):
                    return self.pictures.add(None, alt)
        return self.pictures.add(None, alt) if "image/svg+xml" in data else ""


class _Fragment(walk.WithoutNotes):
    """HTML in an output. What it refers to is never loaded."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures

    def picture(self, source: str, alt: str) -> str:
        return self._pictures.add(data_of_url(source), alt)

    def link(self, target: str) -> str:
        return walk.resolve("", target)


def _console(text: str) -> str:
    """Return what a terminal shows of an output, as a block of code."""
    text = _OVERWRITTEN.sub("", _ANSI.sub("", text).replace("\r\n", "\n"))
    text = text.replace("\r", "").strip("\n")
    return markdown.fenced(text) if text.strip() else ""


def _json(value: Any) -> str:
    if value is None:
        return ""
    return markdown.fenced(msgspec.json.format(msgspec.json.encode(value)).decode(), "json")


def _of_version_3(output: dict[str, Any]) -> dict[str, Any]:
    names = {"text": "text/plain", "html": "text/html", "png": "image/png", "jpeg": "image/jpeg",
             "latex": "text/latex", "svg": "image/svg+xml"}  # fmt: skip
    return {kind: output[name] for name, kind in names.items() if name in output}
