"""Which engine a request wants, and which of its models: the fields ``engine`` and ``model``."""

from typing import Final, get_args

import msgspec
from msgspec import Struct

from ilios.edge.context import Edge
from ilios.edge.errors import HttpProblem
from schemas.options import EngineName, Model

LOCAL: Final = "local"
"""As a ``model`` it stands for the engine, which has no models to choose from."""

INVALID_ENGINE = ("invalid_engine", 'engine must be "local" or "mistral"')
INVALID_MODEL = (
    "invalid_model",
    "model must be the name of a Mistral model, such as mistral-ocr-latest",
)


class EngineSelection(Struct, frozen=True):
    """What is wanted; None leaves it to the service."""

    engine: EngineName | None = None
    model: str | None = None


def select_engine(
    edge: Edge, engine: str | None, model: str | None, *, mistral_batch: bool = False
) -> EngineSelection:
    """Read the two fields. ``batched`` asks for a batch of Mistral's own.

    :raises Refused: one of them is wrong, or both do not go together (400), or the engine is not
        set up here (422).
    """
    selection = _parse(engine or None, model or None)
    if mistral_batch:
        if selection.engine == LOCAL:
            error = 'useMistralBatch is for the engine "mistral" only'
            raise HttpProblem(400, "invalid_engine", error)
        selection = EngineSelection("mistral", selection.model)
    if selection.engine is not None and selection.engine not in edge.engines:
        raise HttpProblem(
            422,
            "engine_unavailable",
            "This service is not set up for Mistral: its operator has to set MISTRAL_API_KEY; "
            'leave engine, model and useMistralBatch out, or say engine "local"',
        )
    return selection


def _parse(engine: str | None, model: str | None) -> EngineSelection:
    if engine not in (None, *get_args(EngineName)):
        raise HttpProblem(400, *INVALID_ENGINE)
    if model is None:
        return EngineSelection(msgspec.convert(engine, EngineName | None))
    if model == LOCAL and engine in (None, LOCAL):
        return EngineSelection(LOCAL)
    if LOCAL in (model, engine):
        error = 'The engine "local" has no models, and no other engine a model "local"'
        raise HttpProblem(400, "invalid_model", error)
    try:
        return EngineSelection("mistral", msgspec.convert(model, Model))
    except msgspec.ValidationError:
        raise HttpProblem(400, *INVALID_MODEL) from None
