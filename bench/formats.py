"""Rendering of documents in each output format: processor time and size."""

import resource
import time

from actors.engines import Conversion
from ilios.formats import FORMATS
from ilios.formats.declaration import FormatOptions

PAGES = 200
ROWS = 100_000
COLUMNS = 10
PARAGRAPH = (
    "The barge went through the lock at noon, and **nobody** was there to see it; the keeper had "
    "left a note of [his times](https://example.com/times) on the door. "
)
TABLE = "| year | barges | tons |\n|---|---:|---:|\n" + "".join(
    f"| {1900 + year} | {year * 37} | {year * 5141} |\n" for year in range(12)
)
LIST = "".join(f"- point {number} of the list\n" for number in range(6))
PAGE = "\n\n".join(["# Chapter of the lock", *[PARAGRAPH * 3] * 5, TABLE, LIST])


async def measure() -> None:
    """Print what a book, the same on one page, and a long sheet cost in each format."""
    row = "| " + " | ".join(f"{column} R&D" for column in range(COLUMNS)) + " |\n"
    sheet = "|" + "a|" * COLUMNS + "\n|" + "-|" * COLUMNS + "\n" + row * ROWS
    for what, pages in (
        (f"{PAGES} pages", (PAGE,) * PAGES),
        (f"{PAGES} pages as one", ("\n\n".join([PAGE] * PAGES),)),
        (f"a sheet of {ROWS:,} rows", (sheet,)),
    ):
        print(f"{what}, {sum(map(len, pages)):,} characters")
        for name, output in FORMATS.items():
            started = time.process_time()
            conversion = Conversion(pages, "local", "local-1", seconds=1.0)
            text = output.print("book.pdf", conversion, FormatOptions())
            seconds = time.process_time() - started
            print(f"  {name:9} {seconds:6.3f} s of CPU, {len(text):,} characters")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"at most {peak} MB, with all of it in memory")
