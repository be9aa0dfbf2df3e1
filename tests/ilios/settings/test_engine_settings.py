"""Which engines there are, and what is taken of the one abroad, by the environment."""

import pytest

from ilios.settings import settings
from ilios.settings.settings import BadSettings


def read(**environ: str) -> settings.Settings:
    return settings.from_environ(environ)


def test_without_a_key_there_is_the_local_engine_only() -> None:
    found = read()
    assert (found.engines, found.default_engine) == (("local",), "local")


def test_with_a_key_mistral_is_what_converts() -> None:
    found = read(MISTRAL_API_KEY="key")
    assert (found.engines, found.default_engine) == (("local", "mistral"), "mistral")


def test_the_local_engine_can_stay_the_usual_one() -> None:
    assert read(MISTRAL_API_KEY="key", ILIOS_ENGINE="local").default_engine == "local"


def test_mistral_without_a_key_is_refused() -> None:
    with pytest.raises(BadSettings, match="set MISTRAL_API_KEY"):
        read(ILIOS_ENGINE="mistral")


def test_the_key_does_not_show_itself() -> None:
    assert "quite-secret" not in repr(read(MISTRAL_API_KEY="quite-secret"))


def test_a_key_with_spaces_is_refused() -> None:
    with pytest.raises(BadSettings, match="MISTRAL_API_KEY") as refused:
        read(MISTRAL_API_KEY="quite secret")
    assert "quite" not in str(refused.value)


@pytest.mark.parametrize("model", ["Mistral OCR", "../model", "-", "m" * 65])
def test_what_cannot_be_a_model_is_refused(model: str) -> None:
    with pytest.raises(BadSettings, match="ILIOS_MISTRAL_MODEL"):
        read(ILIOS_MISTRAL_MODEL=model)


def test_the_limits_are_those_of_the_environment() -> None:
    limits = read(
        ILIOS_MISTRAL_MODEL="mistral-ocr-2512",
        ILIOS_MISTRAL_CONCURRENCY="7",
        ILIOS_MISTRAL_PAGES_PER_MINUTE="2000",
        ILIOS_MISTRAL_IMAGES="false",
    ).mistral_limits
    assert (limits.model, limits.max_concurrent_calls) == ("mistral-ocr-2512", 7)
    assert (limits.pages_per_minute, limits.images) == (2000, False)


def test_as_many_more_documents_are_in_hand_as_mistral_may_read_at_once() -> None:
    here, abroad = read(WORKER_COUNT="2"), read(WORKER_COUNT="2", MISTRAL_API_KEY="key")
    assert abroad.max_in_flight >= here.max_in_flight + abroad.mistral_concurrency
