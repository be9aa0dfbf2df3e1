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
from tests.journeys.running import running_service

EXAMPLES = os.environ.get("ILIOS_FUZZ_EXAMPLES", "12")
FAILED_DOCUMENT = "/api/documents/{id}"
WITHIN = 600.0  # seconds
CHECKS = (
    "status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method,allow_header_conformance,use_after_free"
)
# Not "not_a_server_error": a failed document is answered with 500, as the contract has it. Others
# are described too, but must not happen: the service's own log separates them. Not the two checks
# that judge what is accepted: two requests under one idempotency key are valid one by one, and a
# form's field wins over the query's.


@pytest.mark.slow
@pytest.mark.timeout(WITHIN + 60)
async def test_every_response_is_described_by_the_openapi_document(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    description = tmp_path / "openapi.json"
    description.write_bytes(msgspec.json.encode(STRICT))
    async with running_service(tmp_path / "data", ILIOS_CONVERT_TIMEOUT="5") as service:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{service.url}/openapi.json") as answer,
        ):
            assert await answer.json() == DESCRIBED
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "schemathesis"),
            "run",
            str(description),
            *("--url", service.url),
            *("--checks", CHECKS),
            *("--max-examples", EXAMPLES),
            *("--phases", "examples,coverage,fuzzing,stateful"),
            *("--seed", "1337"),
            *("--request-timeout", "30"),
            *("--report", "json", "--report-json-path", str(report)),
            "--continue-on-failure",
            "--no-color",
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(WITHIN):
            output, _ = await process.communicate()
        assert not service.has_ended
    text = output.decode(errors="replace")
    assert process.returncode == 0, text[-20_000:]
    events = msgspec.json.decode(report.read_bytes())
    assert events["test_cases"]["generated"] > 300, text[-3000:]
    assert events["operations"]["tested"] == events["operations"]["total"]
    logged = [msgspec.json.decode(line) for line in capfd.readouterr().err.splitlines()]
    assert [line for line in logged if line["event"] == "unexpected error"] == []
    routes = {line["route"] for line in logged if line.get("status", 0) >= 500}
    assert routes <= {FAILED_DOCUMENT}
    print("cases:", events["test_cases"]["generated"])
