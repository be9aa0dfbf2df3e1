"""What Mistral was paid for is found again under the keys it was kept under, after an upgrade too.

Each case of ``golden/work.json`` is a document's bytes, by their hash, a model and a way to read
them, with the keys under which an older service kept the result and a part of it.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from ilios.engines.mistral.limits import RANGE_PAGES
from ilios.engines.mistral.result_cache import CacheKey

GOLDEN: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "golden" / "work.json").read_text()
)


def kept(case: dict[str, Any]) -> dict[str, str]:
    """Return where the whole and its second range of pages are kept."""
    work = CacheKey.create(
        *(case[name] for name in ("tenant", "document", "sha256", "model", "way"))
    )
    return {"whole": work.blob_key(), "part": work.blob_key(f"{RANGE_PAGES}-{2 * RANGE_PAGES}")}


@pytest.mark.parametrize("case", GOLDEN.values(), ids=GOLDEN)
def test_a_result_is_kept_where_it_always_was(case: dict[str, Any]) -> None:
    assert kept(case) == case["kept"]
