"""The walk over a prepared LaTeX source, from its commands and environments to blocks."""

import re
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from ilios.engines.converters.blocks import (
    MAX_DEPTH,
    Block,
    Code,
    Item,
    Items,
    Markup,
    Paragraph,
    Quote,
    Table,
    write_cell,
)
from ilios.engines.converters.inline import Run, safe_link
from ilios.engines.converters.latex import characters, vocabulary
from ilios.engines.converters.latex.flow import Flow
from ilios.engines.converters.latex.references import Numbers, equation
from ilios.engines.converters.latex.source import PLACEHOLDER, Source
from ilios.engines.converters.latex.structure import Structure
from ilios.engines.converters.latex.tables import ENVIRONMENTS, table_rows
from ilios.engines.converters.left_out_links import LeftOutLinks
from schemas.options import MergedCells

_TOKEN = re.compile(
    r"(?P<environment>\\begin\s*\{(?P<name>[^{}\n]{1,60})\})|\\end\s*\{[^{}\n]{1,60}\}"
    r"|(?P<math>\\\[|\\\(|\$\$?)|\\(?P<command>[A-Za-z@]+)\*?|\\(?P<symbol>.)"
    r"|(?P<paragraph>\n[ \t]*\n\s*)|(?P<verbatim>\ue000[0-9]{1,7}\ue001)|(?P<group>\{)|\}"
    r"|(?P<text>[^\\${}\n\ue000]+|\n)|.",
    re.DOTALL,
)
_ITEM = re.compile(r"\\begin\s*\{[^{}]*\}|\\item(?![A-Za-z])|\\.|\{", re.DOTALL)
_CLOSINGS = {"$": "$", "$$": "$$", "\\[": "\\]", "\\(": "\\)"}
_BIBLIOGRAPHY = re.compile(r"\\bibitem\s*(?:\[([^\]]{0,200})\])?\s*\{([^{}]{0,200})\}")
_COUNTER = re.compile(r"\\setcounter\s*\{enum[iv]{1,3}\}\s*\{(\d{1,6})\}")
_MAX_MATH = 20_000
_PROGRESS_EVERY = 2000  # tokens


class _Place(NamedTuple):
    """A part of the source, in a style, so many levels within others."""

    start: int
    end: int
    style: Run
    depth: int

    def inner(self, start: int, end: int, **changes: object) -> "_Place":
        return _Place(start, end, msgspec.structs.replace(self.style, **changes), self.depth + 1)


class Walk:
    """Converts one source. ``left_out`` names what is not in it."""

    def __init__(
        self,
        source: Source,
        numbers: Numbers,
        theorems: dict[str, str],
        merged: MergedCells | None,
        heartbeat: Callable[[], None],
    ) -> None:
        self.left_out: dict[str, None] = {}
        self.links = LeftOutLinks()
        self._source = source
        self._structure = Structure(source.text)
        self._text = source.text
        self._numbers = numbers
        self._theorems = theorems
        self._merged = merged
        self._heartbeat = heartbeat
        self._notes: list[list[Block]] = []
        self._title: dict[str, tuple[int, int]] = {}
        self._tokens = 0

    def document(self) -> list[Block]:
        """Return the blocks of the document, its notes at the end."""
        start, end = 0, len(self._text)
        begin = self._text.find(r"\begin{document}")
        if begin >= 0:
            self._read_title(begin)
            start = begin + len(r"\begin{document}")
            found = self._structure.environment_end(begin)
            end = found[0] if found else end
        blocks = self._blocks(_Place(start, end, Run(""), 0))
        for number, note in enumerate(self._notes, 1):
            mark = Run(f"[^{number}]: ", markup=True)
            match note:
                case [Paragraph(runs, 0), *rest]:
                    blocks += [Paragraph((mark, *runs)), *rest]
        return blocks

    def _blocks(self, place: _Place) -> list[Block]:
        flow = Flow()
        self._walk(place, flow)
        return flow.take()

    def _walk(self, place: _Place, flow: Flow) -> None:
        """Add a part of the source to a flow."""
        at = place.start
        style = place.style
        while at < place.end and (found := _TOKEN.match(self._text, at, place.end)):
            self._tokens += 1
            if self._tokens % _PROGRESS_EVERY == 0:
                self._heartbeat()
            at = found.end()
            here = _Place(found.start(), place.end, style, place.depth)
            if changed := vocabulary.DECLARATIONS.get(found["command"] or ""):
                style = msgspec.structs.replace(style, **changed)
            else:
                at = self._token(found, here, flow)

    def _token(self, found: re.Match[str], here: _Place, flow: Flow) -> int:
        """Add what begins with a token; returns where the next one is."""
        at = found.end()
        match found.lastgroup:
            case "text":
                flow.text(found[0], here.style)
            case "paragraph":
                flow.end_paragraph()
            case "verbatim":
                self._verbatim(found[0], flow)
            case "math":
                at = self._math(found[0], at, here.end, flow)
            case "group":
                at = self._group(here, flow)
            case "name" | "environment":
                at = self._environment(found["name"], here, at, flow)
            case "symbol":
                at = self._symbol(found["symbol"], here, at, flow)
            case "command":
                at = self._command(found["command"], here, at, flow)
        return at

    def _group(self, here: _Place, flow: Flow) -> int:
        end = self._structure.group_end(here.start)
        if end is None or end > here.end or here.depth >= vocabulary.MAX_NESTING:
            return here.start + 1
        self._walk(here.inner(here.start + 1, end), flow)
        return end + 1

    def _verbatim(self, placeholder: str, flow: Flow) -> None:
        found = PLACEHOLDER.fullmatch(placeholder)
        number = int(found[1]) if found else -1
        if 0 <= number < len(self._source.verbatim):
            verbatim = self._source.verbatim[number]
            if verbatim.inline:
                flow.shown(verbatim.text, Run("", code=True))
            else:
                flow.add(Code(verbatim.text, verbatim.language))

    def _math(self, opening: str, at: int, limit: int, flow: Flow) -> int:
        closing = _CLOSINGS[opening]
        end = at
        while True:
            end = self._text.find(closing, end, min(limit, at + _MAX_MATH))
            if end < 0:  # a dollar sign
                flow.shown("$" if "$" in opening else "", Run(""))
                return at
            if closing[0] == "\\" or self._text[end - 1] != "\\":
                break
            end += 1
        text = equation(self._text[at:end])
        if opening in ("$", "\\("):
            flow.markup(f"${text}$" if text else "")
        elif text:
            flow.add(Markup(f"$${text}$$"))
        return end + len(closing)

    def _symbol(self, symbol: str, here: _Place, at: int, flow: Flow) -> int:
        limit, style = here.end, here.style
        if symbol in characters.CONTROL_SYMBOLS:
            flow.shown(characters.CONTROL_SYMBOLS[symbol], style)
            if symbol == "\\":
                at += self._text.startswith("*", at)
                at = self._structure.option(at, limit)[1]
            return at
        if symbol in characters.ACCENTS:
            return self._accent(symbol, at, limit, style, flow)
        return at

    def _accent(self, accent: str, at: int, limit: int, style: Run, flow: Flow) -> int:
        found = self._structure.argument(at, limit)
        if found is None:
            return at
        letter = self._text[found[0] : found[1]]
        if len(letter) > vocabulary.LONGEST_ACCENTED:
            return at
        flow.shown(characters.accented(accent, letter), style)
        return found[2]

    def _command(self, name: str, here: _Place, at: int, flow: Flow) -> int:
        style, limit = here.style, here.end
        if name in characters.SYMBOLS:
            flow.shown(characters.SYMBOLS[name], style)
            # Blanks end the name of a command, and are not shown.
            return self._structure.skip_blanks(at) if self._text[at : at + 1] == " " else at
        if len(name) == 1 and name in characters.ACCENTS:
            return self._accent(name, at, limit, style, flow)
        if name in vocabulary.IGNORED:
            return self._skip(vocabulary.IGNORED[name], at, limit)
        if name in ("par", "bigskip", "medskip", "smallskip", "newpage", "clearpage"):
            flow.end_paragraph()
        elif name == "maketitle":
            self._show_title(here, flow)
        else:
            return self._with_argument(name, here, at, flow)
        return at

    def _skip(self, arguments: int, at: int, limit: int) -> int:
        at = self._structure.option(at, limit)[1]
        for _ in range(arguments):
            if found := self._structure.argument(at, limit):
                at = self._structure.option(found[2], limit)[1]
        return at

    def _with_argument(self, name: str, here: _Place, at: int, flow: Flow) -> int:
        """Convert a command by what is in its argument; of others only that is shown."""
        number = self._numbers.shown.get(at, "")
        option, at = self._structure.option(at, here.end)
        found = self._structure.argument(at, here.end)
        if found is None or here.depth >= vocabulary.MAX_NESTING:
            return at
        inner = here.inner(found[0], found[1])
        if level := vocabulary.HEADINGS.get(name):
            flow.end_paragraph()
            flow.shown(f"{number} " if number else "", Run(""))
            self._walk(inner, flow)
            flow.end_paragraph(level)
        elif styles := vocabulary.STYLES.get(name):
            self._walk(here.inner(found[0], found[1], **styles), flow)
        elif name in ("href", "url", "nolinkurl", "path"):
            return self._link(name, here, found, flow)
        elif name == "caption":
            flow.end_paragraph()
            flow.shown(f"{number}: " if number else "", Run(""))
            self._walk(inner, flow)
            flow.end_paragraph()
        elif name in vocabulary.SECOND_SHOWN or self._refer(name, option, inner, flow):
            return found[2]
        elif self._text[self._structure.skip_blanks(at)] == "{":
            self._walk(inner, flow)
        else:
            return at
        return found[2]

    def _refer(self, name: str, option: str, inner: _Place, flow: Flow) -> bool:
        """Add a reference to something else; whether the command is one."""
        argument = self._text[inner.start : inner.end].strip()
        if name in vocabulary.CITATIONS:
            keys = ", ".join(key.strip() for key in argument.split(","))
            flow.text(f"[{keys}, {option}]" if option else f"[{keys}]", inner.style)
        elif name in vocabulary.REFERENCES:
            number = self._reference(argument)
            flow.shown(vocabulary.REFERENCES[name].format(number), inner.style)
        elif name in ("footnote", "footnotetext", "thanks", "endnote"):
            note = self._blocks(_Place(inner.start, inner.end, Run(""), inner.depth))
            self._notes.append(note)
            flow.markup(f"[^{len(self._notes)}]")
        elif name in ("includegraphics", "includesvg", "includepdf"):
            flow.markup(f"![{argument[:200]}]()")
        elif name in vocabulary.FILES:
            # Of a long path the end, which has the name.
            self.left_out[f"\\{name}{{{argument[-80:]}}}"] = None
        else:
            return False
        return True

    def _reference(self, argument: str) -> str:
        """Return the numbers of labels, or a label itself where it has none."""
        names = [name.strip() for name in argument.split(",")]
        return ", ".join(self._numbers.of_labels.get(name) or name for name in names)

    def _link(self, name: str, here: _Place, found: tuple[int, int, int], flow: Flow) -> int:
        url = re.sub(r"\\([%#&_~{}])", r"\1", self._text[found[0] : found[1]]).strip()
        address = safe_link(self.links.checked(url))
        if name == "href":
            text = self._structure.argument(found[2], here.end)
            if text is not None:
                self._walk(here.inner(text[0], text[1], link=address), flow)
                return text[2]
        flow.shown(url, msgspec.structs.replace(here.style, link=address))
        return found[2]

    def _environment(self, name: str, here: _Place, at: int, flow: Flow) -> int:
        place = self._structure.environment_end(here.start)
        if place is None or place[1] > here.end:
            return at
        end, after = place
        plain = name.rstrip("*")
        if plain in vocabulary.EQUATIONS:
            text = equation(self._text[at:end])
            if inner := vocabulary.EQUATIONS[plain]:
                text = f"\\begin{{{inner}}}{text}\\end{{{inner}}}"
            if number := self._numbers.shown.get(at):
                text += f"\\tag{{{number}}}"
            flow.add(Markup(f"$${text}$$"))
        elif name in vocabulary.DRAWINGS:
            self.left_out[f"a drawing ({name})"] = None
        elif here.depth >= MAX_DEPTH:
            return at
        else:
            flow.end_paragraph()
            self._contained(plain, here, at, end, flow)
            flow.end_paragraph()
        return after

    def _contained(self, name: str, here: _Place, at: int, end: int, flow: Flow) -> None:
        """Add the content of an environment that is shown as it is, or with a name before it."""
        if name in ENVIRONMENTS:
            self._table(here, self._skip(ENVIRONMENTS[name], at, end), end, flow)
            return
        if name in vocabulary.LISTS:
            at = self._structure.option(at, end)[1]
            if items := self._items(here.inner(at, end), ordered=name == "enumerate"):
                flow.add(Items(items))
            return
        if name == "thebibliography":
            self._bibliography(here, self._skip(1, at, end), end, flow)
            return
        title, after = self._structure.option(at, end)
        inner = here.inner(self._skip(vocabulary.CONTAINERS.get(name, 0), after, end), end)
        if heading := self._theorems.get(name) or vocabulary.NAMED.get(name):
            numbered = f"{heading} {self._numbers.shown.get(at, '')}".strip()
            shown = f"{numbered} ({title})." if title else f"{numbered}."
            flow.shown(f"{shown} ", Run("", bold=True))
        if name in ("quote", "quotation", "verse"):
            if blocks := self._blocks(inner):
                flow.add(Quote(tuple(blocks)))
        else:
            self._walk(inner, flow)

    def _table(self, here: _Place, start: int, end: int, flow: Flow) -> None:
        def write(first: int, last: int) -> str:
            return write_cell(self._blocks(here.inner(first, last)))

        if rows := table_rows(self._structure, start, end, self._merged, write):
            flow.add(Table(rows))

    def _items(self, place: _Place, *, ordered: bool) -> tuple[Item, ...]:
        starts: list[tuple[int, int]] = []
        at = place.start
        while found := _ITEM.search(self._text, at, place.end):
            at = found.end()
            if found[0].startswith("\\begin"):
                inner = self._structure.environment_end(found.start())
                at = inner[1] if inner else at
            elif found[0] == "{":
                at = (self._structure.group_end(found.start()) or found.start()) + 1
            elif found[0] == "\\item":
                starts.append((found.start(), at))
        items = []
        ends = [start for start, _ in starts[1:]] + [place.end]
        head = self._text[place.start : starts[0][0]] if starts else ""
        counter = _COUNTER.search(head)
        first = int(counter[1]) + 1 if counter else 1
        for number, ((_, start), end) in enumerate(zip(starts, ends, strict=True), first):
            before = self._structure.skip_blanks(start) + 1
            label, body = self._structure.option(start, end)
            flow = Flow()
            if label:
                labelled = place.inner(before, before + len(label), bold=not ordered)
                self._walk(labelled, flow)
                flow.shown(" ", Run(""))
            self._walk(place.inner(body, end), flow)
            if blocks := flow.take():
                items.append(Item(tuple(blocks), number if ordered and not label else None))
        return tuple(items)

    def _bibliography(self, here: _Place, start: int, end: int, flow: Flow) -> None:
        found = list(_BIBLIOGRAPHY.finditer(self._text, start, end))
        items = []
        for entry, following in zip(found, [*found[1:], None], strict=True):
            stop = following.start() if following else end
            blocks = self._blocks(here.inner(entry.end(), stop))
            label = entry[1] or entry[2]
            items.append(Item(tuple(blocks), label=f"[{label}]"))
        if items:
            flow.add(Items(tuple(items)))

    def _read_title(self, before: int) -> None:
        for found in re.finditer(r"\\(title|author|date)(?![A-Za-z])", self._text[:before]):
            at = self._structure.option(found.end(), before)[1]
            if place := self._structure.argument(at, before):
                self._title[found[1]] = (place[0], place[1])

    def _show_title(self, here: _Place, flow: Flow) -> None:
        for name, level in (("title", 1), ("author", 0), ("date", 0)):
            if place := self._title.get(name):
                flow.end_paragraph()
                self._walk(here.inner(*place), flow)
                flow.end_paragraph(level)
