"""Settings as bytes, for a process that is started by another one."""

from pathlib import Path
from typing import get_type_hints

import msgspec

from ilios.secret import Secret
from ilios.settings.settings import Settings

# Without the bounds, which msgspec refuses on optional fields; they were checked when read.
_Fields = msgspec.defstruct("_Fields", get_type_hints(Settings).items())


def _encode(value: object) -> str:
    match value:
        case Path():
            return str(value)
        case Secret():
            return value.get_secret_value()
    message = f"no setting is a {type(value).__name__}"
    raise NotImplementedError(message)


def _decode(kind: type, value: object) -> object:
    return kind(value)


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode)
_decoder = msgspec.msgpack.Decoder(_Fields, dec_hook=_decode)


def encode(settings: Settings) -> bytes:
    """Return all settings, secrets included."""
    return _encoder.encode(settings)


def decode(encoded: bytes) -> Settings:
    """Return the settings that were encoded."""
    return Settings(**msgspec.structs.asdict(_decoder.decode(encoded)))
