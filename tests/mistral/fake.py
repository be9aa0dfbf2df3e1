"""A fake of the Mistral API: a real HTTP server on loopback for the real SDK to talk to.

Paths and shapes are those of ``mistralai`` 3.7 (its installed source). It enforces the documented
limits, and is strict: it refuses what the API would refuse, or might.

In the process of the test::

    async with fake_mistral(Rules(latency=0.1)) as fake:
        client = Mistral(api_key=fake.key, server_url=fake.url)
        fake.faults.fail_next("ocr", "429", times=2, retry_after=1)
        fake.faults.fail_share("ocr", 0.2, ["500", "reset"])
        fake.rules.pages_per_minute = 100
        ...
        assert fake.call_log.pages_paid == 3
        assert not fake.call_log.paid_twice()  # {(document, page): times}
        assert not fake.files.existing()
        (job,) = fake.jobs.existing()
        await fake.jobs.advance(job.id, "SUCCESS")

As a child process: ``tests.mistral.process``.

Each page of an answer contains ``mark(document, number)`` and the text of the page; ``digest`` is
the key of a document in the call log, ``page_key`` that of the text of a page.
"""

from tests.mistral.document_reader import digest, page_key
from tests.mistral.faults import Endpoint, Fault, Kind
from tests.mistral.pages import mark
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
    "digest",
    "fake_mistral",
    "mark",
    "page_key",
]
