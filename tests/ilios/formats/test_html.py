"""HTML of Markdown: the text of a document stays, what a document could do does not."""

import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilios.formats import fragments as fragments_module
from ilios.formats.declaration import Page
from ilios.formats.fragments import MAX_PIECE, PIECE, fragments

IMAGE = f"/api/documents/{'a' * 24}/images/{'0123456789abcdef' * 2}.png"
INLINE_TAGS = {"a", "img", "br", "span", "sup", "sub", "u", "s", "del", "ins", "mark", "b", "i"}
BLOCK_TAGS = {"p", "ul", "ol", "li", "blockquote", "pre", "code", "hr", "em", "strong"}
TABLE_TAGS = {"table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th"}
TAGS = INLINE_TAGS | BLOCK_TAGS | TABLE_TAGS | {f"h{level}" for level in range(1, 7)}
ATTRIBUTES = {
    "href",
    "title",
    "value",
    "rel",
    "src",
    "alt",
    "class",
    "id",
    "start",
    "colspan",
    "rowspan",
}


class Reader(HTMLParser):
    """Reads HTML as browsers do, and checks each tag; ``text`` is what a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        assert {name for name, _ in attrs} <= ATTRIBUTES
        for name, value in attrs:
            if name == "src":
                assert value == IMAGE
            elif name == "href":
                self.links.append(value or "")
                assert re.match(r"(https?|mailto|tel):|#", value or "", re.IGNORECASE)
        if tag not in ("br", "hr", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def close(self) -> None:
        super().close()
        assert self.open == []


def html(markdown: str, number: int = 1) -> str:
    return "".join(fragments(Page(number, markdown)))


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("# A *b*", "<h1>A <em>b</em></h1>\n"),
        ("10<sup>6</sup> H<SUB>2</SUB>O <u>x</u><br>y", None),
        ("a <surname> and 1 < 2", "<p>a &lt;surname&gt; and 1 &lt; 2</p>\n"),
        ("Title\n=====\n", "<h1>Title</h1>\n"),
        ("$a_1*b_2*c$ costs $5 or $6", None),
        ("7. seven\n8. eight", '<ol start="7">\n<li>seven</li>\n<li>eight</li>\n</ol>\n'),
        ("```py\na < b\n```", "<pre><code>a &lt; b\n</code></pre>\n"),
        ("~~old~~ \\*no\\*", "<p><s>old</s> *no*</p>\n"),
        ("a <!-- hidden --> b", "<p>a  b</p>\n"),
        (f"![A chart]({IMAGE})", f'<p><img src="{IMAGE}" alt="A chart"></p>\n'),
    ],
)
def test_markdown_becomes_html(markdown: str, expected: str | None) -> None:
    made = html(markdown)
    Reader(made)
    match markdown[:2]:
        case "10":
            expected = "<p>10<sup>6</sup> H<sub>2</sub>O <u>x</u><br>y</p>\n"
        case "$a":
            expected = '<p><span class="math">$a_1*b_2*c$</span> costs $5 or $6</p>\n'
    assert made == expected


def test_a_table_keeps_its_cells_and_their_alignment() -> None:
    made = html("Before:\n| a | b \\| c |\n|:--|--:|\n| `x|y` | **1** |\n| only |\nAfter.")
    assert made == (
        "<p>Before:</p>\n<table>\n<thead>\n"
        '<tr><th>a</th><th class="right">b | c</th></tr>\n</thead>\n<tbody>\n'
        '<tr><td>`x</td><td class="right">y`</td><td><strong>1</strong></td></tr>\n'
        "<tr><td>only</td></tr>\n</tbody>\n</table>\n<p>After.</p>\n"
    )


def test_a_table_written_as_html_keeps_its_spans_and_nothing_else() -> None:
    made = html(
        '<table onclick="x()" style="a">\n<tr><th colspan="2">A</th></tr>\n'
        '<tr><td rowspan=2>1 <b>2</b></td><td><script>alert(1)</script><a href="javascript:1">x</a>'
        "</td></tr></table>\n\nafter"
    )
    text = Reader(made).text
    assert '<th colspan="2">A</th>' in made
    assert '<td rowspan="2">1 <b>2</b></td>' in made
    assert "<script>alert(1)</script>x" in text
    assert made.endswith("</table>\n<p>after</p>\n")


def test_notes_lead_to_their_texts_on_the_same_page() -> None:
    made = html("A[^1] and B[^n].\n\n[^1]: Ibid.\n[^n]: *Two*", 7)
    assert '<sup><a href="#note-7-1"' in made
    assert '<sup id="note-7-1">1</sup> Ibid.\n<br><sup id="note-7-n">n</sup> <em>Two</em>' in made


def test_notes_of_several_paragraphs_are_no_code() -> None:
    made = html("A[^1]\n\n[^1]: One.\n\n    Two.\n\n    - Three\n\nEnd.\n\n    code")
    assert "</sup> One.</p>\n<p>Two.</p>\n<ul>\n<li>Three</li>\n</ul>\n<p>End.</p>\n" in made
    assert made.endswith("<pre><code>code\n</code></pre>\n")


def test_links_within_a_document_lead_to_headings_and_anchors() -> None:
    made = html('# The *end*, 2\n\n# The end 2\n\n[a](#the-end-2-1) <a id="x.1"></a>b [c](#x.1)')
    assert '<h1 id="the-end-2">' in made
    assert '<h1 id="the-end-2-1">' in made
    assert Reader(made).links == ["#the-end-2-1", "#x.1"]
    assert '<a id="x.1" rel' in made


def test_a_comment_between_two_lists_leaves_two_lists() -> None:
    assert html("1. a\n\n<!-- -->\n\n1. b").count("<ol>\n<li>") == 2
    assert "<p>" not in html("1. a\n\n<!-- -->\n\n1. b")


def test_links_that_are_defined_apart_are_links() -> None:
    made = html("See [the paper][p] and [1].\n\n[P]: https://a.example/x\n\n[1]: Smith")
    assert Reader(made).links == ["https://a.example/x"]
    assert "[1]: Smith" in made  # no address: a reader sees it


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '<a href="javascript:alert(1)">x</a>',
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#10;script:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](<java\tscript:alert(1)>)",
    "[x](vbscript:x)",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](//evil.example/)",
    "[x](/api/documents/secret)",
    "<javascript:alert(1)>",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    "![x](https://evil.example/pixel.png)",
    f"![x]({IMAGE}?a=1)",
    f'![x" onerror="alert(1)]({IMAGE})',
    '[x](https://a.example "t\\" onclick=\\"alert(1)")',
    '<sup onclick="alert(1)" id="page-1">1</sup>',
    "<br style='background:url(https://evil.example)'>",
    "<u><table><u></table></sup></u></td>",
    "<table><tr><td><iframe src=https://evil.example></table>",
    "<table><style>*{display:none}</style></table>",
    "<table><td><math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "```\n</code></pre><script>alert(1)</script>\n```",
    '``` x" onload="alert(1)\na\n```',
    "| <script>alert(1)</script> |\n|---|\n| [x](javascript:alert(1)) |\n| </table><script> |",
    "$</span><script>alert(1)</script>$",
    "[^x]: <script>a</script>",
    "# <script>alert(1)</script>",
    "<meta http-equiv=refresh content=0>",
    "<base href=https://evil.example>",
    "<form action=https://evil.example><input>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<!--><script>alert(1)</script>-->",
]


@pytest.mark.parametrize("markdown", HOSTILE)
def test_nothing_is_executed_or_fetched(markdown: str) -> None:
    for where in (markdown, f"- a\n  - {markdown}", f"> {markdown}", f"a *{markdown}* b"):
        Reader(html(where))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*HOSTILE, *"*_`[]()<>!$|-# \n\t", "\n\n", "word", "<u>", "</u>"])))
def test_whatever_is_put_together_is_sanitised_and_balanced(pieces: list[str]) -> None:
    Reader(html("".join(pieces)))


LINE = """
# H{0}
w{0} w{0}b
- w{0}
  1. w{0}
| w{0} | x{0} |
|---|---|
```
> w{0}
<name{0}>
w{0} <b{0}>
[w{0}]: x{0}
[^{0}]: w{0}
===
***
    w{0}
<table><td>w{0}
$w{0}$
[w{0}](y)
<sup>w{0}</sup>
"""
LINES = st.lists(st.sampled_from(LINE.splitlines()), max_size=40)  # one of them is empty


@settings(max_examples=300, deadline=None)
@given(LINES)
def test_every_word_of_a_page_is_in_its_html_once(lines: list[str]) -> None:
    markdown = "\n".join(line.replace("{0}", str(1000 + n)) for n, line in enumerate(lines))
    words = re.findall(r"[Hwx]1\d{3}b?", markdown)
    assert sorted(re.findall(r"[Hwx]1\d{3}b?", Reader(html(markdown)).text)) == sorted(words)


BOMBS = {
    "brackets": "[" * 100_000,
    "images": "![" * 50_000,
    "links": "[a](" * 25_000,
    "emphasis": "*a_ " * 25_000,
    "strong": "a**b" * 25_000,
    "quotes": ">" * 100_000,
    "lists": "".join(" " * (2 * n) + "- a\n" for n in range(600)),
    "items": "* a\n" * 5_000,
    "headings": "#\n" * 10_000,
    "backticks": "".join("`" * n + " a " for n in range(1, 800)),
    "fences": "```\n" * 10_000,
    "dollars": "$a $ $$" * 20_000,
    "tags": "<u>" * 30_000,
    "closing tags": "<u></sup>" * 40_000,
    "tables": "<table>" * 50_000,
    "comments": "<!--" * 25_000,
    "bars": "|" * 100_000,
    "wide table": "|a" * 9_000 + "\n" + "|-" * 9_000 + "\n" + "|\n" * 20_000,
    "many tables": "|a|\n|-|\n\n" * 5_000,
    "entities": "&" * 100_000,
    "notes": "[^1]" * 25_000,
    "note texts": "[^1]: a\n    b\n\n" * 8_000,
    "definitions": "[a]: https://x\n" * 25_000,
    "escapes": "\\[" * 50_000,
    "autolinks": "<https://a" * 40_000,
    "one line": "word " * 20_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_hostile_page_costs_no_more_than_its_length(name: str) -> None:
    markdown = BOMBS[name]
    if _seconds(markdown) >= 1.0:
        quarter = _fastest(markdown[: len(markdown) // 4])
        assert _fastest(markdown) < max(1.0, 10 * quarter)  # 16 would be quadratic


def _fastest(markdown: str) -> float:
    """Return the CPU seconds of the fastest of three runs, without what else the process does."""
    return min(_seconds(markdown) for _ in range(3))


def _seconds(markdown: str) -> float:
    started = time.process_time()
    pieces = [len(piece) for piece in fragments(Page(1, markdown))]
    assert max(pieces, default=0) < 100 * MAX_PIECE
    assert sum(pieces) < 100 * len(markdown)
    return time.process_time() - started


def test_a_page_of_very_many_blocks_is_shown_as_it_is_at_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fragments_module, "MAX_BLOCKS", 5000)
    made = html("# *a*\n" * 10_000)
    assert 5000 - PIECE // 6 <= made.count("<h1><em>a</em></h1>") <= 5000
    assert Reader(made).text.count("a") == 10_000


def test_a_block_too_long_to_be_parsed_is_shown_as_it_is() -> None:
    paragraph = "*a* <b> " * (MAX_PIECE // 8) + "end"
    made = html(f"# Title\n\n{paragraph}\n\n*next*")
    assert made.startswith("<h1>Title</h1>\n<pre>*a* &lt;b&gt; ")
    assert made.endswith("end</pre>\n<p><em>next</em></p>\n")
    assert Reader(made).text.split() == ["Title", *paragraph.split(), "next"]


def test_long_code_and_long_tables_stay_what_they_are() -> None:
    code = "x = 1 < 2\n" * 10_000
    assert html(f"```py\n{code}```") == f"<pre><code>{code.replace('<', '&lt;')}</code></pre>\n"
    rows = "".join(f"| {n} | *x* |\n" for n in range(5000))
    made = html(f"| a | b |\n|---|---|\n{rows}")
    assert made.count("<table>") == made.count("<tbody>") == made.count("</tbody>") == 1
    assert made.count("<tr>") == 5001
