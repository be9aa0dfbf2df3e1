"""What a browser shows of a page stands in its Markdown, and nothing else."""

import base64
import io
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

from actors.content_types import HTML
from actors.engines import Unconvertible
from ilios.engines.converters.web import html
from ilios.engines.pages import Reading
from tests.ilios.engines.converters.markup import markdown_of, pages_of


@cache
def picture() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((30, 30), 60).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("body", "markdown"),
    [
        ("<h2>A <em>b</em></h2><p>One\n two", "## A *b*\n\nOne two"),
        ("<ol start=4><li>a<li>b</ol>", "4. a\n5. b"),
        ("<ol reversed><li>a<li>b</ol>", "2. a\n<!-- -->\n1. b"),
        ("<ol type=a><li>x<li value=4>y</ol>", "- a. x\n- d. y"),
        ("<ol type=I start=4><li>x</ol>", "- IV. x"),
        ("<ul><li>a<ul><li>b</ul><li>c</ul>", "- a\n  - b\n- c"),
        ("<ol><li>a</ol><ol><li>b</ol>", "1. a\n\n<!-- -->\n\n1. b"),
        ("<ul><li><p>a<p>b</ul>", "- a\n\n  b"),
        ("<dl><dt>T<dd>d<dd>e</dl>", "**T**\n\n- d\n\n- e"),
        ("<pre><code class=language-sql>a\n  b</code></pre>", "```sql\na\n  b\n```"),
        ("<pre>a```b</pre>", "````\na```b\n````"),
        ("<blockquote><p>a<p>b</blockquote>", "> a\n>\n> b"),
        ("H<sub>2</sub>O 10<sup>6</sup> <del>x</del> <kbd>k</kbd>",
         "H<sub>2</sub>O 10<sup>6</sup> ~~x~~ `k`"),
        ("a<br>b<hr>c", "a  \nb\n\n* * *\n\nc"),
        ("<ul><li>a<br>b<br>c<li>d</ul>", "- a  \n  b  \n  c\n- d"),
        ("<blockquote>a<br>b<br>c</blockquote>", "> a  \n> b  \n> c"),
        ("<q>a</q> <ruby>b<rp>(</rp><rt>c</rt><rp>)</rp></ruby>", "“a” b(c)"),
        ("1. a<p># b<p>* c<p>---<p>&amp;lt;", "1\\. a\n\n\\# b\n\n\\* c\n\n\\---\n\n\\&lt;"),
        ("<details><summary>S</summary>in</details>", "**S**\n\nin"),
        ("<figure><img src=http://e.org/x.png alt='A [b]'><figcaption>F</figcaption></figure>",
         "![A (b)]()\n\nF"),
    ],
)  # fmt: skip
def test_elements_become_what_they_mean(body: str, markdown: str, tmp_path: Path) -> None:
    assert markdown_of(tmp_path / "a", HTML, f"<!doctype html><body>{body}") == markdown


@pytest.mark.parametrize(
    "hidden",
    [
        "<script>x</script>",
        "<style>x</style>",
        "<template><p>x</template>",
        "<noscript>x</noscript>",
        "<p hidden>x</p>",
        "<p style='color:red; Display : none'>x</p>",
        "<span style=visibility:hidden>x</span>",
        "<input type=hidden value=x>",
        "<input type=password value=x>",
        "<!-- x -->",
        "<iframe src=/x>x</iframe>",
        "<datalist><option>x</datalist>",
    ],
)
def test_what_a_browser_hides_is_left_out(hidden: str, tmp_path: Path) -> None:
    text = markdown_of(tmp_path / "a", HTML, f"<!doctype html>before {hidden} after")
    assert text.split() == ["before", "after"]


def test_links_lead_to_addresses_only(tmp_path: Path) -> None:
    body = (
        "<a href='/a?b=1'>rel</a> <a href='#c'>in</a> <a href='https://e.org/(d)'>abs</a> "
        "<a href='javascript:alert(1)'>js</a> <a href=' java\nscript:x'>js2</a> "
        "<a href='data:text/html,x'>data</a> <a href='mailto:a@e.org'>mail</a> <a>none</a>"
    )
    assert markdown_of(tmp_path / "a", HTML, body) == (
        "[rel](/a?b=1) in [abs](https://e.org/%28d%29) js js2 data [mail](mailto:a@e.org) none"
    )
    based = f"<base href='https://e.org/x/y'>{body}"
    assert "[rel](https://e.org/a?b=1)" in markdown_of(tmp_path / "a", HTML, based)


def test_merged_cells_are_in_all_their_places_or_in_one(tmp_path: Path) -> None:
    table = (
        "<table><tfoot><tr><td>f<td>g<td>h</tfoot><thead><tr><th>A<th colspan=2>B</thead>"
        "<tr><td rowspan=0>1<td>2<td>3<tr><td>4<td><p>p<ul><li>q</ul></table>"
    )
    assert markdown_of(tmp_path / "a", HTML, table).splitlines()[0] == "| A | B | B |"
    once = markdown_of(tmp_path / "a", HTML, table, Reading(merged_cells="once"))
    assert once.splitlines() == [
        "| A | B |  |",
        "| --- | --- | --- |",
        "| 1 | 2 | 3 |",
        "|  | 4 | p<br>- q |",
        "| f | g | h |",
    ]


def test_a_table_in_a_cell_stays_readable(tmp_path: Path) -> None:
    inner = "<table><tr><td>a<td>b<tr><td>c<td>d</table>"
    table = f"<table><tr><th>k<th>v<tr><td>x<td>{inner}</table>"
    assert markdown_of(tmp_path / "a", HTML, table).endswith("| x | a, b<br>c, d |")


def test_a_table_that_only_places_things_is_taken_apart(tmp_path: Path) -> None:
    table = "<table role=presentation><tr><td><h2>Left</h2>text<td><ul><li>right</ul></table>"
    assert markdown_of(tmp_path / "a", HTML, table) == "## Left\n\ntext\n\n- right"


def test_fields_show_what_is_in_them(tmp_path: Path) -> None:
    form = (
        "<form>Name <input value='Ann'><br><input type=checkbox checked>yes "
        "<input type=radio>no <select><option>1<option selected>2</select>"
        "<textarea>long</textarea><button>Send</button></form>"
    )
    assert markdown_of(tmp_path / "a", HTML, form) == "Name Ann\n[x] yes [ ] no 2 longSend"


@pytest.mark.parametrize(
    ("math", "latex"),
    [
        ("<mfrac><mi>a</mi><msup><mi>b</mi><mn>2</mn></msup></mfrac>", r"\frac{a}{b^{2}}"),
        ("<msqrt><mi>x</mi><mo>+</mo><mn>1</mn></msqrt>", r"\sqrt{x + 1}"),
        ("<munderover><mo>&#8721;</mo><mi>i</mi><mi>n</mi></munderover><mi>x</mi>",
         r"\sum_{i}^{n} x"),
        ("<mi>q</mi><annotation encoding='application/x-tex'>x_1^2</annotation>", "x_1^2"),
        ("<mi>sin</mi><mfenced><mi>&#945;</mi></mfenced>", r"\sin \left( \alpha \right)"),
    ],
)  # fmt: skip
def test_equations_become_latex(math: str, latex: str, tmp_path: Path) -> None:
    assert markdown_of(tmp_path / "a", HTML, f"<p>A <math>{math}</math>.") == f"A ${latex}$."
    block = f"<p>A <math display=block>{math}</math>"
    assert markdown_of(tmp_path / "a", HTML, block) == f"A\n\n$${latex}$$"


def test_the_title_is_the_heading_of_a_page_without_one(tmp_path: Path) -> None:
    head = "<!doctype html><title>T</title>"
    assert markdown_of(tmp_path / "a", HTML, f"{head}<p>x") == "# T\n\nx"
    assert markdown_of(tmp_path / "a", HTML, f"{head}<h1>H</h1>x") == "# H\n\nx"


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ("<meta charset=windows-1251>", "cp1251"),
        ("<meta http-equiv=content-type content='text/html; charset=Shift_JIS'>", "cp932"),
        ("<?xml version='1.0' encoding='koi8-r'?>", "koi8-r"),
        ("", "utf-8"),
        ("<meta charset=latin1>", "utf-8-sig"),
        ("", "utf-16"),
        ("<meta charset=utf-8>", "cp1252"),
    ],
)
def test_the_encoding_is_the_declared_one_or_found(
    head: str, encoding: str, tmp_path: Path
) -> None:
    word = {"cp1251": "Привет", "cp932": "日本語", "koi8-r": "Привет"}.get(encoding, "Grüße")
    page = f"{head}<html><p>{word}</p>".encode(encoding)
    assert markdown_of(tmp_path / "a", HTML, page) == word


def test_embedded_pictures_are_stored_and_others_described(tmp_path: Path) -> None:
    data = picture()
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    body = f"<img alt=inside src='{url}'><img alt=outside src=x.png><img src=dot.gif>"
    (page,) = pages_of(tmp_path / "a", HTML, body)
    assert page.result.markdown == "![inside](img-0.png)![outside]()"
    assert page.image_bytes == {"img-0.png": data}


def test_nesting_beyond_any_tree_costs_the_structure_and_no_text(tmp_path: Path) -> None:
    body = "<p>before" + "<div>" * 3000 + "inside" + "</div>" * 3000 + "<script>x</script><p>after"
    (page,) = pages_of(tmp_path / "a", HTML, body)
    assert page.result.markdown == "before\n\ninside\n\nafter"
    assert [warning.code for warning in page.result.warnings] == ["content_left_out"]


def test_a_page_without_bounds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "MAX_BYTES", 100)
    monkeypatch.setattr(html.read_bounded, "__defaults__", (100,))
    with pytest.raises(Unconvertible, match="at most 100"):
        markdown_of(tmp_path / "a", HTML, "<p>" + "x" * 200)
