"""The SDK's classes are made once, and mean the same."""

from typing import Any

from mistralai.client import models
from mistralai.client.utils import serializers

from ilios.engines.mistral.sdk_patches import memoized, patch_sdk


def test_a_class_is_made_once_for_each_type_and_name() -> None:
    calls: list[tuple[str, Any]] = []

    def make(name: str, **fields: Any) -> object:
        calls.append((name, fields["body"]))
        return object()

    create_model = memoized(make)
    first = create_model("Marshaller", body=(int, ...))
    assert create_model("Marshaller", body=(int, ...)) is first
    assert create_model("Marshaller", body=(str, ...)) is not first
    assert create_model("Unmarshaller", body=(int, ...)) is not first
    assert len(calls) == 3


def test_a_type_without_a_hash_is_made_each_time() -> None:
    create_model = memoized(lambda name, **fields: object())
    first = create_model("Marshaller", body=([], ...))
    assert create_model("Marshaller", body=([], ...)) is not first


def test_the_sdk_reads_as_it_did() -> None:
    patch_sdk()
    patch_sdk()
    text = '{"pages": [], "model": "m", "usage_info": {"pages_processed": 3}}'
    for _ in range(2):
        answer = serializers.unmarshal_json(text, models.OCRResponse)
        assert isinstance(answer, models.OCRResponse)
        assert answer.usage_info.pages_processed == 3
