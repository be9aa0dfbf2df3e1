"""Signs of mathematics and their commands in LaTeX."""

# ruff: noqa: RUF001  the signs are meant, not the letters that look like them

OPERATORS = {
    "\u2211": r"\sum", "\u220f": r"\prod", "\u2210": r"\coprod", "\u222b": r"\int",
    "\u222c": r"\iint", "\u222d": r"\iiint", "\u222e": r"\oint", "\u222f": r"\oiint",
    "\u2230": r"\oiiint", "\u22c3": r"\bigcup", "\u22c2": r"\bigcap", "\u22c0": r"\bigwedge",
    "\u22c1": r"\bigvee", "\u2a01": r"\bigoplus", "\u2a02": r"\bigotimes", "\u2a00": r"\bigodot",
    "\u2a04": r"\biguplus", "\u2a06": r"\bigsqcup",
}  # fmt: skip
"""Operators with limits."""

_NAMED = {
    "03b1": "alpha", "03b2": "beta", "03b3": "gamma", "03b4": "delta", "03b5": "epsilon",
    "03f5": "epsilon", "03b6": "zeta", "03b7": "eta", "03b8": "theta", "03d1": "vartheta",
    "03b9": "iota", "03ba": "kappa", "03bb": "lambda", "03bc": "mu", "00b5": "mu", "03bd": "nu",
    "03be": "xi", "03c0": "pi", "03d6": "varpi", "03c1": "rho", "03f1": "varrho", "03c3": "sigma",
    "03c2": "varsigma", "03c4": "tau", "03c5": "upsilon", "03c6": "varphi", "03d5": "phi",
    "03c7": "chi", "03c8": "psi", "03c9": "omega", "0393": "Gamma", "0394": "Delta",
    "2206": "Delta", "0398": "Theta", "039b": "Lambda", "039e": "Xi", "03a0": "Pi",
    "03a3": "Sigma", "03a5": "Upsilon", "03a6": "Phi", "03a8": "Psi", "03a9": "Omega",
    "2126": "Omega", "221e": "infty", "00d7": "times", "00f7": "div", "22c5": "cdot",
    "00b7": "cdot", "2219": "cdot", "2217": "ast", "2218": "circ", "2022": "bullet",
    "2264": "leq", "2265": "geq", "226a": "ll", "226b": "gg", "2260": "neq", "2261": "equiv",
    "2248": "approx", "223c": "sim", "2243": "simeq", "2245": "cong", "221d": "propto",
    "00b1": "pm", "2213": "mp", "2208": "in", "2209": "notin", "220b": "ni", "2282": "subset",
    "2286": "subseteq", "2283": "supset", "2287": "supseteq", "2229": "cap", "222a": "cup",
    "2205": "emptyset", "2227": "wedge", "2228": "vee", "00ac": "neg", "2200": "forall",
    "2203": "exists", "2204": "nexists", "2192": "to", "2190": "leftarrow",
    "2194": "leftrightarrow", "21d2": "Rightarrow", "21d0": "Leftarrow",
    "21d4": "Leftrightarrow", "2191": "uparrow", "2193": "downarrow", "21a6": "mapsto",
    "2202": "partial", "2207": "nabla", "2026": "ldots", "22ef": "cdots", "22ee": "vdots",
    "22f1": "ddots", "2225": "parallel", "22a5": "perp", "2220": "angle", "2295": "oplus",
    "2297": "otimes", "2234": "therefore", "2235": "because", "210f": "hbar", "2113": "ell",
    "2111": "Im", "211c": "Re", "2135": "aleph", "2032": "prime", "221a": "surd",
    "27e8": "langle", "27e9": "rangle", "230a": "lfloor", "230b": "rfloor", "2308": "lceil",
    "2309": "rceil", "2216": "setminus", "22a2": "vdash", "22a8": "models", "2016": "Vert",
}  # fmt: skip
_BOARD = {"ℝ": "R", "ℕ": "N", "ℤ": "Z", "ℚ": "Q", "ℂ": "C", "ℙ": "P", "ℍ": "H"}

LETTERS = {
    **{chr(int(code, 16)): f"\\{name}" for code, name in _NAMED.items()},
    **{sign: f"\\mathbb{{{letter}}}" for sign, letter in _BOARD.items()},
    "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "_": r"\_",
    "\\": r"\backslash", "\u2212": "-",
}  # fmt: skip

FUNCTIONS = frozenset((
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh",
    "tanh", "coth", "log", "ln", "lg", "exp", "lim", "limsup", "liminf", "max", "min", "sup",
    "inf", "det", "dim", "ker", "gcd", "deg", "arg", "hom", "Pr",
))  # fmt: skip

ACCENTS = {
    "\u0302": "hat", "^": "hat", "\u02c6": "hat", "\u0303": "tilde", "~": "tilde",
    "\u02dc": "tilde", "\u0304": "bar", "\u0305": "overline", "\u203e": "overline",
    "\u00af": "bar", "\u0307": "dot", "\u02d9": "dot", "\u0308": "ddot", "\u00a8": "ddot",
    "\u20db": "dddot", "\u0301": "acute", "\u00b4": "acute", "\u0300": "grave", "`": "grave",
    "\u0306": "breve", "\u02d8": "breve", "\u030c": "check", "\u02c7": "check",
    "\u20d7": "vec", "\u2192": "vec", "\u20d6": "overleftarrow", "\u20e1": "overleftrightarrow",
    "\u030a": "mathring", "\u033f": "overline",
}  # fmt: skip
"""Commands of accents by their characters."""

BRACES = {
    "\u23de": "overbrace", "\u23df": "underbrace", "\u2190": "overleftarrow",
    "\u2192": "overrightarrow", "\u2194": "overleftrightarrow", "\u00af": "overline",
    "\u203e": "overline", "_": "underline", "\u0332": "underline", "\u0305": "overline",
}  # fmt: skip

DELIMITERS = {
    "": ".", "{": r"\{", "}": r"\}", "\u2016": r"\|", "\u2225": r"\|", "\u27e8": r"\langle ",
    "\u27e9": r"\rangle ", "\u2329": r"\langle ", "\u232a": r"\rangle ", "\u230a": r"\lfloor ",
    "\u230b": r"\rfloor ", "\u2308": r"\lceil ", "\u2309": r"\rceil ", "\u27e6": "[[",
    "\u27e7": "]]",
}  # fmt: skip
"""Delimiters that are not written as they are."""
