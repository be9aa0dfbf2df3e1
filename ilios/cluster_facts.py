"""What all hosts of a service must agree on: published by the core, compared by its workers.

There are no credentials and no keys in the facts: of a key there is a fingerprint.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from ilios import __version__
from ilios.settings.settings import TABLE, Settings

LOCAL, DIRECTORY, BUCKET = "local", "directory", "bucket"
"""Where the blobs are: on the host of the core alone, in a shared directory, in a bucket."""

LOG_FORMAT = BLOB_FORMAT = 1
"""Raised when hosts of earlier versions could not read what is on the log, or in the blobs."""

ADOPTED = (
    "ILIOS_SHARED_BLOBS",
    "ILIOS_MAX_FILE_MB",
    "ILIOS_ENGINE_TIMEOUT",
    "ILIOS_PAGE_BUDGET",
    "ILIOS_PAGE_TIMEOUT",
    "ILIOS_DOWNLOAD_ALLOW",
    "S3_BUCKET",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "ILIOS_S3_ADDRESSING",
    "ILIOS_S3_PREFIX",
)
ADOPTED_WITH_MISTRAL = (
    "ILIOS_ENGINE",
    "ILIOS_ENGINE_FALLBACK",
    "ILIOS_MISTRAL_MODEL",
    "ILIOS_MISTRAL_IMAGES",
)
"""Variables that a host may take from the core, the latter where it has a key for Mistral. None is
a credential, and none concerns the sandbox."""


class CannotJoin(Exception):
    """This host may not work for the core; the message names the setting to change."""


class ClusterFacts(Struct, frozen=True, kw_only=True):
    """The facts of a core.

    ``owner`` is the id of the owner of the blobs, ``mark`` what the core has written into the
    shared directory at its last start. ``process`` is that of its epoch, empty without one.
    ``settings`` has the texts of variables that differ from their defaults, for hosts that take
    them over.
    """

    version: str
    blobs: str
    owner: str = ""
    mark: str = ""
    process: str = ""
    bucket: str = ""
    prefix: str = ""
    seal_key: str = ""
    max_file_bytes: int = 0
    engines: tuple[str, ...] = ("local",)
    default_engine: str = "local"
    engine_fallback: bool = False
    mistral_model: str = ""
    mistral_images: bool = True
    log_format: int = LOG_FORMAT
    blob_format: int = BLOB_FORMAT
    settings: dict[str, str] = {}


def encode(facts: ClusterFacts) -> bytes:
    """Return the facts as they are stored on the bus."""
    return msgspec.json.encode(facts)


def decode(body: bytes) -> ClusterFacts:
    """Return stored facts; members that a newer core has added are ignored.

    :raises CannotJoin: they cannot be read.
    """
    try:
        return msgspec.json.decode(body, type=ClusterFacts)
    except msgspec.MsgspecError as error:
        raise CannotJoin(
            f"the facts of the core cannot be read ({error}): it is of another version"
        ) from error


def facts_of(
    settings: Settings, version: str, seal_key: str, *, owner: str, mark: str, process: str = ""
) -> ClusterFacts:
    """Return the facts of a host with these settings."""
    shared = DIRECTORY if settings.shared_blobs is not None else LOCAL
    return ClusterFacts(
        version=version,
        blobs=BUCKET if settings.s3_bucket is not None else shared,
        owner=owner,
        mark=mark,
        process=process,
        bucket=settings.s3_bucket or "",
        prefix=settings.s3_prefix,
        seal_key=seal_key,
        max_file_bytes=settings.max_file_bytes,
        engines=settings.engines,
        default_engine=settings.default_engine,
        engine_fallback=settings.engine_fallback,
        mistral_model=settings.mistral_model,
        mistral_images=settings.mistral_images,
        settings=dict(_texts(settings)),
    )


def ensure_formats(core: ClusterFacts) -> None:
    """Check that this version reads and writes the log and the blobs as the core does.

    :raises CannotJoin: it does not.
    """
    if (core.log_format, core.blob_format) != (LOG_FORMAT, BLOB_FORMAT):
        raise CannotJoin(
            f"ilios {__version__} and the core's ilios {core.version} write the log or the blobs "
            f"differently: install ilios {core.version} here"
        )


def ensure_blobs_shared(settings: Settings, core: ClusterFacts) -> None:
    """Check that this host is set to use the blobs of the core.

    :raises CannotJoin: it is not, or they are on the core's host alone.
    """
    if core.blobs == LOCAL:
        raise CannotJoin(
            "the blobs of the core are in its own data directory: set S3_BUCKET, or "
            "ILIOS_SHARED_BLOBS to a directory that all hosts mount, at the core and here"
        )
    if core.blobs == DIRECTORY:
        if settings.s3_bucket is not None:
            raise CannotJoin("S3_BUCKET: the blobs of the core are in a directory; unset it")
        if settings.shared_blobs is None:
            raise CannotJoin(
                "ILIOS_SHARED_BLOBS is not set: the directory of the core's blobs, as it is "
                "mounted here"
            )
        return
    if settings.s3_bucket is None:
        raise CannotJoin(f"S3_BUCKET is not set: the core stores its blobs in {core.bucket}")
    if settings.s3_bucket != core.bucket:
        raise CannotJoin(f"S3_BUCKET is {settings.s3_bucket}, at the core it is {core.bucket}")
    if settings.s3_prefix != core.prefix:
        raise CannotJoin(
            f"ILIOS_S3_PREFIX is {settings.s3_prefix!r}, at the core it is {core.prefix!r}"
        )


def ensure_agreement(settings: Settings, core: ClusterFacts, *, converts: bool) -> None:
    """Check that documents have the same outcome here as on the host of the core.

    :raises CannotJoin: a setting differs.
    """
    if differing := list(_differing(settings, core, converts=converts)):
        raise CannotJoin("; ".join(differing))


def ensure_seal_key(settings: Settings, core: ClusterFacts, fingerprint: str) -> None:
    """Check that the passwords of documents can be read here.

    :raises CannotJoin: the key is another one.
    """
    if fingerprint != core.seal_key:
        given = (
            f"ILIOS_SEAL_KEY_FILE: {settings.seal_key_file} has"
            if settings.sealing_key is None
            else "ILIOS_SEALING_KEY is"
        )
        raise CannotJoin(
            f"{given} another key than the core, and passwords could not be read here; give this "
            "host the key of the core"
        )


def _texts(settings: Settings) -> Iterator[tuple[str, str]]:
    wanted = {*ADOPTED, *ADOPTED_WITH_MISTRAL}
    if settings.mistral_key is None:
        wanted -= {*ADOPTED_WITH_MISTRAL}
    usual = Settings()
    for setting in TABLE:
        text = setting.format(settings)
        if setting.variable in wanted and text != setting.format(usual):
            yield setting.variable, text
    if settings.shared_blobs is not None:
        yield "ILIOS_SHARED_BLOBS", str(settings.shared_blobs.absolute())


def _differing(settings: Settings, core: ClusterFacts, *, converts: bool) -> Iterator[str]:
    compared: list[tuple[str, object, object]] = [
        ("ILIOS_MAX_FILE_MB", settings.max_file_bytes // 2**20, core.max_file_bytes // 2**20),
    ]
    if converts:
        compared += [
            ("MISTRAL_API_KEY", "mistral" in settings.engines, "mistral" in core.engines),
            ("ILIOS_ENGINE", settings.default_engine, core.default_engine),
            ("ILIOS_ENGINE_FALLBACK", settings.engine_fallback, core.engine_fallback),
        ]
        if "mistral" in core.engines:
            compared += [
                ("ILIOS_MISTRAL_MODEL", settings.mistral_model, core.mistral_model),
                ("ILIOS_MISTRAL_IMAGES", settings.mistral_images, core.mistral_images),
            ]
    for variable, here, there in compared:
        if here != there:
            yield f"{variable} is {_shown(here)} here and {_shown(there)} at the core"


def _shown(value: object) -> str:
    return {True: "set", False: "not set"}[value] if isinstance(value, bool) else str(value)
