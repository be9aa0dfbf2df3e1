"""Which engine a request wants, and which of its models: the fields ``engine`` and ``model``."""

from typing import Final, get_args

import msgspec
from msgspec import Struct

from ilios.edge.errors import Refused
from ilios.edge.keys import Edge
from schemas.documents import EngineName, Model

LOCAL: Final = "local"
"""As a ``model`` it stands for the engine, which has no models to choose from."""

INVALID_ENGINE = ("invalid_engine", 'engine must be "local" or "mistral"')
INVALID_MODEL = (
    "invalid_model",
    "model must be the name of a Mistral model, such as mistral-ocr-latest",
)


class Choice(Struct, frozen=True):
    """What is wanted; None leaves it to the service."""

    engine: EngineName | None = None
    model: str | None = None


def chosen(edge: Edge, engine: str | None, model: str | None, *, batched: bool = False) -> Choice:
    """Read the two fields. ``batched`` asks for a batch of Mistral's own.

    :raises Refused: one of them is wrong, or both do not go together (400), or the engine is not
        set up here (422).
    """
    choice = _read(engine or None, model or None)
    if batched:
        if choice.engine == LOCAL:
            error = 'useMistralBatch is for the engine "mistral" only'
            raise Refused(400, "invalid_engine", error)
        choice = Choice("mistral", choice.model)
    if choice.engine is not None and choice.engine not in edge.engines:
        raise Refused(
            422,
            "engine_unavailable",
            "This service is not set up for Mistral: its operator has to set MISTRAL_API_KEY; "
            'leave engine, model and useMistralBatch out, or say engine "local"',
        )
    return choice


def _read(engine: str | None, model: str | None) -> Choice:
    if engine not in (None, *get_args(EngineName)):
        raise Refused(400, *INVALID_ENGINE)
    if model is None:
        return Choice(msgspec.convert(engine, EngineName | None))
    if model == LOCAL and engine in (None, LOCAL):
        return Choice(LOCAL)
    if LOCAL in (model, engine):
        error = 'The engine "local" has no models, and no other engine a model "local"'
        raise Refused(400, "invalid_model", error)
    try:
        return Choice("mistral", msgspec.convert(model, Model))
    except msgspec.ValidationError:
        raise Refused(400, *INVALID_MODEL) from None
