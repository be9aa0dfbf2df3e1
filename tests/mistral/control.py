"""``/_fake/...``: what the real API does not have, for when the fake runs as its own process.

======  =================  =====================================================================
GET     /_fake/book        the calls and sums over them, the files and jobs nobody has deleted;
                           ``?calls=10`` only the last ten calls
GET     /_fake/files       the files nobody has deleted, the newest first
GET     /_fake/jobs        the jobs nobody has deleted, the newest first
POST    /_fake/faults      ``{"seed": 1, "clear": true,
                           "next": [{"endpoint": "ocr", "fault": {"kind": "429"}, "times": 2}],
                           "share": [{"endpoint": "ocr", "share": 0.2, "faults": [...]}]}``
POST    /_fake/rules       any of the fields of ``Rules``, say ``{"latency": 0.2}``: also the
                           limits and the money; the answer is all of them
POST    /_fake/key         ``{"key": "another"}``: from now on only this one is the right one
POST    /_fake/jobs/ID     a step of this job; ``{"status": "FAILED"}`` is straight to that end.
                           No step: ``{"hold": true}`` stops its clock, ``{"fail": ["n-1"]}`` lets
                           the requests with these custom_ids fail, ``"kind": "429"`` says how
POST    /_fake/files/ID    ``{"expired": true}``: the time of this file is over
POST    /_fake/reset       forget all calls, files, jobs and faults; the rules and the key stay
======  =================  =====================================================================

No key is needed here, and no fault happens. ``tests.mistral.process`` says all this in Python.
"""

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from aiohttp import web

from tests.mistral.call_log import MAX_RECORDED_CALLS
from tests.mistral.faults import TRANSIENT, Endpoint, Fault, Kind
from tests.mistral.jobs import NextStatus
from tests.mistral.responses import json_response
from tests.mistral.rules import Rules
from tests.mistral.state import FakeMistral

Body = TypeVar("Body")


class NextFaults(msgspec.Struct, forbid_unknown_fields=True):
    endpoint: Endpoint
    fault: Fault
    times: int = 1


class FaultShare(msgspec.Struct, forbid_unknown_fields=True):
    endpoint: Endpoint
    share: float
    faults: tuple[Fault, ...] = tuple(map(Fault, TRANSIENT))


class FaultCommand(msgspec.Struct, forbid_unknown_fields=True):
    seed: int | None = None
    clear: bool = False
    next: list[NextFaults] = []
    share: list[FaultShare] = []


class JobCommand(msgspec.Struct, forbid_unknown_fields=True):
    status: NextStatus = ""
    hold: bool | None = None
    fail: list[str] | None = None
    kind: Kind = "500"

    @property
    def moves(self) -> bool:
        """Whether the job is to move now."""
        return bool(self.status) or (self.hold is None and self.fail is None)


class FileCommand(msgspec.Struct, forbid_unknown_fields=True):
    expired: Literal[True]


class KeyCommand(msgspec.Struct, forbid_unknown_fields=True):
    key: Annotated[str, msgspec.Meta(min_length=1)]


class ControlApi:
    """The handlers. What they are sent and do not understand is a 400."""

    def __init__(self, fake: FakeMistral) -> None:
        self._fake = fake

    def routes(self) -> list[web.RouteDef]:
        """Return where the handlers are."""
        return [
            web.get("/_fake/book", self.book),
            web.get("/_fake/files", self.files),
            web.get("/_fake/jobs", self.jobs),
            web.post("/_fake/faults", self.faults),
            web.post("/_fake/rules", self.rules),
            web.post("/_fake/key", self.key),
            web.post("/_fake/jobs/{job_id}", self.job),
            web.post("/_fake/files/{file_id}", self.file),
            web.post("/_fake/reset", self.reset),
        ]

    async def book(self, request: web.Request) -> web.StreamResponse:
        calls = request.query.get("calls", str(MAX_RECORDED_CALLS))
        if not calls.isdecimal():
            raise web.HTTPBadRequest(text="calls should be a number\n")
        return json_response(self._fake.summary(int(calls)))

    async def files(self, request: web.Request) -> web.StreamResponse:
        return json_response([file.view() for file in self._fake.files.existing()])

    async def jobs(self, request: web.Request) -> web.StreamResponse:
        return json_response([job.view(for_tests=True) for job in self._fake.jobs.existing()])

    async def faults(self, request: web.Request) -> web.StreamResponse:
        """Let things go wrong, or stop doing so."""
        orders = await _read(request, FaultCommand)
        faults = self._fake.faults
        if orders.seed is not None:
            faults.seed = orders.seed
        if orders.clear:
            faults.clear()
        for item in orders.next:
            faults.add(item.endpoint, item.fault, item.times)
        for share in orders.share:
            faults.fail_share(share.endpoint, share.share, share.faults)
        return json_response({})

    async def rules(self, request: web.Request) -> web.StreamResponse:
        """Change the rules that are named, and say all of them."""
        rules = self._fake.rules
        named = await _read(request, dict[str, Any])
        try:
            changed = msgspec.convert({**msgspec.to_builtins(rules), **named}, Rules)
        except msgspec.ValidationError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        for name in Rules.__struct_fields__:
            setattr(rules, name, getattr(changed, name))
        return json_response(rules)

    async def key(self, request: web.Request) -> web.StreamResponse:
        self._fake.key = (await _read(request, KeyCommand)).key
        return json_response({})

    async def job(self, request: web.Request) -> web.StreamResponse:
        """Let a job take a step, end as the test wants it to, wait, or fail in parts."""
        orders = await _read(request, JobCommand) if request.can_read_body else JobCommand()
        jobs, id_ = self._fake.jobs, request.match_info["job_id"]
        if orders.hold is not None:
            jobs.pause(id_, paused=orders.hold)
        if orders.fail is not None:
            jobs.fail(id_, orders.fail, orders.kind)
        job = await jobs.advance(id_, orders.status) if orders.moves else jobs.get(id_)
        return json_response(job.view(for_tests=True))

    async def file(self, request: web.Request) -> web.StreamResponse:
        await _read(request, FileCommand)
        self._fake.files.expire(request.match_info["file_id"])
        return json_response({})

    async def reset(self, request: web.Request) -> web.StreamResponse:
        await self._fake.reset()
        return json_response({})


async def _read(request: web.Request, type_: type[Body]) -> Body:
    try:
        return msgspec.json.decode(await request.read(), type=type_)
    except msgspec.DecodeError as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from error
