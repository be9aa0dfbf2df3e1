"""Links that execute or embed are gone from Markdown that is passed through, and nothing else."""

import random
import time
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from ilios.engines.converters.unsafe_links import without_unsafe_links

PIECES = (
    *(
        "[a]",
        "](",
        "[",
        "]",
        "(",
        ")",
        "<",
        ">",
        '"',
        "'",
        "`",
        "``",
        "\\",
        "!",
        "|",
        "*",
        "=",
        "/",
    ),
    *("javascript:", "JaVaScRiPt&colon;", "data:", "java&#115;cript:", "&#x6A;avascript\\:"),
    *(" ", "\n", "\n\n", "> ", "- ", "    ", "\n| a |\n| --- |\n| ", "```\n", "# ", "1. "),
    *("<a href=", "<img src='", '<b title="', "</a>", "<!--", "-->", "<javascript:x>", "[a]: "),
    *("\n[a]: data:x\n", "[b](javascript:y)", '![c](<data:z> "t")', "http://x ", "word"),
)


class Addresses(HTMLParser):
    """Collects the addresses of links and images."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del tag
        self.found += [value or "" for name, value in attrs if name in ("href", "src")]


def unsafe_addresses(markdown: str) -> list[str]:
    parser = MarkdownIt("commonmark").enable("table")
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    reader = Addresses()
    reader.feed(parser.render(markdown).replace("<![", "<!"))  # not for this reader
    plain = ["".join(one.split()).lower() for one in reader.found]
    return [one for one in plain if one.startswith(("javascript:", "vbscript:", "data:"))]


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("a [t](javascript:x(1)) b", "a [t]() b"),
        ('![a]( <DATA:x> "t")', '![a]( <> "t")'),
        ("[t](java&#115;cript&colon;x)", "[t]()"),
        ("> [t](\n> vbscript\\:x)", "> [t](\n> )"),
        ("x <javascript:a*b*>", "x \\<javascript:a\\*b\\*>"),
        ("- [x]\n\n  [x]: data:y 't'\n", "- [x]\n\n  [x]: <> 't'\n"),
        ('<a title="a" href=" java\nscript:x">t</a>', '<a title="a" href="">t</a>'),
        ("t <img src=data:x alt=a>", 't <img src="" alt=a>'),
        ("<div>\n<a href='javascript:x'>\n</div>", '<div>\n<a href="">\n</div>'),
        ("| a | b |\n| - | - |\n| x \\| y | [t](javascript:a\\|b) |",
         "| a | b |\n| - | - |\n| x \\| y | [t]() |"),
        ("[a](x`y) [b](javascript:z) `", "[a](x`y) [b]() `"),
    ],
)  # fmt: skip
def test_an_address_that_executes_or_embeds_is_left_out(markdown: str, expected: str) -> None:
    assert unsafe_addresses(markdown)
    assert without_unsafe_links(markdown) == (expected, 1)


@pytest.mark.parametrize(
    "markdown",
    [
        "---\nurl: javascript:x\n---\n\ndata: 1, [t](http://x/javascript:y) *b*  \nend",
        "`[t](javascript:x)` and\n\n    [t](javascript:x)\n\n```\n<a href='data:x'>\n```",
        "> ~~~\n> [t](javascript:x)\n\n\\[t](javascript:x) \\<data:x> the javascript: scheme",
        "<script>\nlocation = 'javascript:x'\n</script>\n\n| `a` | data: |\n| - | - |",
    ],
)
def test_everything_else_stays_as_it_is(markdown: str) -> None:
    assert without_unsafe_links(markdown) == (markdown, 0)


def test_no_such_address_is_left_whatever_the_markdown() -> None:
    dice, unsafe = random.Random(7), 0
    for _ in range(4000):
        markdown = "".join(dice.choices(PIECES, k=dice.randint(1, 14)))
        unsafe += bool(unsafe_addresses(markdown))
        text, count = without_unsafe_links(markdown)
        assert not unsafe_addresses(text), (markdown, text)
        assert count or text == markdown
    assert unsafe > 300


@pytest.mark.parametrize("padding", ["\n" * 100_001, "[](x)" * 2001])
def test_in_very_long_texts_the_schemes_are_written_apart(padding: str) -> None:
    text, count = without_unsafe_links(f"[a](data&#58;x) &#x6a;avascript\\:{padding}")
    assert (text, count) == (f"[a](data%3Ax) &#x6a;avascript%3A{padding}", 2)


@pytest.mark.parametrize(
    "piece",
    ["[", "](javascript:", "](<", "`", "<a b='", "<a href=", "![", "[a]: ", "&#0", "> ", "<!--",
     "j&#9;", "- ", '](x "', "(", "| ", "<a b=' c=\" "],
)  # fmt: skip
def test_the_time_grows_with_the_size_only(piece: str) -> None:
    begun = time.process_time()
    without_unsafe_links("javascript: [a" + piece * (200_000 // len(piece)))
    assert time.process_time() - begun < 2
