"""Settings of a host among others: its name, and what it shares with them."""

import re
import socket
from pathlib import Path
from typing import Annotated

from ilios.secret import Secret
from ilios.settings import values
from ilios.settings.bus import BusSettings
from ilios.settings.values import Env


class HostSettings(BusSettings, frozen=True, kw_only=True):
    """What a host is called and shares; each field names its variable."""

    host_name: Annotated[
        str | None,
        Env(
            "ILIOS_HOST_NAME",
            "Name of this host in ilios status and drain; unset = that of the machine",
            "worker-3",
            values.host_name,
        ),
    ] = None
    shared_blobs: Annotated[
        Path | None,
        Env(
            "ILIOS_SHARED_BLOBS",
            "Directory of the blobs that all hosts share; unset = in ILIOS_DATA_DIR",
            "/mnt/ilios/blobs",
        ),
    ] = None
    seal_key_file: Annotated[
        Path | None,
        Env("ILIOS_SEAL_KEY_FILE", "Key for passwords; unset = in ILIOS_DATA_DIR", "./seal.key"),
    ] = None
    sealing_key: Annotated[
        Secret | None,
        Env("ILIOS_SEALING_KEY", "The key itself, rather than ILIOS_SEAL_KEY_FILE", "..."),
    ] = None

    @property
    def name(self) -> str:
        """The name of this host, a token of subjects."""
        return self.host_name or re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:64] or "host"

    @property
    def has_seal_key(self) -> bool:
        """Whether the operator has given the key for passwords."""
        return self.seal_key_file is not None or self.sealing_key is not None
