"""A flow of paragraphs, lists and tables of RTF: the text, a note, a header."""

import re

import msgspec

from ilios.engines.converters.blocks import Block, Paragraph
from ilios.engines.converters.inline import Run
from ilios.engines.converters.list_levels import ListLevels
from ilios.engines.converters.rtf.state import Line
from ilios.engines.converters.rtf.tables import RowDefinition, Rows
from schemas.options import MergedCells

_SURROGATES = re.compile("[\ud800-\udfff]+")


class Story:
    """The blocks of a flow so far, and its open paragraph, list and table."""

    def __init__(self, merged: MergedCells | None) -> None:
        self.label: str | None = None
        self.row = RowDefinition()
        self._merged = merged
        self._blocks: list[Block] = []
        self._runs: list[Run] = []
        self._list = ListLevels()
        self._list_flow: list[Block] = self._blocks
        self._rows, self._nested_rows = Rows(), Rows()
        self._cell: list[Block] = []
        self._nested_cell: list[Block] = []
        self._cells: list[list[Block]] = []
        self._nested_cells: list[list[Block]] = []

    def add(self, run: Run) -> None:
        """Add text to the open paragraph."""
        if run.text:
            self._runs.append(run)

    def end_paragraph(self, line: Line, heading: int) -> None:
        """End the open paragraph."""
        if not line.in_table:
            self._close_table()
        flow = self._flow(line)
        if flow is not self._list_flow:
            self._list_flow += self._list.take()
            self._list_flow = flow
        label, self.label = self.label, None
        runs = self._take_runs()
        if not any(run.text.strip() for run in runs):
            return
        if label is None or heading:
            flow += self._list.take()
            shown = () if label is None or not label.strip() else (Run(f"{label.strip()} "),)
            flow.append(Paragraph((*shown, *(_not_bold(runs) if heading else runs)), heading))
        else:
            self._list.add(line.level, label, (Paragraph(runs),))

    def end_part(self, name: str, line: Line) -> None:
        """End a cell or a row of a table, or of one in a cell."""
        match name:
            case "cell":
                self._end_cell(line)
            case "row":
                self._end_row()
            case "nestcell":
                self._end_nested_cell(line)
            case "nestrow":
                self._end_nested_row()

    def _end_cell(self, line: Line) -> None:
        """End a cell of the row."""
        self.end_paragraph(msgspec.structs.replace(line, in_table=True, nesting=1), 0)
        self._close_nested()
        self._cells.append(self._cell + self._list.take())
        self._cell = []

    def _end_row(self) -> None:
        """End a row."""
        if self._cells:
            self._rows.add(self.row, self._cells)
        self._cells = []

    def _end_nested_cell(self, line: Line) -> None:
        """End a cell of a table in a cell."""
        self.end_paragraph(msgspec.structs.replace(line, in_table=True, nesting=2), 0)
        self._nested_cells.append(self._nested_cell + self._list.take())
        self._nested_cell = []

    def _end_nested_row(self) -> None:
        """End a row of a table in a cell."""
        if self._nested_cells:
            self._nested_rows.add(self.row, self._nested_cells)
        self._nested_cells = []

    def finish(self, line: Line, heading: int = 0) -> list[Block]:
        """Return the blocks of the flow."""
        self.end_paragraph(line, heading)
        self._close_table()
        return self._blocks + self._list.take()

    def _flow(self, line: Line) -> list[Block]:
        if not line.in_table:
            return self._blocks
        if line.nesting > 1:
            return self._nested_cell
        self._close_nested()
        return self._cell

    def _close_nested(self) -> None:
        self._end_nested_row()
        if self._nested_rows and (table := self._nested_rows.take(self._merged)):
            self._cell.append(table)

    def _close_table(self) -> None:
        """End a table, with the cells of a row that has no end."""
        self._close_nested()
        if self._cell:
            self._cells.append(self._cell + self._list.take())
            self._cell = []
        self._end_row()
        if self._rows:
            self._blocks += self._list.take()
            if table := self._rows.take(self._merged):
                self._blocks.append(table)

    def _take_runs(self) -> tuple[Run, ...]:
        runs, self._runs = self._runs, []
        return tuple(
            msgspec.structs.replace(run, text=_SURROGATES.sub(_joined, run.text))
            if _SURROGATES.search(run.text)
            else run
            for run in _merged_runs(runs)
        )


def _merged_runs(runs: list[Run]) -> list[Run]:
    """Join neighbours of one style: two halves of a character may be in two of them."""
    joined: list[tuple[Run, list[str]]] = []
    for run in runs:
        if joined and joined[-1][0].style == run.style:
            joined[-1][1].append(run.text)
        else:
            joined.append((run, [run.text]))
    return [msgspec.structs.replace(run, text="".join(texts)) for run, texts in joined]


def _joined(found: re.Match[str]) -> str:
    return found[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _not_bold(runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """Return the runs of a heading, which is bold by itself."""
    if not all(run.bold or not run.text.strip() for run in runs):
        return runs
    return tuple(msgspec.structs.replace(run, bold=False) for run in runs)
