"""Where the bus is and how it is reached: servers, credentials and TLS."""

import ssl
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

from bus.credentials import UserCredentials, read_credentials, read_seed

COPIES = (1, 3, 5)
"""Possible copies of a stream. Of an even number more are needed for a majority, for nothing."""


class Target(Struct, frozen=True, kw_only=True):
    """The servers of one bus, and what a client shows to each of them.

    ``servers`` are URLs without credentials. At most one of user, token, ``credentials_file`` (a
    JWT) and ``seed_file`` (an nkey) is set. The files are read again for each connection.
    """

    servers: tuple[str, ...]
    user: str | None = None
    password: str | None = None
    token: str | None = None
    credentials_file: str | None = None
    seed_file: str | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None

    def __repr__(self) -> str:
        return f"Target({', '.join(self.servers)})"

    @classmethod
    def of(cls, urls: "Target | str") -> "Target":
        """Return the target of URLs separated by commas; credentials in them are for all.

        A target is returned as it is.

        :raises ValueError: they have different credentials; the message does not repeat them.
        """
        if isinstance(urls, Target):
            return urls
        found = [urlsplit(part.strip()) for part in urls.split(",") if part.strip()]
        named = {(url.username, url.password) for url in found if url.username}
        if len(named) > 1:
            raise ValueError("must have the same user and password in all URLs, or in one of them")
        user, password = named.pop() if named else (None, None)
        servers = tuple(_without_credentials(url) for url in found)
        if user is None:
            return cls(servers=servers)
        if password is None:
            return cls(servers=servers, token=unquote(user))
        return cls(servers=servers, user=unquote(user), password=unquote(password))

    @property
    def requires_tls(self) -> bool:
        """Whether a server without TLS is refused, before it is shown the credentials."""
        return bool(self.ca_file or self.certificate_file) or any(
            server.startswith(("tls://", "wss://")) for server in self.servers
        )

    def client_options(self) -> dict[str, Any]:
        """Return the credentials as options of the client.

        :raises ValueError: a file cannot be used; the message has the reason.
        """
        if self.credentials_file is not None:
            read_credentials(self.credentials_file)  # which finds faults now
            return {
                "user_jwt_cb": lambda: bytearray(self._credentials().jwt.encode()),
                "signature_cb": self._sign,
            }
        if self.seed_file is not None:
            key = read_seed(self.seed_file)
            return {"signature_cb": key.sign, "public_nkey": key.public}
        if self.user is not None:
            return {"user": self.user, "password": self.password or ""}
        return {} if self.token is None else {"token": self.token}

    def _sign(self, nonce: str) -> bytes:
        return self._credentials().key.sign(nonce)

    def _credentials(self) -> UserCredentials:
        """Read the file again at each reconnect, since JWTs that expire are replaced in it."""
        assert self.credentials_file is not None
        try:
            return read_credentials(self.credentials_file)
        except ValueError as error:
            raise OSError(str(error)) from error  # after which the client tries again

    def tls_context(self) -> ssl.SSLContext | None:
        """Return the context of TLS, or None where no setting asks for it.

        :raises ValueError: as ``client_options``.
        """
        if not self.requires_tls:
            return None
        context = ca_context(self.ca_file)
        if self.certificate_file is not None:
            add_certificate(context, self.certificate_file, self.key_file)
        return context


def ca_context(ca_file: str | None) -> ssl.SSLContext:
    """Return a context that trusts the authorities in a file, or those of the machine.

    :raises ValueError: the file cannot be used.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # also errors of TLS
        why = "it has no certificates in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise ValueError(f"{ca_file} cannot be used: {why}") from error


def add_certificate(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    """Add the certificate of this client.

    :raises ValueError: it cannot be used, or its key cannot.
    """
    try:
        # Without a password a protected key would be asked for on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except OSError as error:
        why = (
            "they are no certificate and its unprotected key in PEM"
            if isinstance(error, ssl.SSLError)
            else error.strerror
        )
        raise ValueError(f"{certificate} and {key} cannot be used: {why}") from error


def _without_credentials(url: SplitResult) -> str:
    return url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
