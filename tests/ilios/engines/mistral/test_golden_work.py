"""Results of Mistral are found under the blob keys of former versions, also after an upgrade.

Each case of ``golden/work.json`` is a document's bytes, by their hash, a model and a way to read
them, with the blob keys under which a former version stored the result and a part of it.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from ilios.engines.mistral import RANGE_PAGES
from ilios.engines.results import CacheKey

GOLDEN: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "golden" / "work.json").read_text()
)


def blob_keys(case: dict[str, Any]) -> dict[str, str]:
    """Return the blob keys of the result and of its second part."""
    work = CacheKey.create(
        *(case[name] for name in ("tenant", "document", "sha256", "model", "way"))
    )
    return {"whole": work.blob_key(), "part": work.blob_key(f"{RANGE_PAGES}-{2 * RANGE_PAGES}")}


@pytest.mark.parametrize("case", GOLDEN.values(), ids=GOLDEN)
def test_the_blob_keys_of_a_result_never_change(case: dict[str, Any]) -> None:
    assert blob_keys(case) == case["kept"]
