"""``python -m bench pipeline|convert|memory|...``: runs one measurement and prints it."""

import argparse
import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from bench import (
    batches,
    clean,
    clouds,
    connections,
    convert,
    corpus,
    full_volume,
    hostile,
    long_runs,
    pairs,
    pipeline,
    starvation,
    uploads,
)

Measure = Callable[[argparse.Namespace], Coroutine[Any, Any, None]]


def main() -> None:
    """Run one measurement."""
    options = _parser().parse_args()
    measure: Measure = options.measure
    asyncio.run(measure(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)

    def kind(name: str, what: str, measure: Measure) -> argparse.ArgumentParser:
        made = kinds.add_parser(name, help=what)
        made.set_defaults(measure=measure)
        return made

    one = kind(
        "pipeline",
        "instant stub engine: rates, latencies, CPU, memory",
        lambda o: pipeline.measure(o.documents, o.clients, o.kilobytes),
    )
    _count(one, documents=1500, clients=16, kilobytes=50)
    one = kind(
        "pairs",
        "pipeline and convert of another checkout and of this one, in turns",
        lambda o: pairs.measure(o.before.resolve(), o.rounds, o.documents, o.conversions),
    )
    one.add_argument("before", type=Path, help="the other checkout, with its own .venv")
    _count(one, rounds=10, documents=1500, conversions=200)
    one = kind(
        "clouds",
        "the whole pipeline with a fake Mistral and an S3 server on this machine",
        lambda o: clouds.measure(
            clouds.Load(
                o.documents, o.clients, o.kilobytes, o.delay, o.store, o.faults, seed=o.seed
            )
        ),
    )
    _count(one, documents=1500, clients=16, kilobytes=50, delay=200, seed=7)
    one.add_argument("--faults", type=float, default=0.0, help="share of Mistral's calls that fail")
    one.add_argument("--store", choices=("rclone", "swift", "local"), default="rclone")
    one = kind(
        "convert",
        "what /v1/convert adds to the engine's own time",
        lambda o: convert.measure(o.rounds),
    )
    _count(one, rounds=200)
    kind("clean", "from a clean clone to the first document", lambda _: clean.measure())
    kind("memory", "idle memory, and what a 1 GB upload adds", lambda _: uploads.measure_memory())
    one = kind(
        "corpus",
        "convert every document of a directory at once",
        lambda o: corpus.measure_corpus(o.directory, o.markdown),
    )
    one.add_argument("directory", type=Path)
    one.add_argument("--markdown", type=Path, help="write the Markdown there")
    one = kind(
        "batches",
        "batches against single submits, status reads",
        lambda o: batches.measure(o.batches, o.documents, o.kilobytes),
    )
    _count(one, batches=20, documents=100, kilobytes=10)
    one = kind(
        "download",
        "memory while a batch of large Markdown is downloaded",
        lambda o: batches.measure_download(o.documents, o.kilobytes),
    )
    _count(one, documents=100, kilobytes=1024)
    one = kind(
        "s3",
        "a large document into a bucket and back, and a client that vanishes",
        lambda o: uploads.measure_s3(o.store, o.megabytes, o.clients),
    )
    one.add_argument("--store", choices=("swift", "rclone"), default="swift")
    _count(one, megabytes=1024, clients=1)
    one = kind(
        "hostile",
        "how long hostile requests keep others waiting",
        lambda o: hostile.measure(o.rounds, o.only),
    )
    _count(one, rounds=3)
    one.add_argument("--only", default="", help="those with this in their name")
    one = kind(
        "connections",
        "/health while others hold connections",
        lambda o: connections.measure(o.seconds),
    )
    one.add_argument("--seconds", type=float, default=20, help="beside each load")
    one = kind(
        "fullvolume",
        "how soon the service takes submissions again when its volume has room again",
        lambda o: full_volume.measure(o.fillings, o.megabytes, o.seconds),
    )
    _count(one, fillings=20, megabytes=48)
    one.add_argument("--seconds", type=float, default=3, help="for which it stays full")
    one = kind(
        "growth",
        "rates, CPU, memory and starts while the history grows",
        lambda o: long_runs.measure_growth(o.documents, o.clients, o.sample),
    )
    _count(one, documents=150_000, clients=16, sample=2000)
    one = kind(
        "soak",
        "memory and open files over thousands of conversions",
        lambda o: long_runs.measure_soak(o.documents, o.in_flight),
    )
    _count(one, documents=5000, in_flight=8)
    one = kind(
        "starvation",
        "one tenant's documents alone, and beside another's long ones",
        lambda o: starvation.measure(
            starvation.Load(o.scans, o.pages, o.behind, o.documents, o.scanned)
        ),
    )
    _count(one, scans=3, pages=500, behind=0, documents=100)
    one.add_argument("--scanned", action="store_true", help="the others' are scans as well")
    one = kind(
        "bombs",
        "hostile documents, and the latency of their neighbours",
        lambda o: corpus.measure_bombs(o.documents, o.seed, o.at_once, o.only),
    )
    _count(one, documents=200, seed=1, at_once=4)
    one.add_argument("--only", default="", help="those with this in their kind")
    return parser


def _count(parser: argparse.ArgumentParser, **defaults: int) -> None:
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)


if __name__ == "__main__":
    main()
