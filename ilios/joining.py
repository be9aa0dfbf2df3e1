"""What a host takes over from the core that it joins: settings, and the roles it can do."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from ilios.cluster_facts import ADOPTED, ADOPTED_WITH_MISTRAL, CannotJoin, ClusterFacts
from ilios.passwords.key import load_key
from ilios.passwords.seal import Seal
from ilios.settings import environ as environment
from ilios.settings.bucket import BUCKET
from ilios.settings.settings import Settings
from ilios.worker_composition import ROLES, Role

MISTRAL_KEY = "MISTRAL_API_KEY"


class Joined(Struct, frozen=True):
    """The settings and roles of a host that joins; ``note`` says which role it cannot do, and why.

    ``adopted`` are the variables that come from the core.
    """

    settings: Settings
    roles: tuple[Role, ...]
    adopted: tuple[str, ...] = ()
    note: str = ""


Join = Callable[[ClusterFacts], Joined]
"""Decides how a host works for a core with these facts."""


def as_set(settings: Settings, roles: tuple[Role, ...]) -> Join:
    """Return a decision for the settings and roles that the operator has chosen.

    :raises CannotJoin: they cannot work for any core.
    :raises SecretsDamaged: the key for passwords is none.
    """
    if settings.external_bus is None:
        raise CannotJoin("NATS_URL is not set: the NATS server of the core")
    if "ocr" in roles:
        seal_of(settings)
    _ensure_blobs_set(settings)
    return lambda _core: Joined(settings, roles)


def adopt(environ: Mapping[str, str], core: ClusterFacts) -> Joined:
    """Return the settings of the environment, completed by those of the core.

    What is set here stays, and is compared with the core afterwards.

    :raises BadSettings: they cannot be used.
    :raises CannotJoin: the key for passwords is missing.
    :raises SecretsDamaged: it is no key.
    """
    with_mistral = bool(environ.get(MISTRAL_KEY, "").strip())
    names = ADOPTED + (ADOPTED_WITH_MISTRAL if with_mistral else ())
    adopted = {
        name: core.settings[name]
        for name in names
        if name in core.settings and not environ.get(name, "").strip()
    }
    if environ.get(BUCKET, "").strip():
        adopted.pop("ILIOS_SHARED_BLOBS", None)  # a contradiction, which is named by the comparison
    settings = environment.from_environ({**environ, **adopted})
    seal_of(settings)  # also for a host that only fetches: an operator has to decide it
    if "mistral" in core.engines and not with_mistral:
        note = f"ocr is not run here: the core converts with Mistral, and {MISTRAL_KEY} is not set"
        return Joined(settings, ("fetcher",), tuple(adopted), note)
    return Joined(settings, ROLES, tuple(adopted))


def _ensure_blobs_set(settings: Settings) -> None:
    if settings.s3_bucket is None and settings.shared_blobs is None:
        raise CannotJoin(
            "this host does not share the blobs of the core: set S3_BUCKET (and what belongs to "
            "it) or ILIOS_SHARED_BLOBS as at the core"
        )


def seal_of(settings: Settings) -> Seal:
    """Return the seal of passwords with the key that this host was given.

    :raises CannotJoin: it was given none.
    :raises SecretsDamaged: what it was given is no key.
    """
    if not settings.has_seal_key:
        raise CannotJoin(
            "ILIOS_SEAL_KEY_FILE is not set (or ILIOS_SEALING_KEY): a copy of the file "
            "passwords.key in the core's data directory, without which ocr cannot read the "
            "passwords of documents"
        )
    return Seal(load_key(settings.seal_key_file, settings.data_dir, settings.sealing_key))
