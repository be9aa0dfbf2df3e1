"""``ilios join``: works for the core on a NATS server, with settings that come from it."""

import argparse
import os
from functools import partial

from ilios.cli.run import work
from ilios.joining import adopt
from ilios.settings import environ
from ilios.settings.bucket import BUCKET
from ilios.settings.bus import URL


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios join``."""
    parser.description = (
        "Work for the core on this NATS server: fetch documents, and convert them where this host "
        "can. What must agree (bucket or shared directory, limits) comes from the core, unless a "
        "variable sets it here. Credentials and the key for passwords do not: give them to each "
        "host (NATS_USER and NATS_PASSWORD or NATS_CREDS, AWS_ACCESS_KEY_ID, ILIOS_SEAL_KEY_FILE "
        "or ILIOS_SEALING_KEY, MISTRAL_API_KEY)."
    )
    parser.add_argument(
        "url",
        nargs="?",
        metavar="URL",
        help="servers of the core, as nats://a:4222,nats://b:4222 (default: NATS_URL)",
    )


def run(options: argparse.Namespace) -> int:
    """Work until SIGINT, SIGTERM or SIGHUP; returns the exit code."""
    environ.add_env_file(os.environ, environ.ENV_FILE)
    if options.url is not None:
        os.environ[URL] = options.url
    settings = environ.from_environ(os.environ)
    # Credentials of the bucket have an effect, though its name comes from the core.
    found = environ.warnings({BUCKET: "that of the core", **os.environ})
    return work(settings, lambda: partial(adopt, dict(os.environ)), found, joins_again=True)
