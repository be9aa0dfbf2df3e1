"""Prices of conversions: a table of page prices by date, and a margin.

All money is in whole micros, millionths of a US dollar: cents are too coarse for a page price, and
floats are not exact.
"""

from collections.abc import Iterable
from datetime import date

from msgspec import Struct

MARGIN_PERCENT = 30
LOCAL_MICROS = 1_000
ANY_MODEL = "*"
"""In a row: every model of the engine."""
PLAIN, BATCH, ANNOTATED = "plain", "batch", "annotated"
"""Variants: as usual, in cheaper batches of the engine, with annotations."""


class PriceRow(Struct, frozen=True):
    """Price of a page in ``micros`` from the day ``since`` until a later row for the same."""

    engine: str
    model: str
    since: date
    micros: int
    variant: str = PLAIN


class Price(Struct, frozen=True, kw_only=True):
    """The price of a conversion. ``since`` is the date of its row.

    A price is ``assumed`` if the table has no row for the model or its variant.
    """

    unit_micros: int
    base_micros: int
    margin_percent: int
    total_micros: int
    since: date
    assumed: bool


_MAY_2025, _DECEMBER_2025 = date(2025, 5, 1), date(2025, 12, 1)
_JUNE_2026, _JULY_2026 = date(2026, 6, 23), date(2026, 7, 16)


def _rows(
    model: str, since: date, micros: int, annotated: int, engine: str = "mistral"
) -> tuple[PriceRow, ...]:
    """Return the rows of a model whose batches cost half."""
    return (
        PriceRow(engine, model, since, micros),
        PriceRow(engine, model, since, micros // 2, BATCH),
        PriceRow(engine, model, since, annotated, ANNOTATED),
    )


# As published in August 2026. The alias moved to dearer models, so it has its own rows. A model
# named by year and month counts from the first of that month.
PRICES: tuple[PriceRow, ...] = (
    PriceRow("local", ANY_MODEL, date.min, LOCAL_MICROS),
    *_rows("mistral-ocr-2505", _MAY_2025, 1_000, 3_000),
    *_rows("mistral-ocr-2512", _DECEMBER_2025, 2_000, 3_000),
    *_rows("mistral-ocr-4-0", _JUNE_2026, 4_000, 5_000),
    *_rows("mistral-ocr-4-1", _JULY_2026, 4_000, 5_000),
    *_rows("mistral-ocr-4", _JULY_2026, 4_000, 5_000),
    *_rows("mistral-ocr-latest", _MAY_2025, 1_000, 3_000),
    *_rows("mistral-ocr-latest", _DECEMBER_2025, 2_000, 3_000),
    *_rows("mistral-ocr-latest", _JUNE_2026, 4_000, 5_000),
)


class Pricing(Struct, frozen=True, kw_only=True):
    """A table of prices, and the margin in whole percent that is added."""

    table: tuple[PriceRow, ...] = PRICES
    margin_percent: int = MARGIN_PERCENT

    def price(self, engine: str, model: str, pages: int, on: date, variant: str = PLAIN) -> Price:
        """Return the price of ``pages`` converted on a day.

        Without a row the highest price counts: of the variants of the model, of the models of the
        engine, or of all. A bill that is too high is noticed and corrected; one of zero is not.
        """
        row, assumed = self._row(engine, model, variant, on)
        base = pages * row.micros
        return Price(
            unit_micros=row.micros,
            base_micros=base,
            margin_percent=self.margin_percent,
            # Half up, to a whole micro.
            total_micros=(base * (100 + self.margin_percent) + 50) // 100,
            since=row.since,
            assumed=assumed,
        )

    def _row(self, engine: str, model: str, variant: str, on: date) -> tuple[PriceRow, bool]:
        candidates = _in_force(self.table, on)
        for matches in (
            lambda row: row.engine == engine,
            lambda row: row.model in (model, ANY_MODEL),
            lambda row: row.variant == variant,
        ):
            narrower = [row for row in candidates if matches(row)]
            if not narrower:
                return max(candidates, key=lambda row: row.micros), True
            candidates = narrower
        # A row for the model takes precedence over one for all models.
        return max(candidates, key=lambda row: row.model == model), False


def pricing(*, local_micros: int = LOCAL_MICROS, margin_percent: int = MARGIN_PERCENT) -> Pricing:
    """Return the table with another page price for the local engine, for every day."""
    table = (row for row in PRICES if row.engine != "local")
    local = PriceRow("local", ANY_MODEL, date.min, local_micros)
    return Pricing(table=(local, *table), margin_percent=margin_percent)


def _in_force(table: Iterable[PriceRow], on: date) -> list[PriceRow]:
    """Return the valid row of each engine, model and variant: the latest begun, else the first."""
    found: dict[tuple[str, str, str], PriceRow] = {}
    for row in sorted(table, key=lambda row: row.since):
        key = (row.engine, row.model, row.variant)
        if key not in found or row.since <= on:
            found[key] = row
    return list(found.values())
