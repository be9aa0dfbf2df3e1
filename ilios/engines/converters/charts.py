"""The data of a chart as Markdown tables, from the XML of its part alone.

Charts of all kinds (those of DrawingML, and since Office 2016 those with ``cx:``: waterfall,
treemap, histogram) have series of values by category or by a second number, and copies of both.
The workbook they come from is not opened.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from ilios.engines.converters import markdown
from ilios.engines.converters.chart_values import (
    NO_VALUES,
    ValueReader,
    Values,
    natural,
    rich_text,
)

CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
CHART_EX = "{http://schemas.microsoft.com/office/drawing/2014/chartex}"

MAX_SERIES = 500
MAX_AXES = 20
MAX_CELLS = 50_000
"""Cells of all tables of a chart; further rows are left out."""


class ChartText(Struct, frozen=True):
    """A chart as Markdown: title and tables. ``left_out`` names what exceeds the bounds, if any."""

    markdown: str
    left_out: str = ""


class _Series(Struct, frozen=True):
    """A series: values by category, or by the numbers ``across`` with the sizes of bubbles."""

    name: str
    values: Values
    categories: Sequence[Values] = ()
    across: Values | None = None
    sizes: Values | None = None
    order: int = 0
    numbered: bool = True
    """Whether categories without a text are shown as numbers."""

    @property
    def is_points(self) -> bool:
        return self.across is not None or self.sizes is not None


class _Axes(Struct, frozen=True):
    """The titles of the axes: of the one across, and of the others."""

    across: str = ""
    others: Sequence[str] = ()


Rows = list[list[str]]


def chart_tables(root: Any) -> ChartText:
    """Return the title and the data of a chart, by the root element of its part."""
    reader = ValueReader(dates_from_1904=_is_on(root.find(f"{CHART}date1904")))
    if str(root.tag).startswith(CHART_EX):
        title = _title(root.find(f"{CHART_EX}chart/{CHART_EX}title"))
        axes = _extended_axes(root)
        series = list(_extended_series(root, reader))
    else:
        title = _title(root.find(f"{CHART}chart/{CHART}title"))
        area = root.find(f"{CHART}chart/{CHART}plotArea")
        axes = _Axes() if area is None else _axes(area)
        found = [] if area is None else list(area.iterfind(f"*/{CHART}ser"))
        series = sorted((_one_series(one, reader) for one in found), key=lambda one: one.order)
    tables = _Tables(axes)
    pieces = [f"**{title}**" if title else "", ", ".join(axes.others)]
    pieces += map(markdown.table, tables.of(series[:MAX_SERIES]))
    left_out = (
        (len(series) - MAX_SERIES, "series"),
        (tables.left_out, "rows"),
        (reader.left_out, "points"),
    )
    named = ", ".join(f"{count} {what} of a chart" for count, what in left_out if count > 0)
    return ChartText("\n\n".join(filter(None, pieces)), named)


def _one_series(element: Any, reader: ValueReader) -> _Series:
    def child(name: str) -> Any:
        return element.find(f"{CHART}{name}")

    across, sizes, order = child("xVal"), child("bubbleSize"), child("order")
    values = child("val")
    return _Series(
        name=_title(child("tx")),
        values=reader.first(child("yVal") if values is None else values).with_labels(
            _labels(element)
        ),
        categories=reader.levels(child("cat")),
        across=None if across is None else reader.first(across),
        sizes=None if sizes is None else reader.first(sizes),
        order=0 if order is None else natural(order.get("val")) or 0,
    )


def _labels(series: Any) -> dict[int, str]:
    """Return the labels that are typed for single points."""
    labels: dict[int, str] = {}
    for label in series.iterfind(f"{CHART}dLbls/{CHART}dLbl"):
        number = label.find(f"{CHART}idx")
        place = None if number is None else natural(number.get("val"))
        text = rich_text(label.find(f"{CHART}tx"))
        if text and place is not None:
            labels[place] = text
    return labels


def _extended_series(root: Any, reader: ValueReader) -> Iterator[_Series]:
    """Yield the series of a ``cx:`` chart, whose data stand apart with a number."""
    data = {one.get("id"): one for one in root.iterfind(f"{CHART_EX}chartData/{CHART_EX}data")}
    for element in root.iter(f"{CHART_EX}series"):
        number = element.find(f"{CHART_EX}dataId")
        source = None if number is None else data.get(number.get("val"))
        if source is not None:
            yield _Series(
                name=_title(element.find(f"{CHART_EX}tx")),
                values=reader.first(source.find(f"{CHART_EX}numDim")),
                categories=reader.levels(source.find(f"{CHART_EX}strDim")),
                numbered=False,
            )


def _axes(area: Any) -> _Axes:
    """Return the titles of the axes; where all have numbers, the first is the one across."""
    axes = [one for one in area if str(one.tag).endswith(("catAx", "dateAx", "valAx", "serAx"))]
    by_number = [str(axis.tag).endswith("valAx") for axis in axes]
    place = 0 if all(by_number) else by_number.index(False)
    titles = [_title(axis.find(f"{CHART}title")) for axis in axes[:MAX_AXES]]
    across = titles[place] if place < len(titles) else ""
    others = [title for at, title in enumerate(titles) if title and at != place]
    return _Axes(across, list(dict.fromkeys(others)))


def _extended_axes(root: Any) -> _Axes:
    path = f"{CHART_EX}chart/{CHART_EX}plotArea/{CHART_EX}axis/{CHART_EX}title"
    titles = [title for one in root.findall(path)[:MAX_AXES] if (title := _title(one))]
    return _Axes(others=titles)


def _title(element: Any) -> str:
    """Return a title or a name, which is typed or comes from a cell."""
    if element is None:
        return ""
    cells = element.iter(f"{CHART}v", f"{CHART_EX}v")
    return rich_text(element) or markdown.one_line(" ".join(cell.text or "" for cell in cells))


def _is_on(element: Any) -> bool:
    return element is not None and element.get("val", "1") in ("1", "true")


class _Tables:
    """Makes the tables of one chart within the bound of their cells."""

    def __init__(self, axes: _Axes) -> None:
        self._across = axes.across
        self._left = MAX_CELLS
        self.left_out = 0

    def of(self, series: Sequence[_Series]) -> Iterator[Rows]:
        """Yield a table for the series with equal categories, and one for points in a plane."""
        plain = [one for one in series if not one.is_points]
        # One without categories takes those of the others.
        usual = next((one.categories for one in plain if one.categories), ())
        groups: list[tuple[Sequence[Values], list[_Series]]] = []
        for one in plain:
            categories = one.categories or usual
            group = next((group for same, group in groups if same == categories), None)
            if group is None:
                groups.append((categories, [one]))
            else:
                group.append(one)
        for categories, group in groups:
            yield self._by_category(categories, group, self._across)
        points = [one for one in series if one.is_points]
        if points:
            yield self._by_point(points, self._across or "X")

    def _by_category(
        self, categories: Sequence[Values], group: Sequence[_Series], across: str
    ) -> Rows:
        columns = [*categories, *(one.values for one in group)]
        places = self._bounded(sorted({place for one in columns for place in one.texts}), columns)
        labels = [level.filled(places) for level in reversed(categories[1:])]
        labels += categories[:1]
        if not labels and group[0].numbered:
            labels = [Values({place: str(place + 1) for place in places})]
        rows = [[*([""] * (len(labels) - 1)), *([across] if labels else [])]]
        rows[0] += [one.name for one in group]
        columns = [*labels, *(one.values for one in group)]
        rows += [[column.text(place) for column in columns] for place in places]
        return rows

    def _by_point(self, series: Sequence[_Series], across: str) -> Rows:
        """Return points with their numbers; series with the same ones across side by side."""
        sized = any(one.sizes is not None for one in series)
        alike = all(one.across == series[0].across for one in series)
        if alike and not sized:
            return self._by_category([series[0].across or NO_VALUES], series, across)
        several = len(series) > 1
        value = "Y" if several else series[0].name or "Y"
        rows = [[*(["Series"] if several else []), across, value, *(["Size"] if sized else [])]]
        for one in series:
            columns = [one.across or NO_VALUES, one.values]
            columns += [one.sizes or NO_VALUES] if sized else []
            places = sorted({place for column in columns for place in column.texts})
            for place in self._bounded(places, columns):
                cells = [column.text(place) for column in columns]
                rows.append([one.name, *cells] if several else cells)
        return rows

    def _bounded(self, places: list[int], columns: Iterable[Values]) -> list[int]:
        """Return as many of the rows at these places as there is room for, and count the others."""
        width = sum(1 for _ in columns) or 1
        within = places[: self._left // width]
        self._left -= len(within) * width
        self.left_out += len(places) - len(within)
        return within
