"""Prices are exact to the micro, and nothing costs nothing by mistake."""

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.pricing import ANNOTATED, ANY_MODEL, BATCH, PLAIN, PRICES, PriceRow, Pricing, pricing

TODAY = date(2026, 11, 23)
PAGES = st.integers(0, 5_000)
UNITS = st.integers(0, 100_000_000)
MARGINS = st.integers(0, 1_000)


def total(pages: int, *, model: str = "any", engine: str = "local", margin: int = 30) -> int:
    return Pricing(margin_percent=margin).price(engine, model, pages, TODAY).total_micros


def test_a_thousand_pages_at_a_tenth_of_a_cent_and_thirty_percent_are_a_dollar_thirty() -> None:
    assert total(1_000) == 1_300_000
    assert sum(total(1) for _ in range(1_000)) == 1_300_000


def test_a_thousand_pages_of_the_latest_model_are_five_dollars_twenty() -> None:
    price = Pricing().price("mistral", "mistral-ocr-latest", 1_000, TODAY)
    assert (price.base_micros, price.total_micros) == (4_000_000, 5_200_000)
    assert not price.assumed


def test_no_margin_is_a_margin() -> None:
    assert total(7, margin=0) == 7_000


def test_a_local_page_may_cost_nothing() -> None:
    assert pricing(local_micros=0).price("local", "x", 9, TODAY).total_micros == 0
    assert pricing(local_micros=250).price("local", "x", 4, TODAY).base_micros == 1_000


def test_a_price_of_ones_own_changes_that_of_no_other_engine() -> None:
    own = pricing(local_micros=7, margin_percent=0)
    latest = own.price("mistral", "mistral-ocr-latest", 1, TODAY)
    assert (latest.unit_micros, latest.margin_percent) == (4_000, 0)


@given(pages=PAGES, unit=UNITS, margin=MARGINS)
def test_a_price_is_the_exact_one_rounded_half_up_to_a_micro(
    pages: int, unit: int, margin: int
) -> None:
    price = pricing(local_micros=unit, margin_percent=margin).price("local", "x", pages, TODAY)
    exact = Fraction(pages * unit * (100 + margin), 100)
    assert -Fraction(1, 2) < price.total_micros - exact <= Fraction(1, 2)
    assert price.base_micros == pages * unit
    assert (price.unit_micros, price.margin_percent) == (unit, margin)


@given(
    documents=st.lists(PAGES, max_size=50),
    tens=st.integers(0, 10_000_000),
    tenths=st.integers(0, 100),
)
def test_documents_cost_as_much_alone_as_together(
    documents: list[int], tens: int, tenths: int
) -> None:
    prices = pricing(local_micros=tens * 10, margin_percent=tenths * 10)
    alone = sum(prices.price("local", "x", pages, TODAY).total_micros for pages in documents)
    assert alone == prices.price("local", "x", sum(documents), TODAY).total_micros


DATED = [
    ("mistral-ocr-2505", date(2026, 1, 1), 1_000),
    ("mistral-ocr-2512", date(2026, 1, 1), 2_000),
    ("mistral-ocr-4-0", TODAY, 4_000),
    ("mistral-ocr-4-1", TODAY, 4_000),
    ("mistral-ocr-latest", date(2025, 6, 1), 1_000),
    ("mistral-ocr-latest", date(2026, 6, 22), 2_000),
    ("mistral-ocr-latest", date(2026, 6, 23), 4_000),
    ("mistral-ocr-latest", date(2001, 1, 1), 1_000),
]


@pytest.mark.parametrize(("model", "on", "micros"), DATED)
def test_a_model_costs_what_it_cost_on_the_day(model: str, on: date, micros: int) -> None:
    price = Pricing().price("mistral", model, 2, on)
    assert (price.unit_micros, price.base_micros) == (micros, 2 * micros)
    assert not price.assumed


VARIANTS = [
    ("mistral-ocr-2505", BATCH, 500),
    ("mistral-ocr-2505", ANNOTATED, 3_000),
    ("mistral-ocr-2512", BATCH, 1_000),
    ("mistral-ocr-2512", ANNOTATED, 3_000),
    ("mistral-ocr-4-1", BATCH, 2_000),
    ("mistral-ocr-4-1", ANNOTATED, 5_000),
]


@pytest.mark.parametrize(("model", "variant", "micros"), VARIANTS)
def test_batches_cost_half_and_annotations_extra(model: str, variant: str, micros: int) -> None:
    assert Pricing().price("mistral", model, 1, TODAY, variant).unit_micros == micros


UNKNOWN = [
    ("mistral", "mistral-ocr-9", PLAIN, 5_000),
    ("mistral", "mistral-ocr-2505", "gilded", 3_000),
    ("somebody", "else", PLAIN, 5_000),
]


@pytest.mark.parametrize(("engine", "model", "variant", "micros"), UNKNOWN)
def test_an_unknown_model_costs_as_the_most_expensive_one_with_a_warning(
    engine: str, model: str, variant: str, micros: int
) -> None:
    price = Pricing().price(engine, model, 1, TODAY, variant)
    assert (price.unit_micros, price.assumed) == (micros, True)


def test_a_row_that_names_the_model_goes_before_one_for_all() -> None:
    rows = (PriceRow("e", "m", date.min, 5), PriceRow("e", ANY_MODEL, date.min, 9))
    for table in (rows, rows[::-1]):
        assert Pricing(table=table).price("e", "m", 1, TODAY).unit_micros == 5
        assert Pricing(table=table).price("e", "other", 1, TODAY).unit_micros == 9


def test_the_price_names_the_row_it_comes_from() -> None:
    price = Pricing().price("mistral", "mistral-ocr-latest", 1, TODAY)
    assert price.since == date(2026, 6, 23)


def test_no_two_price_rows_conflict() -> None:
    keys = [(row.engine, row.model, row.variant, row.since) for row in PRICES]
    assert len(set(keys)) == len(keys)
    assert all(row.micros > 0 for row in PRICES)
