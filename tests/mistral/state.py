"""The parts of a fake."""

from tests.mistral.batches import BatchesApi
from tests.mistral.call_log import CallLog
from tests.mistral.faults import Faults
from tests.mistral.files import FilesApi
from tests.mistral.jobs import Jobs
from tests.mistral.ocr import OcrApi
from tests.mistral.rules import Rules
from tests.mistral.store import Files


class FakeMistral:
    """A running fake: its URL, its calls so far, and its rules.

    The rules, the key and the faults may be changed at any time.
    """

    def __init__(self, rules: Rules, key: str) -> None:
        self.url = ""
        self.key = key
        self.rules = rules
        self.call_log = CallLog()
        self.faults = Faults()
        self.files = Files(rules)
        self.ocr = OcrApi(rules, self.call_log, self.faults, self.files)
        self.jobs = Jobs(rules, self.call_log, self.ocr, self.files)
        self.files_api = FilesApi(rules, self.files)
        self.batches_api = BatchesApi(rules, self.files, self.jobs)
