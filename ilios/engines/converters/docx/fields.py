"""Fields: their instructions, and which of their parts a reader sees (ECMA-376, part 1, 17.16)."""

import re

from msgspec import Struct

from ilios.engines.converters.docx.symbols import symbol
from ilios.engines.converters.docx.wordml import VAL, Element, W, integer, is_on, value

MAX_INSTRUCTION = 10_000
MAX_NESTED = 50
"""Fields inside of one another; deeper ones are not followed."""

_TOKEN = re.compile(r'"((?:\\.|[^"\\])*)"|(\\[A-Za-z*#@!])|(\S+)')

_RUBY = re.compile(r"\\o\\a\w\(\\s\\up ?\d+\(([^()]*)\) ?[,;]([^()]*)\)")
_FRACTION = re.compile(r"\\f ?\(([^(),;]*)[,;]([^()]*)\)")
_SWITCH = re.compile(r"\\\*? ?\w+|\"[^\"]*\"")


class Field(Struct):
    """A field that has begun and not ended. ``form`` is what its data show in place of a result."""

    instruction: str = ""
    in_result: bool = False
    form: bool = False
    shown: bool = False


class Fields:
    """The fields around a place in the text, from outside to inside."""

    def __init__(self) -> None:
        self._open: list[Field] = []
        self._deeper = 0

    @property
    def is_visible(self) -> bool:
        """Whether text here is shown: it is in the result of each field around it."""
        return not self._deeper and all(one.in_result and not one.form for one in self._open)

    @property
    def link(self) -> str:
        """The address of the innermost hyperlink around; empty without one."""
        for one in reversed(self._open):
            if one.in_result and (target := hyperlink(one.instruction)):
                return target
        return ""

    def instruct(self, text: str) -> None:
        """Add text to the instruction of the innermost field that is not yet in its result."""
        for one in reversed(self._open):
            if not one.in_result:
                if len(one.instruction) < MAX_INSTRUCTION:
                    one.instruction += text
                return

    def change(self, character: Element) -> str:
        """Follow a ``w:fldChar``; returns what the field shows by itself at this place."""
        kind = character.get(f"{W}fldCharType")
        if kind == "begin":
            if len(self._open) >= MAX_NESTED:
                self._deeper += 1
                return ""
            visible = self.is_visible
            shown = form_value(character.find(f"{W}ffData"))
            self._open.append(Field(form=shown is not None))
            return shown or "" if visible else ""
        if self._deeper:
            self._deeper -= kind == "end"
        elif kind == "separate" and self._open:
            self._open[-1].in_result = True
        elif kind == "end" and self._open:
            ended = self._open.pop()
            if self.is_visible and not ended.form and not ended.shown:
                return shown_by(ended.instruction)
        return ""

    def mark_shown(self) -> None:
        """Record that the result of the fields around has text."""
        for one in self._open:
            one.shown = True

    def end_paragraph(self) -> None:
        """Drop fields that have no result by now: their end may be missing in the file."""
        self._deeper = 0
        while self._open and not self._open[-1].in_result:
            self._open.pop()


def hyperlink(instruction: str) -> str:
    """Return the target of a HYPERLINK instruction; empty for another one."""
    if instruction.lstrip()[:9].upper() != "HYPERLINK":
        return ""
    address, anchor, switch = "", "", ""
    for quoted, option, bare in _TOKEN.findall(instruction.strip()[9:]):
        if option:
            switch = option.lower()
            continue
        text = re.sub(r"\\(.)", r"\1", quoted) if quoted else bare
        if switch == "\\l":
            anchor = text
        elif switch not in ("\\o", "\\t") and not address:
            address = text
        switch = ""
    return f"{address}#{anchor}" if anchor else address


def shown_by(instruction: str) -> str:
    """Return what a field without a result shows: a symbol, the text of a button."""
    name, _, rest = instruction.strip().partition(" ")
    match name.upper():
        case "SYMBOL":
            return _symbol(rest)
        case "MACROBUTTON" | "GOTOBUTTON":
            return rest.strip().partition(" ")[2].strip()
        case "EQ":
            return _old_equation(rest)
    return ""


def form_value(data: Element) -> str | None:
    """Return what a check box or a drop-down list of a form shows; None for any other field."""
    if data is None:
        return None
    box = data.find(f"{W}checkBox")
    if box is not None:
        states = [
            found for name in ("checked", "default") if (found := box.find(W + name)) is not None
        ]
        return checkbox(ticked=bool(states) and is_on(states[0]))
    choices = data.find(f"{W}ddList")
    if choices is None:
        return None
    entries: list[str] = [one.get(VAL, "") for one in choices.findall(f"{W}listEntry")]
    chosen = integer(value(choices, "result"))
    chosen = (integer(value(choices, "default")) if chosen is None else chosen) or 0
    return entries[chosen] if 0 <= chosen < len(entries) else ""


def checkbox(*, ticked: bool) -> str:
    """Return a box as Markdown."""
    return "[x]" if ticked else "[ ]"


def _old_equation(arguments: str) -> str:
    """Return the text of an EQ field: a fraction, text with its pronunciation, or all its texts."""
    if ruby := _RUBY.search(arguments):
        return f"{ruby[2]}({ruby[1]})"
    if fraction := _FRACTION.search(arguments):
        return f"{fraction[1].strip()}/{fraction[2].strip()}"
    return " ".join(_SWITCH.sub(" ", arguments).split())


def _symbol(arguments: str) -> str:
    tokens = [quoted or option or bare for quoted, option, bare in _TOKEN.findall(arguments)]
    if not tokens:
        return ""
    try:
        code = int(tokens[0], 0)
    except ValueError:
        return str(tokens[0])[:1]
    font = tokens[tokens.index("\\f") + 1] if "\\f" in tokens[:-1] else ""
    return symbol(font, code) or ""
