"""PDFs under the protections of the standard security handler (ISO 32000-2, 7.6)."""

import hashlib
from collections.abc import Callable
from typing import Literal

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.documents import pdf_of_streams

Kind = Literal["RC4-40", "RC4-128", "AES-128", "AES-256-R5", "AES-256"]
KINDS: tuple[Kind, ...] = ("RC4-40", "RC4-128", "AES-128", "AES-256-R5", "AES-256")

TEXT = "The quick brown fox is behind a lock"

_PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
_FILE_ID = bytes(range(16))
_PERMISSIONS = -3904  # nothing is allowed
_FILE_KEY = bytes(range(100, 132))
_SALTS = b"validateusekey!!"  # two of 8 bytes


def protected_pdf(kind: Kind, user: bytes, owner: bytes = b"owner", text: str = TEXT) -> bytes:
    """Return a PDF of one page that these passwords open, as the bytes a program makes of them."""
    encrypted, dictionary = (_aes256 if kind.startswith("AES-256") else _legacy)(kind, user, owner)
    content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode("latin-1")
    file_id = _FILE_ID.hex()
    trailer = f"/ID [<{file_id}> <{file_id}>] /Encrypt << /Filter /Standard {dictionary} >>"
    stream = encrypted(5, content)  # pdf_of_streams gives the first content the number 5
    return pdf_of_streams([stream], extra_trailer=trailer)


def _legacy(kind: Kind, user: bytes, owner: bytes) -> tuple[Callable[[int, bytes], bytes], str]:
    revision, length = {"RC4-40": (2, 5), "RC4-128": (3, 16)}.get(kind, (4, 16))
    rounds = 1 if revision == 2 else 20
    owner_key = _digest(_pad(owner), 50 * (revision > 2), length)
    owner_entry = _rc4_rounds(owner_key, _pad(user), rounds)
    hashed = _pad(user) + owner_entry + (_PERMISSIONS % 2**32).to_bytes(4, "little") + _FILE_ID
    key = _digest(hashed, 50 * (revision > 2), length)
    if revision == 2:
        user_entry = _rc4(key, _PADDING)
    else:
        seed = hashlib.md5(_PADDING + _FILE_ID).digest()
        user_entry = _rc4_rounds(key, seed, rounds) + bytes(16)

    def encrypt(number: int, data: bytes) -> bytes:
        salted = key + number.to_bytes(3, "little") + bytes(2)
        if kind != "AES-128":
            return _rc4(hashlib.md5(salted).digest()[: length + 5], data)
        return _aes_stream(hashlib.md5(salted + b"sAlT").digest(), data)

    filters = (
        "/V 4 /Length 128 /CF << /StdCF << /CFM /AESV2 /Length 16 >> >> /StmF /StdCF /StrF /StdCF"
        if kind == "AES-128"
        else f"/V {revision - 1} /Length {length * 8}"
    )
    return encrypt, _entries(revision, filters, O=owner_entry, U=user_entry)


def _aes256(kind: Kind, user: bytes, owner: bytes) -> tuple[Callable[[int, bytes], bytes], str]:
    revision = 5 if kind == "AES-256-R5" else 6
    made: dict[str, bytes] = {}
    for name, password in (("U", user), ("O", owner)):
        more = made.get("U", b"")
        validation, key = _SALTS[:8], _SALTS[8:]
        made[name] = _hash(revision, password, validation, more) + _SALTS
        made[f"{name}E"] = _aes(_hash(revision, password, key, more), bytes(16), _FILE_KEY)
    plain = (_PERMISSIONS % 2**64).to_bytes(8, "little") + b"Tadb" + bytes(4)
    made["Perms"] = _ecb(_FILE_KEY, plain)
    filters = (
        "/V 5 /Length 256 /CF << /StdCF << /CFM /AESV3 /Length 32 >> >> /StmF /StdCF /StrF /StdCF"
    )
    return lambda _, data: _aes_stream(_FILE_KEY, data), _entries(revision, filters, **made)


def _hash(revision: int, password: bytes, salt: bytes, more: bytes) -> bytes:
    """Return the hash of a password (algorithm 2.B)."""
    found = hashlib.sha256(password + salt + more).digest()
    number = 0
    while revision == 6:
        encrypted = _aes(found[:16], found[16:32], (password + found + more) * 64)
        algorithm = ("sha256", "sha384", "sha512")[sum(encrypted[:16]) % 3]
        found = hashlib.new(algorithm, encrypted).digest()
        number += 1
        if number >= 64 and encrypted[-1] <= number - 32:
            break
    return found[:32]


def _entries(revision: int, filters: str, **strings: bytes) -> str:
    texts = " ".join(f"/{name} <{value.hex()}>" for name, value in strings.items())
    return f"/R {revision} {filters} {texts} /P {_PERMISSIONS}"


def _digest(data: bytes, more_rounds: int, length: int) -> bytes:
    found = hashlib.md5(data).digest()
    for _ in range(more_rounds):
        found = hashlib.md5(found[:length]).digest()
    return found[:length]


def _pad(password: bytes) -> bytes:
    return (password + _PADDING)[:32]


def _rc4_rounds(key: bytes, data: bytes, rounds: int) -> bytes:
    for number in range(rounds):
        data = _rc4(bytes(one ^ number for one in key), data)
    return data


def _rc4(key: bytes, data: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


def _aes_stream(key: bytes, data: bytes) -> bytes:
    vector, missing = bytes(range(16)), 16 - len(data) % 16
    return vector + _aes(key, vector, data + bytes([missing]) * missing)


def _aes(key: bytes, vector: bytes, data: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def _ecb(key: bytes, data: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # the standard's own choice
    return encryptor.update(data) + encryptor.finalize()
