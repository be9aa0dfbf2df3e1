"""Metrics of the running service: they are read with its key, from all its processes."""

import asyncio
import re
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ilios.nats.server import NatsServer
from tests.free_ports import free_port
from tests.journeys.running import running_service
from tests.journeys.service_client import ServiceClient, wait_until_completed
from tests.journeys.worker_hosts import core_and_workers
from tests.test_monitoring import documented
from tests.waiting import wait_until

KEY = {"ILIOS_METRICS_KEY": "metrics-key"}
DOCUMENTS = 3

Values = dict[tuple[str, ...], float]


async def scrape(url: str, key: str | None = "metrics-key") -> tuple[int, Values]:
    """Return the status and the values of all series by name and labels."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/metrics", headers=headers) as answer,
    ):
        text = await answer.text()
        if answer.status != 200:
            return answer.status, {}
    families = text_string_to_metric_families(text)
    return 200, {
        (one.name, *(one.labels[label] for label in sorted(one.labels))): one.value
        for family in families
        for one in family.samples
    }


@pytest.mark.parametrize("edges", ["0", "1"])
async def test_a_scrape_has_documents_queue_log_engines_and_requests(
    tmp_path: Path, edges: str
) -> None:
    settings = {"ILIOS_EDGE_PROCESSES": edges, "API_KEY": "api-key", **KEY}
    async with (
        running_service(tmp_path, **settings) as service,
        ServiceClient(service, headers={"X-Api-Key": "api-key"}) as client,
    ):
        for key in (None, "api-key", "wrong"):
            assert (await scrape(service.url, key))[0] == 401
        await asyncio.gather(*(client.submit() for _ in range(DOCUMENTS)))
        await wait_until_completed(client, tmp_path)

        async def is_counted() -> bool:
            found = (await scrape(service.url))[1]
            return found.get(("ilios_documents_total", "local", "completed")) == DOCUMENTS

        await wait_until(is_counted)
        _, found = await scrape(service.url)
    assert found[("ilios_healthy",)] == 1
    assert found["ilios_pages_total", "local"] == DOCUMENTS
    assert found["ilios_deliveries_total", "ocr"] >= DOCUMENTS
    assert found["ilios_redeliveries_total", "ocr"] == 0
    assert found[("ilios_dead_letters",)] == 0
    assert found[("ilios_log_events",)] >= 3 * DOCUMENTS
    assert found[("ilios_writer_commit_duration_seconds_count",)] > 0
    assert found[("ilios_engine_processes",)] > 0
    assert found["ilios_queue_oldest_age_seconds", "normal", "ocr"] == 0
    submit = ("POST", "/api/documents/submit", "202")
    assert found["ilios_http_requests_total", *submit] == DOCUMENTS
    processes = {name[1] for name in found if name[0] == "ilios_process_cpu_seconds_total"}
    assert processes == ({"core", "edge"} if edges == "1" else {"core"})
    undocumented = {re.sub(r"_(bucket|sum|count)$", "", name[0]) for name in found} - documented()
    assert not undocumented
    assert not any(name[0] == "ilios_metrics_missing" and value for name, value in found.items())


async def test_a_port_of_its_own_needs_no_key_and_without_settings_there_are_none(
    tmp_path: Path,
) -> None:
    port = free_port()
    own = {"ILIOS_METRICS_PORT": str(port), "ILIOS_EDGE_PROCESSES": "1"}
    async with running_service(tmp_path / "one", **own) as service:
        status, found = await scrape(f"http://127.0.0.1:{port}", None)
        assert status == 200
        assert found[("ilios_healthy",)] == 1
        assert (await scrape(service.url, None))[0] == 404
    async with running_service(tmp_path / "other", ILIOS_EDGE_PROCESSES="0") as service:
        assert (await scrape(service.url))[0] == 404


@pytest.mark.slow
async def test_a_worker_host_answers_for_its_own_work(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    shared = {
        "NATS_URL": nats_server.url("operator"),
        "ILIOS_SHARED_BLOBS": str(tmp_path / "blobs"),
        "ILIOS_EDGE_PROCESSES": "0",
        **KEY,
    }
    async with core_and_workers(tmp_path, shared, 1) as (core, (worker,)):
        assert (await scrape(worker.url, None))[0] == 401
        _, of_worker = await scrape(worker.url)
        _, of_core = await scrape(core.url)
    assert of_worker["ilios_role_takes_work", "ocr"] == 1
    assert of_worker["ilios_process_cpu_seconds_total", "worker"] > 0
    assert not any(name.startswith("ilios_queue") for name, *_ in of_worker)
    assert of_core["ilios_queue_events", "normal", "ocr", "waiting"] == 0
