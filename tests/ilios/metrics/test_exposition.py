"""A scrape is answered with what there is: parts that fail are left out and named."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bus.errors import BusUnavailable
from ilios.metrics import exposition
from ilios.metrics.exposition import Exposition
from ilios.metrics.families import Family, gauge
from ilios.metrics.processes import process_families
from schemas.service_replies import HealthReport


async def health() -> HealthReport:
    return HealthReport(services={}, healthy=False, problems=["broken"])


async def values(scraped: Exposition) -> dict[tuple[str, ...], float]:
    text = await scraped()
    return {
        (one.name, *one.labels.values()): one.value
        for family in text_string_to_metric_families(text.body.decode())
        for one in family.samples
    }


async def test_processes_with_one_name_for_a_metric_are_one_family() -> None:
    async def core() -> list[Family]:
        return process_families("core")

    async def edge() -> list[Family]:
        return process_families("edge")

    text = (await Exposition({"core": core, "edge": edge}, health)()).body.decode()
    assert text.count("# TYPE ilios_process_cpu_seconds_total counter") == 1
    assert 'process="core"' in text
    assert 'process="edge"' in text


async def test_parts_that_fail_or_hang_are_named_and_the_others_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exposition, "SOURCE_TIMEOUT", 0.05)

    async def works() -> list[Family]:
        return [gauge("ilios_works", "Works.", [({}, 1)])]

    async def away() -> list[Family]:
        raise BusUnavailable("away")

    async def broken() -> list[Family]:
        raise ZeroDivisionError

    async def hangs() -> list[Family]:
        await asyncio.Event().wait()
        return []

    sources = {"works": works, "away": away, "broken": broken, "hangs": hangs}
    found = await values(Exposition(sources, health))
    assert found[("ilios_works",)] == 1
    assert found[("ilios_healthy",)] == 0
    missing = {name[1] for name, value in found.items() if name[0].endswith("missing") and value}
    assert missing == {"away", "broken", "hangs"}


async def test_the_requests_of_unknown_methods_are_one_series() -> None:
    scraped = Exposition({}, health)
    for method in ("GET", "BREW", "WHEN"):
        scraped.requests.observe(method, "/v1/convert", 405, 0.1)
    found = await values(scraped)
    assert found["ilios_http_requests_total", "other", "/v1/convert", "405"] == 2


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("", "text/plain"), ("application/openmetrics-text;version=1.0.0", "application/openmetrics")],
)
async def test_the_format_is_that_which_is_asked_for(accept: str, content_type: str) -> None:
    text = await Exposition({}, health)(accept)
    assert text.content_type.startswith(content_type)
    assert text.body.endswith(b"# EOF\n") is bool(accept)
