"""Numbers that references of LaTeX show: of sections, figures, tables, equations, theorems."""

import re

from msgspec import Struct

_MARK = re.compile(
    r"\\(?P<section>part|chapter|section|subsection|subsubsection)(?P<star>\*?)(?![A-Za-z*])"
    r"|\\begin\{(?P<begin>[A-Za-z]{1,40})\*?\}|\\end\{(?P<end>[A-Za-z]{1,40})\*?\}"
    r"|\\caption(?![A-Za-z])|\\label\s*\{(?P<label>[^{}]{1,200})\}"
)
_LEVELS = {"chapter": 0, "section": 1, "subsection": 2, "subsubsection": 3}
_EQUATIONS = frozenset({"equation", "align", "gather", "multline", "eqnarray"})
EQUATION, _SECTION = "equation", "section"
_FLOATS = {"figure": "Figure ", "table": "Table ", "algorithm": "Algorithm ", "listing": "Listing "}
"""What stands before the number of a caption."""

_REFERENCE = re.compile(r"\\(?:eqref|autoref|[cCv]?ref)\s*\{([^{}]{1,1000})\}")

_LABEL = re.compile(r"\\label\s*\{[^{}]*\}|\\(?:nonumber|notag)(?![A-Za-z])")


class Numbers(Struct, frozen=True):
    """The numbers of a source: by label, and by the place behind the command that has one.

    Of sections, captions, equations and theorems those have their number shown that are referred
    to, and with a section, caption or theorem all of their kind.
    """

    of_labels: dict[str, str]
    shown: dict[int, str]


class _Numbered(Struct, frozen=True):
    place: int
    kind: str
    number: str


_NOTHING = _Numbered(-1, "", "")


def numbers_of(text: str, theorems: frozenset[str]) -> Numbers:
    """Return the numbers of a source."""
    labels: dict[str, _Numbered] = {}
    all_numbered: list[_Numbered] = []
    sections = [0, 0, 0, 0]
    counters: dict[str, int] = {}
    current = _NOTHING
    kinds: list[str] = []
    for found in _MARK.finditer(text):
        kind = ""
        if found["section"] in _LEVELS and not found["star"]:
            number = _next_section(sections, _LEVELS[found["section"]])
            current = _Numbered(found.end(), _SECTION, number)
            all_numbered.append(current)
        elif found["section"]:
            pass
        elif name := found["begin"]:
            kinds.append(name)
            if not found[0].endswith("*}") and (name in _EQUATIONS or name in theorems):
                kind = EQUATION if name in _EQUATIONS else name
        elif found["end"]:
            _close(kinds, found["end"])
        elif label := found["label"]:
            labels.setdefault(label.strip(), current)
        else:
            kind = next((kind for kind in reversed(kinds[-5:]) if kind in _FLOATS), "")
        if kind:
            counters[kind] = counters.get(kind, 0) + 1
            current = _Numbered(found.end(), kind, str(counters[kind]))
            all_numbered.append(current)
    referred = _referred(text, labels)
    whole_kinds = {one.kind for one in referred} - {EQUATION}
    shown = {
        one.place: f"{_FLOATS.get(one.kind, '')}{one.number}"
        for one in all_numbered
        if one.kind in whole_kinds or one in referred
    }
    return Numbers({label: one.number for label, one in labels.items()}, shown)


def _referred(text: str, labels: dict[str, _Numbered]) -> set[_Numbered]:
    names = (name.strip() for found in _REFERENCE.finditer(text) for name in found[1].split(","))
    return {labels[name] for name in names if name in labels}


def _next_section(sections: list[int], level: int) -> str:
    sections[level] += 1
    sections[level + 1 :] = [0] * (3 - level)
    return ".".join(map(str, sections[0 if sections[0] else 1 : level + 1]))


def _close(kinds: list[str], kind: str) -> None:
    if kind in kinds[-5:]:
        while kinds.pop() != kind:
            pass


def equation(text: str) -> str:
    """Return the LaTeX of an equation on one line, without its label."""
    return " ".join(_LABEL.sub("", text).split())
