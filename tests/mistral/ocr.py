"""``POST /v1/ocr``: reads a request, finds its document, and answers for the pages asked for."""

import asyncio
import binascii
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web
from yarl import URL

from tests.mistral import errors, pages, responses
from tests.mistral.call_log import Call, CallLog, Transport
from tests.mistral.document_reader import DECLARED, READABLE, DocumentCache, Kind, digest, kind_of
from tests.mistral.errors import ApiError
from tests.mistral.faults import Fault, Faults
from tests.mistral.limits import Limits
from tests.mistral.ocr_request import OcrRequest, parse_request
from tests.mistral.rules import RETIRED_ON, Rules
from tests.mistral.store import LINK_PREFIX, Files

OFFICE: frozenset[Kind] = frozenset({"docx", "pptx"})


class ClientGone(Exception):
    """The client disconnected while the fake delayed its answer."""


class OcrApi:
    """Answers calls, and records each in the call log."""

    def __init__(self, rules: Rules, book: CallLog, faults: Faults, files: Files) -> None:
        self._rules = rules
        self._book = book
        self._faults = faults
        self._files = files
        self._documents = DocumentCache()
        self._work: set[asyncio.Task[tuple[bytes, Fault | None]]] = set()
        self._limits = Limits(rules, book)
        self.origin = ""
        """Where the fake's own links begin."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one call. A client that goes away does not stop the work, as with the real API."""
        call = self._book.start_call()
        began = time.perf_counter()
        gone = asyncio.Event()
        try:
            body = await request.read()
            work = asyncio.create_task(self._answer(body, call, gone))
            self._work.add(work)
            work.add_done_callback(self._done)
            answer, fault = await asyncio.shield(work)
            call.status = 200
            if fault is not None and fault.corrupts:
                return await responses.corrupted_response(request, answer, fault)
            headers = None
            if retired := RETIRED_ON.get(call.model):
                headers = {"x-model-deprecation-timestamp": retired}
            response = web.Response(body=answer, content_type=errors.JSON, headers=headers)
            await response.prepare(request)
            await response.write_eof()
        except ApiError as error:
            call.status = error.status
            return responses.error_response(error)
        except (asyncio.CancelledError, ConnectionError):
            call.client_gone = True
            gone.set()
            raise
        finally:
            call.seconds = round(time.perf_counter() - began, 6)
        call.answered_in_full = True
        return response

    def _done(self, work: asyncio.Task[Any]) -> None:
        self._work.discard(work)
        if not work.cancelled():
            work.exception()  # the handler has it, or has gone with its client

    async def close(self) -> None:
        """Cancel the calls in progress."""
        for work in list(self._work):
            work.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    async def _answer(
        self, body: bytes, call: Call, gone: asyncio.Event
    ) -> tuple[bytes, Fault | None]:
        self._book.begin_work()
        try:
            try:
                given = msgspec.json.decode(body)
            except msgspec.DecodeError as error:
                raise errors.invalid(
                    [errors.problem(["body", 0], "json_invalid", f"JSON decode error: {error}")]
                ) from error
            request = parse_request(given)
            content, kind = self._identify(request, call)
            fault = self._faults.pick("ocr", call.document)
            if fault is not None:
                call.fault = fault.kind
                if refusal := fault.error():
                    raise refusal
                if fault.kind == "hang":
                    await gone.wait()
                    raise ClientGone
            self._limits.admit_call()
            seconds = self._rules.latency
            if fault is not None and fault.kind == "slow":
                seconds += fault.seconds
            answer, page_keys = await self._recognize(request, content, kind, call)
            if seconds:
                await asyncio.sleep(seconds)
            self._book.record_payment(call, page_keys)
            return answer, fault
        finally:
            self._book.end_work()
            if call.fault:
                paid = len(call.pages) if call.paid else 0
                self._book.record_fault("ocr", call.fault, done=call.paid, pages=paid)

    async def answer_batch_request(
        self, given: Any, call: Call, fault: Fault | None = None
    ) -> bytes:
        """Answer one request of a batch job, or let it go wrong."""
        request = parse_request(given)
        content, kind = self._identify(request, call)
        fault = fault or self._faults.pick("batch.item", call.document)
        if fault is not None:
            call.fault = fault.kind
            self._book.record_fault("batch.item", fault.kind, done=False)
            raise fault.error() or errors.internal_error(500)
        answer, page_keys = await self._recognize(request, content, kind, call)
        call.status = 200
        call.answered_in_full = True
        self._book.record_payment(call, page_keys)
        return answer

    async def _recognize(
        self, request: OcrRequest, content: bytes, kind: Kind, call: Call
    ) -> tuple[bytes, list[str]]:
        """Return the answer, and the content of its pages."""
        rules, name = self._rules, call.document
        if len(content) > rules.document_bytes:
            raise errors.too_large(len(content), rules.document_bytes)
        given = request.raw
        wants_images = given.get("image_limit") != 0
        # Users report that an explicit false is refused, but not to leave the field out.
        if kind in OFFICE and wants_images and given.get("include_image_base64") is False:
            raise errors.images_need_base64(kind)

        def choose(count: int) -> Any:
            # The limit is one of the document, whatever part of it is asked for.
            if count > rules.document_pages:
                raise errors.too_many_pages(count, rules.document_pages)
            return request.select_pages(count)

        chosen, found = await self._documents.read(content, name, kind, choose)
        self._limits.admit_pages(len(chosen), batch=bool(call.job))
        call.pages = list(chosen)
        answer = pages.ocr_response(request, name, len(content), chosen, found, rules.layout)
        return msgspec.json.encode(answer), [found[number].key for number in chosen]

    def _identify(self, request: OcrRequest, call: Call) -> tuple[bytes, Kind]:
        """Return the document and its kind, and record its hash."""
        call.model = request.model
        call.selection = request.selection
        content, name, how, declared = self._load(request.type, request.document)
        if not call.job:
            call.how = how
        call.document = name
        call.size = len(content)
        self._book.calls_by_document[name] += 1
        if not self._rules.looks_inside:
            return content, "other"
        kind = kind_of(content)
        wanted = "image" if request.type == "image_url" else DECLARED.get(declared, kind)
        if kind != wanted:
            raise errors.unreadable(wanted)
        if kind == "other" and not READABLE.fullmatch(declared):
            raise errors.unsupported(declared)
        return content, kind

    def _load(self, kind: str, document: Mapping[str, Any]) -> tuple[bytes, str, Transport, str]:
        """Return the document, its hash, how it came, and its declared type."""
        if kind == "file":
            file = self._files.get(document["file_id"])
            return file.content, file.content_hash, "file", ""
        given = document[kind]
        url: str = given["url"] if isinstance(given, dict) else given
        if url.startswith("data:"):
            head, _, data = url.partition(",")
            content = _decoded(data)
            how: Transport = "image_url" if kind == "image_url" else "document_url"
            return content, digest(content), how, head[len("data:") : head.index(";")]
        if url.startswith(self.origin + LINK_PREFIX):
            link = URL(url)
            linked = self._files.open_link(
                link.name, link.query.get("expires", ""), link.query.get("signature", "")
            )
            if linked is not None:
                return linked.content, linked.content_hash, "signed_url", ""
        raise errors.unfetchable(url)


def _decoded(data: str) -> bytes:
    try:
        return binascii.a2b_base64(data, strict_mode=True)
    except ValueError as error:
        raise errors.undecodable() from error
