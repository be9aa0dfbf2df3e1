"""Only what was signed here, for this, and not too long ago opens the door."""

from pathlib import Path
from typing import Any

import pytest

from ilios.edge.signing import BadSignature, SignatureExpired, Signer
from ilios.secrets_file import SecretsDamaged
from schemas.ids import new_id

SECRET = bytes(range(32))
NOW = 1_800_000_000
UPLOAD: dict[str, Any] = {
    "tenant": "kabc",
    "document_id": new_id(),
    "size": 1000,
    "expires_at": NOW + 3600,
}


def signer(now: float = NOW, secret: bytes = SECRET) -> Signer:
    return Signer(secret, clock=lambda: now)


def test_a_signed_value_is_verified() -> None:
    signature = signer().sign(**UPLOAD)
    signer().verify(signature, **UPLOAD)
    assert signer().sign(**UPLOAD) == signature


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "kabd"},
        {"tenant": ""},
        {"tenant": "kabc\ud800"},
        {"document_id": new_id()},
        {"size": 1001},
        {"size": -1000},
        {"expires_at": NOW + 3601},
        {"expires_at": 10**4000},
    ],
)
def test_a_signature_is_good_for_nothing_else(other: dict[str, Any]) -> None:
    signature = signer().sign(**UPLOAD)
    with pytest.raises(BadSignature):
        signer().verify(signature, **(UPLOAD | other))


def test_signed_fields_cannot_run_into_each_other() -> None:
    signature = signer().sign("ka", "b1", 21, NOW + 1)
    for tenant, document_id, size in (("k", "ab1", 21), ("kab", "1", 21), ("ka", "b12", 1)):
        with pytest.raises(BadSignature):
            signer().verify(signature, tenant, document_id, size, NOW + 1)


@pytest.mark.parametrize("place", [0, 1, 3, 34, -1])
def test_a_signature_with_another_letter_is_refused(place: int) -> None:
    letters = list(signer().sign(**UPLOAD))
    letters[place] = "0" if letters[place] != "0" else "1"
    with pytest.raises(BadSignature):
        signer().verify("".join(letters), **UPLOAD)


@pytest.mark.parametrize("signature", ["", "v1", "v1.", "v2.", "é", "\ud800", "v1." + "0" * 64])
def test_what_is_no_signature_is_refused(signature: str) -> None:
    with pytest.raises(BadSignature):
        signer().verify(signature, **UPLOAD)


def test_a_signature_with_more_behind_it_or_in_capitals_is_refused() -> None:
    signature = signer().sign(**UPLOAD)
    for other in (signature + "0", signature + "\n", signature[:-1], signature.upper()):
        with pytest.raises(BadSignature):
            signer().verify(other, **UPLOAD)


def test_a_signature_of_another_secret_is_refused() -> None:
    signature = signer(secret=bytes(32)).sign(**UPLOAD)
    with pytest.raises(BadSignature):
        signer().verify(signature, **UPLOAD)


def test_a_signature_expires_by_the_clock_and_not_a_moment_before() -> None:
    signature = signer().sign(**UPLOAD)
    signer(UPLOAD["expires_at"] - 0.001).verify(signature, **UPLOAD)
    with pytest.raises(SignatureExpired):
        signer(UPLOAD["expires_at"]).verify(signature, **UPLOAD)


def test_an_expired_forgery_is_only_reported_as_forged() -> None:
    with pytest.raises(BadSignature):
        signer(NOW + 10**6).verify("v1." + "0" * 64, **UPLOAD)


def test_a_signature_shows_its_version_and_needs_no_quoting() -> None:
    signature = signer().sign(**UPLOAD)
    assert signature.startswith("v1.")
    assert len(signature) == 67
    assert signature.replace(".", "").isalnum()


def test_a_signature_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "uploads.json"
    signature = Signer.load(path).sign("kabc", "doc", 10, 2**40)
    Signer.load(path).verify(signature, "kabc", "doc", 10, 2**40)


def test_the_secret_is_for_its_owner_alone_and_each_place_has_its_own(tmp_path: Path) -> None:
    here, there = tmp_path / "here.json", tmp_path / "there.json"
    signature = Signer.load(here).sign("kabc", "doc", 10, 2**40)
    assert here.stat().st_mode & 0o777 == 0o600
    with pytest.raises(BadSignature):
        Signer.load(there).verify(signature, "kabc", "doc", 10, 2**40)


def test_a_secret_is_in_nothing_that_is_shown(tmp_path: Path) -> None:
    one = Signer(SECRET)
    assert repr(SECRET)[2:-1] not in repr(one)
    assert SECRET.hex() not in one.sign(**UPLOAD)


@pytest.mark.parametrize("kept", ["", "{}", '{"secret":""}', '{"secret":"c2hvcnQ="}', "[]"])
def test_a_damaged_secret_is_reported_and_not_replaced(tmp_path: Path, kept: str) -> None:
    path = tmp_path / "uploads.json"
    path.write_text(kept)
    with pytest.raises(SecretsDamaged, match=r"uploads\.json"):
        Signer.load(path)
    assert path.read_text() == kept
