"""Servers, credentials and TLS of an external bus, from the environment."""

from pathlib import Path

import pytest

from bus.target import Target
from ilios.settings import transfer
from ilios.settings.bad_settings import BadSettings
from ilios.settings.environ import from_environ, warnings
from tests.certificates import CertificateFiles, make_certificates


@pytest.fixture
def certificates(tmp_path: Path) -> CertificateFiles:
    return make_certificates(tmp_path)


def external_bus(**variables: str) -> Target | None:
    return from_environ({"NATS_URL": "nats://a:1", **variables}).external_bus


def test_credentials_in_one_url_hold_for_all_servers() -> None:
    assert external_bus(NATS_URL="nats://u:p%40@a:1, nats://b:2,tls://c") == Target(
        servers=("nats://a:1", "nats://b:2", "tls://c"), user="u", password="p@"
    )
    assert external_bus(NATS_URL="nats://t@a:1,nats://t@b:2") == Target(
        servers=("nats://a:1", "nats://b:2"), token="t"
    )
    assert from_environ({}).external_bus is None


def test_variables_win_over_credentials_in_the_url() -> None:
    found = external_bus(NATS_URL="nats://u:p@a:1", NATS_USER="v", NATS_PASSWORD="q")
    assert found == Target(servers=("nats://a:1",), user="v", password="q")


def test_files_are_part_of_the_target(certificates: CertificateFiles) -> None:
    found = external_bus(
        NATS_CA=str(certificates.ca),
        NATS_CERT=str(certificates.certificate),
        NATS_KEY=str(certificates.key),
    )
    assert found is not None
    assert found.requires_tls
    assert found.tls_context() is not None


def test_secrets_are_not_shown() -> None:
    settings = from_environ({"NATS_URL": "nats://u:hush@a:1"})
    assert "hush" not in f"{settings!r} {settings.external_bus!r} {settings.external_bus}"
    assert transfer.decode(transfer.encode(settings)).external_bus == settings.external_bus


@pytest.mark.parametrize(
    ("named", "variables"),
    [
        ("NATS_PASSWORD", {"NATS_USER": "u"}),
        ("NATS_PASSWORD", {"NATS_PASSWORD": "hush"}),
        ("NATS_CREDS", {"NATS_CREDS": "{empty}"}),
        ("NATS_CREDS", {"NATS_CREDS": "/nowhere"}),
        ("NATS_CREDS", {"NATS_CREDS": "{empty}", "NATS_USER": "u", "NATS_PASSWORD": "hush"}),
        ("NATS_NKEY", {"NATS_NKEY": "{empty}"}),
        ("NATS_CA", {"NATS_CA": "{empty}"}),
        ("NATS_CERT", {"NATS_CERT": "{empty}", "NATS_KEY": "{empty}"}),
        ("NATS_CERT", {"NATS_CERT": "{empty}"}),
        ("NATS_KEY", {"NATS_KEY": "{empty}"}),
    ],
)
def test_what_cannot_be_used_is_named(
    named: str, variables: dict[str, str], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.write_text("hush")
    with pytest.raises(BadSettings, match=f"{named}: ") as caught:
        external_bus(**{name: text.format(empty=empty) for name, text in variables.items()})
    assert "hush" not in str(caught.value)


def test_without_a_url_credentials_have_no_effect_and_that_is_reported() -> None:
    assert warnings({"NATS_USER": "u"}) == ["NATS_USER has no effect: NATS_URL is not set"]
