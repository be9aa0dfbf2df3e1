"""Credentials in files, and TLS, with real servers."""

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from bus.connection import connect
from bus.credentials import UserKey, key_text
from bus.errors import BusMisconfigured, BusUnavailable
from bus.target import Target
from ilios.nats.server import binary
from tests.certificates import make_certificates
from tests.free_ports import free_port

SEED = bytes(range(32))
PREFIXES = {"account": 0, "operator": 14 << 3, "user": 20 << 3}


@contextmanager
def running_server(directory: Path, configuration: str) -> Iterator[str]:
    """Run a server on loopback; yield host and port."""
    port = free_port()
    file = directory / "nats.conf"
    file.write_text(f"host: 127.0.0.1, port: {port}, ports_file_dir: {directory}\n{configuration}")
    command = [binary(), "-c", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            assert any("Server is ready" in line for line in server.stderr)
            yield f"127.0.0.1:{port}"
        finally:
            server.kill()


def seed_text(seed: bytes) -> str:
    """Return the seed of a user in the form of the server."""
    first, second = 18 << 3 | (20 << 3) >> 5, ((20 << 3) & 31) << 3
    return key_text(bytes([first, second]) + seed)


async def test_an_nkey_logs_in_and_another_one_is_refused(tmp_path: Path) -> None:
    seed, other = tmp_path / "user.nk", tmp_path / "other.nk"
    seed.write_text(seed_text(SEED) + "\n")
    other.write_text(seed_text(SEED[::-1]))
    users = f"authorization {{ users: [{{ nkey: {UserKey(SEED).public} }}] }}"
    with running_server(tmp_path, users) as address:
        servers = (f"nats://{address}",)
        async with connect(Target(servers=servers, seed_file=str(seed)), name="t") as connection:
            assert connection.connected
        with pytest.raises(BusMisconfigured, match="Authorization"):
            async with connect(Target(servers=servers, seed_file=str(other)), name="t"):
                pass


def _jwt(issuer: SigningKey, kind: str, subject: str, details: dict[str, object]) -> str:
    def part(content: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    body = bytes([PREFIXES[kind]]) + issuer.verify_key.encode()
    claims = {
        "jti": subject,
        "iat": 1,
        "iss": key_text(body),
        "sub": subject,
        "name": "tests",
        "nats": {"version": 2, **details},
    }
    signed = f"{part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{part(claims)}"
    signature = base64.urlsafe_b64encode(issuer.sign(signed.encode()).signature).decode()
    return f"{signed}.{signature.rstrip('=')}"


def _public(key: SigningKey, kind: str) -> str:
    return key_text(bytes([PREFIXES[kind]]) + key.verify_key.encode())


async def test_user_credentials_in_a_file_log_in(tmp_path: Path) -> None:
    operator, account = SigningKey.generate(), SigningKey.generate()
    account_id = _public(account, "account")
    limits = dict.fromkeys(("subs", "conn", "leaf", "imports", "exports", "data", "payload"), -1)
    of_operator = _jwt(operator, "operator", _public(operator, "operator"), {"type": "operator"})
    of_account = _jwt(operator, "operator", account_id, {"type": "account", "limits": limits})
    of_user = _jwt(
        account,
        "account",
        UserKey(SEED).public,
        {"type": "user", "subs": -1, "data": -1, "payload": -1},
    )
    file = tmp_path / "user.creds"
    file.write_text(
        f"-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed_text(SEED)}\n------END USER NKEY SEED------\n"
    )
    configuration = (
        f"operator: {of_operator}\nresolver: MEMORY\n"
        f"resolver_preload: {{ {account_id}: {of_account} }}"
    )
    with running_server(tmp_path, configuration) as address:
        target = Target(servers=(f"nats://{address}",), credentials_file=str(file))
        async with connect(target, name="t") as connection:
            assert connection.connected


async def test_a_server_with_tls_sees_the_certificate_of_the_client(tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    tls = f"""tls {{
        cert_file: {files.certificate}, key_file: {files.key}, ca_file: {files.ca}, verify: true
    }}"""
    with running_server(tmp_path, tls) as address:
        with_ca = Target(servers=(f"tls://{address}",), ca_file=str(files.ca))
        with pytest.raises(BusUnavailable):
            async with connect(with_ca, name="t"):
                pass
        both = Target(
            servers=(f"tls://{address}",),
            ca_file=str(files.ca),
            certificate_file=str(files.certificate),
            key_file=str(files.key),
        )
        async with connect(both, name="t") as connection:
            assert connection.connected


async def test_a_server_without_tls_is_shown_no_password(tmp_path: Path) -> None:
    with running_server(tmp_path, "authorization { user: u, password: p }") as address:
        target = Target(servers=(f"tls://{address}",), user="u", password="p")
        with pytest.raises(BusUnavailable, match="the server has no TLS"):
            async with connect(target, name="t"):
                pass
