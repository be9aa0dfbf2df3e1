"""Prices in the usage rows of conversions."""

from datetime import UTC, datetime

import structlog

from actors.pricing import Pricing
from schemas.documents import DocumentConverted

log = structlog.get_logger("usage")


class Billing:
    """Prices conversions. Warns of a missing price once for each engine and model."""

    def __init__(self, pricing: Pricing) -> None:
        self._pricing = pricing
        self._warned: set[tuple[str, str]] = set()

    def price_parameters(self, converted: DocumentConverted, at: datetime) -> dict[str, object]:
        """Return the price parameters of a conversion that the log stored at a time."""
        engine, model = converted.engine, converted.model
        pages = converted.pages if converted.billed_pages is None else converted.billed_pages
        day = at.astimezone(UTC).date()
        price = self._pricing.price(engine, model, pages, day, converted.variant)
        if price.assumed and (engine, model) not in self._warned:
            self._warned.add((engine, model))
            log.warning(
                "no price for this model, billed at the highest",
                engine=engine,
                model=model,
                micros_per_page=price.unit_micros,
            )
        return {
            "unit_micros": price.unit_micros,
            "base_micros": price.base_micros,
            "margin_percent": price.margin_percent,
            "total_micros": price.total_micros,
        }
