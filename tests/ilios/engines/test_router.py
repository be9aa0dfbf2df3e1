"""Choice of the engine for a document, and the fallback to the local one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.content_types import XLSX
from actors.engines import (
    Conversion,
    EngineCrashed,
    EngineUnavailable,
    SourceFile,
    Unconvertible,
)
from ilios.engines.router import EngineRouter
from schemas.options import ConversionOptions, EngineName

AWAY = EngineUnavailable("engine_unavailable", "It is away.", retry_after=5)
REFUSED = Unconvertible("too_large", "Too large for it.")


class Stub:
    """An engine that names itself, or fails."""

    def __init__(self, name: str, fails: Exception | None = None) -> None:
        self._name = name
        self._fails = fails

    async def check(self) -> None:
        if self._fails is not None:
            raise self._fails

    async def convert(
        self, document: SourceFile, progress: Callable[[int, int], None] | None = None
    ) -> Conversion:
        await self.check()
        return Conversion(("page",), self._name, "model", 0.0)


def source(engine: EngineName | None = None) -> SourceFile:
    return SourceFile(Path("paper"), "application/pdf", options=ConversionOptions(engine=engine))


@pytest.mark.parametrize(
    ("wanted", "default", "expected"),
    [
        (None, "local", "local"),
        (None, "mistral", "mistral"),
        ("local", "mistral", "local"),
        ("mistral", "local", "mistral"),
    ],
)
async def test_a_document_chooses_its_engine_or_gets_the_default(
    wanted: EngineName | None, default: EngineName, expected: str
) -> None:
    choice = EngineRouter(Stub("local"), Stub("mistral"), default=default)
    conversion = await choice.convert(source(wanted))
    assert (conversion.engine, conversion.fallback_from) == (expected, None)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (ConversionOptions(), "local"),
        (ConversionOptions(engine="local"), "local"),
        (ConversionOptions(engine="mistral"), "mistral"),
        (ConversionOptions(model="mistral-ocr-latest"), "mistral"),
    ],
)
async def test_types_that_mistral_does_not_take_are_for_the_local_engine_unless_it_is_wanted(
    wanted: ConversionOptions, expected: str
) -> None:
    choice = EngineRouter(Stub("local"), Stub("mistral"), default="mistral")
    conversion = await choice.convert(SourceFile(Path("book"), XLSX, options=wanted))
    assert (conversion.engine, conversion.fallback_from) == (expected, None)


@pytest.mark.parametrize("error", [AWAY, REFUSED])
async def test_without_a_fallback_errors_of_the_engine_are_raised(error: Exception) -> None:
    choice = EngineRouter(Stub("local"), Stub("mistral", error), default="mistral")
    with pytest.raises(type(error)):
        await choice.convert(source())


@pytest.mark.parametrize("error", [AWAY, REFUSED])
async def test_with_a_fallback_the_local_engine_converts_and_the_result_records_it(
    error: Exception,
) -> None:
    choice = EngineRouter(Stub("local"), Stub("mistral", error), default="mistral", fallback=True)
    conversion = await choice.convert(source())
    assert (conversion.engine, conversion.fallback_from) == ("local", "mistral")


async def test_refusals_that_hold_for_every_engine_have_no_fallback() -> None:
    locked = Unconvertible("password_protected", "It has a password.")
    choice = EngineRouter(Stub("local"), Stub("mistral", locked), default="mistral", fallback=True)
    with pytest.raises(Unconvertible, match="password"):
        await choice.convert(source())


async def test_an_engine_that_is_not_configured_is_an_error_with_a_remedy() -> None:
    with pytest.raises(Unconvertible, match="MISTRAL_API_KEY") as refused:
        await EngineRouter(Stub("local")).convert(source("mistral"))
    assert refused.value.code == "engine_unavailable"


async def test_with_a_fallback_an_engine_that_is_not_configured_is_replaced() -> None:
    conversion = await EngineRouter(Stub("local"), fallback=True).convert(source("mistral"))
    assert (conversion.engine, conversion.fallback_from) == ("local", "mistral")


async def test_the_check_covers_every_engine() -> None:
    await EngineRouter(Stub("local"), Stub("mistral")).check()
    with pytest.raises(EngineUnavailable):
        await EngineRouter(Stub("local"), Stub("mistral", AWAY)).check()
    crash = EngineCrashed("It does not start.", document_blamed=False)
    with pytest.raises(EngineCrashed):
        await EngineRouter(Stub("local", crash), Stub("mistral")).check()


async def test_an_engine_with_a_fallback_is_not_checked() -> None:
    await EngineRouter(Stub("local"), Stub("mistral", AWAY), fallback=True).check()
