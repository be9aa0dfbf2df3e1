"""CPU time and memory of large spreadsheets, each converted by a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import spreadsheets
from tests.spreadsheets import Worksheet

ROWS = 100_000
CPU_SECONDS, MEMORY_MB = 5.0, 500
MEASURE = """
import resource, sys
from importlib import import_module
from pathlib import Path
from ilios.engines.local.limits import EngineLimits
converter = import_module("ilios.engines.converters.sheets." + sys.argv[1])
(page,) = converter.convert(Path(sys.argv[2]), EngineLimits(), lambda done, total: None).pages
used = resource.getrusage(resource.RUSAGE_SELF)
print(page.result.markdown.count("\\n"), used.ru_utime + used.ru_stime, used.ru_maxrss // 1024)
"""


def large_xlsx() -> bytes:
    """Return ten columns of numbers, dates, amounts, shared and other texts."""
    codes = ["yyyy-mm-dd", '#,##0.00 "€"', "0.0%"]
    rows = "".join(
        f'<row r="{n}"><c r="A{n}"><v>{n}</v></c><c r="B{n}" t="s"><v>{n % 50_000}</v></c>'
        f'<c r="C{n}" s="1"><v>{40_000 + n % 2_000}</v></c><c r="D{n}" s="2"><v>{n / 7}</v></c>'
        f'<c r="E{n}" s="3"><v>{n / 1e6}</v></c><c r="F{n}" t="b"><v>{n % 2}</v></c>'
        f'<c r="G{n}" t="s"><v>{n % 5}</v></c><c r="H{n}"><f>A{n}*2</f><v>{n * 2}</v></c>'
        f'<c r="I{n}" t="inlineStr"><is><t>note {n}</t></is></c><c r="J{n}"><v>{n / 3}</v></c>'
        "</row>"
        for n in range(1, ROWS + 1)
    )
    strings = "".join(f"<si><t>Customer {n}</t></si>" for n in range(50_000))
    return spreadsheets.xlsx({"One": Worksheet(rows)}, codes=codes, strings=strings)


@pytest.mark.long
def test_a_hundred_thousand_rows_take_five_seconds_and_500_mb(tmp_path: Path) -> None:
    file = tmp_path / "large.xlsx"
    file.write_bytes(large_xlsx())
    ran = subprocess.run(
        [sys.executable, "-c", MEASURE, "xlsx", str(file)],
        capture_output=True,
        check=True,
        text=True,
    )
    lines, seconds, megabytes = map(float, ran.stdout.split())
    print(f"{seconds:.2f} s of CPU time, {megabytes:.0f} MB")
    assert lines == ROWS + 2
    assert seconds <= CPU_SECONDS
    assert megabytes <= MEMORY_MB
