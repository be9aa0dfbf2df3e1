"""``python -m bench pipeline|convert|memory|...``: runs one measurement and prints it."""

import argparse
import asyncio
from pathlib import Path

from bench import batches, convert, corpus, hostile, memory, pipeline


def main() -> None:
    """Run one measurement."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("pipeline", help="instant stub engine: rates, latencies, CPU, memory")
    one.add_argument("--documents", type=int, default=1500)
    one.add_argument("--clients", type=int, default=16)
    one.add_argument("--kilobytes", type=int, default=50)
    two = kinds.add_parser("convert", help="what /v1/convert adds to the engine's own time")
    two.add_argument("--rounds", type=int, default=200)
    kinds.add_parser("memory", help="idle memory, and what a 1 GB upload adds")
    four = kinds.add_parser("corpus", help="convert every document of a directory at once")
    four.add_argument("directory", type=Path)
    four.add_argument("--markdown", type=Path, help="write the Markdown there")
    five = kinds.add_parser("batches", help="batches against single submits, status reads")
    five.add_argument("--batches", type=int, default=20)
    five.add_argument("--documents", type=int, default=100)
    five.add_argument("--kilobytes", type=int, default=10)
    six = kinds.add_parser("download", help="memory while a batch of large Markdown is downloaded")
    six.add_argument("--documents", type=int, default=100)
    six.add_argument("--kilobytes", type=int, default=1024)
    seven = kinds.add_parser("hostile", help="how long hostile requests keep others waiting")
    seven.add_argument("--rounds", type=int, default=3)
    seven.add_argument("--only", default="", help="those with this in their name")
    options = parser.parse_args()
    if options.kind == "pipeline":
        asyncio.run(pipeline.measure(options.documents, options.clients, options.kilobytes))
    elif options.kind == "convert":
        asyncio.run(convert.measure(options.rounds))
    elif options.kind == "memory":
        asyncio.run(memory.measure())
    elif options.kind == "batches":
        asyncio.run(batches.measure(options.batches, options.documents, options.kilobytes))
    elif options.kind == "download":
        asyncio.run(batches.measure_download(options.documents, options.kilobytes))
    elif options.kind == "hostile":
        asyncio.run(hostile.measure(options.rounds, options.only))
    else:
        asyncio.run(corpus.measure(options.directory, options.markdown))


if __name__ == "__main__":
    main()
