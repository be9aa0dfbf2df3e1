"""Whatever is asked of the interface that describes itself, the answer is one it describes.

``ILIOS_FUZZ_EXAMPLES`` is the greatest number of requests generated for each operation.
"""

import asyncio
import os
import sys
from pathlib import Path

import aiohttp
import msgspec
import pytest

from tests.ilios.edge.test_openapi import DESCRIBED, STRICT
from tests.journeys.running import RunningService, running_service

EXAMPLES = os.environ.get("ILIOS_FUZZ_EXAMPLES", "12")
FAILED_DOCUMENT = "/api/documents/{id}"
STREAMS = "/events$"
WITHIN = 600.0  # seconds
CHECKS = (
    "status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method,allow_header_conformance,use_after_free"
)
# Not "not_a_server_error": a failed document is answered with 500, as the contract has it. Others
# are described too, but must not happen: the service's own log separates them. Not the two checks
# that judge what is accepted: two requests under one idempotency key are valid one by one, and a
# form's field wins over the query's.


class Cases(msgspec.Struct):
    generated: int


class Operations(msgspec.Struct):
    tested: int
    total: int


class FuzzReport(msgspec.Struct):
    operations: Operations
    test_cases: Cases


@pytest.mark.slow
@pytest.mark.timeout(WITHIN + 60)
async def test_every_response_is_described_by_the_openapi_document(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    description = tmp_path / "openapi.json"
    description.write_bytes(msgspec.json.encode(STRICT))
    async with running_service(tmp_path / "data", ILIOS_CONVERT_TIMEOUT="5") as service:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{service.url}/openapi.json") as answer,
        ):
            assert await answer.json() == DESCRIBED
        fuzzed = [
            await fuzz(service, description, "--exclude-path-regex", STREAMS, within="30"),
            # They do not end: all there is comes at once.
            await fuzz(service, description, "--include-path-regex", STREAMS, within="2"),
        ]
        assert not service.has_ended
    assert sum(one.operations.tested for one in fuzzed) == fuzzed[0].operations.total
    assert sum(one.test_cases.generated for one in fuzzed) > 300
    logged = [msgspec.json.decode(line) for line in capfd.readouterr().err.splitlines()]
    assert [line for line in logged if line["event"] == "unexpected error"] == []
    routes = {line["route"] for line in logged if line.get("status", 0) >= 500}
    assert routes <= {FAILED_DOCUMENT}
    print("cases:", *(one.test_cases.generated for one in fuzzed))


async def fuzz(
    service: RunningService, description: Path, *selection: str, within: str
) -> FuzzReport:
    """Fuzz some operations; a request may last ``within`` seconds."""
    report = description.with_name("report.json")
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "schemathesis"),
        "run",
        str(description),
        *("--url", service.url),
        *selection,
        *("--checks", CHECKS),
        *("--max-examples", EXAMPLES),
        *("--phases", "examples,coverage,fuzzing,stateful"),
        *("--seed", "1337"),
        *("--request-timeout", within),
        *("--report", "json", "--report-json-path", str(report)),
        "--continue-on-failure",
        "--no-color",
        cwd=description.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(WITHIN):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode(errors="replace")[-20_000:]
    return msgspec.json.decode(report.read_bytes(), type=FuzzReport)
