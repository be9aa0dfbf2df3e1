"""Settings from the environment and ``./.env``; what cannot be used is refused, all at once."""

import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ilios.settings import bus, encryption
from ilios.settings.bad_settings import BadSettings
from ilios.settings.bucket import BUCKET
from ilios.settings.client_variables import CLIENT_VARIABLES
from ilios.settings.settings import TABLE, Settings

UNSUPPORTED = {
    "USE_EMBEDDED_REPLICA": "this version has no Turso replica",
    "TURSO_DATABASE_URL": "this version has no Turso replica",
}
"""Variables that are refused while set (and not false): ignoring them would break a promise."""
IGNORED = {
    "TURSO_AUTH_TOKEN": "this version has no Turso replica",
    "TURSO_SYNC_INTERVAL": "this version has no Turso replica",
}
"""Variables that have no effect here; worth a warning, not a refusal."""

ENV_FILE = Path(".env")
PREFIX = "ILIOS_"
MIN_SIMILARITY = 0.75  # of two names without prefix, for a variable with our prefix
MIN_SIMILARITY_UNPREFIXED = 0.88  # for any other variable; most belong to other programs

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
"""Names that other programs use for the same setting."""

VAGUE_ALIASES = {
    "API_KEY": ("AUTH_TOKEN", "KEY", "KEYS", "SECRET", "TOKEN"),
    "ILIOS_MAX_FILE_MB": ("MAX_FILE_SIZE", "MAX_FILE_SIZE_MB", "MAX_UPLOAD_MB", "MAX_UPLOAD_SIZE"),
    "LOCAL_DB_PATH": ("DATABASE", "DATABASE_PATH", "DB", "DB_FILE", "DB_PATH", "SQLITE_PATH"),
    "PORT": ("HTTP_PORT", "LISTEN_PORT"),
    "S3_BUCKET": ("BUCKET", "BUCKET_NAME"),
    "WORKER_COUNT": ("CONCURRENCY", "NUM_WORKERS", "PROCESSES", "WORKERS"),
}
"""Names that mean this only with our prefix; without it they belong to other programs."""


def _by_alias(*tables: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    return {
        alias: meant for table in tables for meant, aliases in table.items() for alias in aliases
    }


_ANYWHERE = _by_alias(ALIASES)
_BEHIND_PREFIX = _by_alias(ALIASES, VAGUE_ALIASES)


_ASSIGNMENT = re.compile(
    r"""(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)\s*=\s*
    (?:'(?P<literal>[^']*)'|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>(?!['"])(?:(?!\s\#).)*?))
    \s*(?:(?<!\S)\#.*)?""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_REFERENCE = re.compile(r"(?<!\\)\$\{|(?<!\\)\$\(")


def add_env_file(environ: MutableMapping[str, str], path: Path) -> tuple[str, ...]:
    """Add the variables of a file to those of the environment, which win; return what was added.

    A missing file adds nothing, and so does a directory of that name.

    :raises BadSettings: the file cannot be read, or lines of it are no assignments.
    """
    if not path.is_file():
        return ()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BadSettings([f"{path} cannot be read: {why}"]) from error
    found: dict[str, str] = {}
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            name, value = _assignment(line)
        except ValueError as error:
            problems.append(f"{path}, line {number}: {error}")
        else:
            found[name] = value
    if problems:
        raise BadSettings(problems)
    added = {name: value for name, value in found.items() if name not in environ}
    environ.update(added)
    return tuple(added)


def _assignment(line: str) -> tuple[str, str]:
    """Parse ``NAME=value``; no error repeats the line, which may hold a secret."""
    match = _ASSIGNMENT.fullmatch(line.strip())
    if match is None or "\0" in line:
        raise ValueError("must be NAME=value; a quoted value ends with its quote on the same line")
    name, literal, quoted, plain = match.group("name", "literal", "quoted", "plain")
    if literal is not None:
        return name, literal
    if _REFERENCE.search(quoted or plain or ""):
        raise ValueError("${...} is not expanded; write the value, or put it in single quotes")
    if quoted is not None:
        return name, _ESCAPE.sub(lambda found: {"n": "\n"}.get(found[1], found[1]), quoted)
    return name, plain


def _is_loopback(host: str) -> bool:
    """Whether ``host`` is reachable from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def from_environ(environ: Mapping[str, str]) -> Settings:
    """Read all settings.

    :raises BadSettings: with every problem at once, each naming its variable and an example.
    """
    found: dict[str, Any] = {}
    problems: list[str] = []
    for setting in TABLE:
        text = environ.get(setting.variable, "").strip()
        if not text:
            continue
        try:
            found[setting.field] = setting.read(text)
        except ValueError as error:
            problems.append(f"{setting.variable}: {error} (for example {setting.example})")
    for variable, why in UNSUPPORTED.items():
        if environ.get(variable, "").strip().lower() not in ("", "false"):
            problems.append(f"{variable}: {why}; unset it")
    settings = Settings(**found)
    problems += _contradictions(settings)
    if problems:
        raise BadSettings(problems)
    return settings


def _contradictions(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each setting that another one does not allow."""
    if not _is_loopback(settings.host) and not (settings.api_keys or settings.insecure):
        yield (
            f"ILIOS_HOST: {settings.host} can be reached from outside, and without API_KEY "
            "everybody may read everything; set API_KEY, or ILIOS_INSECURE=true if you mean it"
        )
    if settings.engine == "mistral" and settings.mistral_key is None:
        yield "ILIOS_ENGINE: mistral needs a key; set MISTRAL_API_KEY"
    if settings.shared_blobs is not None and settings.s3_bucket is not None:
        yield "ILIOS_SHARED_BLOBS: the blobs are in the bucket of S3_BUCKET; unset one of the two"
    if settings.seal_key_file is not None and settings.sealing_key is not None:
        yield "ILIOS_SEALING_KEY: the key is in the file of ILIOS_SEAL_KEY_FILE; unset one of them"
    if settings.s3_bucket is not None and settings.edge_processes:
        yield "ILIOS_EDGE_PROCESSES: with S3_BUCKET the edge runs inside the core; unset it"
    yield from bus.contradictions(settings)
    yield from encryption.contradictions(settings)
    incomplete_key = (settings.s3_access_key is None) != (settings.s3_secret_key is None)
    if settings.s3_bucket is not None and incomplete_key:
        yield "AWS_SECRET_ACCESS_KEY: it belongs to AWS_ACCESS_KEY_ID; set both, or none of them"
    if settings.log_days is not None and settings.log_days < settings.least_log_days:
        yield (
            f"ILIOS_LOG_DAYS: with ILIOS_SNAPSHOT_HOURS={settings.snapshot_hours} a rebuild of the "
            f"database needs at least {settings.least_log_days} days of the log; set that or more"
        )


def warnings(environ: Mapping[str, str]) -> list[str]:
    """Return a warning for each variable that is set and has no effect."""
    variables = {setting.variable for setting in TABLE} | set(IGNORED) | set(UNSUPPORTED)
    variables |= CLIENT_VARIABLES

    def is_set(variable: str) -> bool:
        return bool(environ.get(variable, "").strip())

    return [
        *(
            f"{setting.variable} has no effect: {setting.needs} is not set"
            for setting in TABLE
            if setting.needs and is_set(setting.variable) and not is_set(setting.needs)
        ),
        *(f"{name} has no effect: {why}" for name, why in IGNORED.items() if environ.get(name)),
        *unknown_variables(environ, variables),
    ]


def unknown_variables(environ: Mapping[str, str], settings: Collection[str]) -> Iterator[str]:
    """Yield a warning for each variable that looks like a setting of ilios and is none."""
    for name in sorted(environ.keys() - set(settings)):
        if name.startswith(PREFIX):
            meant = _suggest(name.removeprefix(PREFIX), settings, _BEHIND_PREFIX, MIN_SIMILARITY)
            hint = f"did you mean {meant}?" if meant else "misspelt?"
            yield f"{name} has no effect: there is no such setting; {hint}"
        elif environ[name].strip() and (meant := _suggest_unprefixed(name, environ, settings)):
            yield f"{name} has no effect here; did you mean {meant}?"


def _suggest_unprefixed(
    name: str, environ: Mapping[str, str], settings: Collection[str]
) -> str | None:
    """Return the setting that a variable without our prefix was meant for, or None."""
    meant = _suggest(name, settings, _ANYWHERE, MIN_SIMILARITY_UNPREFIXED)
    if meant is None:
        return None
    if meant.startswith(PREFIX) and "_" not in name:
        return None  # a single term, such as HOST, may belong to any program
    if meant.startswith("AWS_") and (environ.get(meant) or not environ.get(BUCKET)):
        return None  # other programs use S3 as well
    return meant


def _suggest(
    name: str, settings: Collection[str], aliases: Mapping[str, str], cutoff: float
) -> str | None:
    """Return the setting that resembles a name most, or None."""
    plain = {_normalized(variable): variable for variable in sorted(settings)}
    if (exact := plain.get(_normalized(name))) is not None:
        return exact
    if (alias := aliases.get(name.upper())) is not None:
        return alias
    close = get_close_matches(_normalized(name), plain, n=1, cutoff=cutoff)
    return plain[close[0]] if close else None


def _normalized(name: str) -> str:
    """Return a name in upper case, without our prefix and separators."""
    return name.upper().removeprefix(PREFIX).replace("_", "").replace("-", "")
