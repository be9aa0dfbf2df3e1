"""Every setting is declared once and read once, and every mistake is named at once."""

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from ilios.runtime import machine
from ilios.secret import Secret
from ilios.settings import environ
from ilios.settings.bad_settings import BadSettings
from ilios.settings.environ import from_environ
from ilios.settings.settings import MIB, PREFETCH, TABLE, Settings

ROOT = Path(__file__).parents[3]

GOOD: list[tuple[str, str, str, object]] = [
    ("PORT", " 8080 ", "port", 8080),
    ("ILIOS_HOST", "::1", "host", "::1"),
    ("ILIOS_PUBLIC_URL", "https://a.example:8443/", "public_url", "https://a.example:8443"),
    ("ILIOS_PUBLIC_URL", "http://[::1]:80", "public_url", "http://[::1]:80"),
    (
        "ILIOS_ALLOWED_ORIGINS",
        "HTTPS://A.example:443/, http://b:8080",
        "allowed_origins",
        ("https://a.example", "http://b:8080"),
    ),
    ("ILIOS_ALLOWED_HOSTS", "Docs.example.com, b", "allowed_hosts", ("docs.example.com", "b")),
    ("API_KEY", "a, b,,c", "api_keys", (Secret("a"), Secret("b"), Secret("c"))),
    ("ILIOS_DATA_DIR", "/some where", "data_dir", Path("/some where")),
    ("LOCAL_DB_PATH", "x.db", "database_path", Path("x.db")),
    ("ILIOS_DATA_DIR", "d", "database_path", Path("d/ilios.db")),
    ("NATS_URL", "nats://a:b@c:1", "nats_url", Secret("nats://a:b@c:1")),
    ("ILIOS_MAX_FILE_MB", "2", "max_file_bytes", 2 * MIB),
    ("ILIOS_CONVERT_TIMEOUT", "0.5", "convert_timeout", 0.5),
    ("MAX_CONCURRENT_JOBS", "1", "jobs_per_process", 1),
    ("ILIOS_LOG_DAYS", "30", "log_days", 30),
    ("DB_WAL_MODE", "TRUE", "wal_mode", True),
    ("ILIOS_DOWNLOAD_ALLOW", "a:1, [::1]:80", "download_allow", ("a:1", "::1:80")),
    ("S3_BUCKET", "documents", "s3_bucket", "documents"),
    ("AWS_ENDPOINT_URL_S3", "http://[::1]:9000/", "s3_endpoint", "http://[::1]:9000"),
    ("AWS_ENDPOINT_URL_S3", "https://a.example/v1/s3", "s3_endpoint", "https://a.example/v1/s3"),
    ("AWS_REGION", "eu-central-1", "s3_region", "eu-central-1"),
    ("AWS_ACCESS_KEY_ID", "test:tester", "s3_access_key", Secret("test:tester")),
    ("ILIOS_S3_ADDRESSING", "Virtual", "s3_addressing", "virtual"),
    ("ILIOS_S3_PREFIX", "/a/b", "s3_prefix", "a/b/"),
    ("S3_MULTIPART_THRESHOLD", "52428800", "s3_single_put_max_bytes", 50 * MIB),
    ("S3_MULTIPART_THRESHOLD", "50mb", "s3_single_put_max_bytes", 50_000_000),
    ("S3_MULTIPART_THRESHOLD", "8 MiB", "s3_single_put_max_bytes", 8 * MIB),
    ("ILIOS_INSECURE", "YES", "insecure", True),
    ("ILIOS_MISTRAL_IMAGES", "off", "mistral_images", False),
]


@pytest.mark.parametrize(("variable", "text", "field", "value"), GOOD)
def test_a_variable_is_read(variable: str, text: str, field: str, value: object) -> None:
    assert getattr(from_environ({variable: text}), field) == value


BAD = [
    ("PORT", "65536"),
    ("ILIOS_HOST", "http://a"),
    ("ILIOS_PUBLIC_URL", "docs.example.com"),
    ("ILIOS_PUBLIC_URL", "ftp://docs.example.com"),
    ("ILIOS_PUBLIC_URL", "https://a/docs"),
    ("ILIOS_PUBLIC_URL", "https://u:hush@a"),
    ("ILIOS_PUBLIC_URL", "https://a:99999"),
    ("ILIOS_ALLOWED_ORIGINS", "https://a, null"),
    ("ILIOS_ALLOWED_HOSTS", "a:80"),
    ("ILIOS_ALLOWED_HOSTS", "*"),
    ("API_KEY", ","),
    ("NATS_URL", "localhost:4222"),
    ("NATS_URL", "nats://u:hush@"),
    ("NATS_URL", "nats://u:hush@host:99999"),
    ("NATS_URL", "nats://u:hush@[host"),
    ("NATS_URL", "nats://u:hush@a:1,nats://v:hush@b:2"),
    ("NATS_URL", "nats://u:hush@a:1,ws://b:2"),
    ("ILIOS_BUS_REPLICAS", "2"),
    ("NATS_URL", "http://u:hush@host:4222"),
    ("ILIOS_DOWNLOAD_ALLOW", "host"),
    ("ILIOS_DOWNLOAD_ALLOW", "host:x"),
    ("ILIOS_DOWNLOAD_ALLOW", "a:1, http://b:2"),
    ("ILIOS_DOWNLOAD_ALLOW", "::1"),
    ("ILIOS_MAX_FILE_MB", "0"),
    ("ILIOS_CONVERT_TIMEOUT", "nan"),
    ("ILIOS_CONVERT_TIMEOUT", "0"),
    ("MAX_CONCURRENT_JOBS", "101"),
    ("DB_WAL_MODE", "maybe"),
    ("ILIOS_LOG_LEVEL", "loud"),
    ("ILIOS_MISTRAL_MODEL", "../model"),
    ("MISTRAL_API_KEY", "hu sh"),
    ("S3_BUCKET", "a/b"),
    ("AWS_ENDPOINT_URL_S3", "s3.example.com"),
    ("AWS_ENDPOINT_URL_S3", "https://u:hush@s3.example.com"),
    ("AWS_REGION", "Frankfurt am Main"),
    ("ILIOS_S3_PREFIX", "../b"),
    ("S3_MULTIPART_THRESHOLD", "2GB"),
    ("DB_ENCRYPTION_KEY", "k"),
    ("USE_EMBEDDED_REPLICA", "true"),
]


@pytest.mark.parametrize(("variable", "text"), BAD)
def test_an_invalid_value_is_named(variable: str, text: str) -> None:
    with pytest.raises(BadSettings) as refusal:
        from_environ({variable: text})
    (problem,) = refusal.value.problems
    assert problem.startswith(f"{variable}: ")
    assert text not in ("localhost:4222", "k") or text not in problem.partition("(")[0]
    assert "hu" not in problem.replace("must", "")
    assert variable in environ.UNSUPPORTED or f"(for example {_example(variable)})" in problem


def _example(variable: str) -> str:
    return next(row.example for row in TABLE if row.variable == variable)


@pytest.mark.parametrize("text", ["x", "1.5", "1_0", "²", "9" * 5000, "0", "257", "-1"])
def test_a_number_that_cannot_be_used_is_answered_with_those_that_can(text: str) -> None:
    with pytest.raises(BadSettings) as refusal:
        from_environ({"WORKER_COUNT": text})
    assert refusal.value.problems == [
        "WORKER_COUNT: must be a whole number from 1 to 256 (for example 4)"
    ]


def test_a_database_without_wal_is_refused_with_the_reason() -> None:
    with pytest.raises(BadSettings, match=r"must be true: .*block the one writer"):
        from_environ({"DB_WAL_MODE": "off"})


def test_prices_are_what_was_set() -> None:
    found = from_environ({"ILIOS_MARGIN_PERCENT": "0", "ILIOS_LOCAL_PAGE_PRICE": "250"})
    price = found.pricing.price("local", "any", 4, date(2026, 1, 1))
    assert (price.base_micros, price.total_micros) == (1_000, 1_000)
    usual = Settings().pricing.price("local", "any", 1_000, date(2026, 1, 1))
    assert usual.total_micros == 1_300_000


def test_engine_processes_are_bounded_as_was_set() -> None:
    limits = from_environ(
        {"ILIOS_ENGINE_TIMEOUT": "90", "ILIOS_PAGE_TIMEOUT": "7", "ILIOS_SANDBOX": "strict"}
    ).engine_limits
    assert (limits.wall_seconds, limits.cpu_seconds) == (90, 90)
    assert (limits.page_seconds, limits.sandbox) == (7, "strict")


def test_as_many_documents_are_in_hand_as_was_set_for_each_process() -> None:
    assert from_environ({"WORKER_COUNT": "3"}).max_in_flight == 3 + PREFETCH
    assert from_environ({"WORKER_COUNT": "3", "MAX_CONCURRENT_JOBS": "1"}).max_in_flight == 3
    assert from_environ({"WORKER_COUNT": "3", "MAX_CONCURRENT_JOBS": "10"}).max_in_flight == 30


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(BadSettings) as refusal:
        from_environ({"PORT": "x", "WORKER_COUNT": "x", "DB_ENCRYPTION_KEY": "x"})
    named = [problem.partition(":")[0] for problem in refusal.value.problems]
    assert named == ["PORT", "WORKER_COUNT", "DB_ENCRYPTION_KEY"]


def test_nothing_set_is_a_service_for_this_machine_alone() -> None:
    found = from_environ({})
    assert found == Settings()
    assert found.host == "127.0.0.1"


def test_an_empty_variable_is_not_set() -> None:
    names = [setting.variable for setting in TABLE]
    assert from_environ(dict.fromkeys([*names, *environ.UNSUPPORTED], "")) == from_environ({})


OUTSIDE = ["0.0.0.0", "::", "192.0.2.1", "127.0.0.1.example.com", "localhost.evil.com"]


@pytest.mark.parametrize("host", OUTSIDE)
def test_an_open_api_is_not_shown_to_the_world_by_mistake(host: str) -> None:
    with pytest.raises(BadSettings, match="API_KEY"):
        from_environ({"ILIOS_HOST": host})
    with pytest.raises(BadSettings, match="API_KEY"):
        from_environ({"ILIOS_HOST": host, "API_KEY": " , "})
    assert from_environ({"ILIOS_HOST": host, "API_KEY": "k"}).host == host
    assert from_environ({"ILIOS_HOST": host, "ILIOS_INSECURE": "true"}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_this_machine_alone_no_key_is_needed(host: str) -> None:
    assert from_environ({"ILIOS_HOST": host}).host == host


def test_a_secret_does_not_show_itself() -> None:
    keys = dict.fromkeys(
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), "hush"
    )
    found = from_environ(
        {"API_KEY": "hush", "NATS_URL": "nats://u:hush@h:1", "S3_BUCKET": "b-b"} | keys
    )
    assert "hush" not in repr(found.s3)
    assert "hush" not in repr(found)
    assert "hush" not in str(found.api_keys)
    assert f"{found.nats_url}" == "***"
    assert found.api_keys[0].get_secret_value() == "hush"


def test_every_row_of_the_table_fills_a_field_of_its_own_and_its_example_is_good() -> None:
    fields = [setting.field for setting in TABLE]
    assert sorted(fields) == sorted(Settings.__struct_fields__)
    for setting in TABLE:
        assert setting.description
        from_environ({setting.variable: setting.example, "API_KEY": "k"})


def test_the_example_file_has_every_setting_and_no_other() -> None:
    text = (ROOT / ".env.example").read_text()
    rows = [(f"{row.variable}={row.example}", row.description) for row in TABLE]
    assert re.findall(r"^# (.+)\n#(\w+=.*)$", text, re.MULTILINE) == [
        (why, assignment) for assignment, why in rows
    ]
    assert all(line.startswith("#") for line in text.splitlines() if line), "all are commented out"


def test_mistral_converts_by_default_where_it_has_a_key() -> None:
    found = from_environ({})
    assert (found.engines, found.default_engine) == (("local",), "local")
    found = from_environ({"MISTRAL_API_KEY": "key"})
    assert (found.engines, found.default_engine) == (("local", "mistral"), "mistral")
    assert from_environ({"MISTRAL_API_KEY": "k", "ILIOS_ENGINE": "local"}).default_engine == "local"
    with pytest.raises(BadSettings, match="set MISTRAL_API_KEY"):
        from_environ({"ILIOS_ENGINE": "mistral"})


def test_mistral_is_bounded_as_was_set() -> None:
    limits = from_environ(
        {
            "ILIOS_MISTRAL_MODEL": "mistral-ocr-2512",
            "ILIOS_MISTRAL_CONCURRENCY": "7",
            "ILIOS_MISTRAL_PAGES_PER_MINUTE": "2000",
            "ILIOS_MISTRAL_IMAGES": "false",
        }
    ).mistral_limits
    assert (limits.model, limits.max_concurrent_calls) == ("mistral-ocr-2512", 7)
    assert (limits.pages_per_minute, limits.images) == (2000, False)


def test_as_many_more_documents_are_in_flight_as_mistral_may_read_at_once() -> None:
    local = from_environ({"WORKER_COUNT": "2"})
    remote = from_environ({"WORKER_COUNT": "2", "MISTRAL_API_KEY": "key"})
    assert remote.max_in_flight >= local.max_in_flight + remote.mistral_concurrency


def test_a_key_for_the_bucket_needs_its_secret() -> None:
    for alone in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        with pytest.raises(BadSettings, match=r"AWS_SECRET_ACCESS_KEY: .* set both"):
            from_environ({"S3_BUCKET": "documents", alone: "k"})
    assert from_environ({"AWS_ACCESS_KEY_ID": "k"}).s3 is None, "it may be for other programs"


def test_a_bucket_is_named_in_the_path_unless_it_is_one_of_aws() -> None:
    bucket = {"S3_BUCKET": "documents"}
    elsewhere = bucket | {"AWS_ENDPOINT_URL_S3": "https://s3.example.com"}
    for variables, style in (
        (bucket, "virtual"),
        (elsewhere, "path"),
        (elsewhere | {"ILIOS_S3_ADDRESSING": "virtual"}, "virtual"),
        (bucket | {"ILIOS_S3_ADDRESSING": "path"}, "path"),
    ):
        found = from_environ(variables).s3
        assert found is not None
        assert found.addressing_style == style


@pytest.mark.parametrize(
    ("hours", "least"), [("24", 3), ("1", 2), ("36", 4), ("168", 15), ("0", 7)]
)
def test_a_log_too_short_for_a_rebuild_is_refused(hours: str, least: int) -> None:
    environ = {"ILIOS_SNAPSHOT_HOURS": hours}
    allowed = from_environ(environ | {"ILIOS_LOG_DAYS": str(least)})
    assert allowed.log_max_age == timedelta(days=least)
    with pytest.raises(BadSettings, match=f"ILIOS_LOG_DAYS.* at least {least} days"):
        from_environ(environ | {"ILIOS_LOG_DAYS": str(least - 1)})


def test_a_log_reaches_back_seven_days_or_as_far_as_snapshots_need() -> None:
    assert from_environ({}).log_max_age == timedelta(days=7)
    assert from_environ({"ILIOS_SNAPSHOT_HOURS": "168"}).log_max_age == timedelta(days=15)


@pytest.mark.parametrize(
    ("cores", "variables", "processes"),
    [
        (1, {}, 0),
        (2, {}, 1),
        (2, {"S3_BUCKET": "documents"}, 0),
        (2, {"ILIOS_EDGE_PROCESSES": "0"}, 0),
        (1, {"ILIOS_EDGE_PROCESSES": "1"}, 1),
    ],
)
def test_the_edge_has_a_process_of_its_own_where_that_pays_or_is_wanted(
    monkeypatch: pytest.MonkeyPatch, cores: int, variables: dict[str, str], processes: int
) -> None:
    monkeypatch.setattr(machine, "cores", lambda: cores)
    assert from_environ(variables).has_edge_process is bool(processes)


def test_a_bucket_is_not_shared_by_two_processes() -> None:
    with pytest.raises(BadSettings, match="with S3_BUCKET the edge runs inside the core"):
        from_environ({"S3_BUCKET": "documents", "ILIOS_EDGE_PROCESSES": "1"})


def test_a_directory_beside_which_there_is_more_than_libreoffice_is_refused(tmp_path: Path) -> None:
    """Its parent is readable in the sandbox."""
    program = tmp_path / "program"
    program.mkdir()
    for named in (tmp_path, program):
        with pytest.raises(BadSettings, match=r"ILIOS_LIBREOFFICE: must be .*program"):
            from_environ({"ILIOS_LIBREOFFICE": str(named)})
    (tmp_path / "share").mkdir()
    assert from_environ({"ILIOS_LIBREOFFICE": str(program)}).libreoffice == str(program)
