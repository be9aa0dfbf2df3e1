"""Misspelt variables: which one was meant, and which are none of our business."""

import pytest

from ilios.settings.settings import warnings

BUCKET = {"S3_BUCKET": "documents"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ILIOS_API_KEY", "API_KEY"),
        ("ILIOS_API_KEYS", "API_KEY"),
        ("ILIOS_KEYS", "API_KEY"),
        ("ILIOS_WORKERS", "WORKER_COUNT"),
        ("ILIOS_NATS_URL", "NATS_URL"),
        ("ILIOS_DB_PATH", "LOCAL_DB_PATH"),
        ("ILIOS_DATADIR", "ILIOS_DATA_DIR"),
        ("ILIOS_LOGLEVEL", "ILIOS_LOG_LEVEL"),
        ("ILIOS_MAX_FILE_SIZE", "ILIOS_MAX_FILE_MB"),
        ("ILIOS_RETENSION", "ILIOS_RETENTION"),
        ("API_KEYS", "API_KEY"),
        ("APIKEY", "API_KEY"),
        ("api_key", "API_KEY"),
        ("MISTRAL_KEY", "MISTRAL_API_KEY"),
        ("MISTRAL_APIKEY", "MISTRAL_API_KEY"),
        ("MISTRAL_BASE_URL", "MISTRAL_SERVER_URL"),
        ("S3_BUCKET_NAME", "S3_BUCKET"),
        ("WORKERS_COUNT", "WORKER_COUNT"),
        ("DATA_DIR", "ILIOS_DATA_DIR"),
        ("LOCAL_DB", "LOCAL_DB_PATH"),
    ],
)
def test_a_variable_that_means_nothing_is_answered_with_the_one_that_was_meant(
    name: str, meant: str
) -> None:
    (warning,) = warnings({name: "x"})
    assert warning.startswith(f"{name} has no effect")
    assert warning.endswith(f"did you mean {meant}?")


def test_a_prefixed_setting_is_reported() -> None:
    (warning,) = warnings({"ILIOS_PORT": "80"})
    assert "did you mean PORT?" in warning


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("S3_ENDPOINT", "AWS_ENDPOINT_URL_S3"),
        ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"),
        ("S3_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
        ("AWS_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_DEFAULT_REGION", "AWS_REGION"),
    ],
)
def test_other_s3_variable_names_are_reported_if_a_bucket_is_set(name: str, meant: str) -> None:
    (warning,) = warnings(BUCKET | {name: "x"})
    assert warning.endswith(f"did you mean {meant}?")
    assert warnings({name: "x"}) == []
    assert warnings(BUCKET | {name: "x", meant: "y"}) == []


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "HOST",
        "HOSTNAME",
        "LANG",
        "USER",
        "SHELL",
        "PWD",
        "TERM",
        "ENGINE",
        "KEY",
        "OPENAI_API_KEY",
        "GITHUB_TOKEN",
        "DB_PATH",
        "DATABASE_URL",
        "HTTP_PROXY",
        "TMPDIR",
        "AWS_PROFILE",
        "AWS_CONFIG_FILE",
        "SSH_AUTH_SOCK",
        "PYTHONPATH",
        "VIRTUAL_ENV",
        "NO_COLOR",
    ],
)
def test_variables_of_others_are_left_alone(name: str) -> None:
    assert warnings({name: "x"}) == []
    assert warnings(BUCKET | {name: "x"}) == []
