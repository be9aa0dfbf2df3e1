"""A fake of the Mistral API: a real HTTP server on loopback for the real SDK to talk to.

It speaks what ``mistralai`` 3.7 speaks (its installed source is the truth about paths and shapes),
keeps the documented limits, and is strict: what the API would refuse, or might, it refuses.

In the process of the test, whose hands reach everything::

    async with fake_mistral(Rules(latency=0.1)) as fake:
        client = Mistral(api_key=fake.key, server_url=fake.url)
        fake.faults.next("ocr", "429", times=2, retry_after=1)
        fake.faults.share("ocr", 0.2, ["500", "reset"])
        fake.rules.pages_per_minute = 100
        fake.key = "another"
        ...
        assert fake.book.pages_paid == 3
        assert not fake.book.paid_twice()  # {(document, page): times}
        assert fake.book.paid_texts["page one"] == 1  # whatever document the page was in
        assert not fake.files.existing()
        job, = fake.jobs.existing()
        fake.jobs.fail(job.id, ["n-1"])
        await fake.jobs.advance(job.id, "SUCCESS")

As a process of its own, with the same powers over HTTP (``tests.mistral.control``)::

    async with running_fake("--delay-ms", "200") as fake:
        client = Mistral(api_key=fake.key, server_url=fake.url)
        await fake.fail_next("ocr", "503", Fault("429", retry_after=1))
        await fake.fail_share(0.2, seed=7)
        await fake.rules(pages_per_minute=100)
        await fake.set_key("another")
        ...
        assert (await fake.book())["pages_paid"] == 3
        assert not await fake.files()
        job, = await fake.jobs()
        await fake.job(job["id"], fail=["n-1"])
        await fake.job(job["id"], "SUCCESS")

Each page of an answer holds ``mark(document, number)`` and the page's own text; ``digest`` is the
name the book knows a document by, and ``own_name`` the one it knows the text of a page by.
"""

from tests.mistral.document_reader import digest, page_key
from tests.mistral.faults import Endpoint, Fault, Kind
from tests.mistral.pages import mark
from tests.mistral.process import RunningFake, running_fake
from tests.mistral.rules import Layout, Rules
from tests.mistral.server import KEY, fake_mistral
from tests.mistral.state import FakeMistral

__all__ = [
    "KEY",
    "Endpoint",
    "FakeMistral",
    "Fault",
    "Kind",
    "Layout",
    "Rules",
    "RunningFake",
    "digest",
    "fake_mistral",
    "mark",
    "page_key",
    "running_fake",
]
