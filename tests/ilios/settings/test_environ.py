"""Settings are read from the environment and ./.env; misspelt variables are answered."""

from pathlib import Path

import pytest

from ilios.settings import environ
from ilios.settings.bad_settings import BadSettings
from ilios.settings.environ import add_env_file, from_environ, warnings

BUCKET = {"S3_BUCKET": "documents"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ILIOS_API_KEY", "API_KEY"),  # a prefix too many
        ("ILIOS_KEYS", "API_KEY"),  # an alias that is clear only with our prefix
        ("ILIOS_RETENSION", "ILIOS_RETENTION"),  # a typing error
        ("api_key", "API_KEY"),  # other case
        ("APIKEY", "API_KEY"),  # other separators
        ("WORKERS_COUNT", "WORKER_COUNT"),  # a typing error without prefix
        ("MISTRAL_BASE_URL", "MISTRAL_SERVER_URL"),  # an alias
        ("DATA_DIR", "ILIOS_DATA_DIR"),  # no prefix
    ],
)
def test_a_misspelt_variable_is_answered_with_the_one_that_was_meant(name: str, meant: str) -> None:
    (warning,) = warnings({name: "x"})
    assert warning.startswith(f"{name} has no effect")
    assert warning.endswith(f"did you mean {meant}?")


def test_names_of_s3_are_answered_only_beside_a_bucket() -> None:
    (warning,) = warnings(BUCKET | {"S3_ENDPOINT": "x"})
    assert warning.endswith("did you mean AWS_ENDPOINT_URL_S3?")
    assert warnings({"S3_ENDPOINT": "x"}) == []
    assert warnings(BUCKET | {"S3_ENDPOINT": "x", "AWS_ENDPOINT_URL_S3": "y"}) == []


@pytest.mark.parametrize("name", ["HOST", "KEY", "OPENAI_API_KEY", "DB_PATH", "AWS_PROFILE"])
def test_variables_of_other_programs_are_ignored(name: str) -> None:
    assert warnings({name: "x"}) == []
    assert warnings(BUCKET | {name: "x"}) == []


def test_settings_without_effect_are_reported() -> None:
    assert warnings({"TURSO_AUTH_TOKEN": "k", "PATH": "x", "AWS_ACCESS_KEY_ID": ""}) == [
        f"TURSO_AUTH_TOKEN has no effect: {environ.IGNORED['TURSO_AUTH_TOKEN']}"
    ]
    key = {"AWS_ACCESS_KEY_ID": "k"}
    assert warnings(key) == ["AWS_ACCESS_KEY_ID has no effect: S3_BUCKET is not set"]
    assert warnings(BUCKET | key) == []


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("API_KEY=a", "a"),
        ("export API_KEY=a", "a"),
        ("  API_KEY = two words  ", "two words"),
        ("API_KEY=a # a comment", "a"),
        ("API_KEY=a#b", "a#b"),
        ("API_KEY=pa$$word", "pa$$word"),
        ("API_KEY=a==", "a=="),
        ("API_KEY='${A} # \\n' # a comment", "${A} # \\n"),
        (r'API_KEY="a # \"b\"\n"', 'a # "b"\n'),
        ("API_KEY=", ""),
        ("\ufeffAPI_KEY=a\r", "a"),
    ],
)
def test_an_assignment_of_the_file_is_read(env_file: Path, line: str, value: str) -> None:
    env_file.write_bytes(f"{line}\n\n# a comment\n".encode())
    found: dict[str, str] = {}
    assert add_env_file(found, env_file) == ("API_KEY",)
    assert found == {"API_KEY": value}


def test_the_environment_wins_even_with_an_empty_variable(env_file: Path) -> None:
    env_file.write_text("PORT=1\nAPI_KEY=a\nILIOS_HOST=::1\n")
    found = {"PORT": "2", "API_KEY": ""}
    assert add_env_file(found, env_file) == ("ILIOS_HOST",)
    assert found == {"PORT": "2", "API_KEY": "", "ILIOS_HOST": "::1"}


@pytest.mark.parametrize(
    "line",
    ["hush", "1A=hush", 'A="hush', "A='hush' hush", "A=${hush}", 'A="$(hush)"', "A=hu\0sh"],
)
def test_a_broken_line_is_named_and_not_shown(env_file: Path, line: str) -> None:
    env_file.write_text(f"PORT=1\n{line}\n")
    found: dict[str, str] = {}
    with pytest.raises(BadSettings) as refusal:
        add_env_file(found, env_file)
    (problem,) = refusal.value.problems
    assert problem.startswith(f"{env_file}, line 2: ")
    assert "hu" not in problem
    assert found == {}


def test_without_a_file_nothing_is_added(env_file: Path) -> None:
    assert add_env_file({}, env_file) == ()
    env_file.mkdir()  # as of a virtual environment
    assert add_env_file({}, env_file) == ()


def test_a_file_that_is_no_text_is_refused(env_file: Path) -> None:
    env_file.write_bytes(b"A=\xff\xfe")
    with pytest.raises(BadSettings, match="cannot be read: it is not UTF-8"):
        add_env_file({}, env_file)


def test_the_file_of_the_original_service_is_understood(env_file: Path) -> None:
    env_file.write_text(
        "# Required - Mistral OCR\nMISTRAL_API_KEY=key\n\nAWS_ACCESS_KEY_ID=id\n"
        "AWS_SECRET_ACCESS_KEY=secret\nAWS_ENDPOINT_URL_S3=https://fly.storage.tigris.dev\n"
        "S3_BUCKET=documents\nPORT=1337\nAPI_KEY=your_secure_api_key_here\n"
        "USE_EMBEDDED_REPLICA=false\nLOCAL_DB_PATH=./data/ilios.db\n"
    )
    found: dict[str, str] = {}
    add_env_file(found, env_file)
    settings = from_environ(found)
    assert (settings.default_engine, settings.s3_bucket) == ("mistral", "documents")
    assert settings.database_path == Path("data/ilios.db")
