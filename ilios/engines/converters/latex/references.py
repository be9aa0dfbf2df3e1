"""Numbers that references of LaTeX show: of sections, figures, tables, equations, theorems."""

import re

_MARK = re.compile(
    r"\\(?P<section>part|chapter|section|subsection|subsubsection)(?P<star>\*?)(?![A-Za-z*])"
    r"|\\begin\{(?P<begin>[A-Za-z]{1,40})\*?\}|\\end\{(?P<end>[A-Za-z]{1,40})\*?\}"
    r"|\\caption(?![A-Za-z])|\\label\s*\{(?P<label>[^{}]{1,200})\}"
)
_LEVELS = {"chapter": 0, "section": 1, "subsection": 2, "subsubsection": 3}
_EQUATIONS = frozenset({"equation", "align", "gather", "multline", "eqnarray"})
_FLOATS = frozenset({"figure", "table", "algorithm", "listing"})


def numbers_of(text: str, theorems: frozenset[str]) -> dict[str, str]:
    """Return the number that stands for each label of a source."""
    numbers: dict[str, str] = {}
    sections = [0, 0, 0, 0]
    counters: dict[str, int] = {}
    current = ""
    kinds: list[str] = []
    for found in _MARK.finditer(text):
        if found["section"] in _LEVELS and not found["star"]:
            current = _next_section(sections, _LEVELS[found["section"]])
        elif found["section"]:
            pass
        elif name := found["begin"]:
            kinds.append(name)
            starred = found[0].endswith("*}")
            if not starred and (name in _EQUATIONS or name in theorems):
                key = "equation" if name in _EQUATIONS else name
                counters[key] = counters.get(key, 0) + 1
                current = str(counters[key])
        elif found["end"]:
            _close(kinds, found["end"])
        elif label := found["label"]:
            numbers.setdefault(label.strip(), current)
        elif kind := next((kind for kind in reversed(kinds[-5:]) if kind in _FLOATS), None):
            counters[kind] = counters.get(kind, 0) + 1
            current = str(counters[kind])
    return numbers


def _next_section(sections: list[int], level: int) -> str:
    sections[level] += 1
    sections[level + 1 :] = [0] * (3 - level)
    return ".".join(map(str, sections[0 if sections[0] else 1 : level + 1]))


def _close(kinds: list[str], kind: str) -> None:
    if kind in kinds[-5:]:
        while kinds.pop() != kind:
            pass
