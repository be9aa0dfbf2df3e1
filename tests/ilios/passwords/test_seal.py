"""A sealed password is opened with its key and for its document only."""

import pytest

from ilios.passwords.seal import MAX_PASSWORD_BYTES, SEALED_BYTES, CannotUnseal, Seal
from schemas.requests import MAX_PASSWORD_LENGTH

PASSWORD = "Grüße \U0001f512"


def seal(key: int = 1) -> Seal:
    return Seal(bytes([key]) * 32)


def test_a_password_is_unsealed_for_its_document_by_another_process() -> None:
    sealed = seal().seal("acme", "a", PASSWORD)
    assert seal().unseal("acme", "a", sealed) == PASSWORD


def test_a_sealed_password_shows_neither_its_text_nor_its_length() -> None:
    longest = "\U0001f512" * MAX_PASSWORD_LENGTH
    assert len(longest.encode()) <= MAX_PASSWORD_BYTES
    for password in (PASSWORD, "short one", longest):
        sealed = seal().seal("acme", "a", password)
        assert len(sealed) == SEALED_BYTES
        assert password.encode() not in sealed
        assert seal().unseal("acme", "a", sealed) == password


def test_the_same_password_is_never_sealed_the_same_way() -> None:
    assert len({seal().seal("acme", "a", PASSWORD) for _ in range(20)}) == 20


@pytest.mark.parametrize(("tenant", "document_id"), [("acme", "b"), ("other", "a")])
def test_a_sealed_password_does_not_serve_another_document(tenant: str, document_id: str) -> None:
    with pytest.raises(CannotUnseal, match="damaged"):
        seal().unseal(tenant, document_id, seal().seal("acme", "a", PASSWORD))


def test_a_password_sealed_with_a_lost_key_is_not_unsealed() -> None:
    with pytest.raises(CannotUnseal, match="a key that is no longer here"):
        seal(2).unseal("acme", "a", seal(1).seal("acme", "a", PASSWORD))


def test_every_changed_byte_is_noticed() -> None:
    sealed = seal().seal("acme", "a", PASSWORD)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(CannotUnseal):
            seal().unseal("acme", "a", bytes(changed))
    for other in (b"", sealed[:-1], sealed + b"\0"):
        with pytest.raises(CannotUnseal, match="damaged"):
            seal().unseal("acme", "a", other)
