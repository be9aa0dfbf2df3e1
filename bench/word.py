"""The CPU time of a long DOCX: 200 pages of text, headings, lists, tables, notes and links."""

import tempfile
import time
from pathlib import Path

from ilios.engines.converters.docx.convert import convert
from ilios.engines.local.limits import EngineLimits
from tests.word_documents import docx, field, level, notes, numbering, p, run, table, tr

PARAGRAPHS_PER_PAGE = 8
SENTENCE = "The keeper of the lighthouse writes down each ship that passes and its hour. "


async def measure(pages: int = 200, rounds: int = 3) -> None:
    """Convert a DOCX of so many pages (500 words each) in this process."""
    made = docx(
        *(block for page in range(pages) for block in _page(page)),
        numbers=numbering({1: level(0) + level(1, "lowerLetter", "%2)")}),
        parts=notes("footnotes", {str(page): p(SENTENCE) for page in range(2, pages)}),
        related={"u": ("hyperlink", "https://u.example/"), "n": ("footnotes", "footnotes.xml")},
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.docx"
        path.write_bytes(made)
        for _ in range(rounds):
            began = time.process_time()
            done = convert(path, EngineLimits(), lambda *_: None)
            spent = time.process_time() - began
            words = len(done.pages[0].result.markdown.split())
            print(f"{pages} pages, {words} words: {spent:.2f} s of CPU")


def _page(page: int) -> list[str]:
    blocks = [p(f"Chapter {page}", style=f"heading{page % 3 + 1}")]
    for _ in range(PARAGRAPHS_PER_PAGE):
        halves = run(SENTENCE, "<w:b/>") + run(SENTENCE * 2) + run(SENTENCE[:20], "<w:i/>")
        link = f'<w:hyperlink r:id="u">{run("a ship")}</w:hyperlink>'
        blocks.append(p(halves, link, field("REF a", run(f"{page}")), run(" " + SENTENCE)))
    blocks += [p(SENTENCE, number=(1, item % 2)) for item in range(4)]
    blocks.append(table(*(tr("Ship", "Hour", f"{row}") for row in range(5))))
    note = f'<w:r><w:footnoteReference w:id="{page}"/></w:r>'
    return [*blocks, p(SENTENCE, note)]
