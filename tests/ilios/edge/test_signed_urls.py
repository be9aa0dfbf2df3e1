"""An upload URL is the right to one upload, for a while, and to nothing else."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ilios.api_keys import tenant_of
from ilios.edge.signed_urls import BadSignature, SignatureExpired, Signer
from ilios.edge.upload_urls import URL_LIFETIME
from ilios.secret import SecretsDamaged
from schemas.ids import new_id
from tests.ilios.edge.test_upload_urls import ASK, UPLOAD_REQUEST, complete, put, request_upload_url
from tests.ilios.edge.world import PDF, World, post_request

MINE, THEIRS = {"X-Api-Key": "mine"}, {"X-Api-Key": "theirs"}
SECRET = bytes(range(32))
NOW = 1_800_000_000
UPLOAD: dict[str, Any] = {
    "tenant": "kabc",
    "document_id": new_id(),
    "size": 1000,
    "expires_at": NOW + 3600,
}


def changes(asked: dict[str, Any], other: dict[str, Any]) -> dict[str, str]:
    path, signature = asked["path"], asked["path"].rpartition("=")[2]
    swapped = signature[:-1] + ("0" if signature[-1] != "0" else "1")
    return {
        "none": path.partition("?")[0],
        "document": path.replace(asked["id"], other["id"]),
        "size": path.replace(f"size={len(PDF)}", f"size={len(PDF) + 1}"),
        "zeros": path.replace("expires=", "expires=0"),
        "expires": path.replace("expires=1", "expires=9"),
        "signature": path.replace(signature, swapped),
        "half": path[:-8],
        "version": path.replace("signature=v1.", "signature=v2."),
        "surrogate": path.replace(signature, "%ED%A0%80"),
        "no number": path.replace("size=", "size=x"),
        "many digits": path.replace("size=", "size=" + "1" * 400),
        "foreign digits": path.replace("size=", "size=%D9%A1"),
        "no id": path.replace(asked["id"], "nonsense"),
    }


async def test_a_url_that_was_not_signed_here_like_this_is_403(world: World) -> None:
    client = await world.serve()
    asked, other = await request_upload_url(client), await request_upload_url(client)
    before = world.stored_files()
    for change, path in changes(asked, other).items():
        if change != "zeros":  # the same number, and so the same right
            assert await put(client, path) == (403, "upload_url_invalid"), change
    assert world.stored_files() == before
    async with client.post(asked["path"], data=PDF) as answer:
        assert answer.status == 405


async def test_a_url_ends_with_its_time(world: World) -> None:
    client = await world.serve()
    asked = await request_upload_url(client)
    world.clock_offset = URL_LIFETIME - 60
    assert await put(client, asked["path"]) == (200, "")
    world.clock_offset = URL_LIFETIME + 1
    assert await put(client, asked["path"]) == (403, "upload_url_expired")
    forged = asked["path"].replace(f"size={len(PDF)}", "size=1")
    assert await put(client, forged) == (403, "upload_url_invalid")
    assert (await complete(client, asked["id"]))[0] == 200  # what was uploaded in time counts


async def test_the_url_needs_no_key_and_all_around_it_the_right_one(world: World) -> None:
    client = await world.serve("mine", "theirs")
    async with client.post(ASK, json=UPLOAD_REQUEST) as answer:
        assert answer.status == 401
    asked = await request_upload_url(client, MINE)
    assert tenant_of("mine") not in str(asked), "a URL may be seen by others"
    assert await put(client, asked["path"]) == (200, "")
    assert (await complete(client, asked["id"], THEIRS))[0] == 404
    assert (await complete(client, asked["id"]))[0] == 401
    assert world.publisher.published == []
    assert (await complete(client, asked["id"], MINE))[0] == 200
    assert world.publisher.submitted.tenant == tenant_of("mine")
    async with client.get("/api/uploads/" + asked["id"]) as answer:
        assert answer.status == 401


async def test_a_client_that_expects_to_be_invited_is_only_with_a_good_url(world: World) -> None:
    client = await world.serve()
    asked = await request_upload_url(client)
    for path, invited in ((asked["path"], True), (asked["path"] + "0", False)):
        head = f"PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(PDF)}\r\n"
        reader, writer = await world.connect()
        writer.write(f"{head}Expect: 100-continue\r\n\r\n".encode())
        async with asyncio.timeout(20):
            line = await reader.readline()
        assert (b" 100 " in line) is invited
        assert (b" 403 " in line) is not invited
        writer.close()


@pytest.mark.parametrize(
    ("host", "public_url", "origin"),
    [
        ("docs.example.com:8443", None, "http://docs.example.com:8443"),
        ("[::1]:1337", None, "http://[::1]:1337"),
        ("a/b?c=", None, "http://127.0.0.1:{port}"),
        ('"<x>"', None, "http://127.0.0.1:{port}"),
        ("user@host", None, "http://127.0.0.1:{port}"),
        ("inside:1", "https://docs.example.com", "https://docs.example.com"),
    ],
)
async def test_the_url_leads_to_where_the_client_found_the_edge(
    world: World, host: str, public_url: str | None, origin: str
) -> None:
    world.public_url = public_url
    await world.serve()
    raw = post_request(
        msgspec.json.encode(UPLOAD_REQUEST), path=ASK, content_type="application/json"
    )
    answer = await world.send_raw(raw.replace(b"Host: ilios", f"Host: {host}".encode()))
    assert answer.status == 200
    expected = origin.format(port=world.port)
    assert answer.json()["uploadUrl"].startswith(f"{expected}/api/uploads/")


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
        {"tenant": "kabc\ud800"},
        {"document_id": new_id()},
        {"size": 1001},
        {"expires_at": NOW + 3601},
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


@pytest.mark.parametrize("signature", ["", "v1.", "\ud800", "v1." + "0" * 64])
def test_what_is_no_signature_is_refused(signature: str) -> None:
    with pytest.raises(BadSignature):
        signer().verify(signature, **UPLOAD)


def test_a_signature_that_was_changed_is_refused() -> None:
    signature = signer().sign(**UPLOAD)
    for other in (
        "w" + signature[1:],
        signature[:-1] + "x",
        signature + "0",
        signature + "\n",
        signature[:-1],
        signature.upper(),
    ):
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
