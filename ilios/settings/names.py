"""Variables that are set and mean nothing, and which one may have been meant."""

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

from ilios.settings.storage import BUCKET

PREFIX = "ILIOS_"
MIN_SIMILARITY = 0.75  # of two names without prefix, for a variable that begins as ours do
MIN_SIMILARITY_UNPREFIXED = 0.88  # for any other variable, most of which are none of our business

ALIASES = {
    "API_KEY": ("API_TOKEN", "API_TOKENS"),
    "AWS_ACCESS_KEY_ID": ("AWS_ACCESS_KEY", "S3_ACCESS_KEY", "S3_ACCESS_KEY_ID", "S3_KEY"),
    "AWS_ENDPOINT_URL_S3": (
        "AWS_ENDPOINT",
        "AWS_ENDPOINT_URL",
        "AWS_S3_ENDPOINT",
        "AWS_S3_ENDPOINT_URL",
        "S3_ENDPOINT",
        "S3_ENDPOINT_URL",
        "S3_URL",
    ),
    "AWS_REGION": ("AWS_DEFAULT_REGION", "AWS_S3_REGION", "S3_REGION"),
    "AWS_SECRET_ACCESS_KEY": (
        "AWS_SECRET_KEY",
        "S3_SECRET",
        "S3_SECRET_ACCESS_KEY",
        "S3_SECRET_KEY",
    ),
    "AWS_SESSION_TOKEN": ("AWS_SECURITY_TOKEN", "S3_SESSION_TOKEN"),
    "LOCAL_DB_PATH": ("LOCAL_DATABASE_PATH", "LOCAL_DB", "LOCAL_DB_FILE"),
    "MISTRAL_API_KEY": ("MISTRAL_KEY", "MISTRAL_TOKEN", "MISTRALAI_API_KEY"),
    "MISTRAL_SERVER_URL": (
        "MISTRAL_API_BASE",
        "MISTRAL_API_URL",
        "MISTRAL_BASE_URL",
        "MISTRAL_ENDPOINT",
        "MISTRAL_URL",
    ),
    "NATS_URL": ("NATS_ADDRESS", "NATS_SERVER", "NATS_SERVERS"),
    "S3_BUCKET": ("AWS_BUCKET", "AWS_BUCKET_NAME", "AWS_S3_BUCKET", "S3_BUCKET_NAME"),
}
"""Names other programs have for what a variable of ours means."""

VAGUE_ALIASES = {
    "API_KEY": ("AUTH_TOKEN", "KEY", "KEYS", "SECRET", "TOKEN"),
    "ILIOS_MAX_FILE_MB": ("MAX_FILE_SIZE", "MAX_FILE_SIZE_MB", "MAX_UPLOAD_MB", "MAX_UPLOAD_SIZE"),
    "LOCAL_DB_PATH": ("DATABASE", "DATABASE_PATH", "DB", "DB_FILE", "DB_PATH", "SQLITE_PATH"),
    "PORT": ("HTTP_PORT", "LISTEN_PORT"),
    "S3_BUCKET": ("BUCKET", "BUCKET_NAME"),
    "WORKER_COUNT": ("CONCURRENCY", "NUM_WORKERS", "PROCESSES", "WORKERS"),
}
"""Names that mean this only behind our prefix: elsewhere they are some other program's."""


def _by_alias(*tables: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    return {
        alias: meant for table in tables for meant, aliases in table.items() for alias in aliases
    }


_ANYWHERE = _by_alias(ALIASES)
_BEHIND_PREFIX = _by_alias(ALIASES, VAGUE_ALIASES)


def unknown_variables(environ: Mapping[str, str], known: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each variable that looks as if it were meant for ilios, and is not."""
    for name in sorted(environ.keys() - set(known)):
        if name.startswith(PREFIX):
            meant = _suggest(name.removeprefix(PREFIX), known, _BEHIND_PREFIX, MIN_SIMILARITY)
            hint = f"did you mean {meant}?" if meant else "misspelt?"
            yield f"{name} has no effect: there is no such setting; {hint}"
        elif environ[name].strip() and (meant := _suggest_unprefixed(name, environ, known)):
            yield f"{name} has no effect here; did you mean {meant}?"


def _suggest_unprefixed(
    name: str, environ: Mapping[str, str], known: Collection[str]
) -> str | None:
    """Return what a variable without our prefix stands for, if it was meant for ilios at all."""
    meant = _suggest(name, known, _ANYWHERE, MIN_SIMILARITY_UNPREFIXED)
    if meant is None:
        return None
    if meant.startswith(PREFIX) and "_" not in name:
        return None  # one word, such as HOST, that may be anybody's
    if meant.startswith("AWS_") and (environ.get(meant) or not environ.get(BUCKET)):
        return None  # other programs use S3 as well, by names that are their business
    return meant


def _suggest(
    name: str, known: Collection[str], aliases: Mapping[str, str], cutoff: float
) -> str | None:
    """Return the variable that a name stands for, if there is one."""
    plain = {_normalized(variable): variable for variable in sorted(known)}
    if (exact := plain.get(_normalized(name))) is not None:
        return exact
    if (alias := aliases.get(name.upper())) is not None:
        return alias
    close = get_close_matches(_normalized(name), plain, n=1, cutoff=cutoff)
    return plain[close[0]] if close else None


def _normalized(name: str) -> str:
    """Return the letters of a name: without our prefix, case and underscores."""
    return name.upper().removeprefix(PREFIX).replace("_", "").replace("-", "")
