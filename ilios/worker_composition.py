"""The composition of the workers that fetch and convert documents, on any host."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from msgspec import Struct

from actors.attempts import SharedCounts
from actors.cancellations import Cancellations
from actors.deadlines import Deadlines
from actors.draft_pages import DraftPages
from actors.fetcher import Fetcher
from actors.ocr import Ocr
from actors.page_events import PagePorts
from actors.ports import Blobs
from bus.connection import Connection
from bus.consumers import Consumer
from bus.inbox import FinishedUpTo, nothing_finished
from bus.intake import Intake
from bus.objects import Objects
from bus.pages import DraftServer, PagePublisher
from ilios.engine_composition import Engines
from ilios.settings.settings import Settings
from ilios.sources.http import HttpDownloads

Parts = Mapping[str, Callable[[], Awaitable[None]]]
"""What the supervisor keeps running, by name, in the order of its start."""

Role = Literal["fetcher", "ocr"]
ROLES: tuple[Role, ...] = ("fetcher", "ocr")
CONSUMERS: Mapping[Role, Consumer] = {"fetcher": Fetcher.consumer, "ocr": Ocr.consumer}
Intakes = Mapping[Role, Intake]

DRAFTS_AFTER = 0.25
"""Seconds after which the core answers that there are no pages yet, where another host may have
some and answers at once."""


class WorkerPorts(Struct, frozen=True, kw_only=True):
    """What workers need of their host.

    ``counts`` are those of all hosts, None where there are no others. ``answers_for_others`` is
    true of the core, which answers requests for pages that nobody has.
    """

    blobs: Blobs
    deadlines: Deadlines
    intakes: Intakes
    ended_floor: FinishedUpTo = nothing_finished
    counts: SharedCounts | None = None
    answers_for_others: bool = True


def compose_ocr(
    settings: Settings, connection: Connection, ports: WorkerPorts, engines: Engines
) -> Parts:
    """Build the worker that converts documents."""
    # Of its own: on a shared connection one of two workers would miss cancellations.
    cancellations = Cancellations(connection)
    drafts = DraftPages()
    ocr = Ocr(
        connection,
        ports.blobs,
        engines.engine,
        cancellations,
        concurrency=settings.max_in_flight,
        deadlines=ports.deadlines,
        ended_floor=ports.ended_floor,
        discard_parts=engines.discard_parts,
        pages=PagePorts(PagePublisher(connection).publish, drafts.put, drafts.discard),
        counts=ports.counts,
        intake=ports.intakes["ocr"],
    )
    alone = ports.counts is None
    server = DraftServer(
        connection,
        drafts.read,
        has=drafts.has,
        without_after=(0.0 if alone else DRAFTS_AFTER) if ports.answers_for_others else None,
    )
    return {
        "cancellations for ocr": cancellations.run,
        "ocr": ocr.run,
        "drafts of pages": server.run,
    }


def compose_fetcher(
    settings: Settings, connection: Connection, objects: Connection, ports: WorkerPorts
) -> Parts:
    """Build the worker that brings originals in; ``objects`` reads files put on the bus."""
    cancellations = Cancellations(connection)
    downloads = HttpDownloads(
        max_bytes=settings.max_file_bytes, allow=frozenset(settings.download_allow)
    )
    fetcher = Fetcher(
        connection,
        ports.blobs,
        downloads,
        cancellations,
        Objects(objects, settings.max_file_bytes),
        deadlines=ports.deadlines,
        ended_floor=ports.ended_floor,
        counts=ports.counts,
        intake=ports.intakes["fetcher"],
    )
    return {"cancellations for fetcher": cancellations.run, "fetcher": fetcher.run}
