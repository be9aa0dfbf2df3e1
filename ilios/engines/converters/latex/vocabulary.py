"""Commands and environments of LaTeX, and what becomes of them."""

MAX_NESTING = 60
"""Levels of groups and arguments; deeper ones are walked over without their styles."""
LONGEST_ACCENTED = 10

HEADINGS = {"part": 1, "chapter": 1, "section": 2, "subsection": 3, "subsubsection": 4,
            "paragraph": 5, "subparagraph": 6}  # fmt: skip

_BOLD: dict[str, object] = {"bold": True}
_ITALIC: dict[str, object] = {"italic": True}
_CODE: dict[str, object] = {"code": True}
_STRUCK: dict[str, object] = {"strike": True}
_UPRIGHT: dict[str, object] = {"bold": False, "italic": False, "code": False}

STYLES: dict[str, dict[str, object]] = {
    "textbf": _BOLD, "textit": _ITALIC, "emph": _ITALIC, "textsl": _ITALIC, "texttt": _CODE,
    "sout": _STRUCK, "st": _STRUCK, "textsuperscript": {"superscript": True},
    "textsubscript": {"subscript": True}, "textnormal": _UPRIGHT,
}  # fmt: skip
DECLARATIONS: dict[str, dict[str, object]] = {
    "bf": _BOLD, "bfseries": _BOLD, "it": _ITALIC, "itshape": _ITALIC, "em": _ITALIC,
    "sl": _ITALIC, "slshape": _ITALIC, "tt": _CODE, "ttfamily": _CODE, "normalfont": _UPRIGHT,
}  # fmt: skip

CITATIONS = frozenset({
    "cite", "citep", "citet", "citealp", "citealt", "citeauthor", "citeyear", "parencite",
    "textcite", "autocite", "footcite", "nocite",
})  # fmt: skip
REFERENCES = {"ref": "{}", "eqref": "({})", "pageref": "{}", "autoref": "{}", "cref": "{}",
              "Cref": "{}", "nameref": "{}", "vref": "{}"}  # fmt: skip
FILES = frozenset({"input", "include", "subfile", "import", "bibliography", "addbibresource"})
"""Commands that name another file, which is never read."""

SECOND_SHOWN = frozenset({"textcolor", "colorbox", "raisebox", "scalebox", "resizebox", "parbox",
                          "foreignlanguage", "hyperref", "fcolorbox"})  # fmt: skip
"""Commands whose first argument is not shown; what follows is."""

IGNORED = {
    **dict.fromkeys((
        "label", "vspace", "hspace", "pagestyle", "thispagestyle", "bibliographystyle", "color",
        "usepackage", "documentclass", "hypersetup", "index", "phantom", "hphantom", "vphantom",
        "pagenumbering", "setlist", "graphicspath", "captionsetup", "newcounter", "stepcounter",
        "refstepcounter", "selectlanguage", "linespread", "printbibliography", "title", "author",
        "date", "usetikzlibrary", "geometry", "cellcolor", "rowcolor", "columncolor", "bibitem",
        "RequirePackage", "newlength", "usetheme", "glsresetall", "vskip", "hskip", "nocite",
        "newtheoremstyle", "theoremstyle", "counterwithin", "penalty", "includeonly",
    ), 1),
    **dict.fromkeys((
        "setlength", "addtolength", "setcounter", "addtocounter", "rule", "fontsize",
        "newtheorem", "definecolor", "newenvironment", "markboth", "addcontentsline",
        "pdfbookmark", "newcolumntype", "settowidth", "renewenvironment",
    ), 2),
    **dict.fromkeys((
        "centering", "raggedright", "raggedleft", "noindent", "indent", "tableofcontents",
        "listoffigures", "listoftables", "appendix", "small", "footnotesize", "scriptsize", "tiny",
        "normalsize", "large", "Large", "LARGE", "huge", "Huge", "selectfont", "frontmatter",
        "mainmatter", "backmatter", "hfill", "vfill", "hline", "protect", "relax", "upshape",
        "mdseries", "rmfamily", "sffamily", "rm", "sf", "sc", "scshape", "makeindex",
        "doublespacing",
        "onehalfspacing", "singlespacing", "pagebreak", "nopagebreak", "allowbreak", "sloppy",
        "left", "right", "null", "strut", "xspace", "begingroup", "endgroup", "ignorespaces",
        "unskip", "leavevmode", "qedhere", "footnotemark", "newblock", "item", "and", "boldmath",
    ), 0),
}  # fmt: skip
"""Commands that show nothing, with the number of their arguments."""

EQUATIONS = {
    "equation": "", "displaymath": "", "math": "", "multline": "", "align": "aligned",
    "gather": "gathered", "eqnarray": "aligned", "flalign": "aligned", "alignat": "aligned",
    "dmath": "",
}  # fmt: skip
"""Environments of equations, with the one that takes their place within dollar signs."""

DRAWINGS = frozenset({"tikzpicture", "picture", "pspicture", "axis", "asy", "circuitikz"})
LISTS = frozenset({"itemize", "enumerate", "description", "compactitem", "compactenum"})
NAMED = {"abstract": "Abstract", "proof": "Proof", "keywords": "Keywords"}
CONTAINERS = {"minipage": 1, "multicols": 1, "wrapfigure": 2, "adjustbox": 1, "subfigure": 1,
              "column": 1, "spacing": 1, "tabbing": 0}  # fmt: skip
"""Environments with arguments that are not shown."""
