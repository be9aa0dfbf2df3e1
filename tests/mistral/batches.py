"""``/v1/batch/jobs``: create, list, get, cancel, delete.

Paths and fields: ``mistralai.client.jobs`` and ``models.CreateBatchJobRequest``. This fake does OCR
alone: a job for another endpoint is refused.
"""

from typing import Any

import msgspec
from aiohttp import web

from tests.mistral import errors
from tests.mistral.errors import problem
from tests.mistral.files import check_query, page_slice, path_id
from tests.mistral.jobs import Job, Jobs, requests_of
from tests.mistral.responses import json_response
from tests.mistral.rules import MODEL_ALIASES, Rules
from tests.mistral.store import Files

MAX_HOURS = 168
FIELDS = {
    "endpoint",
    "input_files",
    "requests",
    "model",
    "agent_id",
    "metadata",
    "timeout_hours",
}
QUERIES = {
    "page",
    "page_size",
    "model",
    "agent_id",
    "metadata",
    "created_after",
    "created_by_me",
    "status",
    "order_by",
}


class BatchesApi:
    """The handlers."""

    def __init__(self, rules: Rules, files: Files, jobs: Jobs) -> None:
        self._rules = rules
        self._files = files
        self._jobs = jobs

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Queue a job for the requests in the body, or those in the files it names."""
        try:
            body = msgspec.json.decode(await request.read(), type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise errors.invalid(
                [problem(["body", 0], "json_invalid", f"JSON decode error: {error}")]
            ) from error
        if problems := self._problems(body):
            raise errors.invalid(problems)
        given: list[Any] = body.get("requests") or []
        for id_ in body.get("input_files") or ():
            file = self._files.get(id_)
            if file.purpose != "batch":
                message = "Value error, an input file needs the purpose 'batch'"
                raise errors.invalid([problem(["body", "input_files"], "value_error", message)])
            given = [*given, *requests_of(file.content)]
        job = self._jobs.create(
            given,
            model=body.get("model"),
            input_files=body.get("input_files") or [],
            metadata=body.get("metadata"),
        )
        return json_response(job.view())

    def _problems(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        def wrong(name: str, message: str) -> dict[str, Any]:
            return problem(["body", name], "value_error", f"Value error, {message}", body.get(name))

        problems = [
            problem(["body", name], "extra_forbidden", "Extra inputs are not permitted", body[name])
            for name in sorted(body.keys() - FIELDS)
        ]
        if body.get("endpoint") != "/v1/ocr":
            problems.append(wrong("endpoint", "the endpoint should be /v1/ocr"))
        if body.get("model") is not None and body["model"] not in MODEL_ALIASES:
            problems.append(wrong("model", "the model is not supported in batches"))
        hours = body.get("timeout_hours", 24)
        if not isinstance(hours, int) or not 1 <= hours <= MAX_HOURS:
            problems.append(wrong("timeout_hours", f"hours should be 1 to {MAX_HOURS}"))
        files, requests = body.get("input_files"), body.get("requests")
        if bool(files) == bool(requests):
            problems.append(wrong("input_files", "either input_files or requests is needed"))
        if files and not (isinstance(files, list) and all(isinstance(id_, str) for id_ in files)):
            problems.append(wrong("input_files", "input_files should be a list of ids"))
        if requests and not _are_requests(requests):
            problems.append(wrong("requests", "each request needs a body"))
        elif requests and len(requests) >= self._rules.inline_requests:
            limit = self._rules.inline_requests
            problems.append(wrong("requests", f"there should be fewer than {limit} requests"))
        return problems

    async def list(self, request: web.Request) -> web.StreamResponse:
        """Show the jobs, the newest first unless asked otherwise."""
        query = check_query(request.query, QUERIES)

        def shown(job: Job) -> bool:
            return ("status" not in query or job.status in query.getall("status")) and (
                "model" not in query or job.model == query["model"]
            )

        found = [job for job in self._jobs.existing() if shown(job)]
        if query.get("order_by") == "created":
            found.reverse()
        data = [job.view() for job in found[page_slice(query)]]
        return json_response({"data": data, "object": "list", "total": len(found)})

    async def get(self, request: web.Request) -> web.StreamResponse:
        job = self._jobs.get(path_id(request, "job_id"))
        query = check_query(request.query, {"inline"})
        return json_response(job.view(inline=query.get("inline") == "true"))

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        return json_response(self._jobs.cancel(path_id(request, "job_id")).view())

    async def delete(self, request: web.Request) -> web.StreamResponse:
        id_ = path_id(request, "job_id")
        self._jobs.delete(id_)
        return json_response({"id": id_, "object": "batch", "deleted": True})


def _are_requests(given: Any) -> bool:
    return isinstance(given, list) and all(
        isinstance(request, dict)
        and request.keys() <= {"custom_id", "body"}
        and isinstance(request.get("body"), dict)
        and isinstance(request.get("custom_id"), str | None)
        for request in given
    )
