"""The parts of the fake, put together."""

from typing import Any

from tests.mistral.batches import BatchesApi
from tests.mistral.call_log import MAX_RECORDED_CALLS, CallLog
from tests.mistral.faults import Faults
from tests.mistral.files import FilesApi
from tests.mistral.jobs import Jobs
from tests.mistral.ocr import OcrApi
from tests.mistral.rules import Rules
from tests.mistral.store import Files


class FakeMistral:
    """What a test holds in its hands: where the fake is, what it has seen, what it is to do.

    The rules, the key and the faults may be changed at any time.
    """

    def __init__(self, rules: Rules, key: str, seed: int) -> None:
        self.url = ""
        self.key = key
        self.rules = rules
        self.call_log = CallLog()
        self.faults = Faults(seed)
        self.files = Files(rules)
        self.ocr = OcrApi(rules, self.call_log, self.faults, self.files)
        self.jobs = Jobs(rules, self.call_log, self.ocr, self.files)
        self.files_api = FilesApi(rules, self.files)
        self.batches_api = BatchesApi(rules, self.files, self.jobs)

    def summary(self, calls: int = MAX_RECORDED_CALLS) -> dict[str, Any]:
        """Return all that is in the book, and what is there that somebody should have deleted."""
        return {
            **self.call_log.summary(calls),
            "files": [file.view() for file in self.files.existing()],
            "uploads": self.files.uploads,
            "jobs": [job.view(for_tests=True) for job in self.jobs.existing()],
        }

    async def reset(self) -> None:
        """Forget all calls, files, jobs and faults; the rules stay."""
        self.call_log.clear()
        self.faults.clear()
        self.files.clear()
        await self.jobs.clear()
