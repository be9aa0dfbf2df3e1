"""Spares the SDK half of its work: it makes the same pydantic classes again for every call.

``mistralai.client.utils.serializers`` makes one for each value it reads or writes, six times a
call, a millisecond each; ``queryparams`` reads the annotations of the request anew. Here each is
made once. Where a version of the SDK does it otherwise, nothing is changed.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from mistralai.client import basesdk
from mistralai.client.utils import queryparams, serializers

ModelFactory = Callable[..., Any]


def patch_sdk() -> None:
    """Let the SDK keep what it makes; a second time this does nothing."""
    make = getattr(serializers, "create_model", None)
    if make is not None and not hasattr(make, "made"):
        vars(serializers)["create_model"] = memoized(make)
    if hasattr(basesdk, "get_body_content"):
        vars(basesdk)["get_body_content"] = _no_body_text
    read = getattr(queryparams, "get_type_hints", None)
    if read is not None and not hasattr(read, "cache_info"):
        vars(queryparams)["get_type_hints"] = cache(read)


def _no_body_text(_request: object) -> str:
    """Say nothing of a body: the debug log, which is off, gets it in words for every call."""
    return "<not shown>"


def memoized(factory: ModelFactory) -> ModelFactory:
    """Return what makes each class once that differs only in its ``body``."""
    made: dict[tuple[str, Any], Any] = {}

    def create_model(name: str, /, **fields: Any) -> Any:
        body = fields.get("body")
        try:
            key = (name, body)
            model = made.get(key)
        except TypeError:  # a type that has no hash
            return factory(name, **fields)
        if model is None:
            model = made[key] = factory(name, **fields)
        return model

    create_model.made = made  # type: ignore[attr-defined]
    return create_model
