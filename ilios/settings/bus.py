"""Settings of the bus: the embedded server, or servers of the operator."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from bus.credentials import read_credentials, read_seed
from bus.target import COPIES, Target, add_certificate, ca_context
from ilios.secret import Secret
from ilios.settings import values
from ilios.settings.bucket import BucketSettings
from ilios.settings.values import Env

URL = "NATS_URL"
BusEnv = partial(Env, needs=URL)
Port = Annotated[int, Meta(ge=0, le=65_535)]


class BusSettings(BucketSettings, frozen=True, kw_only=True):
    """Where the bus is and how it is reached; each field names its variable."""

    nats_url: Annotated[
        Secret | None,
        Env(
            URL,
            "A NATS of yours, all its servers; unset = embedded",
            "nats://a:4222,nats://b:4222,nats://c:4222",
            values.bus_urls,
        ),
    ] = None
    nats_user: Annotated[
        str | None,
        BusEnv("NATS_USER", "User of that NATS, rather than in NATS_URL", "ilios", values.user),
    ] = None
    nats_password: Annotated[
        Secret | None, BusEnv("NATS_PASSWORD", "Password of NATS_USER", "...", values.password)
    ] = None
    nats_creds: Annotated[
        Path | None,
        BusEnv("NATS_CREDS", "File with the JWT of the user and its seed", "./ilios.creds"),
    ] = None
    nats_nkey: Annotated[
        Path | None, BusEnv("NATS_NKEY", "File with the seed of the user's nkey", "./ilios.nk")
    ] = None
    nats_ca: Annotated[
        Path | None,
        BusEnv("NATS_CA", "Authorities of its certificates, in PEM; requires TLS", "./ca.pem"),
    ] = None
    nats_certificate: Annotated[
        Path | None,
        BusEnv("NATS_CERT", "Certificate of the service, in PEM; requires TLS", "./client.pem"),
    ] = None
    nats_key: Annotated[
        Path | None, BusEnv("NATS_KEY", "Private key of NATS_CERT, in PEM", "./client-key.pem")
    ] = None
    bus_replicas: Annotated[
        int | None,
        BusEnv(
            "ILIOS_BUS_REPLICAS",
            "Copies of each stream: 1, 3 or 5, also of existing ones; unset = 3 for new ones of a "
            "cluster",
            "3",
            values.one_number_of(*COPIES),
        ),
    ] = None
    nats_port: Annotated[
        Port, Env("ILIOS_NATS_PORT", "Port of the embedded bus; if it is in use or 0, a free one")
    ] = 4222

    @property
    def external_bus(self) -> Target | None:
        """The servers of the operator; credentials in variables win over those in the URL."""
        if self.nats_url is None:
            return None
        target = Target.of(self.nats_url.get_secret_value())
        if self.nats_user or self.nats_creds or self.nats_nkey:
            password = self.nats_password
            target = msgspec.structs.replace(
                target,
                user=self.nats_user,
                password=password and password.get_secret_value(),
                token=None,
                credentials_file=_text(self.nats_creds),
                seed_file=_text(self.nats_nkey),
            )
        return msgspec.structs.replace(
            target,
            ca_file=_text(self.nats_ca),
            certificate_file=_text(self.nats_certificate),
            key_file=_text(self.nats_key),
        )


def contradictions(settings: BusSettings) -> Iterator[str]:
    """Yield a sentence for each setting of an external bus that cannot be used."""
    if settings.nats_url is None:
        return
    named = {
        "NATS_CREDS": settings.nats_creds,
        "NATS_NKEY": settings.nats_nkey,
        "NATS_USER": settings.nats_user,
    }
    present = [name for name, value in named.items() if value is not None]
    if len(present) > 1:
        yield f"{present[0]}: a client has one way to log in; unset it, or {present[1]}"
    if (settings.nats_user is None) != (settings.nats_password is None):
        yield "NATS_PASSWORD: it belongs to NATS_USER; set both, or none of them"
    if settings.nats_key is not None and settings.nats_certificate is None:
        yield "NATS_KEY: it belongs to NATS_CERT; set both, or none of them"
    if settings.nats_certificate is not None and settings.nats_key is None:
        yield "NATS_CERT: its private key is missing; set NATS_KEY"
    with_tls = settings.nats_ca is not None or settings.nats_certificate is not None
    if with_tls and "ws://" in settings.nats_url.get_secret_value():
        yield f"{URL}: ws:// has no TLS, which NATS_CA and NATS_CERT require; use wss:// or tls://"
    yield from _unusable("NATS_CREDS", settings.nats_creds, read_credentials)
    yield from _unusable("NATS_NKEY", settings.nats_nkey, read_seed)
    yield from _unusable("NATS_CA", settings.nats_ca, ca_context)
    if settings.nats_key is not None:
        key = str(settings.nats_key)
        check = partial(_check_certificate, key=key)
        yield from _unusable("NATS_CERT", settings.nats_certificate, check)


def _check_certificate(certificate: str, key: str) -> None:
    add_certificate(ca_context(None), certificate, key)


def _unusable(variable: str, path: Path | None, read: Callable[[str], object]) -> Iterator[str]:
    if path is not None:
        try:
            read(str(path))
        except ValueError as error:
            yield f"{variable}: {error}"


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
