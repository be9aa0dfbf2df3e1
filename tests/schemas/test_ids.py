"""Ids are safe in subjects, paths and URLs, and sort by time."""

import re
import time

import msgspec
import pytest

from schemas.documents import DocumentId, Tenant
from schemas.ids import DEFAULT_TENANT, is_id, is_tenant, new_id

LETTERS = "abcdefghijklmnopqrst"


def can_be_read(text: str, kind: object) -> bool:
    try:
        msgspec.json.decode(msgspec.json.encode(text), type=kind)
    except msgspec.ValidationError:
        return False
    return True


def test_a_new_id_is_an_id() -> None:
    assert is_id(new_id())
    assert re.fullmatch("[a-z0-9]{24}", new_id())


def test_no_two_new_ids_are_the_same() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000


def test_later_ids_sort_after_earlier_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [0, 1, 35, 36, 1_768_473_000_000, 1_768_473_000_001, 36**9 - 1]
    ids = []
    for moment in moments:
        monkeypatch.setattr(time, "time_ns", lambda moment=moment: moment * 1_000_000)
        ids.append(new_id())
    assert ids == sorted(ids)
    assert len({len(made) for made in ids}) == 1


@pytest.mark.parametrize("text", [LETTERS, LETTERS + "0123456789", "0" * 20])
def test_an_id_has_20_to_30_small_letters_and_digits(text: str) -> None:
    assert is_id(text)


UNSAFE = [".", "a.b", "a*", "a>", "a b", "a/b", "A", "é", "a\n", "\na", "a\0", "٣"]


@pytest.mark.parametrize("text", [LETTERS[:19], LETTERS + "0" * 11, *(LETTERS + t for t in UNSAFE)])
def test_an_unsafe_text_is_no_id(text: str) -> None:
    assert not is_id(text)


@pytest.mark.parametrize("text", [DEFAULT_TENANT, "a", "0", "acme-1_x", "a" * 32])
def test_a_tenant_is_one_token(text: str) -> None:
    assert is_tenant(text)


@pytest.mark.parametrize("text", [*UNSAFE, "", "-a", "_a", "a" * 33])
def test_a_text_of_several_tokens_is_no_tenant(text: str) -> None:
    assert not is_tenant(text)


def test_the_events_and_the_functions_agree_on_what_a_name_is() -> None:
    for kind, judge in ((DocumentId, is_id), (Tenant, is_tenant)):
        for text in ("", LETTERS, "a", "acme-1", *UNSAFE, *(LETTERS + bad for bad in UNSAFE)):
            assert can_be_read(text, kind) is judge(text), text
