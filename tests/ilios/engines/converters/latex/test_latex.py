"""LaTeX sources in Markdown: structure, references, macros, equations as they are."""

from pathlib import Path

import pytest

from actors.content_types import LATEX
from tests.ilios.engines.converters.markup import markdown_of, pages_of


def latex(body: str, path: Path, preamble: str = "") -> str:
    source = (
        f"\\documentclass{{article}}\n{preamble}\n\\begin{{document}}\n{body}\n\\end{{document}}"
    )
    return markdown_of(path / "a", LATEX, source)


@pytest.mark.parametrize(
    ("body", "markdown"),
    [
        (r"\section{A}\subsection*{B \emph{c}} d", "## A\n\n### B *c*\n\nd"),
        (r"\textbf{a \textit{b}} {\em c} \texttt{d\_e} x\textsuperscript{2}",
         "**a** ***b*** *c* `d_e` x<sup>2</sup>"),
        (r"50\% a\,b~c --- ``q'' caf\'e na\"{\i}ve \c{c}a \ss{} \LaTeX{} x",
         "50% a b\N{NO-BREAK SPACE}c — “q” café naïve ça ß LaTeX x"),
        ("a % hidden\nb\n\n%\nc", "a b\n\nc"),
        (r"\begin{enumerate}\item a\begin{itemize}\item b\end{itemize}\item c\end{enumerate}",
         "1. a\n   - b\n2. c"),
        (r"\begin{enumerate}\setcounter{enumi}{4}\item a\item[x)] b\end{enumerate}",
         "5. a\n- x) b"),
        (r"\begin{description}\item[T] d\end{description}", "- **T** d"),
        (r"In $a_1 * b$ and \(c\): \[ d \label{x} \]e", "In $a_1 * b$ and $c$:\n\n$$d$$\n\ne"),
        (r"\begin{align}a &= b \\ c &= d\end{align}",
         r"$$\begin{aligned}a &= b \\ c &= d\end{aligned}$$"),
        ("\\begin{verbatim}\n a % $b$\n\\end{verbatim}", "```\n a % $b$\n```"),
        ("\\begin{lstlisting}[language=Python]\ndef\n\\end{lstlisting}", "```python\ndef\n```"),
        (r"\verb|a_b%| \href{http://e.org/\%20a}{l} \url{http://x.org/~a}",
         "`a_b%` [l](http://e.org/%20a) [http://x.org/~a](http://x.org/~a)"),
        (r"a\footnote{b \textbf{c}} d", "a[^1] d\n\n[^1]: b **c**"),
        (r"\begin{quote}a\end{quote} \cite[p.~3]{k, l}", "> a\n\n[k, l, p.\N{NO-BREAK SPACE}3]"),
        (r"a\\b \unknown{c}\vspace{1cm} \textcolor{red}{d}", "a  \nb c d"),
        (r"\begin{itemize}\item a\\b\\c\end{itemize}", "- a  \n  b  \n  c"),
        (r"\href{javascript:x}{a} costs \$5", "a costs $5"),
        (r"\begin{thebibliography}{9}\bibitem{k} Knuth.\end{thebibliography}", "- [k] Knuth."),
    ],
)  # fmt: skip
def test_commands_become_what_they_mean(body: str, markdown: str, tmp_path: Path) -> None:
    assert latex(body, tmp_path) == markdown


def test_tables_have_their_cells_in_place(tmp_path: Path) -> None:
    body = r"""\begin{table}\begin{tabular}{|l|c|}\hline
A & B \& b \\[2pt] \toprule
\multirow{2}{*}{m} & $x$ \\ & \textbf{y} \\ \multicolumn{2}{c}{wide} \\ \bottomrule
\end{tabular}\caption{Cap}\end{table}"""
    assert latex(body, tmp_path).splitlines() == [
        "| A | B & b |",
        "| --- | --- |",
        "| m | $x$ |",
        "| m | **y** |",
        "| wide | wide |",
        "",
        "Cap",
    ]


def test_macros_are_expanded(tmp_path: Path) -> None:
    preamble = r"""\newcommand{\R}{\mathbb{R}}\newcommand{\pair}[2][x]{(#1, #2)}
\def\twice#1{#1#1}\DeclareMathOperator{\tr}{tr}"""
    body = r"$\R^2$ \pair{y} \pair[a]{b} \twice{z} $\tr A$"
    assert latex(body, tmp_path, preamble) == (
        r"$\mathbb{R}^2$ (x, y) (a, b) zz $\operatorname{tr} A$"
    )


def test_references_are_numbers(tmp_path: Path) -> None:
    body = r"""\section{A}\section{B}\label{b}\subsection{C}\label{c}
\begin{equation}\label{e}x\end{equation}\begin{figure}\caption{F}\label{f}\end{figure}
See \ref{b}, \ref{c}, \eqref{e}, \autoref{f}, \ref{none}."""
    text = latex(body, tmp_path)
    assert text.endswith("See 2, 2.1, (1), 1, none.")
    # What a reader is referred to has its number.
    assert text.startswith("## 1 A\n\n## 2 B\n\n### 2.1 C\n\n$$x\\tag{1}$$")
    assert "Figure 1: F" in text


def test_what_is_not_referred_to_has_no_number(tmp_path: Path) -> None:
    body = r"""\section{A}\label{a}\begin{equation}\label{e}x\end{equation}
\begin{thm}\label{t}b\end{thm}\begin{thm}c\end{thm}\cref{t}"""
    assert latex(body, tmp_path, r"\newtheorem{thm}{Theorem}") == (
        "## A\n\n$$x$$\n\n**Theorem 1.** b\n\n**Theorem 2.** c\n\n1"
    )


def test_the_title_and_theorems_have_their_names(tmp_path: Path) -> None:
    preamble = r"\title{T \emph{u}}\author{A}\newtheorem{thm}[x]{Theorem}"
    body = r"\maketitle\begin{abstract}b\end{abstract}\begin{thm}[E] c\end{thm}"
    assert latex(body, tmp_path, preamble) == (
        "# T *u*\n\nA\n\n**Abstract.** b\n\n**Theorem (E).** c"
    )


def test_other_files_and_drawings_are_named_and_left_out(tmp_path: Path) -> None:
    other = tmp_path / "other.tex"
    other.write_text("secret")
    source = rf"a\input{{{other}}}\begin{{tikzpicture}}\draw;\end{{tikzpicture}}b"
    (page,) = pages_of(tmp_path / "a", LATEX, source)
    assert page.result.markdown == "ab"
    (warning,) = page.result.warnings
    assert warning.code == "content_left_out"
    assert "other.tex" in warning.message
    assert "tikzpicture" in warning.message


def test_macros_without_end_are_given_up(tmp_path: Path) -> None:
    (page,) = pages_of(tmp_path / "a", LATEX, r"\def\a{\a\a x}start \a end")
    assert page.result.markdown.startswith("start")
    assert page.result.markdown.endswith("end")
    assert [warning.code for warning in page.result.warnings] == ["content_left_out"]
